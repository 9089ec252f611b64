"""The story of `bench run`: survey the ground, price every method, plan, spend, record."""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from harness.executors.job import Executor
from harness.ledger import places
from harness.ledger.budget import Budget, Unit
from harness.ledger.cost import Cost
from harness.ledger.datasets import Split
from harness.ledger.descriptor import all_methods, method_path, resolve_method, scaled
from harness.ledger.device import this_host
from harness.ledger.errors import BadInput
from harness.ledger.findings import Refusal
from harness.ledger.method import BASELINE, ResolvedMethod
from harness.ledger.plan import Plan, make_plan
from harness.ledger.record import Record
from harness.ledger.spec import NO_EXTRAS, Extras, Ground, Pace, PlannedRun
from harness.ledger.workload import Workload
from harness.sweep.costs import QUICK_SECONDS, anchor_seconds, home_baseline, is_known, is_slow_node, measure, roughly
from harness.sweep.ground import survey
from harness.sweep.spending import spend
from harness.sweep.watch import Watcher


@dataclass(frozen=True)
class Request:
    """What a person asked for, parsed."""

    workload: str
    methods: Sequence[str]
    budgets: Sequence[Budget]
    seeds: Sequence[int]
    pace: Pace | None
    device: str
    concurrency: int
    data: Path | None
    results: Path
    profile_seconds: float | None
    remeasure: bool
    factors: Sequence[float] = (1.0,)
    """Each method runs once with its weights times each of these."""
    scored_on: Split = "score"


@dataclass(frozen=True)
class Prices:
    """What every method's iteration costs on a ground."""

    ground: Ground
    methods: Sequence[ResolvedMethod]
    costs: dict[str, Cost | Refusal]
    anchors: dict[str, float] = field(default_factory=dict)
    """Seconds an iteration of what anchored budgets name."""
    is_slow_node: bool = False


def price(request: Request, executor: Executor, watcher: Watcher) -> Prices:
    """Measures what is not known yet. Everything a person may have misspelt is found before anything is measured."""
    must_be_writable(request.results)
    ground = survey(request.workload, request.data, request.device, request.concurrency, executor, watcher)
    workload = ground.workload
    anchors = [budget.anchor for budget in request.budgets if budget.anchor is not None]
    wanted = list(dict.fromkeys(expand(request.methods)))
    known = {name: resolve(name, workload) for name in dict.fromkeys([*wanted, *anchors])}
    methods = distinct([known[name] for name in wanted])
    priced = distinct(known.values())
    results, again = request.results, request.remeasure
    seconds = request.profile_seconds
    if seconds is None:
        seconds = profile_seconds(request, ground, known, executor, watcher)
    is_slow = executor.is_here and is_slow_node(
        ground, home_baseline(ground, results), seconds, results, again, executor, watcher
    )
    costs = measure(ground, priced, seconds, results, again, executor, watcher)
    fixed = {name: anchor_price(ground, known[name], costs[name], request) for name in anchors}
    return Prices(ground, methods, costs, fixed, is_slow)


def draw_up(request: Request, executor: Executor, watcher: Watcher) -> Plan:
    """The plan for a request."""
    return plan_at(price(request, executor, watcher), request)


def plan_at(prices: Prices, request: Request) -> Plan:
    """The plan at known prices: every method with its weights times every factor."""
    methods: list[ResolvedMethod] = []
    costs = dict(prices.costs)
    for method in prices.methods:
        cost = prices.costs[method.name]
        for factor in request.factors if method.terms else (1.0,):
            methods.append(scaled(method, factor))
            # A factor changes nothing that is computed: what was measured of the method holds for all of them.
            costs[methods[-1].name] = cost.scaled(factor) if isinstance(cost, Cost) else cost
    return make_plan(
        prices.ground,
        distinct(methods),
        costs,
        request.budgets,
        request.seeds,
        request.pace,
        request.scored_on,
        prices.anchors,
        prices.is_slow_node,
    )


