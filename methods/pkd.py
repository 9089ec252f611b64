"""PKD, Pearson correlation of features (Cao et al., NeurIPS 2022, arXiv 2207.02039)."""

import torch
from torch import Tensor
from torch.nn import functional

from harness.distill.draw import Draw
from harness.distill.shapes import expect_same_shape
from harness.ledger.errors import BadInput

STABILITY = 1e-6


def pearson(student: Tensor, teacher: Tensor, labels: Tensor, *, draw: Draw, resize_student: bool = True) -> Tensor:
    """½ · mean of (x̂_S − x̂_T)², x̂ = (x − mean)/(std + 1e-6) over a channel's n = B·h·w values, std with n − 1.

    As open-mmlab/mmrazor has it (mmrazor/models/losses/pkd_loss.py, commit 90c7af1); about 1 − the mean correlation.
    The images of a batch are one sample.

    Settings:
        resize_student: where sizes differ the student is brought to the teacher's, else the teacher to the student's.
    """
    student, teacher = _resized(student, teacher, resize_student)
    expect_same_shape(student, teacher)
    count = student.numel() // student.shape[1]
    if count < 2:
        raise BadInput("pkd: one image of one position: expected two values a channel at least, to correlate them")
    with torch.no_grad():
        variance, mean = torch.var_mean(teacher, dim=(0, 2, 3), keepdim=True)
        target = (teacher - mean) / (variance.sqrt() + STABILITY)
        target_square = target.square().sum(dim=(0, 2, 3))
    # The square multiplied out: moments of each channel take the place of a standardised student.
    variance = student.var(dim=(0, 2, 3)).clamp(min=torch.finfo(student.dtype).tiny)  # a root has no slope at 0
    scale = variance.sqrt() + STABILITY
    square = (count - 1) * variance / scale.square()
    product = (student * target).sum(dim=(0, 2, 3)) / scale  # the target's sum is 0, so the student's mean drops out
    return 0.5 * (square + target_square - 2 * product).sum() / student.numel()


def _resized(student: Tensor, teacher: Tensor, resize_student: bool) -> tuple[Tensor, Tensor]:
    """Both of one height and width."""
    if student.shape[2:] == teacher.shape[2:]:
        return student, teacher
    if resize_student:
        return _to(student, teacher), teacher
    return student, _to(teacher, student)


def _to(tensor: Tensor, like: Tensor) -> Tensor:
    return functional.interpolate(tensor, size=like.shape[2:], mode="bilinear", align_corners=False)
