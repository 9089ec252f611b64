"""Random colours: the distortions of SSD's data augmentation (Liu et al., ECCV 2016, section 3.6 and its code).

Each is applied with probability ½: a brightness added, a contrast multiplied (before or after the other two), a
saturation and a hue changed in HSV.
"""

from collections.abc import Sequence

import torch
from torch import Tensor
from torchvision.transforms.v2 import functional as transforms

DRAWS = 9
"""For every image: four coins, the contrast's place, and four amounts."""

BRIGHTNESS = 32.0
"""At most, of 255."""
FACTORS = (0.5, 1.5)
"""Of contrast and of saturation."""
HUE = 0.05
"""At most, of a turn: 18 degrees."""


def distort(image: Tensor, draws: Sequence[float]) -> Tensor:
    """An image's colours changed as nine draws of [0, 1) say: 3×H×W float32, 0 to 255, before and after."""
    bright, contrasted, saturated, turned, late = (draw < 0.5 for draw in draws[:5])
    brightness, contrast, saturation, hue = draws[5:]
    if bright:
        image = image + BRIGHTNESS * (2 * brightness - 1)
    if contrasted and not late:
        image = image * _factor(contrast)
    if saturated:
        image = saturate(image.clamp(0, 255), _factor(saturation))
    if turned:
        image = transforms.adjust_hue(image.clamp(0, 255) / 255, HUE * (2 * hue - 1)) * 255
    if contrasted and late:
        image = image * _factor(contrast)
    return image.clamp(0, 255)


def saturate(image: Tensor, factor: float) -> Tensor:
    """The image with HSV's saturation times the factor, one at most; value and hue stay."""
    value = image.amax(dim=0, keepdim=True)
    # S = (V − min) / V: where the factor would bring it beyond 1, what is left of it is 1 / S.
    spread = value - image.amin(dim=0, keepdim=True)
    most = value / spread.clamp_min(torch.finfo(image.dtype).tiny)
    return value - (value - image) * most.clamp_max(factor)


def _factor(draw: float) -> float:
    low, high = FACTORS
    return low + (high - low) * draw
