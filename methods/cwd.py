"""Channel-wise distillation (Shu, Liu, Gao, Yan and Shen, ICCV 2021, arXiv 2011.13256)."""

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional

from harness.distill.draw import Draw
from harness.distill.losses import kl
from harness.distill.shapes import expect_same_shape
from harness.ledger.errors import BadInput

NUMBERS_AT_ONCE = {"cpu": 2**18, "cuda": 2**26}
"""Numbers of the maps that are looked at together: what stays in a CPU's cache, what fills a GPU."""


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
            return _kl_of_maps(student, teacher, temperature)
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


def _kl_of_maps(student: Tensor, teacher: Tensor, temperature: float) -> Tensor:
    """T²/(B·C) · Σ KL(softmax over positions, teacher ‖ student)."""
    maps = student.flatten(2).flatten(0, 1)  # B×C×h×w → (B·C)×N
    targets = teacher.detach().flatten(2).flatten(0, 1)
    if not torch.is_grad_enabled():
        maps = maps.detach()  # else its gradient would be made for nobody
    chunk = max(1, NUMBERS_AT_ONCE.get(maps.device.type, NUMBERS_AT_ONCE["cuda"]) // maps.shape[1])
    divergence: Tensor = _Divergence.apply(maps, targets, temperature, chunk)
    return temperature**2 * divergence / len(maps)


class _Divergence(torch.autograd.Function):
    """Σ KL over rows, with the student's gradient made on the way, a chunk of rows after the other.

    Feature maps have many channels: a pass over all of them at a time costs more than its arithmetic, and autograd
    would keep two more tensors of their size.
    """

    @staticmethod
    def forward(
        ctx: Any,  # noqa: ANN401 - what torch hands over has no type of its own
        student: Tensor,
        teacher: Tensor,
        temperature: float,
        chunk: int,
    ) -> Tensor:
        """The sum; kept is a gradient of the student's size."""
        gradient = torch.empty_like(student) if ctx.needs_input_grad[0] else None
        sums = []
        for start in range(0, len(student), chunk):
            rows = slice(start, start + chunk)
            log_student = functional.log_softmax(student[rows] / temperature, dim=1)
            log_teacher = functional.log_softmax(teacher[rows] / temperature, dim=1)
            p_teacher = log_teacher.exp()
            sums.append(log_teacher.sub_(log_student).mul_(p_teacher).sum())
            if gradient is not None:
                # ∂KL(p_T ‖ p_S)/∂z_S = (p_S − p_T)/T.
                torch.sub(log_student.exp_(), p_teacher, out=gradient[rows]).div_(temperature)
        if gradient is not None:
            ctx.save_for_backward(gradient)
        return torch.stack(sums).sum()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, outer: Tensor) -> tuple[Tensor | None, ...]:  # noqa: ANN401
        """What the forward pass made, times what comes from above."""
        (gradient,) = ctx.saved_tensors
        return outer * gradient, None, None, None


def _squared(student: Tensor, teacher: Tensor) -> Tensor:
    """1/(B·C) · Σ (s − t)², B and C being the first two sizes."""
    return (student - teacher).square().sum() / (student.shape[0] * student.shape[1])
