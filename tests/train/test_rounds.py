"""Rounds of two sides, with costs and time that the test decides."""

import statistics
from collections.abc import Iterator, Sequence
from itertools import chain, repeat
from pathlib import Path

import pytest

from harness.ledger.cost import Measurement, pooled_baseline, price
from harness.train.heartbeat import Heartbeat
from harness.train.rounds import (
    FEWEST_ROUNDS,
    FEWEST_TO_SETTLE,
    MOST_WINDOWS,
    STEADY_SECONDS,
    compare,
    is_settled,
    settle,
    window_seconds,
)
from tests.train.simulated import BURSTS, ROUGH, Session, Weather, session, slowing_half_way
from tests.train.simulated import Machine as SimulatedMachine


class Machine:
    """Moves time by what an iteration costs, which its speed scales for both sides alike."""

    def __init__(self) -> None:
        self.time = 0.0
        self.speed = 1.0
        self.order: list[str] = []


class Side:
    """One side on a machine."""

    def __init__(self, machine: Machine, name: str, cost: float) -> None:
        self.machine, self.name, self.cost = machine, name, cost

    def seconds(self, iterations: int) -> float:
        self.machine.order.append(self.name)
        each = self.cost * self.machine.speed
        self.machine.time += each * iterations
        return each


def rounds_of(tmp_path: Path, machine: Machine, ratio: float, seconds: float) -> list[tuple[float, float]]:
    baseline, method = Side(machine, "baseline", 0.01), Side(machine, "method", 0.01 * ratio)
    return compare(method, baseline, 3, seconds, Heartbeat(tmp_path / "out.json"), lambda: machine.time)


def test_a_steady_machine_settles_at_the_first_moment_it_may(tmp_path: Path):
    """Every round says 2.5: the fewest rounds that are believed are enough."""
    rounds = rounds_of(tmp_path, Machine(), 2.5, 1000.0)
    assert len(rounds) == FEWEST_TO_SETTLE
    assert rounds[0] == pytest.approx((0.01, 0.025))


def test_some_rounds_are_timed_whatever_the_time(tmp_path: Path):
    """No time at all: five."""
    assert len(rounds_of(tmp_path, Machine(), 2.5, 0.0)) == FEWEST_ROUNDS


def test_both_orders_occur(tmp_path: Path):
    """Neither side always profits from what the other left in the caches."""
    machine = Machine()
    rounds_of(tmp_path, machine, 2.5, 1000.0)
    assert {tuple(machine.order[i : i + 2]) for i in range(0, len(machine.order), 2)} == {
        ("baseline", "method"),
        ("method", "baseline"),
    }


def test_a_machine_that_slows_down_does_not_move_the_ratio(tmp_path: Path):
    """Half as fast in every other round: the ratio stays 2.5, and the price is the pooled baseline's times it."""
    machine = Machine()
    rounds = []
    for index in range(40):
        machine.speed = 1.0 + index % 2
        rounds += rounds_of(tmp_path, machine, 2.5, 0.0)[:1]
    measured = Measurement(
        baseline_seconds=tuple(pair[0] for pair in rounds), method_seconds=tuple(pair[1] for pair in rounds),
        baseline_flops=None, method_flops=None, peak_memory_bytes=None, wall_seconds=1.0,
    )  # fmt: skip
    cost = price(measured, pooled_baseline([measured]))
    assert (cost.ratio, cost.ratio_low, cost.ratio_high) == pytest.approx((2.5, 2.5, 2.5))
    assert cost.seconds == pytest.approx(2.5 * 0.015)


def test_the_baseline_alone_settles_by_its_own_seconds(tmp_path: Path):
    """Its ratio is 1 by definition: a steady machine knows its seconds at the first look."""
    machine = Machine()
    alone = Side(machine, "baseline", 0.01)
    rounds = compare(alone, alone, 3, 1000.0, Heartbeat(tmp_path / "out.json"), lambda: machine.time)
    assert rounds == [(0.01, 0.01)] * FEWEST_TO_SETTLE


def test_what_settles_is_known_to_one_percent():
    """Half the rounds 2 % above the others leave a middle that may be either; the baseline's own seconds likewise."""
    sure, torn = [1.0] * 100, [1.0, 1.021] * 50
    assert is_settled(False, [(0.01, 0.025 * each) for each in sure])
    assert not is_settled(False, [(0.01, 0.025 * each) for each in torn])
    assert is_settled(True, [(each, each) for each in sure])
    assert not is_settled(True, [(each, each) for each in torn])
    assert not is_settled(False, [(0.01, 0.025)] * (FEWEST_TO_SETTLE - 1))


