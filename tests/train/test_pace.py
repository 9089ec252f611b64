"""Both paces, on a clock that the test moves."""

from harness.ledger.spec import Replay
from harness.train.clock import Clock
from harness.train.pace import ClockPace, IterationsPace, ReplayPace


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


def prepare_at(pace: IterationsPace | ClockPace, time: Moved, cost: float) -> int:
    """Prepares at a cost an update until that is over, and begins to train."""
    while pace.preparation_progress() < 1.0:
        time.seconds += cost
        pace.prepared += 1
    pace.begin()
    return pace.prepared


def test_without_preparation_there_is_nothing_to_prepare():
    """Its progress is 1 from the start, in both paces."""
    time = Moved()
    assert IterationsPace(10, None, time.clock).preparation_progress() == 1.0
    assert ClockPace(10.0, time.clock).preparation_progress() == 1.0


def test_iterations_pace_prepares_as_often_as_planned():
    """Four updates, at 0, a quarter, a half and three quarters, and then all iterations."""
    time = Moved()
    pace = IterationsPace(10, None, time.clock, preparation=4)
    seen = []
    while (progress := pace.preparation_progress()) < 1.0:
        seen.append(progress)
        pace.prepared += 1
    assert seen == [0.0, 0.25, 0.5, 0.75]
    assert spend_iterations(pace, time, 1.0) == 10


def test_a_replan_divides_what_the_preparation_left():
    """100 s, of which the preparation took 20; at 2 s an iteration instead of 0.8 there are 40 and not 50."""
    time = Moved()
    pace = IterationsPace(100, 100.0, time.clock, preparation=10)
    assert prepare_at(pace, time, 2.0) == 10
    assert spend_iterations(pace, time, 2.0) == 40
    assert pace.replanned == 40


def test_a_plan_that_holds_beside_a_preparation_is_kept():
    """20 s of preparation and 100 iterations of 0.8 s are the 100 s that were planned."""
    time = Moved()
    pace = IterationsPace(100, 100.0, time.clock, preparation=10)
    prepare_at(pace, time, 2.0)
    assert spend_iterations(pace, time, 0.8) == 100
    assert pace.replanned is None


def test_clock_pace_prepares_for_its_share_and_trains_for_the_rest():
    """A fifth of 10 s at 1 s an update: two updates; then progress goes from 0 to 1 over 8 s, in four."""
    time = Moved()
    pace = ClockPace(10.0, time.clock, preparation_share=0.2)
    assert prepare_at(pace, time, 1.0) == 2
    assert pace.progress() == 0.0
    assert spend_iterations(pace, time, 2.0) == 4
    assert time.seconds == 10.0


def schedule(pace: IterationsPace, time: Moved, cost: float, pauses: tuple[int, ...]) -> list[float]:
    """The progress at which each iteration is done, with pauses after some of them."""
    seen = []
    while (progress := pace.progress()) < 1.0:
        seen.append(progress)
        time.seconds += cost
        pace.done += 1
        if pace.done in pauses:
            pace.pause()
    return seen


def test_a_replay_changes_its_plan_where_the_run_did_whatever_an_iteration_costs_here():
    """Every iteration at the same progress to the last bit, though there are no pauses and iterations are free."""
    time = Moved()
    first = IterationsPace(100, 70.0, time.clock)
    expected = schedule(first, time, 1.0, (4, 10))
    assert (first.replanned, first.done) == (70, 70)
    again = ReplayPace(100, Replay(run="r.1", replanned_after=4, replanned_iterations=70), Moved().clock)
    assert schedule(again, Moved(), 0.0, ()) == expected
    assert (again.replanned, again.done) == (70, 70)


def test_a_replay_of_a_run_that_kept_its_plan_keeps_it():
    """Also where an iteration costs twice as much as it did there."""
    time = Moved()
    again = ReplayPace(100, Replay(run="r.1", replanned_after=None, replanned_iterations=None), time.clock)
    assert spend_iterations(again, time, 2.0) == 100
    assert again.replanned is None
