"""DIST (Huang, You, Wang, Qian and Xu, NeurIPS 2022, arXiv 2205.10536), its form for segmentation."""

from torch import Tensor
from torch.linalg import vector_norm

from harness.distill.draw import Draw
from harness.distill.shapes import expect_same_shape


def relation(
    student: Tensor, teacher: Tensor, labels: Tensor, *, draw: Draw, beta: float = 1.0, gamma: float = 1.0
) -> Tensor:
    """β · (1 − correlation of a pixel's classes) + γ · (1 − correlation of a class's pixels).

    As hunto/DIST_KD has it (segmentation/losses/dist_kd.py, commit 2418f18). The pixels of all images together are one
    sample, so the second part couples images.
    """
    expect_same_shape(student, teacher)
    p_student, p_teacher = _probabilities(student), _probabilities(teacher)
    loss = p_student.new_zeros(())
    if beta:
        loss = loss + beta * (1 - _correlation(p_student, p_teacher, dim=1).mean())
    if gamma:
        loss = loss + gamma * (1 - _correlation(p_student, p_teacher, dim=0).mean())
    return loss


def _probabilities(logits: Tensor) -> Tensor:
    """B×C×h×w → (B·h·w)×C; no temperature."""
    return logits.softmax(dim=1).movedim(1, -1).flatten(0, 2)


def _correlation(first: Tensor, second: Tensor, dim: int) -> Tensor:
    """Pearson's, with 1e-8 added to the product of the norms: a constant vector correlates with nothing."""
    first = first - first.mean(dim=dim, keepdim=True)
    second = second - second.mean(dim=dim, keepdim=True)
    norms: Tensor = vector_norm(first, dim=dim) * vector_norm(second, dim=dim)
    return (first * second).sum(dim=dim) / (norms + 1e-8)
