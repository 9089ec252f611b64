"""The hot loop, with a trainee that only counts."""

import itertools
from types import SimpleNamespace

import pytest

from harness.train.clock import Clock
from harness.train.loop import NO_REST, PAUSES, Rest, spend, spend_preparation, warm_up
from harness.train.pace import ClockPace, IterationsPace


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


def test_a_rest_is_taken_off_the_clock_where_it_is_due_and_changes_no_pause(still_clock: Clock):
    """Due between the fifth and the sixth of ten iterations: none is left out, and the looks are where they were."""
    looks: list[int] = []
    rests: list[tuple[int, bool]] = []
    pace = IterationsPace(10, None, still_clock)
    due = Rest(lambda: pace.done == 5, lambda: rests.append((pace.done, still_clock._started is not None)))
    trainee = Counting()
    spend(trainee, itertools.repeat((None, None)), pace, still_clock, lambda: looks.append(pace.done), due)
    assert rests == [(5, False)]
    assert looks == [2, 3, 4, 5, 6, 7, 8, 9, 10, 10]
    assert len(trainee.progress) == 10


@pytest.mark.parametrize("stopped_at", range(1, 20))
def test_no_pause_is_left_out_or_repeated_by_whoever_goes_on(still_clock: Clock, stopped_at: int):
    """Of 20 iterations, where a pause falls on each; stopped between any two of them."""

    class Stopped(Exception):
        pass

    def stop() -> None:
        raise Stopped

    looks: list[int] = []
    first, second = IterationsPace(20, None, still_clock), IterationsPace(20, None, still_clock)
    rest = Rest(lambda: first.done == stopped_at, stop)
    with pytest.raises(Stopped):
        spend(Counting(), itertools.repeat((None, None)), first, still_clock, lambda: looks.append(first.done), rest)
    second.go_on_from(first.reached)
    spend(Counting(), itertools.repeat((None, None)), second, still_clock, lambda: looks.append(second.done))
    assert looks == [*range(2, 21), 20]
    assert second.done == 20


def test_a_run_that_is_over_is_gone_on_with_by_doing_nothing(still_clock: Clock):
    """Neither an iteration nor a look: it had its last one."""
    first, second = IterationsPace(10, None, still_clock), IterationsPace(10, None, still_clock)
    spend(Counting(), itertools.repeat((None, None)), first, still_clock, lambda: None)
    second.go_on_from(first.reached)
    spend(Counting(), iter(()), second, still_clock, lambda: pytest.fail("looked"))
    assert second.done == 10


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


def test_the_preparation_has_its_own_progress_and_ends_with_the_clock_still(still_clock: Clock):
    """Two updates at 0 and a half, on the clock; the pace begins off it, and the last look comes after that."""
    trainee = Counting(needs_preparation=True)
    pace = IterationsPace(10, None, still_clock, preparation=2)
    told: list[str] = []

    def is_running(what: str) -> None:
        told.append(f"{what} {'on' if still_clock._started is not None else 'off'} the clock")

    begin, prepare = pace.begin, trainee.prepare
    pace.begin = lambda: (is_running("begin"), begin())[1]
    trainee.prepare = lambda *batch: (is_running("prepare"), prepare(*batch))[1]
    spend_preparation(trainee, itertools.repeat((None, None)), pace, still_clock, lambda: is_running("look"))
    assert told[0] == "prepare on the clock"
    assert told[-2:] == ["begin off the clock", "look off the clock"]
    assert trainee.prepared == [0.0, 0.5]
    assert pace.prepared == 2


def test_without_preparation_the_clock_is_not_started_for_it(still_clock: Clock):
    """Nothing is prepared, begun or looked at."""
    pace = IterationsPace(2, None, still_clock)
    pace.begin = lambda: pytest.fail("there was nothing to begin after")
    spend_preparation(Counting(), iter(()), pace, still_clock, lambda: pytest.fail("looked"))
    assert pace.prepared == 0


class Working:
    """An iteration takes a second of the clock; a look takes what the test says, by the same time."""

    def __init__(self) -> None:
        self.time = 0.0
        self.clock = Clock(lambda: self.time, lambda: None, lambda: self.time)
        self.distiller = SimpleNamespace(needs_preparation=False)

    def iterate(self, images, labels, progress):
        self.time += 1.0

    prepare = iterate


