"""Prices: measured where they are not known, kept under everything that could change them."""

import itertools
from collections.abc import Iterator, Sequence
from pathlib import Path

from harness.executors.job import Executor, Finished, Job
from harness.ledger.anchor import AnchorFile, anchor_path
from harness.ledger.cost import (
    PHASES_SHARE,
    Cost,
    CostFile,
    CostKey,
    Measurement,
    Profiled,
    cost_path,
    pooled_baseline,
    price,
)
from harness.ledger.device import this_host, torch_version
from harness.ledger.errors import BadInput
from harness.ledger.files import read, write
from harness.ledger.findings import Refusal
from harness.ledger.method import ResolvedMethod, student_alone
from harness.ledger.rules import SLOW_NODE
from harness.ledger.spec import Ground, ProfileSpec
from harness.sweep.watch import Watcher
from harness.sweep.working import answer_of, mendable, new_job, room, work_through

QUICK_SECONDS = 2.0
"""The least time for measuring a method, and the time for a price that is only reckoned with."""

START_UP_SECONDS = 8.0
"""A guess at what a profiling process needs to begin; only the time left is told from it."""


def measure(
    ground: Ground,
    methods: Sequence[ResolvedMethod],
    seconds: float,
    results: Path,
    remeasure: bool,
    executor: Executor,
    watcher: Watcher,
) -> dict[str, Cost | Refusal]:
    """Each method's price, or why it has none."""
    for broken in _broken(results):
        watcher.say(f"{broken}: is not used, and measured again where it is needed")
    unknown = [method for method in methods if not is_known(ground, method, results)]
    if remeasure:
        unknown = [method for method in methods if _may_measure(ground, method, results)]
    refusals: dict[str, Refusal] = {}
    for method, finished in _profiled(ground, unknown, seconds, executor, watcher):
        refusal = _keep(ground, method, finished, cost_path(results, method.name, cost_key(ground, method)), results)
        if refusal is not None:
            refusals[method.name] = refusal
            watcher.say(f"{method.name}: {refusal.ending}: {refusal.reason}")
    return {method.name: refusals.get(method.name) or _price(ground, method, results) for method in methods}


def is_known(ground: Ground, method: ResolvedMethod, results: Path) -> bool:
    """Whether the method was measured on this ground before."""
    return read_cost(cost_path(results, method.name, cost_key(ground, method))) is not None


def read_cost(path: Path) -> CostFile | None:
    """What was measured, if the file is there and whole."""
    try:
        return read(path, CostFile)
    except BadInput:
        return None


def _broken(results: Path) -> Iterator[BadInput]:
    """What is wrong with cost files that cannot be read."""
    for path in sorted((results / "costs").glob("*.json")):
        try:
            read(path, CostFile)
        except BadInput as error:
            yield error


def _may_measure(ground: Ground, method: ResolvedMethod, results: Path) -> bool:
    """Whether this host may replace what is known: a guest replaces nothing that the track's own hosts measured."""
    host, key = this_host(), cost_key(ground, method)
    known = read_cost(cost_path(results, method.name, key))
    if known is None or not _is_guest(results, host, key):
        return True
    return _is_guest(results, known.conditions.host, key)


def roughly(
    ground: Ground, method: ResolvedMethod, seconds: float, results: Path, executor: Executor, watcher: Watcher
) -> Cost | Refusal:
    """A price to reckon with before anything is measured in earnest: the known one, or a quick one that is not kept."""
    if is_known(ground, method, results):
        return _price(ground, method, results)
    with room(executor) as folder:
        return measure(ground, [method], seconds, folder, False, executor, watcher)[method.name]


def anchor_seconds(ground: Ground, method: ResolvedMethod, cost: Cost, results: Path) -> float:
    """Seconds an iteration of a budget's anchor: the price at which it was first used in this folder.

    Measuring anew does not move it: runs that have ended spent by it, and later ones stand beside them.
    """
    path = anchor_path(results, method.name, ground)
    if not path.exists():
        fixed = AnchorFile(
            method=method.name, method_digest=method.digest, workload_digest=ground.workload_digest,
            device_class=ground.device_class, seconds=cost.seconds,
        )  # fmt: skip
        with mendable(results):
            write(path, fixed)
    return read(path, AnchorFile).seconds


def home_baseline(ground: Ground, results: Path) -> float | None:
    """Seconds of the baseline's iteration by the hosts that a track's costs are from; None when there are none yet."""
    pool = home_pool(cost_key(ground, student_alone()), results)
    return pooled_baseline(file.measurement for file in pool) if pool else None


