"""The hot loop: no method's name, no logging, no waiting for the device while the clock runs."""

from collections.abc import Callable, Iterator

from torch import Tensor

from harness.train.clock import Clock
from harness.train.pace import Pace
from harness.train.trainee import Trainee

Batch = tuple[Tensor, Tensor]

PAUSES = (0.03, *(step / 20 for step in range(1, 20)))
"""Shares of the budget after which the clock stands still for a moment, to look at the losses and at the plan."""


def spend(trainee: Trainee, batches: Iterator[Batch], pace: Pace, clock: Clock, look: Callable[[], None]) -> None:
    """Prepares what the method learns first, then trains until the budget is spent.

    `look` is called off the clock at every pause, and at the end.
    """
    pauses = [*PAUSES, float("inf")]
    clock.start()
    while (progress := pace.preparation_progress()) < 1.0:
        trainee.prepare(*next(batches), progress)
        pace.prepared += 1
        clock.tick()
    if pace.prepared:
        clock.stop()
        pace.begin()
        clock.start()
    while (progress := pace.progress()) < 1.0:
        images, labels = next(batches)
        trainee.iterate(images, labels, progress)
        pace.done += 1
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