@pytest.mark.parametrize("kind", [ClockPace, IterationsPace])
def test_evaluations_of_no_time_and_of_a_second_end_with_the_same_iterations(kind: type):
    """Each of 20 looks takes a second: more than an iteration, and still none of the 100 is lost to them."""
    done = []
    for look_seconds in (0.0, 1.0):
        working = Working()

        def look(working: Working = working, seconds: float = look_seconds) -> None:
            working.time += seconds

        pace = ClockPace(100.0, working.clock) if kind is ClockPace else IterationsPace(100, 100.0, working.clock)
        spend(working, itertools.repeat((None, None)), pace, working.clock, lambda p=pace, go=look: (go(), p.pause()))
        done.append((pace.done, working.clock.spent))
    assert done == [(100, 100.0), (100, 100.0)]


@pytest.mark.parametrize("kind", [ClockPace, IterationsPace])
@pytest.mark.parametrize("stopped_at", [1, 3, 42, 99])
def test_a_resumed_run_does_every_iteration_once_and_pays_for_it_once(kind: type, stopped_at: int):
    """Stopped after so many iterations and gone on with by another process: 100 in all, 100 seconds in all."""

    def begin(working: Working) -> IterationsPace | ClockPace:
        return ClockPace(100.0, working.clock) if kind is ClockPace else IterationsPace(100, 100.0, working.clock)

    class Stopped(Exception):
        pass

    first = Working()
    pace = begin(first)
    iterate = first.iterate

    def until_stopped(*batch) -> None:
        if pace.done == stopped_at:
            first.clock.stop()
            raise Stopped
        iterate(*batch)

    first.iterate = until_stopped
    with pytest.raises(Stopped):
        spend(first, itertools.repeat((None, None)), pace, first.clock, lambda: None)

    second = Working()
    again = begin(second)
    again.go_on_from(pace.reached)
    second.clock.carry(first.clock.spent, first.clock.wall_seconds)
    seen: list[float] = []
    iterate_on = second.iterate
    second.iterate = lambda images, labels, progress: (seen.append(progress), iterate_on(images, labels, progress))[1]
    spend(second, itertools.repeat((None, None)), again, second.clock, again.pause)
    assert (again.done, second.clock.spent) == (100, 100.0)
    assert seen == pytest.approx([step / 100 for step in range(stopped_at, 100)])


class Stopped(Exception):
    """What a rest raises for a run that was asked to stop."""


def stopped_at_its_share(*, prepared: int = -1, done: int = -1) -> tuple[ClockPace, Working, list[str]]:
    """A run of 100 s, 20 of them for the preparation, as it is gone on with by the clock.

    The first process was stopped in a rest after so many seconds of a phase, when a second of the device's work was
    still to be waited for.
    """
    first = Working()
    pace = ClockPace(100.0, first.clock, preparation_share=0.2)

    def is_due() -> bool:
        due = pace.done == done if pace.has_begun else pace.prepared == prepared
        first.time += due
        return due

    def stop() -> None:
        raise Stopped

    with pytest.raises(Stopped):
        go(pace, first, [], Rest(is_due, stop))
    second = Working()
    again = ClockPace(100.0, second.clock, preparation_share=0.2)
    again.go_on_from(pace.reached)
    second.clock.carry(first.clock.spent, first.clock.wall_seconds)
    looks: list[str] = []
    go(again, second, looks)
    return again, second, looks


def go(pace: ClockPace, working: Working, looks: list[str], rest: Rest = NO_REST) -> None:
    """Both phases; what is looked at, by the phase that it ends or lies in."""
    batches = itertools.repeat((None, None))
    spend_preparation(working, batches, pace, working.clock, lambda: looks.append("preparation"), rest)
    spend(working, batches, pace, working.clock, lambda: looks.append("training"), rest)


def test_a_preparation_that_was_stopped_with_its_share_used_is_ended_by_whoever_goes_on():
    """No update more, its last look, and all the looks of the training."""
    pace, working, looks = stopped_at_its_share(prepared=19)
    assert (pace.prepared, pace.done, working.clock.spent) == (19, 80, 100.0)
    assert looks == ["preparation", *["training"] * (len(PAUSES) + 1)]


def test_a_training_that_was_stopped_with_its_share_used_has_its_last_look():
    """Else nobody would see a loss that is no number: one look, and the clock is not started for it."""
    pace, working, looks = stopped_at_its_share(done=79)
    assert (pace.done, pace.is_over, looks) == (79, True, ["training"])
    assert (working.time, working.clock.spent) == (0.0, 100.0)
