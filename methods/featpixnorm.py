"""Squared distance of pixels' directions, as seok-hwa/KT has it (losses/KT.py, divergence mse, commit 709743f)."""

from torch import Tensor
from torch.linalg import vector_norm
from torch.nn import functional

from harness.distill.draw import Draw
from harness.distill.shapes import expect_same_shape


def normalized_pixels(student: Tensor, teacher: Tensor, labels: Tensor, *, draw: Draw) -> Tensor:
    """1/(B·C) · Σ over pixels of ‖F_S/‖F_S‖ − F_T/‖F_T‖‖², a pixel's C channels being one vector; norms at least 1e-12.

    That is 2/(B·C) · Σ (1 − cosine): it grows with the positions of a crop.
    """
    expect_same_shape(student, teacher)
    direction = functional.normalize(teacher)
    length: Tensor = vector_norm(student, dim=1)  # B×h×w
    floored = length.clamp(min=1e-12)
    # The square multiplied out, so that no normalised student has to be kept: 1 + 1 − 2 · cosine, but for empty pixels.
    cosine = (student * direction).sum(dim=1) / floored
    distance = (length / floored).square() + direction.square().sum(dim=1) - 2 * cosine
    return distance.sum() / (student.shape[0] * student.shape[1])
