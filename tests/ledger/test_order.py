"""Order of play, by hand and at random."""

from itertools import groupby

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.ledger.budget import Budget
from harness.ledger.order import in_order, longest_first, makespan, turns
from harness.ledger.plan import make_plan
from harness.ledger.spec import PlannedRun
from tests.factories import cost, ground, method

(RUN,) = make_plan(ground(), [method("kd")], {"kd": cost()}, Budget.parse_list("9s"), (0,), None).runs


def runs(*seeds: tuple[float, ...]) -> list[PlannedRun]:
    """A block a seed, a run for each of its seconds."""
    return [
        RUN.model_copy(update={"seed": seed, "budget_seconds": seconds, "key": f"s{seed}-{place}"})
        for seed, block in enumerate(seeds)
        for place, seconds in enumerate(block)
    ]


def seconds(ordered) -> list[float]:
    return [run.budget_seconds for run in ordered]


def test_the_next_run_goes_to_the_device_that_is_free_first():
    """1, 2 and 3 s on two devices: the third waits for the first, and the whole takes 4 s."""
    played = [(turn.device, turn.start, turn.end) for turn in turns(runs((1, 2, 3)), 2)]
    assert played == [(0, 0, 1), (1, 0, 2), (0, 1, 4)]
    assert makespan(runs((1, 2, 3)), 2) == 4


def test_the_longest_goes_first_where_that_shortens_the_whole():
    """3 beside 2 and 1 is 3 s instead of 4."""
    ordered = in_order(runs((1, 2, 3)), 2)
    assert seconds(ordered) == [3, 2, 1]
    assert makespan(ordered, 2) == 3


def test_the_plans_order_stays_where_longest_first_takes_longer():
    """3, 2, 2, 3, 2 fill two devices for 6 s; 3, 3, 2, 2, 2 take 7."""
    planned = runs((3, 2, 2, 3, 2))
    assert (makespan(planned, 2), makespan(longest_first(planned), 2)) == (6, 7)
    assert in_order(planned, 2) == planned


@pytest.mark.parametrize(("block", "devices"), [((1, 2, 3), 1), ((1, 2, 3), 3), ((0.1, 0.2, 0.3), 1), ((5, 5, 5), 2)])
def test_the_plans_order_stays_where_it_makes_no_difference(block: tuple[float, ...], devices: int):
    """One device, a device a run, runs of one length; 0.1 + 0.2 + 0.3 and 0.3 + 0.2 + 0.1 differ by rounding alone."""
    assert seconds(in_order(runs(block), devices)) == list(block)


def test_seeds_stay_outermost():
    """Two seeds of 1, 2 and 3 s: 6 s instead of 7, and no run of seed 1 before one of seed 0."""
    planned = runs((1, 2, 3), (1, 2, 3))
    ordered = in_order(planned, 2)
    assert [run.key for run in ordered] == ["s0-2", "s0-1", "s0-0", "s1-2", "s1-1", "s1-0"]
    assert (makespan(planned, 2), makespan(ordered, 2)) == (7, 6)


def test_a_seed_does_not_wait_for_the_one_before():
    """A device that is free takes the next seed's run while the other still has the last one's."""
    played = turns(runs((4, 1), (2,)), 2)
    assert [(turn.run.seed, turn.device, turn.start) for turn in played] == [(0, 0, 0), (0, 1, 0), (1, 1, 1)]


def test_nothing_takes_no_time():
    """No run, on any number of devices; and a device without a run is in no turn."""
    assert list(in_order([], 3)) == []
    assert makespan([], 3) == 0
    assert [turn.device for turn in turns(runs((1, 1)), 64)] == [0, 1]


def test_what_has_no_time_in_its_budget_is_weighed_at_its_price():
    """Of as many iterations the dearest method is the longest run."""
    methods = [method("baseline"), method("kd"), method("cwd")]
    prices = {"baseline": cost(1.0), "kd": cost(2.0), "cwd": cost(3.0)}
    plan = make_plan(ground(), methods, prices, Budget.parse_list("400 it"), (0,), None)
    assert [run.method.name for run in in_order(plan.runs, 2)] == ["cwd", "kd", "baseline"]
    assert [plan.seconds_on(devices) for devices in (1, 2, 3)] == pytest.approx([240.0, 120.0, 120.0])


SWEEPS = st.lists(st.lists(st.floats(0, 1e5), max_size=8).map(tuple), max_size=4)


@given(SWEEPS, st.integers(1, 70))
def test_every_run_has_its_turn_once_and_seeds_follow_each_other(blocks: list[tuple[float, ...]], devices: int):
    """The order is one of the plan's runs, and its seeds are the plan's."""
    planned = runs(*blocks)
    ordered = in_order(planned, devices)
    assert sorted(run.key for run in ordered) == sorted(run.key for run in planned)
    assert [seed for seed, _ in groupby(run.seed for run in ordered)] == [
        seed for seed, block in enumerate(blocks) if block
    ]


@given(SWEEPS, st.integers(1, 70))
def test_the_whole_is_never_longer_than_planned_and_within_its_bounds(blocks: list[tuple[float, ...]], devices: int):
    """Not under the longest run or a fair share of all; over that by no more than what one run can hang over."""
    planned = runs(*blocks)
    took = makespan(in_order(planned, devices), devices)
    every = [run.budget_seconds or 0.0 for run in planned]
    longest, share = max(every, default=0.0), sum(every) / devices
    rounding = 1e-9 * sum(every)
    assert took <= makespan(planned, devices)
    assert max(longest, share) - rounding <= took <= share + (1 - 1 / devices) * longest + rounding


@given(SWEEPS, st.integers(1, 8))
def test_a_device_has_one_run_at_a_time_and_none_waits_beside_a_free_one(blocks: list[tuple[float, ...]], devices: int):
    """On each device a run starts when the one before ends; no start is later than any device's last end before it."""
    played = turns(in_order(runs(*blocks), devices), devices)
    ends = dict.fromkeys(range(devices), 0.0)
    for turn in played:
        assert turn.start == ends[turn.device] == min(ends.values())
        ends[turn.device] = turn.end
