"""The hot loop, with a trainee that only counts."""

import itertools
from types import SimpleNamespace

import pytest

from harness.train.clock import Clock
from harness.train.loop import PAUSES, spend, warm_up
from harness.train.pace import IterationsPace


class Counting:
    """Stands in for a Trainee: notes the progress at which each iteration was asked for."""

    def __init__(self, needs_preparation: bool = False) -> None:
        self.progress: list[float] = []
        self.prepared: list[float] = []
        self.restored = None
        self.distiller = SimpleNamespace(needs_preparation=needs_preparation)

    def prepare(self, images, labels, progress):
        assert self.progress == [], "prepared after the training began"
        self.prepared.append(progress)

    def iterate(self, images, labels, progress):
        self.progress.append(progress)

    def snapshot(self):
        return "as it was"

    def restore(self, snapshot):
        self.restored = snapshot


@pytest.fixture
def still_clock() -> Clock:
    return Clock(lambda: 0.0, lambda: None)


def test_the_loop_does_exactly_the_planned_iterations(still_clock: Clock):
    """Ten planned: ten at progress 0.0 … 0.9, so that the schedule begins at its peak and never reaches nothing."""
    trainee = Counting()
    spend(trainee, itertools.repeat((None, None)), IterationsPace(10, None, still_clock), still_clock, lambda: None)
    assert trainee.progress == pytest.approx([step / 10 for step in range(10)])


def test_the_clock_stands_still_at_every_look(still_clock: Clock):
    """A look costs what it wants: the clock is not running, and there are one for each pause and one at the end."""
    running: list[bool] = []

    def look() -> None:
        running.append(still_clock._started is not None)

    spend(Counting(), itertools.repeat((None, None)), IterationsPace(1000, None, still_clock), still_clock, look)
    assert running == [False] * (len(PAUSES) + 1)


def test_a_short_run_is_looked_at_once_a_pause_it_passes(still_clock: Clock):
    """Two iterations pass all pauses up to 0.5 at once, and the end."""
    looks: list[int] = []
    pace = IterationsPace(2, None, still_clock)
    spend(Counting(), itertools.repeat((None, None)), pace, still_clock, lambda: looks.append(pace.done))
    assert looks == [2, 2]


def test_a_warm_up_puts_everything_back():
    """What was saved before its first iteration is restored after its last."""
    trainee = Counting()
    warm_up(trainee, itertools.repeat((None, None)), 3)
    assert (len(trainee.progress), trainee.prepared) == (3, [])
    assert trainee.restored == "as it was"


def test_a_warm_up_tries_the_preparation_too():
    """One update of it, before the iterations."""
    trainee = Counting(needs_preparation=True)
    warm_up(trainee, itertools.repeat((None, None)), 3)
    assert (trainee.prepared, len(trainee.progress)) == ([0.0], 3)


def test_the_loop_prepares_first_and_on_the_clock(still_clock: Clock):
    """Two updates at 0 and a half, then ten iterations from their own 0; the clock is stopped once in between."""
    trainee = Counting(needs_preparation=True)
    pace = IterationsPace(10, None, still_clock, preparation=2)
    running: list[bool] = []
    begin = pace.begin
    pace.begin = lambda: (running.append(still_clock._started is not None), begin())[1]
    prepare = trainee.prepare

    def watched(images, labels, progress):
        running.append(still_clock._started is not None)
        prepare(images, labels, progress)

    trainee.prepare = watched
    spend(trainee, itertools.repeat((None, None)), pace, still_clock, lambda: None)
    assert running == [True, True, False]
    assert trainee.prepared == [0.0, 0.5]
    assert trainee.progress == pytest.approx([step / 10 for step in range(10)])


def test_without_preparation_the_clock_is_not_stopped_for_it(still_clock: Clock):
    """`begin` is for paces that prepared."""
    pace = IterationsPace(2, None, still_clock)
    pace.begin = lambda: pytest.fail("there was nothing to begin after")
    spend(Counting(), itertools.repeat((None, None)), pace, still_clock, lambda: None)
    assert pace.prepared == 0