def is_slow_node(
    ground: Ground,
    expected: float | None,
    seconds: float,
    results: Path,
    remeasure: bool,
    executor: Executor,
    watcher: Watcher,
) -> bool:
    """Whether this host's own baseline lies off what other hosts' is, measured here as that one was there.

    A host that was once measured so stays a guest, whatever else is measured on it: it never joins what it is held
    against.
    """
    if expected is None:
        return False
    host = this_host()
    pool = home_pool(cost_key(ground, student_alone()), results)
    if host in {file.conditions.host for file in pool}:
        here = pooled_baseline(file.measurement for file in pool)
    else:
        guest = _as_guest(ground, seconds, results, remeasure, executor, watcher)
        if guest is None:
            return True
        here = pooled_baseline([guest])
    off = here / expected - 1
    if abs(off) <= SLOW_NODE[ground.device_class.kind]:
        return False
    took = f"{1000 * here:.2f} ms, {100 * off:+.0f} % off the track's"
    watcher.say(f"slow_node: {host}: an iteration of the baseline takes {took}")
    return True


def _as_guest(
    ground: Ground, seconds: float, results: Path, remeasure: bool, executor: Executor, watcher: Watcher
) -> Measurement | None:
    """What this host measures of the baseline, kept apart from the track's; None when it cannot."""
    alone, host = student_alone(), this_host()
    path = guest_path(results, host, cost_key(ground, alone))
    if remeasure or read_cost(path) is None:
        watcher.say(f"costs were measured on another host: measuring the baseline on {host} beside them")
        for method, finished in _profiled(ground, [alone], seconds, executor, watcher):
            refusal = _keep(ground, method, finished, path, results)
            if refusal is not None:
                watcher.say(f"slow_node: {host}: no baseline could be measured: {refusal.reason}")
                return None
    return read(path, CostFile).measurement


def cost_key(ground: Ground, method: ResolvedMethod) -> CostKey:
    """All that must match before a cost is used again."""
    return CostKey(
        device_class=ground.device_class,
        workload_digest=ground.workload_digest,
        method_digest=method.digest,
        torch=torch_version()[0],
        concurrency=ground.concurrency,
    )


def _profiled(
    ground: Ground, methods: Sequence[ResolvedMethod], seconds: float, executor: Executor, watcher: Watcher
) -> Iterator[tuple[ResolvedMethod, Finished]]:
    """Profiles the methods with all slots at work from the first to the last, as they will be in the runs."""
    threads = ground.workload.threads
    with room(executor) as folder:
        companions = itertools.count()

        def job(name: str, method: ResolvedMethod, device: str, is_company: bool) -> Job:
            spec = ProfileSpec(ground=ground, method=method, device=device, seconds=seconds, is_company=is_company)
            return new_job(folder / name, name, "profile", spec, device, threads)

        yield from work_through(
            "measuring costs",
            methods,
            lambda method, device: job(method.name, method, device, False),
            lambda _: (1.0 + PHASES_SHARE) * seconds + START_UP_SECONDS,
            executor,
            watcher,
            (lambda device: job(f"company-{next(companions)}", student_alone(), device, True))
            if executor.is_here
            else None,
        )


def _keep(ground: Ground, method: ResolvedMethod, finished: Finished, path: Path, results: Path) -> Refusal | None:
    """Writes the measurement where later sweeps find it, unless it is a guest's, and what is known is not."""
    answer = answer_of(finished, Profiled)
    if isinstance(answer, Refusal):
        return answer
    key, known = cost_key(ground, method), read_cost(path)
    host = answer.conditions.host
    if known is not None and _is_guest(results, host, key) and not _is_guest(results, known.conditions.host, key):
        return None
    kept = CostFile(
        method=method.name,
        key=key,
        measurement=answer.measurement,
        conditions=answer.conditions,
    )
    with mendable(results):
        write(path, kept)
    return None


def _price(ground: Ground, method: ResolvedMethod, results: Path) -> Cost:
    """The method's ratio times the baseline's cost, pooled over all processes that measured it on this ground."""
    key = cost_key(ground, method)
    baseline = pooled_baseline(file.measurement for file in home_pool(key, results))
    return price(read(cost_path(results, method.name, key), CostFile).measurement, baseline)


def home_pool(key: CostKey, results: Path) -> list[CostFile]:
    """What was measured of the baseline on this ground: by hosts that are no guests, if there are any."""
    files = [read_cost(path) for path in sorted((results / "costs").glob("*.json"))]
    found = [file for file in files if file is not None and file.key.pools_with(key)]
    home = [file for file in found if not _is_guest(results, file.conditions.host, key)]
    return home or found


def _is_guest(results: Path, host: str, key: CostKey) -> bool:
    """Whether a host was once held against a track that others began."""
    return guest_path(results, host, key.model_copy(update={"method_digest": student_alone().digest})).exists()


def guest_path(results: Path, host: str, key: CostKey) -> Path:
    """Where the baseline is kept that a host was held against the track's with."""
    return results / "costs" / "hosts" / f"{host}-{key.digest}.json"
