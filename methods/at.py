"""Attention transfer (Zagoruyko and Komodakis, ICLR 2017, arXiv 1612.03928)."""

from torch import Tensor
from torch.linalg import vecdot
from torch.nn import functional

from harness.distill.draw import Draw
from harness.distill.shapes import expect_same_positions


def attention_transfer(student: Tensor, teacher: Tensor, labels: Tensor, *, draw: Draw) -> Tensor:
    """The mean over B images and N positions of (a(F_S) − a(F_T))²; at most 2/N, so a weight belongs to one N."""
    expect_same_positions(student, teacher)
    return functional.mse_loss(_attention(student), _attention(teacher))


def _attention(features: Tensor) -> Tensor:
    """The mean square over channels as a unit vector over positions: the paper's Σ|A|², up to scale."""
    # The product of each pixel's vector with itself, and not square().mean(): half the time.
    energy = vecdot(features, features, dim=1).flatten(1) / features.shape[1]  # B×C×h×w → B×N
    return functional.normalize(energy, dim=1, eps=1e-12)