class Warming:
    """A side whose iterations take what each window of settling says, and the last one's from then on."""

    def __init__(self, windows: Sequence[float]) -> None:
        self.time = 0.0
        self.begun = 0
        self._costs: Iterator[float] = chain(windows, repeat(windows[-1]))
        self._cost, self._until = next(self._costs), -1.0

    def seconds(self, iterations: int) -> float:
        if self.begun and self.time >= self._until:
            self._cost = next(self._costs)
        if iterations == 1 and self.time >= self._until:
            self.begun, self._until = self.begun + 1, self.time + STEADY_SECONDS
        self.time += iterations * self._cost
        return self._cost


@pytest.mark.parametrize(
    ("costs", "windows"),
    [((0.01,), 2), ((0.016, 0.01), 3), ((0.016, 0.0125, 0.0122), 3), ([0.01 * 1.1**step for step in range(20)], 8)],
)
def test_a_side_runs_until_two_windows_agree(costs: Sequence[float], windows: int):
    """2 if it was steady; one more for each that was off by over 3 %; not for ever; its latest seconds are told."""
    side = Warming(costs)
    found = settle(side, now=lambda: side.time)
    assert (side.begun, found) == (windows, pytest.approx(costs[min(windows, len(costs)) - 1]))
    assert windows <= MOST_WINDOWS


def test_an_iteration_longer_than_a_window_is_run_often_enough():
    """10 s each: two before, and two in each of two windows."""
    side = Warming([10.0])
    assert settle(side, now=lambda: side.time) == 10.0
    assert side.time == 60.0


def test_the_simulated_machine_slows_down_where_it_is_told_to():
    """From second 10 on by 20 %: 9 s of work take 9 s, the next 3 take 1 and then 2.4; jitter has mean 1 and 30 %."""
    machine = SimulatedMachine(Weather(slows_at=10.0))
    machine.work(9.0)
    assert machine.time == 9.0
    machine.work(3.0)
    assert machine.time == pytest.approx(12.4)
    lengths = [machine.jitter(1) for _ in range(20_000)]
    assert (statistics.fmean(lengths), statistics.pstdev(lengths)) == pytest.approx((1.0, 0.3), rel=0.02)


def test_a_burst_holds_up_what_falls_into_it():
    """Of 60 s of work, 60 bursts of 30 ms cost twice their time: about 0.9 s more."""
    machine = SimulatedMachine(BURSTS)
    machine.work(60.0)
    assert machine.time == pytest.approx(60.9, abs=0.3)


@pytest.fixture(scope="module")
def rough() -> list[Session]:
    """Sweeps over a dozen methods on a machine that slows down by 20 % half-way, with 30 % jitter."""
    return [session(slowing_half_way(ROUGH), seed) for seed in range(10)]


def worst(found: Sequence[float]) -> float:
    return max(abs(each) for each in found)


def test_every_ratio_is_recovered_on_a_machine_that_drifts_and_trembles(rough: list[Session]):
    """Within 2 % of the truth, for each of a dozen methods and each of ten seeds."""
    assert [worst(found.beside) for found in rough] == pytest.approx([0.0] * len(rough), abs=0.02)


def test_without_the_baseline_beside_them_the_same_iterations_are_far_off(rough: list[Session]):
    """Who is measured after the slow-down seems a fifth too dear, in every session."""
    assert min(worst(found.alone) for found in rough) > 0.19


def test_bursts_leave_every_ratio_within_the_same_bounds():
    """Twice as slow for 30 ms about once a second, drift and jitter besides."""
    found = [session(slowing_half_way(BURSTS), seed) for seed in range(2)]
    assert [worst(each.beside) for each in found] == pytest.approx([0.0] * len(found), abs=0.02)
    assert min(worst(each.alone) for each in found) > 0.19


def test_a_short_time_for_measuring_has_short_windows():
    """A quarter of it: 0.2 s have windows of 50 ms, and 2 s and more of half a second."""
    assert [window_seconds(seconds) for seconds in (0.2, 2.0, 1000.0)] == [0.05, 0.5, 0.5]
