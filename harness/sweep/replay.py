"""A run that is over, to be done again: the command that asks for it anew, and a plan of exactly this run."""

import re
import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from harness.executors.job import Executor
from harness.ledger.budget import Budget
from harness.ledger.descriptor import method_path, resolve_method, scaled, shipped_methods
from harness.ledger.errors import BadInput
from harness.ledger.method import ResolvedMethod
from harness.ledger.plan import Plan
from harness.ledger.record import Record
from harness.ledger.results import read_record, record_names
from harness.ledger.rules import RULES_VERSION
from harness.ledger.spec import Ground, PlannedRun, Replay
from harness.ledger.workload import Workload, read_workload, shipped_workloads, workload_path
from harness.sweep.ground import survey
from harness.sweep.watch import Watcher

SCALED = re.compile(r"^(?P<base>.+)_x(?P<factor>[0-9]+(\.[0-9]+)?(e[+-]?[0-9]+)?)$")
"""How `--weight-scale` names a method."""

PATH = "PATH"
"""Stands where a person has to say where a file lies: records keep no folders."""


@dataclass(frozen=True)
class Again:
    """How to do a run again."""

    command: str | None
    """None where no command asks for such a run."""
    notes: tuple[str, ...]
    """What a person must see to, and what may come out otherwise."""


def again(record: Record, results: Path) -> Again:
    """The command that asks for the run anew, with what is to be known of it on this machine."""
    spec, with_plan = record.spec, planned_again(record, results)
    if spec.scored_on == "tune" and spec.rules != RULES_VERSION:
        return Again(
            None, (f"a trial of `bench tune` by version {spec.rules} of the rules, and this is {RULES_VERSION}",)
        )
    if spec.scored_on == "tune":
        return Again(None, (f"a trial of `bench tune`: only a plan repeats it alone: {with_plan}",))
    own_workload = spec.ground.workload_name not in shipped_workloads()
    base, factor = asked_for(spec.method, None, spec.ground.workload)
    own_method = base not in shipped_methods()
    workload = f"{PATH}/{spec.ground.workload_name}.yaml" if own_workload else spec.ground.workload_name
    words = [
        *("bench", "run", "--workload", workload),
        *(("--data", f"{PATH}/{spec.ground.data}") if spec.ground.data is not None else ()),
        *("--methods", f"{PATH}/{base}.yaml" if own_method else base),
        *(("--weight-scale", f"{factor!r}".removesuffix(".0")) if factor != 1 else ()),
        *("--budget", spec.budget, "--pace", spec.pace, "--device", _device(record)),
        *("--seed", str(spec.seed), "--results", "replay"),
    ]
    return Again(shlex.join(words), tuple(_notes(record, own_workload, own_method, with_plan)))


def planned_again(record: Record, results: Path) -> str:
    """The two commands that repeat the run as its record has it."""
    show = shlex.join(["bench", "results", "show", record.spec.name, "--results", str(results)])
    return f"{show} --plan replay.json, then bench run --plan replay.json --results replay"


def _device(record: Record) -> str:
    """The run's own; its kind where it never had one."""
    kind = record.spec.ground.device_class.kind
    return record.spec.device if record.spec.device != "none" else {"cpu": "cpu", "cuda": "cuda:0"}[kind]


def _notes(record: Record, own_workload: bool, own_method: bool, with_plan: str) -> Iterator[str]:
    """What the command alone does not say."""
    spec, ground = record.spec, record.spec.ground
    if own_workload or own_method or ground.data is not None:
        yield f"{PATH}: a record keeps no folders: say where the file lies"
    if ground.data is not None:
        yield f"data: what was called {ground.data}, with the content {ground.data_sha256[:12]}…"
    if spec.rules != RULES_VERSION:
        yield f"it was run by version {spec.rules} of the rules, and this is {RULES_VERSION}: its result is another's"
    elif told := _changed(spec.method, ground, own_workload, own_method):
        yield told
    if Budget.parse(spec.budget).anchor is not None and spec.budget_seconds is not None:
        yield (
            f"--budget: it came to {spec.budget_seconds:.6g} s; a folder without this one's anchors prices it anew: "
            f"{with_plan} keeps it"
        )
    if spec.pace == "clock":
        yield (
            f"by the clock the budget is spent again; the {record.outcome.iterations:,} iterations were an outcome, "
            "and so not every bit comes out the same"
        )
    else:
        yield f"it plans anew, by costs that are measured there; as many iterations again: {with_plan}"


def _changed(method: ResolvedMethod, ground: Ground, own_workload: bool, own_method: bool) -> str | None:
    """What of the run's workload and method is another here."""
    if not own_workload:
        here = read_workload(workload_path(ground.workload_name))
        if here.content != ground.workload.content:
            return f"workload: {ground.workload_name} is another here than it was for the run"
    if not own_method:
        try:
            method_here(method, None, ground.workload)
        except BadInput as error:
            return str(error)
    return None


# The method


def asked_for(method: ResolvedMethod, named: str | None, workload: Workload) -> tuple[str, float]:
    """The descriptor that a method was asked for by, and the factor of its weights."""
    found = SCALED.match(method.name)
    if found is None or method.name in shipped_methods():
        return named or method.name, 1.0
    base = named or found["base"]
    written = float(found["factor"])
    if named is None and base not in shipped_methods():
        return base, written
    # The name has three digits of the factor: 1/3 is told by the weights alone.
    resolved = _resolve(base, workload)
    of_weights = _ratio(resolved, method)
    for factor in (written, of_weights):
        if factor is not None and scaled(resolved, factor).digest == method.digest:
            return base, factor
    return base, written if of_weights is None else of_weights


