"""The hot loop: no method's name, no logging, no waiting for the device while the clock runs."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from torch import Tensor

from harness.train.clock import Clock
from harness.train.pace import Pace
from harness.train.trainee import Trainee

Batch = tuple[Tensor, Tensor]

PAUSES = (0.03, *(step / 20 for step in range(1, 20)))
"""Shares of the budget after which the clock stands still for a moment, to look at the losses and at the plan."""


@dataclass(frozen=True)
class Rest:
    """What cannot wait for the next pause: a signal, or a checkpoint in a pause that is an hour away."""

    is_due: Callable[[], bool] = lambda: False
    """Asked between iterations, on the clock."""
    take: Callable[[], None] = lambda: None
    """Called off the clock."""


NO_REST = Rest()


def spend_preparation(
    trainee: Trainee,
    batches: Iterator[Batch],
    pace: Pace,
    clock: Clock,
    look: Callable[[], None],
    rest: Rest = NO_REST,
) -> None:
    """Spends the preparation's share on what the method learns before it distils; afterwards the training has begun."""
    if pace.has_begun:
        return

    def update(progress: float) -> None:
        trainee.prepare(*next(batches), progress)
        pace.prepared += 1

    _spend(update, pace.preparation_progress, pace, clock, look, rest)
    pace.begin()
    look()


def spend(
    trainee: Trainee,
    batches: Iterator[Batch],
    pace: Pace,
    clock: Clock,
    look: Callable[[], None],
    rest: Rest = NO_REST,
) -> None:
    """Trains until the budget is spent, and looks a last time; of a run that was stopped after that, nothing."""
    if pace.is_over:
        return

    def iterate(progress: float) -> None:
        trainee.iterate(*next(batches), progress)
        pace.done += 1

    _spend(iterate, pace.progress, pace, clock, look, rest)
    pace.is_over = True
    look()


def _spend(
    step: Callable[[float], None],
    used: Callable[[], float],
    pace: Pace,
    clock: Clock,
    look: Callable[[], None],
    rest: Rest,
) -> None:
    """Steps until the whole share is used. `look` is called off the clock at every pause.

    When this returns the share is used, and nobody asks again: a clock that stands tells exactly what it could only
    estimate while it ran, and that may be a little less.
    """
    if used() >= 1.0:  # a run that was stopped in a rest, after its last step
        return
    # Not those after the share that is used by now: a plan that was changed may have moved it past one.
    pauses = [pause for pause in (*PAUSES, float("inf")) if pause > pace.looked]
    clock.start()
    while (progress := used()) < 1.0:
        if rest.is_due():
            clock.stop()
            rest.take()
            clock.start()
        step(progress)
        clock.tick()
        if progress >= pauses[0]:
            clock.stop()
            pauses = [pause for pause in pauses if pause > progress]
            pace.looked = progress
            look()
            clock.start()
    clock.stop()


def warm_up(trainee: Trainee, batches: Iterator[Batch], iterations: int) -> None:
    """Compilation and caches are paid here; afterwards everything that an iteration changes is put back."""
    before = trainee.snapshot()
    if trainee.distiller.needs_preparation:
        trainee.prepare(*next(batches), progress=0.0)
    for _ in range(iterations):
        trainee.iterate(*next(batches), progress=0.0)
    trainee.restore(before)
