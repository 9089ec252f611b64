"""Order of play: which run starts next, on the device that is free first."""

import heapq
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby

from harness.ledger.spec import PlannedRun

ROUNDING = 1e-9
"""Sums of the same seconds in another order differ by less than this share."""


@dataclass(frozen=True)
class Turn:
    """A run, where and when it is expected to have a device; seconds count from the sweep's start."""

    run: PlannedRun
    device: int
    start: float
    end: float


def expected_seconds(run: PlannedRun) -> float:
    """The run's time on the clock: its budget, or its iterations at their price."""
    if run.budget_seconds is not None:
        return run.budget_seconds
    if run.cost is None:
        return 0.0
    return run.iterations * run.cost.seconds + run.preparation_iterations * (run.cost.preparation_seconds or 0.0)


def in_order(runs: Sequence[PlannedRun], devices: int) -> Sequence[PlannedRun]:
    """The order in which runs start: longest first within each seed where that shortens the whole, else as planned.

    Seeds stay outermost, so that a sweep cut short leaves a balanced table.
    """
    reordered = longest_first(runs)
    is_shorter = makespan(reordered, devices) < makespan(runs, devices) * (1 - ROUNDING)
    return reordered if is_shorter else runs


def longest_first(runs: Iterable[PlannedRun]) -> Sequence[PlannedRun]:
    """Seeds as they come, the longest run of each first; what takes the same time stays as it was."""
    return [
        run
        for _, block in groupby(runs, key=lambda run: run.seed)
        for run in sorted(block, key=expected_seconds, reverse=True)
    ]


def makespan(runs: Sequence[PlannedRun], devices: int) -> float:
    """How long the runs take side by side when they start in this order, without starts and scoring."""
    return max((turn.end for turn in turns(runs, devices)), default=0.0)


def turns(runs: Sequence[PlannedRun], devices: int) -> Sequence[Turn]:
    """When and where each run has its device: the next goes to the one that is free first."""
    free = [(0.0, device) for device in range(min(devices, len(runs)))]
    played = []
    for run in runs:
        start, device = free[0]
        end = start + expected_seconds(run)
        heapq.heapreplace(free, (end, device))
        played.append(Turn(run, device, start, end))
    return played
