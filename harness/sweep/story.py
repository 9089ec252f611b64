"""The story of `bench run`: survey the ground, price every method, plan, spend, record."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from harness.executors.job import Executor
from harness.ledger import places
from harness.ledger.budget import Budget
from harness.ledger.cost import Cost
from harness.ledger.descriptor import all_methods, method_path, resolve_method, scaled
from harness.ledger.errors import BadInput
from harness.ledger.findings import Refusal
from harness.ledger.method import ResolvedMethod
from harness.ledger.plan import Plan, make_plan
from harness.ledger.record import Record
from harness.ledger.spec import Ground, Pace
from harness.ledger.workload import Split
from harness.sweep.costs import measure
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


def price(request: Request, executor: Executor, watcher: Watcher) -> Prices:
    """Measures what is not known yet. Everything a person may have misspelt is found before anything is measured."""
    must_be_writable(request.results)
    ground = survey(request.workload, request.data, request.device, request.concurrency, executor, watcher)
    workload = ground.workload
    anchors = [budget.anchor for budget in request.budgets if budget.anchor is not None]
    wanted = list(dict.fromkeys(expand(request.methods)))
    known = {
        name: resolve_method(method_path(name), workload.dataset, workload.training.batch)
        for name in dict.fromkeys([*wanted, *anchors])
    }
    methods = distinct([known[name] for name in wanted])
    seconds = request.profile_seconds or profile_seconds(request)
    priced = distinct(known.values())
    costs = measure(ground, priced, seconds, request.results, request.remeasure, executor, watcher)
    return Prices(ground, methods, costs)


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
    seeds, scored_on = request.seeds, request.scored_on
    return make_plan(prices.ground, distinct(methods), costs, request.budgets, seeds, request.pace, scored_on)


def carry_out(
    plan: Plan, results: Path, retry: bool, executor: Executor, watcher: Watcher, students: Path
) -> Sequence[Record]:
    """Spends the plan; every planned run has a record afterwards, also when its process was killed."""
    must_be_writable(results)
    return spend(plan, results, retry, executor, watcher, students)


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


def profile_seconds(request: Request) -> float:
    """A method's time for being measured: the larger of 2 s and 2 % of what the sweep will spend on it."""
    runs = len(request.seeds) * len(request.factors)
    planned = sum(budget.seconds(None) or 0.0 for budget in request.budgets) * runs
    return max(2.0, 0.02 * planned)


def must_be_writable(results: Path) -> None:
    """BadInput unless results can be written: found out before hours are spent, and without leaving a trace."""
    try:
        places.probe(results)
    except OSError as error:
        raise BadInput(f"--results: {results}: cannot be written: {error.strerror}") from error
