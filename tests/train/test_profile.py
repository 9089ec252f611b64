"""Rounds of two sides, with costs and time that the test decides."""

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from harness.distill.distiller import Losses
from harness.ledger.cost import Measurement, pooled_baseline, price
from harness.train.heartbeat import Heartbeat
from harness.train.profile import (
    FEWEST_ROUNDS,
    FEWEST_TO_SETTLE,
    compare,
    gradient_norm,
    gradient_shares,
    is_settled,
)


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


class Scripted:
    """A trainee of one weight at 1, whose losses are what the test says of it and of the batch's number."""

    def __init__(self, task: Callable, **terms: Callable) -> None:
        self.student = nn.Linear(1, 1, bias=False)
        nn.init.ones_(self.student.weight)
        self.distiller = SimpleNamespace(names=tuple(terms))
        self.task, self.terms = task, terms

    def losses_of(self, images, labels):
        weight = self.student.weight.sum()
        return Losses(self.task(weight, images), tuple(term(weight, images) for term in self.terms.values()))


def test_a_terms_share_of_the_gradient_is_its_median_over_batches():
    """Task 2w; a term of w², whose gradient is 2, and one of batch·w with gradients 2, 4, 40: shares 1 and 2."""
    trainee = Scripted(lambda w, _: 2 * w, square=lambda w, _: w * w, batch=lambda w, batch: batch * w)
    shares = gradient_shares(trainee, [(2.0, None), (4.0, None), (40.0, None)])
    assert shares == {"square": pytest.approx(1.0), "batch": pytest.approx(2.0)}
    assert trainee.student.weight.grad is None


def test_a_term_that_cannot_reach_the_student_has_no_share():
    """A constant has gradient 0; a share of which no batch gives a number is not told."""
    trainee = Scripted(lambda w, _: 2 * w, constant=lambda w, _: torch.ones(()), lost=lambda w, _: w * float("nan"))
    assert gradient_shares(trainee, [(1.0, None)]) == {"constant": 0.0}


def test_the_baseline_computes_no_gradients_for_it():
    """It has no terms, and the batches are not looked at."""
    assert gradient_shares(Scripted(lambda w, _: pytest.fail("computed")), [(1.0, None)]) == {}


def test_a_gradients_norm_is_over_all_parameters_that_it_reaches():
    """3 and 4 make 5; a parameter that is not reached counts nothing."""
    student = nn.ParameterList([nn.Parameter(torch.ones(())) for _ in range(3)])
    assert gradient_norm(3 * student[0] + 4 * student[1], student) == 5.0
