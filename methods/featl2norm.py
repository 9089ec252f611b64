"""Squared distance of normalised features, as open-mmlab/mmrazor has it (models/losses/l2_loss.py, commit 90c7af1)."""

from torch import Tensor
from torch.linalg import vector_norm
from torch.nn import functional

from harness.distill.draw import Draw
from harness.distill.shapes import expect_same_shape


def normalized_l2(
    student: Tensor,
    teacher: Tensor,
    labels: Tensor,
    *,
    draw: Draw,
    normalize: bool = True,
    mult: float = 1.0,
    div_element: bool = False,
    dist: bool = False,
) -> Tensor:
    """Σ (F_S − F_T)² / B.

    Settings:
        normalize: each image's features, all channels and positions together, are first given the norm `mult`.
        div_element: the sum is divided by the number of elements, not of images.
        dist: the root of the sum over the whole batch instead, undivided: couples images.
    """
    expect_same_shape(student, teacher)
    if normalize:
        student, teacher = mult * _unit(student), mult * _unit(teacher)
    if dist:
        distance: Tensor = vector_norm(student - teacher)
        return distance
    return (student - teacher).square().sum() / (student.numel() if div_element else student.shape[0])


def _unit(features: Tensor) -> Tensor:
    """Each image as a vector of norm 1: B×C×h×w → B×(C·h·w)."""
    # The released form has no floor and turns an all-zero image into NaN; above the floor it is the same.
    return functional.normalize(features.flatten(1), dim=1, eps=1e-12)
