"""DIST (Huang, You, Wang, Qian and Xu, NeurIPS 2022, arXiv 2205.10536), its form for segmentation."""

import torch
from torch import Tensor

from harness.distill.draw import Draw
from harness.distill.shapes import expect_same_shape

CLASSES, PIXELS = (1,), (0, 2, 3)
"""Axes of B×C×h×w: what a pixel is a vector of, and what a class is."""


def relation(
    student: Tensor, teacher: Tensor, labels: Tensor, *, draw: Draw, parts: frozenset[str]
) -> dict[str, Tensor]:
    """`inter`, 1 − the correlation of a pixel's classes, and `intra`, 1 − that of a class's pixels, as means.

    As hunto/DIST_KD has it (segmentation/losses/dist_kd.py, commit 2418f18). The pixels of all images together are one
    sample, so `intra` couples images.
    """
    expect_same_shape(student, teacher)
    p_student, p_teacher = student.softmax(dim=1), teacher.softmax(dim=1)  # B×C×h×w; no temperature
    axes = {"inter": CLASSES, "intra": PIXELS}
    return {part: 1 - _correlation(p_student, p_teacher, axes[part]).mean() for part in sorted(parts)}


def _correlation(first: Tensor, second: Tensor, axes: tuple[int, ...]) -> Tensor:
    """Pearson's, with 1e-8 added to the product of the norms: a constant vector correlates with nothing."""
    first = first - first.mean(dim=axes, keepdim=True)
    second = second - second.mean(dim=axes, keepdim=True)
    norms = _norm(first, axes) * _norm(second, axes)
    return (first * second).sum(dim=axes) / (norms + 1e-8)


def _norm(tensor: Tensor, axes: tuple[int, ...]) -> Tensor:
    """0 for zeros, and so its gradient there."""
    # vector_norm does the same, several times slower over axes that are not the last.
    squares = tensor.square().sum(dim=axes)
    return torch.where(squares > 0, squares, 1.0).sqrt() * (squares > 0)
