"""DeepLabV3 (Chen et al., Rethinking Atrous Convolution for Semantic Image Segmentation, arXiv 1706.05587)."""

from functools import partial

import torch
from torch import Tensor, nn

from harness.ledger.networks import DeepLabNetwork
from harness.segmentation.dilated import dilated
from harness.segmentation.light import convolution
from harness.segmentation.staged import Staged


def deeplab(network: DeepLabNetwork, classes: int) -> Staged:
    """The backbone's four stages, atrous spatial pyramid pooling, and a classifier at stride 8.

    Single values are dropped, not channels, as CIRKD (winycg/CIRKD, models/deeplabv3.py) and torchvision have it.
    """
    return dilated(network, classes, partial(AtrousPooling, rates=network.rates), nn.Dropout)


class AtrousPooling(nn.Module):
    """Joins what a pixel, its surroundings at three distances and the whole image tell, and mixes it twice.

    In training the mean over the whole image is one value a channel and an image, which batch normalisation cannot
    do with in a batch of one.
    """

    def __init__(self, inputs: int, outputs: int, rates: tuple[int, int, int]) -> None:
        super().__init__()
        self.pixel = convolution(inputs, outputs, 1)
        self.around = nn.ModuleList(convolution(inputs, outputs, 3, dilation=rate) for rate in rates)
        self.image = nn.Sequential(nn.AdaptiveAvgPool2d(1), convolution(inputs, outputs, 1))
        # Half is dropped between the two in CIRKD and in torchvision alike.
        self.mix = nn.Sequential(convolution(5 * outputs, outputs, 1), nn.Dropout(0.5), convolution(outputs, outputs))

    def forward(self, features: Tensor) -> Tensor:
        """Of the features' height and width."""
        around = [look(features) for look in self.around]
        image = self.image(features).expand(-1, -1, *features.shape[2:])  # B×C×1×1 → B×C×h×w
        mixed: Tensor = self.mix(torch.cat([self.pixel(features), *around, image], dim=1))
        return mixed
