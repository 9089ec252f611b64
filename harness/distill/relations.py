"""How alike two networks see the relations of many things, without keeping a number for every pair of them."""

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from harness.distill.precision import full, full_precision
from harness.ledger.errors import BadInput

PAIRS_AT_ONCE = {"cpu": 2**21, "cuda": 2**24}
"""Similarities of a chunk of rows: 256 rows of 8192 keys, fast on a CPU's core; a GPU wants fewer, larger kernels."""

TINY = 1e-12
"""A vector no longer than this has no direction; torch.nn.functional.normalize divides by it."""


def unit(tensor: Tensor, dim: int) -> Tensor:
    """Each vector along `dim` divided by its length; one of zeros stays as it is, and so does its gradient."""
    length = torch.linalg.vector_norm(tensor, dim=dim, keepdim=True)
    # Not length.clamp(min=TINY): the gradient at zero would be 1e12 times what comes from above.
    return tensor / torch.where(length > TINY, length, torch.ones_like(length))


def similarity_divergence(
    student_rows: Tensor,
    teacher_rows: Tensor,
    student_keys: Tensor,
    teacher_keys: Tensor,
    temperature: float,
    *,
    weights: Tensor | None = None,
    chunk: int | None = None,
) -> Tensor:
    """The mean over rows of KL(softmax(T_r·T_kᵀ/τ) ‖ softmax(S_r·S_kᵀ/τ)), the softmaxes over keys.

    The student's gradients are made during the forward pass, a chunk of rows after the other: nothing of the size N×M
    is ever there or kept, and nothing is computed twice.

    Args:
        student_rows: N×C_S.
        teacher_rows: N×C_T; no gradient reaches the teacher.
        student_keys: M×C_S, perhaps the rows themselves; the gradient is made where they need one.
        teacher_keys: M×C_T.
        temperature: τ.
        weights: N, what each row counts in the mean, all the same without; where all are 0 the loss and its gradients
            are 0.
        chunk: how many rows are looked at together.

    """
    _expect_matching(student_rows, teacher_rows, student_keys, teacher_keys)
    rows, keys = full(student_rows), full(student_keys)
    if not torch.is_grad_enabled():
        rows, keys = rows.detach(), keys.detach()  # else gradients would be made for nobody
    counts = rows.new_ones(len(rows)) if weights is None else weights.to(rows.dtype)
    # Where every weight is 0, 0/tiny is 0 and 0/0 would not be.
    shares = counts / counts.sum().clamp(min=torch.finfo(rows.dtype).tiny)
    if chunk is None:
        chunk = max(1, PAIRS_AT_ONCE.get(rows.device.type, PAIRS_AT_ONCE["cuda"]) // len(keys))
    targets = teacher_rows.detach().to(rows.dtype), teacher_keys.detach().to(rows.dtype)
    with full_precision(rows):
        loss: Tensor = _SimilarityDivergence.apply(rows, keys, *targets, shares, temperature, chunk)
    return loss


class _SimilarityDivergence(torch.autograd.Function):
    """Σ share·KL over rows."""

    @staticmethod
    def forward(
        ctx: Any,  # noqa: ANN401 - what torch hands over has no type of its own
        rows: Tensor,
        keys: Tensor,
        teacher_rows: Tensor,
        teacher_keys: Tensor,
        shares: Tensor,
        temperature: float,
        chunk: int,
    ) -> Tensor:
        """The sum; what is kept are the gradients, of the rows' and the keys' own sizes."""
        of_rows = torch.empty_like(rows) if ctx.needs_input_grad[0] else None
        of_keys = torch.zeros_like(keys) if ctx.needs_input_grad[1] else None
        loss = rows.new_zeros(())
        for start in range(0, len(rows), chunk):
            part = slice(start, start + chunk)
            divergence, gradient = _divergence(
                torch.mm(rows[part] / temperature, keys.T), torch.mm(teacher_rows[part] / temperature, teacher_keys.T)
            )
            loss += torch.dot(divergence, shares[part])
            # Shares and 1/τ multiply what has C columns instead of what has M.
            scale = (shares[part] / temperature)[:, None]
            if of_rows is not None:
                torch.mul(torch.mm(gradient, keys), scale, out=of_rows[part])
            if of_keys is not None:
                # Not addmm_: torch counts no FLOPs of it.
                of_keys += torch.mm(gradient.T, rows[part] * scale)
        ctx.save_for_backward(of_rows, of_keys)
        return loss

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, outer: Tensor) -> tuple[Tensor | None, ...]:  # noqa: ANN401
        """What the forward pass made, times what comes from above."""
        of_rows, of_keys = (made if made is None else outer * made for made in ctx.saved_tensors)
        return of_rows, of_keys, None, None, None, None, None


def _divergence(student: Tensor, teacher: Tensor) -> tuple[Tensor, Tensor]:
    """Of n×M similarities, each row's KL(p ‖ q) and its gradient by the student's similarities, q − p."""
    log_q, log_p = student.log_softmax(dim=1), teacher.log_softmax(dim=1)
    p = torch.exp(log_p, out=teacher)  # the similarities are needed no more: their memory serves
    divergence = torch.linalg.vecdot(p, log_p.sub_(log_q))
    return divergence, log_q.exp_().sub_(p)


def _expect_matching(student_rows: Tensor, teacher_rows: Tensor, student_keys: Tensor, teacher_keys: Tensor) -> None:
    """BadInput unless the networks have as many rows and as many keys, and each one width."""
    sizes = {
        "rows": (len(student_rows), len(teacher_rows)),
        "keys": (len(student_keys), len(teacher_keys)),
        "the student's widths": (student_rows.shape[1], student_keys.shape[1]),
        "the teacher's widths": (teacher_rows.shape[1], teacher_keys.shape[1]),
    }
    for what, (one, other) in sizes.items():
        if one != other:
            raise BadInput(f"{what}: {one} against {other}: expected as many")
