"""Squared distance of normalised features, as open-mmlab/mmrazor has it (models/losses/l2_loss.py, commit 90c7af1)."""

import torch
from torch import Tensor
from torch.linalg import vecdot

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
        squares = mult**2 * _between_units(student.flatten(1), teacher.flatten(1)).sum()
    else:
        squares = (student - teacher).square().sum()
    if dist:
        return _root(squares)
    return squares / (student.numel() if div_element else student.shape[0])


def _between_units(student: Tensor, teacher: Tensor) -> Tensor:
    """|u − v|² of the rows' directions u and v, B×(C·h·w) → B, without writing u and v down: |u|² + |v|² − 2·u·v."""
    student_squares, teacher_squares = vecdot(student, student), vecdot(teacher, teacher)
    student_norm, teacher_norm = _root(student_squares), _root(teacher_squares)
    # The released form turns an all-zero image into NaN; here zeros have no direction, u = 0.
    student_divisor = torch.where(student_norm > 0, student_norm, 1.0)
    teacher_divisor = torch.where(teacher_norm > 0, teacher_norm, 1.0)
    lengths = (student_norm > 0).to(student.dtype) + (teacher_norm > 0).to(student.dtype)
    cosine = vecdot(student, teacher) / (student_divisor * teacher_divisor)
    squares: Tensor = (lengths - 2 * cosine).clamp(min=0)  # rounding may leave a little less for equals
    return squares


def _root(squares: Tensor) -> Tensor:
    """The square root, and at 0 a gradient of 0 where it would be infinite."""
    return torch.where(squares > 0, squares, 1.0).sqrt() * (squares > 0)
