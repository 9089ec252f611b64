"""Channel-wise distillation (Shu, Liu, Gao, Yan and Shen, ICCV 2021, arXiv 2011.13256)."""

from torch import Tensor
from torch.nn import functional

from harness.distill.draw import Draw
from harness.distill.losses import kl
from harness.distill.shapes import expect_same_shape
from harness.ledger.errors import BadInput


def channel_divergence(
    student: Tensor,
    teacher: Tensor,
    labels: Tensor,
    *,
    draw: Draw,
    norm: str = "channel",
    divergence: str = "kl",
    temperature: float = 4.0,
) -> Tensor:
    """How far the student's channels are from the teacher's, a channel being a distribution over positions.

    As irfanICMLL/TorchDistiller has it (SemSeg-distill/utils/criterion.py, commit 78bac7c), its other modes too.

    Settings:
        norm: `channel` compares softmaxes over positions, `spatial` those over channels, `channel_mean` plain means.
        divergence: `kl`, or `mse`, which ignores the temperature as the released class does.
    """
    expect_same_shape(student, teacher)
    match norm, divergence:
        case "channel", "kl":
            return temperature**2 * _kl_of_maps(student / temperature, teacher / temperature)
        case "spatial", "kl":
            return kl(student, teacher, labels, draw=draw, temperature=temperature)
        case "channel", "mse":
            return _squared(student.flatten(2).softmax(dim=2), teacher.flatten(2).softmax(dim=2))
        case "channel_mean", "mse":
            return _squared(student.mean(dim=(2, 3)), teacher.mean(dim=(2, 3)))
    raise BadInput(
        f"cwd: norm {norm!r} with divergence {divergence!r}: "
        "expected channel with kl or mse, spatial with kl, or channel_mean with mse"
    )


def _kl_of_maps(student: Tensor, teacher: Tensor) -> Tensor:
    """1/(B·C) · Σ KL(softmax over positions, teacher ‖ student)."""
    log_student = functional.log_softmax(student.flatten(2), dim=2)  # B×C×h×w → B×C×N
    log_teacher = functional.log_softmax(teacher.flatten(2), dim=2)
    channels = student.shape[0] * student.shape[1]
    return functional.kl_div(log_student, log_teacher, reduction="sum", log_target=True) / channels


def _squared(student: Tensor, teacher: Tensor) -> Tensor:
    """1/(B·C) · Σ (s − t)², B and C being the first two sizes."""
    return (student - teacher).square().sum() / (student.shape[0] * student.shape[1])
