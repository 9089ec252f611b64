"""From budgets and costs to iterations: the only place where one becomes the other."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

from harness.ledger.budget import Budget, Unit
from harness.ledger.cost import Cost
from harness.ledger.datasets import Split
from harness.ledger.device import this_host
from harness.ledger.endings import Mark
from harness.ledger.errors import BadInput
from harness.ledger.files import Value, sha256
from harness.ledger.findings import Refusal
from harness.ledger.method import ResolvedMethod
from harness.ledger.order import expected_seconds, in_order, makespan
from harness.ledger.rules import EPOCHS_FACTOR, RULES_VERSION, SHORTEST_ITERATIONS
from harness.ledger.spec import Ground, Pace, PlannedRun
from harness.ledger.teacher import is_weak
from harness.ledger.workload import Workload


class RefusedRun(Value):
    """A run that was asked for and cannot be had, with the reason its record will give."""

    run: PlannedRun
    refusal: Refusal


@dataclass(frozen=True)
class RunKey:
    """All that makes two runs the same run."""

    ground: Ground
    method: ResolvedMethod
    seed: int
    budget: Budget
    pace: Pace
    scored_on: Split

    @property
    def text(self) -> str:
        """Names the run: what it is in words, and a digest of the rest."""
        digest = sha256(
            self.ground.workload_digest,
            self.method.digest,
            self.budget.canonical,
            self.pace,
            str(self.seed),
            self.ground.device_class.digest,
            str(RULES_VERSION),
            *(() if self.scored_on == "score" else (self.scored_on,)),
        )
        return f"{self.ground.workload_name}-{self.method.name}-s{self.seed}-{digest[:12]}"


class Plan(Value):
    """What a sweep will spend, before anything is spent. `bench plan --out` writes one, `bench run --plan` reads it."""

    format: Literal[1] = 1
    ground: Ground
    host: str = ""
    """Where it was drawn up."""
    runs: tuple[PlannedRun, ...]
    refused: tuple[RefusedRun, ...]

    @property
    def device_seconds(self) -> float:
        """What the runs will hold devices for, where it is known."""
        return sum(expected_seconds(run) for run in self.runs)

    def seconds_on(self, devices: int) -> float:
        """How long the runs take side by side in their order of play, without starts and scoring."""
        return makespan(in_order(self.runs, devices), devices)


def make_plan(
    ground: Ground,
    methods: Sequence[ResolvedMethod],
    costs: Mapping[str, Cost | Refusal],
    budgets: Sequence[Budget],
    seeds: Sequence[int],
    pace: Pace | None,
    scored_on: Split = "score",
    anchors: Mapping[str, float] = MappingProxyType({}),
    is_slow_node: bool = False,
) -> Plan:
    """Every method × budget × seed, seeds outermost, so that a sweep cut short leaves a balanced table.

    `anchors` has the seconds an iteration of what the anchored budgets name.
    """
    runs: list[PlannedRun] = []
    refused: list[RefusedRun] = []
    for seed in seeds:
        for budget in budgets:
            for method in methods:
                cost = costs[method.name]
                key = RunKey(ground, method, seed, budget, _pace(pace, budget, ground), scored_on)
                if isinstance(cost, Refusal):
                    refused.append(RefusedRun(run=_planned(key, None, None, False), refusal=cost))
                else:
                    seconds = budget.seconds(anchors[budget.anchor] if budget.anchor is not None else None)
                    runs.append(_planned(key, cost, seconds, is_slow_node))
    return Plan(ground=ground, host=this_host(), runs=tuple(runs), refused=tuple(refused))


def _planned(key: RunKey, cost: Cost | None, seconds: float | None, is_slow_node: bool) -> PlannedRun:
    ground, method, budget = key.ground, key.method, key.budget
    iterations = _iterations(budget, seconds, cost, method) if cost else 0
    return PlannedRun(
        key=key.text,
        method=method,
        seed=key.seed,
        scored_on=key.scored_on,
        budget=budget.text,
        budget_seconds=seconds,
        pace=key.pace,
        iterations=iterations,
        preparation_iterations=_preparation(budget, seconds, cost, method) if cost else 0,
        epochs=iterations * ground.workload.training.batch / ground.workload.data.train.count,
        cost=cost,
        marks=_marks(ground, iterations, cost, is_slow_node) if cost else (),
    )


def _iterations(budget: Budget, seconds: float | None, cost: Cost, method: ResolvedMethod) -> int:
    """What the budget buys after the preparation; BadInput when it buys nothing."""
    left = 1.0 - method.preparation_share
    if seconds is not None:
        bought = whole(left * seconds / cost.seconds)
    elif budget.unit is Unit.FLOPS:
        bought = whole(left * budget.amount / cost.flops) if cost.flops else 0
    else:
        bought = whole(left * budget.amount)
    if bought < 1:
        price = f"{cost.flops:.3g} FLOP" if budget.unit is Unit.FLOPS else f"{cost.seconds:.3g} s"
        raise BadInput(
            f"--budget: {budget.text!r} buys no iteration of {method.name}: one costs {price} on this device"
        )
    return bought


def _preparation(budget: Budget, seconds: float | None, cost: Cost, method: ResolvedMethod) -> int:
    """What the preparation's share of the budget buys: at least one update where the method needs any."""
    share = method.preparation_share
    if not share:
        return 0
    if seconds is not None:
        bought = whole(share * seconds / cost.preparation_seconds) if cost.preparation_seconds else 0
    elif budget.unit is Unit.FLOPS:
        bought = whole(share * budget.amount / cost.preparation_flops) if cost.preparation_flops else 0
    else:
        bought = whole(budget.amount) - whole((1.0 - share) * budget.amount)
    return max(1, bought)


