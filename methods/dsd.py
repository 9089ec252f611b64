"""Double similarity distillation (Feng et al., IEEE TIP 30, 2021, arXiv 2107.08591), winycg/CIRKD's form.

losses/dsd.py, commit dab64db; no code of the authors is known.
"""

from itertools import combinations
from math import prod

import torch
from torch import Tensor
from torch.nn import functional

from harness.distill.draw import Draw
from harness.distill.shapes import expect_same_positions, expect_same_shape
from harness.ledger.errors import BadInput

SMALLEST_SQUARE = 1e-24
"""Below a norm of 1e-12 a vector has no direction."""

NUMBERS_AT_ONCE = {"cpu": 2**19, "cuda": 2**26}
"""Numbers that are squared and summed together: what stays in a CPU's cache, what fills a GPU."""


def pixel_similarity(student: tuple[Tensor, ...], teacher: tuple[Tensor, ...], labels: Tensor, *, draw: Draw) -> Tensor:
    """PSD: the mean over pairs of stages, images and positions of (r_S − r_T)².

    r is the direction in which a network's attention changes from one stage to another. The released code knows stages
    of one h×w only, for which this is the same; others are averaged to the coarsest one's.
    """
    if len(student) < 2:
        raise BadInput("dsd: pixel_similarity compares pairs of stages: found one: expected two or more under `at`")
    for ours, theirs in zip(student, teacher, strict=True):
        expect_same_positions(ours, theirs)
    coarsest = min((stage.shape[2:] for stage in student), key=prod)
    return functional.mse_loss(_changes(student, coarsest), _changes(teacher, coarsest))


def _changes(stages: tuple[Tensor, ...], size: torch.Size) -> Tensor:
    """The changes of attention between any two stages, unit vectors over positions: B×pairs×N."""
    attentions = [_unit(_at_size(_energy(stage), size).flatten(1)) for stage in stages]
    return torch.stack([_unit(later - earlier) for earlier, later in combinations(attentions, 2)], dim=1)


def _energy(features: Tensor) -> Tensor:
    """The mean square over channels, B×C×h×w → B×h×w; some channels at a time: their squares need not be kept."""
    room = NUMBERS_AT_ONCE.get(features.device.type, NUMBERS_AT_ONCE["cuda"])
    some = max(1, room * features.shape[1] // features.numel())
    sums = [(part * part).sum(dim=1) for part in torch.split(features, some, dim=1)]
    return torch.stack(sums).sum(dim=0) / features.shape[1]


def _at_size(maps: Tensor, size: torch.Size) -> Tensor:
    """B×h×w averaged over windows to B×size."""
    if maps.shape[1:] == size:
        return maps
    windows = tuple(-(-long // short) for long, short in zip(maps.shape[1:], size, strict=True))
    averaged = functional.avg_pool2d(maps, windows, ceil_mode=True)
    if averaged.shape[1:] != size:
        found, wanted = ("×".join(map(str, each)) for each in (maps.shape[1:], size))
        raise BadInput(f"dsd: stages of {found} and {wanted}: expected sizes of which one is a whole part of the other")
    return averaged


def class_similarity(
    student: Tensor, teacher: Tensor, labels: Tensor, *, draw: Draw, temperature: float = 4.0, pool: int = 2
) -> Tensor:
    """CSD: the mean over images and pairs of classes of (M_S − M_T)², M being the overlap of two classes' maps."""
    expect_same_shape(student, teacher)
    return functional.mse_loss(_overlaps(student, temperature, pool), _overlaps(teacher, temperature, pool))


def _overlaps(logits: Tensor, temperature: float, pool: int) -> Tensor:
    """B×K×K: P·Pᵀ, a class's row of P being its softmax over the pooled positions."""
    pooled = functional.avg_pool2d(logits, pool, ceil_mode=True).flatten(2)  # B×K×h×w → B×K×n
    maps = (pooled / temperature).softmax(dim=2)
    return maps @ maps.mT


def _unit(vectors: Tensor) -> Tensor:
    """B×N as unit vectors, zero where there is none.

    Two stages that are one and the same leave a residual of zero. The released form divides it by 1e-12 twice over,
    and gradients of ±1e24 then wipe out all others; here it is a constant.
    """
    squares = vectors.square().sum(dim=1, keepdim=True)
    return vectors * (squares.clamp(min=SMALLEST_SQUARE).rsqrt() * (squares > SMALLEST_SQUARE))