def on_this_host(plan: Plan, results: Path, executor: Executor, watcher: Watcher) -> Plan:
    """The plan; where it was drawn up on another host, its runs say whether this one is slow instead of that one."""
    prices = [run.cost.seconds / run.cost.ratio for run in plan.runs if run.cost is not None]
    if plan.host == this_host() or not prices or not executor.is_here:
        return plan
    is_slow = is_slow_node(plan.ground, prices[0], QUICK_SECONDS, results, False, executor, watcher)

    def marked(run: PlannedRun) -> PlannedRun:
        others = tuple(mark for mark in run.marks if mark != "slow_node")
        return run.model_copy(update={"marks": (*others, "slow_node") if is_slow else others})

    return plan.model_copy(update={"runs": tuple(marked(run) for run in plan.runs)})


def carry_out(
    plan: Plan,
    results: Path,
    retry: bool,
    executor: Executor,
    watcher: Watcher,
    students: Path,
    extras: Extras = NO_EXTRAS,
) -> Sequence[Record]:
    """Spends the plan; every planned run has a record afterwards, also when its process was killed."""
    must_be_writable(results)
    return spend(plan, results, retry, executor, watcher, students, extras)


def expand(names: Sequence[str]) -> list[str]:
    """`all` written out."""
    return [expanded for name in names for expanded in (all_methods() if name == "all" else (name,))]


def distinct(methods: Iterable[ResolvedMethod]) -> list[ResolvedMethod]:
    """The methods, or BadInput when two files carry one name."""
    found: dict[str, ResolvedMethod] = {}
    for method in methods:
        if method.name in found and found[method.name].digest != method.digest:
            raise BadInput(f"--methods: two different methods are named {method.name!r}: rename one of the files")
        found[method.name] = method
    return list(found.values())


def anchor_price(ground: Ground, method: ResolvedMethod, cost: Cost | Refusal, request: Request) -> float:
    """Seconds an iteration of an anchor; BadInput when it has no price here."""
    if isinstance(cost, Refusal):
        raise BadInput(f"--budget: {method.name} has no price here: {cost.reason}")
    return anchor_seconds(ground, method, cost, request.results)


PROFILE_SHARE = 0.02


def profile_seconds(
    request: Request, ground: Ground, known: Mapping[str, ResolvedMethod], executor: Executor, watcher: Watcher
) -> float:
    """A method's time for being measured: the larger of 2 s and 2 % of what the sweep will spend on it."""
    if not request.remeasure and all(is_known(ground, method, request.results) for method in known.values()):
        return QUICK_SECONDS
    runs = len(request.seeds) * len(request.factors)

    def rough(name: str) -> Cost | None:
        method = known.get(name) or resolve(name, ground.workload)
        cost = roughly(ground, method, QUICK_SECONDS, request.results, executor, watcher)
        return cost if isinstance(cost, Cost) else None

    spent = sum(runs * rough_seconds(budget, rough) for budget in request.budgets)
    return max(QUICK_SECONDS, PROFILE_SHARE * spent)


def rough_seconds(budget: Budget, rough: Callable[[str], Cost | None]) -> float:
    """About how long a run of the budget takes; what is no time is reckoned at the baseline's price."""
    if budget.unit is Unit.SECONDS:
        return budget.amount
    cost = rough(budget.anchor or BASELINE)
    if cost is None:
        return 0.0
    return budget.amount * cost.seconds / ((cost.flops or math.inf) if budget.unit is Unit.FLOPS else 1.0)


def resolve(name: str, workload: Workload) -> ResolvedMethod:
    """A method as it is on a workload."""
    return resolve_method(method_path(name), workload.dataset, workload.training.batch)


def must_be_writable(results: Path) -> None:
    """BadInput unless results can be written: found out before hours are spent, and without leaving a trace."""
    try:
        places.probe(results)
    except OSError as error:
        raise BadInput(f"--results: {results}: cannot be written: {error.strerror}") from error
