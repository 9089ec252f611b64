"""Each term's share of the gradient: how much it says beside the task loss."""

import math
import statistics
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from harness.train.loop import Batch
from harness.train.trainee import Trainee


def gradient_shares(trainee: Trainee, batches: Sequence[Batch]) -> dict[str, float]:
    """For each term the norm of its weighted gradient over the task loss's, on the student's parameters: medians."""
    names = trainee.distiller.names
    try:
        batchwise = [_gradient_shares(trainee, *batch) for batch in batches] if names else []
    except RuntimeError:
        # They decide nothing, so that they must not refuse a method: asking twice for gradients takes more memory, and
        # not every loss allows it.
        return {}
    found = {}
    for name, column in zip(names, zip(*batchwise, strict=True), strict=False):
        finite = [share for share in column if math.isfinite(share)]
        if finite:
            found[name] = statistics.median(finite)
    return found


def _gradient_shares(trainee: Trainee, images: Tensor, labels: Tensor) -> tuple[float, ...]:
    """Of one batch, whose graph is gone afterwards."""
    losses = trainee.losses_of(images, labels)
    task = gradient_norm(losses.task, trainee.student)
    return tuple(gradient_norm(term, trainee.student) / task if task > 0 else math.nan for term in losses.terms)


def gradient_norm(loss: Tensor, student: nn.Module) -> float:
    """Of a loss, with respect to all of the student's parameters together."""
    parameters = list(student.parameters())
    if not loss.requires_grad:
        return 0.0
    gradients = torch.autograd.grad(loss, parameters, retain_graph=True, allow_unused=True)
    return math.sqrt(sum(float(gradient.double().square().sum()) for gradient in gradients if gradient is not None))
