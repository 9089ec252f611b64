"""The pair-wise term of structured knowledge distillation (Liu et al., CVPR 2019, arXiv 1903.04197), CIRKD's form."""

import torch
from torch import Tensor
from torch.nn import functional

from harness.distill.draw import Draw
from harness.distill.shapes import expect_same_positions

SMALLEST_SQUARE = 1e-24
"""Below a norm of 1e-12 a vector has no direction."""


def pairwise(student: Tensor, teacher: Tensor, labels: Tensor, *, draw: Draw, pool: int = 2) -> Tensor:
    """The mean over images and ordered pairs of nodes of (S_ij − T_ij)², S and T being the cosines of two nodes.

    A node is a pool×pool window, its vector the maxima of the channels. As winycg/CIRKD has it (losses/skd.py, commit
    dab64db), but no number is kept for every pair where there are more nodes than channels.
    """
    expect_same_positions(student, teacher)
    ours, theirs = _nodes(student, pool), _nodes(teacher, pool)
    images, channels, nodes = theirs.shape
    if nodes <= channels:
        total = (ours.mT @ ours - theirs.mT @ theirs).square().sum()
    else:
        # ‖OᵀO − TᵀT‖² = ‖OOᵀ‖² + ‖TTᵀ‖² − 2‖OTᵀ‖²: matrices of channels in the place of those of nodes.
        total = _square_sum(ours @ ours.mT) + _square_sum(theirs @ theirs.mT) - 2 * _square_sum(ours @ theirs.mT)
    return (total / (images * nodes**2)).to(student.dtype)


def _nodes(features: Tensor, pool: int) -> Tensor:
    """B×C×h×w → B×C×n, a unit vector a node, or zero."""
    nodes = functional.max_pool2d(features, pool, ceil_mode=True).flatten(2)
    squares = nodes.square().sum(dim=1, keepdim=True)
    # The released form multiplies the gradient of a node that is zero throughout by 1e12; here it gets none.
    inverse = squares.clamp(min=SMALLEST_SQUARE).rsqrt() * (squares > SMALLEST_SQUARE)
    return nodes * inverse


def _square_sum(matrices: Tensor) -> Tensor:
    """Σ m², in double precision: of three such sums only a small difference is left."""
    return matrices.to(torch.float64).square().sum()