def whole(iterations: float) -> int:
    """The iterations that are bought whole; 899.9999999999 is 900 that floating point has cut."""
    return math.floor(iterations * (1 + 1e-9))


def _pace(asked: Pace | None, budget: Budget, ground: Ground) -> Pace:
    """The pace asked for, or the device's: a CPU drifts between processes, so its clock decides."""
    if asked == "clock" and not budget.is_time:
        raise BadInput(
            f"--pace: 'clock' spends time, and {budget.text!r} is none: expected --pace iterations, or a time"
        )
    if asked is not None:
        return asked
    return "clock" if ground.device_class.kind == "cpu" and budget.is_time else "iterations"


def _marks(ground: Ground, iterations: int, cost: Cost, is_slow_node: bool) -> tuple[Mark, ...]:
    marks: list[Mark] = []
    if iterations < shortest(ground.workload):
        marks.append("too_short")
    if cost.uncertain:
        marks.append("cost_uncertain")
    if is_slow_node:
        marks.append("slow_node")
    if is_weak(ground.workload, ground.teacher):
        marks.append("weak_teacher")
    return tuple(marks)


def shortest(workload: Workload) -> int:
    """The fewest iterations of a run that may stand above the line."""
    return max(SHORTEST_ITERATIONS, workload.epoch)


def smallest_budget_seconds(plan: Plan) -> float | None:
    """The smallest time with which no run of the plan would be too short; None when none is."""
    short = [run for run in plan.runs if "too_short" in run.marks]
    if not short:
        return None
    fewest = shortest(plan.ground.workload)
    return max(fewest * run.cost.seconds / (1 - run.method.preparation_share) for run in short if run.cost)


def epochs_are_odd(run: PlannedRun, workload: Workload) -> bool:
    """Whether the run sees the data over 10 times as often as the recipe, or under a tenth."""
    recipe = workload.training.recipe_epochs
    return not recipe / EPOCHS_FACTOR <= run.epochs <= recipe * EPOCHS_FACTOR
