"""Prices: measured where they are not known, kept under everything that could change them."""

import tempfile
from collections.abc import Sequence
from pathlib import Path

from harness.executors.job import Executor, Finished, Job
from harness.ledger.cost import Cost, CostFile, CostKey, Measurement, cost_path, pooled_baseline, price
from harness.ledger.device import conditions, torch_version
from harness.ledger.files import read, write
from harness.ledger.findings import Refusal
from harness.ledger.method import ResolvedMethod
from harness.ledger.spec import Ground, ProfileSpec
from harness.sweep.watch import Watcher
from harness.sweep.working import answer_of, new_job, work_through

START_UP_SECONDS = 8.0
"""A guess at what a profiling process needs besides its rounds; only the time left is told from it."""


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
    unknown = [method for method in methods if remeasure or not _known(ground, method, results)]
    refusals: dict[str, Refusal] = {}
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:

        def start(method: ResolvedMethod, device: str) -> Job:
            spec = ProfileSpec(ground=ground, method=method, device=device, seconds=seconds)
            threads = ground.workload.threads
            return new_job(Path(folder) / method.name, method.name, "profile", spec, device, threads)

        def expected(_: ResolvedMethod) -> float:
            return seconds + START_UP_SECONDS

        for method, finished in work_through("measuring costs", unknown, start, expected, executor, watcher):
            refusal = _keep(ground, method, finished, results)
            if refusal is not None:
                refusals[method.name] = refusal
                watcher.say(f"{method.name}: {refusal.ending}: {refusal.reason}")
    return {method.name: refusals.get(method.name) or _price(ground, method, results) for method in methods}


def cost_key(ground: Ground, method: ResolvedMethod) -> CostKey:
    """All that must match before a cost is used again."""
    return CostKey(
        device_class=ground.device_class,
        workload_digest=ground.workload_digest,
        method_digest=method.digest,
        torch=torch_version()[0],
        concurrency=ground.concurrency,
    )


def _known(ground: Ground, method: ResolvedMethod, results: Path) -> bool:
    return cost_path(results, method.name, cost_key(ground, method)).exists()


def _keep(ground: Ground, method: ResolvedMethod, finished: Finished, results: Path) -> Refusal | None:
    """Writes the measurement where later sweeps find it."""
    answer = answer_of(finished, Measurement)
    if isinstance(answer, Refusal):
        return answer
    key = cost_key(ground, method)
    kept = CostFile(method=method.name, key=key, measurement=answer, conditions=conditions(finished.job.device))
    write(cost_path(results, method.name, key), kept)
    return None


def _price(ground: Ground, method: ResolvedMethod, results: Path) -> Cost:
    """The method's ratio times the baseline's cost, pooled over all processes that measured it on this ground."""
    key = cost_key(ground, method)
    files = [read(path, CostFile) for path in sorted((results / "costs").glob("*.json"))]
    pool = [file.measurement for file in files if file.key.pools_with(key)]
    return price(read(cost_path(results, method.name, key), CostFile).measurement, pooled_baseline(pool))