def _ratio(plain: ResolvedMethod, times: ResolvedMethod) -> float | None:
    """By how much the second one's weights are the larger; None when they are not the same ones."""
    pairs = [
        (one.weight, other.weight)
        for mine, theirs in zip(plain.terms, times.terms, strict=False)
        for one, other in zip(mine.weights, theirs.weights, strict=False)
        if one.weight > 0
    ]
    return pairs[0][1] / pairs[0][0] if pairs else None


def method_here(recorded: ResolvedMethod, named: str | None, workload: Workload) -> ResolvedMethod:
    """The run's method as it is on this machine; BadInput when it is another."""
    base, factor = asked_for(recorded, named, workload)
    found = scaled(_resolve(base, workload), factor)
    if found.digest != recorded.digest:
        raise BadInput(
            f"method: {base} is another here than it was for the run (digest {found.digest}, then {recorded.digest}): "
            "its descriptor, its Python or harness/distill has changed"
        )
    return found.model_copy(update={"name": recorded.name})


def _resolve(name: str, workload: Workload) -> ResolvedMethod:
    return resolve_method(method_path(name), workload.dataset, workload.training.batch)


# The plan


def plan_again(
    record: Record,
    results: Path,
    workload: str | None,
    method: str | None,
    data: Path | None,
    device: str,
    executor: Executor,
    watcher: Watcher,
) -> Plan:
    """A plan of the run alone, with its iterations, its seconds and its seed; BadInput where it cannot be had here."""
    spec, there = record.spec, record.spec.ground
    if spec.rules != RULES_VERSION:
        raise BadInput(f"RUN: {spec.name}: run by version {spec.rules} of the rules, and this is {RULES_VERSION}")
    if spec.cost is None:
        raise BadInput(f"RUN: {spec.name}: was never planned, as its cost could not be measured: run the command")
    name = workload or must_ship(there.workload_name, shipped_workloads(), "--workload")
    base, _ = asked_for(spec.method, method, there.workload)
    named = method or must_ship(base, shipped_methods(), "--method")
    found = method_here(spec.method, named, there.workload)
    here = survey(name, data, device, there.concurrency, executor, watcher)
    must_be_the_ground(here, there)
    ground = there.model_copy(update={"data": here.data, "teacher": here.teacher})
    planned = {field: getattr(spec, field) for field in PlannedRun.model_fields}
    run = PlannedRun(**{**planned, "method": found, "replay": replay_of(record, results)})
    # Of the host whose prices they are: on another `bench run --plan` finds out whether it is slow.
    host = record.outcome.conditions.host if record.outcome.conditions is not None else ""
    return Plan(ground=ground, host=host, runs=(run,), refused=())


def must_ship(name: str, shipped: Sequence[str], flag: str) -> str:
    """The name; BadInput that asks for a path where it is none that ships."""
    if name not in shipped:
        raise BadInput(f"{flag}: {name} does not ship with bench: expected the path of its .yaml")
    return name


def must_be_the_ground(here: Ground, there: Ground) -> None:
    """BadInput that names the first part on which the run does not stand here."""
    parts = (
        ("device", here.device_class.label, there.device_class.label, here.device_class == there.device_class),
        ("data", f"{here.data_sha256[:12]}…", f"{there.data_sha256[:12]}…", here.data_sha256 == there.data_sha256),
        (
            *("teacher", f"{here.teacher.sha256[:12]}…", f"{there.teacher.sha256[:12]}…"),
            here.teacher.sha256 == there.teacher.sha256,
        ),
        ("workload", here.workload_digest, there.workload_digest, here.workload_digest == there.workload_digest),
    )
    for what, found, expected, is_same in parts:
        if not is_same:
            detail = "" if found != expected else " (another precision, torch or CUDA)"
            raise BadInput(f"{what}: found {found}: expected {expected}, as the run had{detail}")


def replay_of(record: Record, results: Path) -> Replay | None:
    """Where the run changed its plan; None for one that went by the clock, which is not repeated step by step."""
    spec, outcome = record.spec, record.outcome
    if spec.pace == "clock":
        return None
    if spec.replay is not None:
        return spec.replay
    if outcome.replanned_iterations is None:
        return Replay(run=spec.name, replanned_after=None, replanned_iterations=None)
    if not outcome.curve:
        raise BadInput(f"RUN: {spec.name}: changed its plan and left no curve that tells where")
    _must_have_kept_its_plan(record, results)
    # A run compares itself with the plan at its first pause, where the curve has its first point.
    after = outcome.curve[0].iteration
    return Replay(run=spec.name, replanned_after=after, replanned_iterations=outcome.replanned_iterations)


def _must_have_kept_its_plan(record: Record, results: Path) -> None:
    """BadInput for a resumed run whose attempts were planned otherwise: whose plan it followed when is not recorded."""
    spec = record.spec
    if not record.outcome.resumed_iterations:
        return
    for key, attempt in record_names(results):
        if key == spec.key and attempt < spec.attempt:
            earlier = read_record(results, key, attempt).spec
            if earlier.iterations != spec.iterations:
                raise BadInput(
                    f"RUN: {spec.name}: resumed from attempt {attempt}, which was planned with "
                    f"{earlier.iterations:,} iterations and not {spec.iterations:,}: its schedule is not on record"
                )
