"""Rounds of two sides, with costs and time that the test decides."""

from pathlib import Path

import pytest

from harness.ledger.cost import Measurement, pooled_baseline, price
from harness.train.heartbeat import Heartbeat
from harness.train.profile import FEWEST_ROUNDS, FEWEST_TO_SETTLE, compare, is_settled


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


def test_the_baseline_alone_never_settles():
    """Its ratio is 1 by definition; its rounds feed the pool for as long as there is time."""
    assert not is_settled(True, [(0.01, 0.01)] * 100)
    assert is_settled(False, [(0.01, 0.025)] * 100)
