"""Both paces, on a clock that the test moves."""

from harness.train.clock import Clock
from harness.train.pace import ClockPace, IterationsPace


class Moved:
    """A clock at which every iteration costs what the test says."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self.clock = Clock(lambda: self.seconds, lambda: None)
        self.clock.start()


def spend_iterations(pace: IterationsPace | ClockPace, time: Moved, cost: float) -> int:
    """Iterates at a cost, with a pause after each, until the pace is over."""
    while pace.progress() < 1.0:
        time.seconds += cost
        pace.done += 1
        pace.pause()
    return pace.done


def test_iterations_pace_spends_the_plan_when_the_plan_holds():
    """100 planned, 1 s each, 100 s of budget: 100 are done and nothing is re-planned."""
    time = Moved()
    pace = IterationsPace(100, 100.0, time.clock)
    assert spend_iterations(pace, time, 1.0) == 100
    assert pace.replanned is None


def test_iterations_pace_replans_once_when_an_iteration_costs_more():
    """At 2 s an iteration 100 s buy 50; found out after 3 of the 100 planned."""
    time = Moved()
    pace = IterationsPace(100, 100.0, time.clock)
    assert spend_iterations(pace, time, 2.0) == 50
    assert pace.replanned == 50


def test_iterations_pace_compares_only_once():
    """A cost that doubles after the comparison no longer moves the plan."""
    time = Moved()
    pace = IterationsPace(100, 100.0, time.clock)
    while pace.done < 10:
        time.seconds += 1.0
        pace.done += 1
        pace.pause()
    assert spend_iterations(pace, time, 9.0) == 100
    assert pace.replanned is None


def test_iterations_pace_within_one_percent_keeps_the_plan():
    """0.5 % off is no reason to re-plan."""
    time = Moved()
    pace = IterationsPace(1000, 1000.0, time.clock)
    assert spend_iterations(pace, time, 1.005) == 1000


def test_a_budget_of_iterations_is_never_replanned():
    """Without seconds there is nothing to compare with."""
    time = Moved()
    pace = IterationsPace(10, None, time.clock)
    assert spend_iterations(pace, time, 123.0) == 10


def test_clock_pace_stops_within_one_iteration_of_the_budget():
    """10 s at 3 s an iteration: the fourth begins at 9 s and is the last."""
    time = Moved()
    pace = ClockPace(10.0, time.clock)
    assert spend_iterations(pace, time, 3.0) == 4
    assert time.seconds == 12.0


def test_clock_pace_drives_the_schedule_by_the_share_spent():
    """A quarter of the budget is spent: progress is 0.25, whatever was planned."""
    time = Moved()
    pace = ClockPace(8.0, time.clock)
    time.seconds = 2.0
    assert pace.progress() == 0.25
