"""The losses that descriptors name by a word; every public function here is one.

A loss is given the student's and the teacher's tensor (B×C×h×w, or tuples of them for a list of stages), labels
(B×H×W, int64) and `draw`, its source of random numbers; further keyword-only arguments are its settings. A loss that
never looks at the teacher says so with `teacher: None`, and then the teacher is not run for it.
"""

from torch import Tensor
from torch.nn import functional

from harness.distill.draw import Draw
from harness.distill.shapes import expect_same_shape
from harness.distill.task import labelled_cross_entropy


def cross_entropy(student: Tensor, teacher: None, labels: Tensor, *, draw: Draw) -> Tensor:
    """The task loss at a stage of logits: see harness.distill.task."""
    return labelled_cross_entropy(student, labels)


def kl(student: Tensor, teacher: Tensor, labels: Tensor, *, draw: Draw, temperature: float = 1.0) -> Tensor:
    """T²/(B·N) · Σ KL(softmax(z_T/T) ‖ softmax(z_S/T)) over classes, ignored pixels included.

    Hinton, Vinyals and Dean (arXiv 1503.02531), eq. 1 and the T² of section 2; a pixel each, as winycg/CIRKD has it.
    """
    expect_same_shape(student, teacher)
    if temperature != 1.0:  # dividing by 1 is a pass over both maps for nothing
        student, teacher = student / temperature, teacher / temperature
    log_p_student = functional.log_softmax(student, dim=1)
    log_p_teacher = functional.log_softmax(teacher, dim=1)
    divergence = functional.kl_div(log_p_student, log_p_teacher, reduction="sum", log_target=True)
    pixels = student.numel() // student.shape[1]  # B×C×h×w → B·h·w
    return temperature**2 * divergence / pixels


def mse(student: Tensor, teacher: Tensor, labels: Tensor, *, draw: Draw) -> Tensor:
    """The mean of (F_S − F_T)² over all B·C·h·w elements: eq. 3 of FitNets (arXiv 1412.6550), as a mean."""
    expect_same_shape(student, teacher)
    return functional.mse_loss(student, teacher)
