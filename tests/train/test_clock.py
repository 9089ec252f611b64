"""The clock, with time that the test moves."""

import pytest

from harness.train.clock import Clock, EventClock, cpu_seconds


class Time:
    """A clock's reading, moved by hand."""

    def __init__(self) -> None:
        self.seconds = 100.0
        self.waits = 0

    def now(self) -> float:
        return self.seconds

    def wait(self) -> None:
        self.waits += 1


class FakeEvent:
    """Records the time at which it was marked, in a device whose work takes no time."""

    def __init__(self, time: Time) -> None:
        self.time = time
        self.at = 0.0
        self.waited = False

    def record(self) -> None:
        self.at = self.time.seconds

    def synchronize(self) -> None:
        self.waited = True

    def query(self) -> bool:
        return True

    def elapsed_time(self, end_event: "FakeEvent") -> float:
        return 1000 * (end_event.at - self.at)


def test_time_between_a_stop_and_a_start_is_not_spent():
    """Two stretches of 3 s and 4 s with 50 s between them are 7 s, on the budget's clock and on the wall's."""
    time, wall = Time(), Time()
    clock = Clock(time.now, time.wait, wall.now)
    for stretch in (3.0, 4.0):
        clock.start()
        time.seconds += stretch
        wall.seconds += 2 * stretch
        clock.stop()
        time.seconds += 50.0
        wall.seconds += 50.0
    assert clock.spent == 7.0
    assert clock.wall_seconds == 14.0


def test_the_clock_waits_for_the_device_only_where_it_starts_and_stops():
    """Reading it, however often, waits for nothing."""
    time = Time()
    clock = Clock(time.now, time.wait)
    clock.start()
    readings = [clock.spent for _ in range(1000)]
    clock.stop()
    assert readings == [0.0] * 1000
    assert time.waits == 2


def test_a_running_clock_tells_what_is_spent_so_far():
    """1.5 s after the start, 1.5 s are spent."""
    time = Time()
    clock = Clock(time.now, time.wait)
    clock.start()
    time.seconds += 1.5
    assert clock.spent == 1.5


@pytest.mark.parametrize("wrong", ["start twice", "stop unstarted"])
def test_a_clock_that_is_started_twice_or_stopped_unstarted_complains(wrong: str):
    """Time counted twice, or not at all, would be a wrong number without a sign of it."""
    clock = Clock(Time().now, lambda: None)
    if wrong == "start twice":
        clock.start()
        with pytest.raises(RuntimeError, match="running already"):
            clock.start()
    else:
        with pytest.raises(RuntimeError, match="not running"):
            clock.stop()


def test_an_event_clock_waits_for_the_iteration_before_last_and_reckons_with_the_last():
    """After iterations that end at 1, 2 and 4 s it has seen 2 s, and takes the third to last 1 s as the second did."""
    time = Time()
    made: list[FakeEvent] = []

    def event() -> FakeEvent:
        made.append(FakeEvent(time))
        return made[-1]

    clock = EventClock(time.now, time.wait, event)
    clock.start()
    for seconds in (1.0, 1.0, 2.0):
        time.seconds += seconds
        clock.tick()
    assert clock.spent == 3.0
    assert [event.waited for event in made] == [False, False, True, False]


def test_a_clock_goes_on_from_what_an_earlier_process_spent():
    """40 s are carried over, 2 s are added; a clock that has run takes nothing more."""
    time = Time()
    clock = Clock(time.now, time.wait, time.now)
    clock.carry(40.0, 44.0)
    clock.start()
    time.seconds += 2.0
    clock.stop()
    assert (clock.spent, clock.latest, clock.wall_seconds) == (42.0, 42.0, 46.0)
    with pytest.raises(RuntimeError, match="has been running already"):
        clock.carry(1.0, 1.0)


def test_a_stopped_event_clock_says_wall_time():
    """What the events lag behind is made good where the clock stops."""
    time = Time()
    clock = EventClock(time.now, time.wait, lambda: FakeEvent(time))
    clock.start()
    time.seconds += 5.0
    clock.tick()
    clock.stop()
    assert clock.spent == 5.0


def test_cpu_time_counts_work_and_not_sleep():
    """Some arithmetic moves it forward."""
    before = cpu_seconds()
    sum(number * number for number in range(200_000))
    assert cpu_seconds() > before
