"""PSPNet (Zhao et al., Pyramid Scene Parsing Network, CVPR 2017)."""

import torch
from torch import Tensor, nn
from torch.nn import functional

from harness.ledger.networks import PspNetwork
from harness.segmentation.dilated import dilated
from harness.segmentation.light import convolution
from harness.segmentation.staged import Staged


def pspnet(network: PspNetwork, classes: int) -> Staged:
    """The backbone's four stages, pyramid pooling, and a classifier at stride 8.

    Whole channels are dropped, as the paper's authors have it in PyTorch (hszhao/semseg, model/pspnet.py).
    """
    return dilated(network, classes, PyramidPooling, nn.Dropout2d)


class PyramidPooling(nn.Module):
    """Joins features with their means over 1, 4, 9 and 36 parts of the image and mixes them to `outputs` channels.

    In training the mean over the whole image is one value a channel and an image, which batch normalisation cannot
    do with in a batch of one.
    """

    def __init__(self, inputs: int, outputs: int, parts: tuple[int, ...] = (1, 2, 3, 6)) -> None:
        super().__init__()
        width = inputs // len(parts)
        self.pooled = nn.ModuleList(
            nn.Sequential(nn.AdaptiveAvgPool2d(number), convolution(inputs, width, 1)) for number in parts
        )
        self.mix = convolution(inputs + width * len(parts), outputs, 3)

    def forward(self, features: Tensor) -> Tensor:
        """Of the features' height and width."""
        size = features.shape[2:]
        means = [
            functional.interpolate(pool(features), size, mode="bilinear", align_corners=True) for pool in self.pooled
        ]
        mixed: Tensor = self.mix(torch.cat([features, *means], dim=1))
        return mixed
