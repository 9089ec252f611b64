"""Two small networks that have every stage, and a batch for them: where a method is tried without data."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional

from harness.distill.shapes import IGNORED
from harness.segmentation.light import convolution
from harness.segmentation.staged import Staged

BATCH, CLASSES = 2, 4
CROP = (128, 128)
STUDENT, TEACHER = (16, 16, 24, 32, 16), (32, 32, 48, 64, 32)
"""Widths of the four stages and of `decoded`."""
MORE = ("aux_logits", "embedding1", "embedding2", "embedding3", "embedding4")
"""Stages that not every network has."""


class Join(nn.Module):
    """Two features of one size mixed to a width."""

    def __init__(self, shallow: int, deep: int, width: int) -> None:
        super().__init__()
        self.mix = convolution(shallow + deep, width, size=1)

    def forward(self, shallow: Tensor, deep: Tensor) -> Tensor:
        """B×width×h×w."""
        mixed: Tensor = self.mix(torch.cat([shallow, deep], dim=1))
        return mixed


class Patches(nn.Module):
    """A stage as embeddings of its positions: B×C×h×w → B×(h·w)×C."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)

    def forward(self, features: Tensor) -> Tensor:
        """Normalised over the channels."""
        normalised: Tensor = self.norm(features.flatten(2).mT)
        return normalised


def network(widths: tuple[int, int, int, int, int], more: bool = True) -> Staged:
    """Stages of strides 2, 4, 8 and 8, decoded at 8, logits at 2.

    Unequal widths, so that no stage passes for another; logits of 64×64, which discriminators need; stage4 of 16×16,
    which cuts into patches; decoded no larger, as relations among all its positions are to take milliseconds.

    Args:
        widths: channels of the four stages and of `decoded`.
        more: whether there are `aux_logits` and the embeddings.

    """
    *encoder, decoder = widths
    modules: dict[str, nn.Module] = {}
    inputs: dict[str, tuple[str, ...]] = {}
    for depth, (before, width) in enumerate(zip((3, *encoder[:3]), encoder, strict=True), start=1):
        stride = 1 if depth == 4 else 2
        # No ReLU last: features of both signs.
        modules[f"stage{depth}"] = nn.Sequential(convolution(before, width, stride=stride), nn.Conv2d(width, width, 1))
        inputs[f"stage{depth}"] = (f"stage{depth - 1}" if depth > 1 else "image",)
    modules["decoded"], inputs["decoded"] = Join(encoder[2], encoder[3], decoder), ("stage3", "stage4")
    modules["decoded_dropped"], inputs["decoded_dropped"] = nn.Dropout2d(0.1), ("decoded",)
    modules["logits"] = nn.Sequential(nn.Conv2d(decoder, CLASSES, 1), nn.Upsample(scale_factor=4.0, mode="nearest"))
    inputs["logits"] = ("decoded_dropped",)
    if more:
        modules["aux_logits"], inputs["aux_logits"] = nn.Conv2d(encoder[2], CLASSES, 1), ("stage3",)
        for depth, width in enumerate(encoder, start=1):
            modules[f"embedding{depth}"], inputs[f"embedding{depth}"] = Patches(width), (f"stage{depth}",)
    return Staged(modules, inputs, _channels(widths), stride=2)


def _channels(widths: tuple[int, int, int, int, int]) -> dict[str, int]:
    *encoder, decoder = widths
    stages = {f"stage{depth}": width for depth, width in enumerate(encoder, start=1)}
    embeddings = {f"embedding{depth}": width for depth, width in enumerate(encoder, start=1)}
    decoded = {"decoded": decoder, "decoded_dropped": decoder}
    return stages | embeddings | decoded | {"logits": CLASSES, "aux_logits": CLASSES}


def batch(seed: int = 0) -> tuple[Tensor, Tensor]:
    """Images of noise and, as their labels, blocks of the classes and some ignored pixels."""
    source = torch.Generator().manual_seed(seed)
    images = torch.randn(BATCH, 3, *CROP, generator=source)
    blocks = torch.randint(CLASSES + 1, (BATCH, 1, 8, 8), generator=source).float()
    labels = functional.interpolate(blocks, size=CROP, mode="nearest")[:, 0].long()
    return images, labels.masked_fill(labels == CLASSES, IGNORED)


def extreme(outputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The outputs with logits that reach ±1000."""
    return {
        stage: 1000 * output / output.detach().abs().amax() if "logits" in stage else output
        for stage, output in outputs.items()
    }


def flat(outputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Zeros of the outputs' shapes, through which gradients still flow."""
    return {stage: output * 0.0 for stage, output in outputs.items()}
