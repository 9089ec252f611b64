"""Intra-class feature variation distillation (Wang, Zhou, Jiang, Bai and Xu, ECCV 2020)."""

import torch
from torch import Tensor
from torch.nn import functional

from harness.distill.draw import Draw
from harness.distill.module import LossModule
from harness.distill.precision import full_precision
from harness.distill.shapes import expect_same_positions, nearest_labels

SMALLEST_SQUARE = 1e-16
"""A norm counts as at least 1e-8 in a cosine."""


class FeatureVariation(LossModule):
    """The mean over all pixels of (v_S − v_T)², v being the cosine of a pixel and the centre of its class.

    As winycg/CIRKD has it (losses/ifvd.py, commit dab64db), after YukangWang/IFVD. A centre is that of one image. What
    is ignored adds nothing but counts in the mean.
    """

    def __init__(self, *, classes: int) -> None:
        super().__init__()
        self.classes = classes

    def forward(self, student: Tensor, teacher: Tensor, labels: Tensor, *, draw: Draw) -> Tensor:
        """Of B×C_S×h×w against B×C_T×h×w."""
        expect_same_positions(student, teacher)
        label = nearest_labels(labels, *student.shape[2:]).flatten(1)[:, None]  # B×1×N
        members = label.mT == torch.arange(self.classes, device=label.device)  # B×N×K; no class where ignored
        with full_precision(student):
            ours = _variation(student, label, members.to(student.dtype))
            theirs = _variation(teacher, label, members.to(teacher.dtype))
        return functional.mse_loss(ours, theirs)


def _variation(features: Tensor, label: Tensor, members: Tensor) -> Tensor:
    """B×1×N: the cosine of each pixel and the centre of its class, 0 where ignored.

    Every pixel is held against all centres, K numbers a pixel, for a map of each pixel's own centre would be as large
    as the features.
    """
    pixels = features.flatten(2)  # B×C×h×w → B×C×N
    centres = pixels @ members / (members.sum(dim=1, keepdim=True) + 1e-6)  # B×C×K
    directions = centres * _inverse_norm(centres)
    alike = (directions.mT @ pixels).gather(1, label.clamp(0, members.shape[2] - 1))  # B×K×N → B×1×N
    return alike * _inverse_norm(pixels) * members.any(dim=2)[:, None]


def _inverse_norm(vectors: Tensor) -> Tensor:
    """B×1×n for the vectors B×C×n; 0 for those without a direction, whose gradient would be 1e8 times too large."""
    squares = vectors.square().sum(dim=1, keepdim=True)
    return squares.clamp(min=SMALLEST_SQUARE).rsqrt() * (squares > 0)
