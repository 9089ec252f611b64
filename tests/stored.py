"""Results folders as sweeps leave them: records under their own keys, counts that give their scores, a cost."""

import hashlib
from pathlib import Path

import numpy as np

from harness.ledger.cost import CostFile, CostKey, Measurement, cost_path
from harness.ledger.counts import Counts, scores_of
from harness.ledger.files import write
from harness.ledger.record import Record
from harness.ledger.stored import key_of
from tests.factories import record

PIXELS = 1000
"""Labelled of each class in each image."""


def keyed(each: Record) -> Record:
    """The record under the key that its content comes down to."""
    key = key_of(each)
    return each.model_copy(update={"spec": each.spec.model_copy(update={"key": key})})


def counts(miou: float, images: int, classes: int, seed: int) -> Counts:
    """Images that scatter around an mIoU, the same for every method of a seed."""
    scatter = np.random.default_rng(seed).normal(0, 0.05, (images, classes))
    shares = np.clip(miou + scatter - scatter.mean(axis=0), 0, 1)
    labelled = np.full((images, classes), PIXELS, dtype=np.int64)
    return Counts(np.rint(PIXELS * shares).astype(np.int64), labelled, labelled)


def leave(results: Path, *records: Record) -> list[Record]:
    """Writes them with counts beside; the records as they were written, scored by their counts."""
    return [_leave(results, keyed(each)) for each in records]


def _leave(results: Path, each: Record) -> Record:
    scores, workload = each.outcome.scores, each.spec.ground.workload
    path = results / "runs" / f"{each.spec.name}.json"
    if scores is not None:
        beside = counts(scores.miou, scores.images, len(workload.classes), each.spec.seed)
        path.parent.mkdir(parents=True, exist_ok=True)
        save(path.with_suffix(".npz"), beside)
        each = each.model_copy(update={"outcome": each.outcome.model_copy(update={"scores": scores_of(beside)})})
    write(path, each)
    return each


def save(path: Path, beside: Counts) -> None:
    """As the engine writes them."""
    np.savez_compressed(path, intersections=beside.intersections, unions=beside.unions, labelled=beside.labelled)


def cost_of(each: Record, results: Path, seconds: float = 0.1) -> Path:
    """The cost of the record's method, as it was measured for it."""
    spec, conditions = each.spec, each.outcome.conditions
    assert conditions is not None
    key = CostKey(
        device_class=spec.ground.device_class,
        workload_digest=spec.ground.workload_digest,
        method_digest=spec.method.digest,
        torch="2.8.0",
        concurrency=1,
    )
    measured = Measurement(
        baseline_seconds=(seconds,), method_seconds=(seconds,), baseline_flops=None, method_flops=None,
        peak_memory_bytes=None, wall_seconds=1.0,
    )  # fmt: skip
    path = cost_path(results, spec.method.name, key)
    write(path, CostFile(method=spec.method.name, key=key, measurement=measured, conditions=conditions))
    return path


def checksums(folder: Path) -> dict[str, str]:
    """Every file under a folder, by its bytes; every folder by its name."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else "folder"
        for path in sorted(folder.rglob("*"))
    }


def board(results: Path, *methods: str, seeds: int = 3, gap: float = 0.02) -> list[Record]:
    """Methods a gap apart, best first, over seeds that move all of them alike and a little each."""
    nudges = np.random.default_rng(0).normal(0, 0.001, (len(methods), seeds))
    return leave(
        results,
        *(
            record(name, seed, 0.6 - gap * place + 0.01 * seed + float(nudges[place, seed]))
            for place, name in enumerate(methods)
            for seed in range(seeds)
        ),
    )
