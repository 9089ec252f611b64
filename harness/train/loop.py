"""The hot loop: no method's name, no logging, no waiting for the device while the clock runs."""

from collections.abc import Callable, Iterator

from torch import Tensor

from harness.train.clock import Clock
from harness.train.pace import Pace
from harness.train.trainee import Trainee

Batch = tuple[Tensor, Tensor]

PAUSES = (0.03, *(step / 20 for step in range(1, 20)))
"""Shares of the budget after which the clock stands still for a moment, to look at the losses and at the plan."""


def spend_preparation(
    trainee: Trainee, batches: Iterator[Batch], pace: Pace, clock: Clock, look: Callable[[], None]
) -> None:
    """Spends the preparation's share of the budget on what the method learns before it distils."""
    if pace.preparation_progress() >= 1.0:
        return

    def update(progress: float) -> None:
        trainee.prepare(*next(batches), progress)
        pace.prepared += 1

    def paused() -> None:
        if pace.preparation_progress() >= 1.0:
            pace.begin()
        look()

    _spend(update, pace.preparation_progress, clock, paused)


def spend(trainee: Trainee, batches: Iterator[Batch], pace: Pace, clock: Clock, look: Callable[[], None]) -> None:
    """Trains until the budget is spent."""

    def iterate(progress: float) -> None:
        trainee.iterate(*next(batches), progress)
        pace.done += 1

    _spend(iterate, pace.progress, clock, look)


def _spend(step: Callable[[float], None], used: Callable[[], float], clock: Clock, look: Callable[[], None]) -> None:
    """Steps until the whole share is used. `look` is called off the clock at every pause, and at the end."""
    progress = used()
    pauses = [pause for pause in (*PAUSES, float("inf")) if pause > progress]
    clock.start()
    while (progress := used()) < 1.0:
        step(progress)
        clock.tick()
        if progress >= pauses[0]:
            clock.stop()
            pauses = [pause for pause in pauses if pause > progress]
            look()
            clock.start()
    clock.stop()
    look()


def warm_up(trainee: Trainee, batches: Iterator[Batch], iterations: int) -> None:
    """Compilation and caches are paid here; afterwards everything that an iteration changes is put back."""
    before = trainee.snapshot()
    if trainee.distiller.needs_preparation:
        trainee.prepare(*next(batches), progress=0.0)
    for _ in range(iterations):
        trainee.iterate(*next(batches), progress=0.0)
    trainee.restore(before)
