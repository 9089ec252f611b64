"""Random colours: the distortions of SSD's data augmentation (Liu et al., ECCV 2016, section 3.6 and its code).

Each is applied with probability ½: a brightness added, a contrast multiplied (before or after the other two), a
saturation and a hue changed in HSV.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

DRAWS = 9
"""For every image: four coins, the contrast's place, and four amounts."""

BRIGHTNESS = 32.0
"""At most, of 255."""
FACTORS = (0.5, 1.5)
"""Of contrast and of saturation."""
HUE = 0.1
"""At most, of a turn: 36 degrees, 18 of the half degrees in which OpenCV has an 8-bit hue."""


def distort(image: Tensor, draws: Sequence[float]) -> Tensor:
    """An image's colours changed as nine draws of [0, 1) say: 3×H×W float32, 0 to 255, before and after."""
    bright, contrasted, saturated, turned, late = (draw < 0.5 for draw in draws[:5])
    brightness, contrast, saturation, hue = draws[5:]
    if bright:
        image = (image + BRIGHTNESS * (2 * brightness - 1)).clamp(0, 255)
    if contrasted and not late:
        image = (image * _factor(contrast)).clamp(0, 255)
    if saturated or turned:
        image = recolour(image, _factor(saturation) if saturated else 1.0, HUE * (2 * hue - 1) if turned else 0.0)
    if contrasted and late:
        image = (image * _factor(contrast)).clamp(0, 255)
    return image


def recolour(image: Tensor, factor: float, turn: float) -> Tensor:
    """The image with HSV's saturation times the factor, one at most, and its hue turned; its value stays.

    Computed where the image is, from no table: a colour of hue h sixths of a turn, value V and chroma C = V·S is
    V − C·clip(min(k, 4 − k), 0, 1) with k = (n + h) mod 6 and n = 5, 3, 1 for red, green and blue.
    """
    value, largest = image.max(dim=0)
    chroma = value - image.amin(dim=0)
    red, green, blue = image.unbind(0)
    ahead = torch.stack([green - blue, blue - red, red - green]).gather(0, largest[None])[0]
    hue = 2.0 * largest + ahead / chroma.clamp_min(torch.finfo(image.dtype).tiny) + 6.0 * turn
    chroma = torch.minimum(chroma * factor, value)
    k = torch.stack([hue + 5.0, hue + 3.0, hue + 1.0]).remainder(6.0)
    return value - chroma * torch.minimum(k, 4.0 - k).clamp(0.0, 1.0)


def _factor(draw: float) -> float:
    low, high = FACTORS
    return low + (high - low) * draw
