"""The layout of a results folder: RESULTS/runs/KEY.ATTEMPT.json, and RESULTS/work/ for runs under way.

Beside them, for a person to look at: RESULTS/pictures/ and RESULTS/tensorboard/.
"""

import glob
import re
import shutil
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from uuid import uuid4

from harness.ledger.errors import BadInput
from harness.ledger.files import read, write
from harness.ledger.record import Record

LOCKED = 75
"""The engine's exit code for a run that another process is at."""

COUNTS = "counts.npz"
"""The per-image counts while they lie in a work folder."""

SCENE = "scene.npz"
"""A workload's pictures while they lie in a work folder."""

PREDICTIONS = "predictions.npz"
"""The student's predictions of the same pictures while they lie there."""

GONE = ".gone-"
"""Begins the name of a work folder that is being removed."""

NAME = re.compile(r"^(?P<key>.+)\.(?P<attempt>[0-9]+)$")


def record_path(results: Path, name: str) -> Path:
    """The record of KEY.ATTEMPT."""
    return results / "runs" / f"{name}.json"


def counts_path(results: Path, name: str) -> Path:
    """The per-image intersections and unions of KEY.ATTEMPT."""
    return results / "runs" / f"{name}.npz"


def scene_path(results: Path, workload_digest: str) -> Path:
    """The first images of a workload's score split, their labels and what the teacher predicts."""
    return results / "pictures" / f"{workload_digest}.npz"


def predictions_path(results: Path, name: str) -> Path:
    """What the student of KEY.ATTEMPT predicts of the same images."""
    return results / "pictures" / f"{name}.npz"


def tracking_folder(results: Path, name: str) -> Path:
    """The learning curve of KEY.ATTEMPT as TensorBoard reads it."""
    return results / "tensorboard" / name


def work_folder(results: Path, name: str) -> Path:
    """Where KEY.ATTEMPT works: spec, log, status, outcome."""
    return results / "work" / name


def remove_work_folder(results: Path, name: str) -> None:
    """KEY.ATTEMPT works no more. Its folder vanishes in one step: half of one would pass for a torn attempt."""
    folder = work_folder(results, name)
    gone = folder.with_name(f"{GONE}{uuid4().hex}")
    with suppress(FileNotFoundError):
        folder.rename(gone)
    shutil.rmtree(gone, ignore_errors=True)


def lock_path(results: Path, key: str) -> Path:
    """Held by the process that is at a run."""
    return results / "work" / f"{key}.lock"


def checkpoint_path(results: Path, key: str) -> Path:
    """Where a run that is not over goes on from."""
    return results / "work" / f"{key}.checkpoint"


def checkpoint_files(path: Path) -> tuple[Path, Path, Path]:
    """A checkpoint, the one before it, and the one that is being written."""
    return path, path.with_name(f"{path.name}.before"), path.with_name(f"{path.name}.new")


def remove_checkpoints(results: Path, key: str) -> None:
    """Nothing goes on from the run any more."""
    for path in checkpoint_files(checkpoint_path(results, key)):
        path.unlink(missing_ok=True)


def split_name(name: str) -> tuple[str, int] | None:
    """KEY and ATTEMPT of a name, or None for a name that is no run's."""
    matched = NAME.match(name)
    return (matched["key"], int(matched["attempt"])) if matched else None


def record_names(results: Path) -> Iterator[tuple[str, int]]:
    """KEY and ATTEMPT of every record."""
    for path in sorted((results / "runs").glob("*.json")):
        if found := split_name(path.stem):
            yield found


def latest_attempts(results: Path) -> dict[str, int]:
    """The last attempt of every key that has a record."""
    latest: dict[str, int] = {}
    for key, attempt in record_names(results):
        latest[key] = max(attempt, latest.get(key, 0))
    return latest


def read_record(results: Path, key: str, attempt: int) -> Record:
    """One record; BadInput for one that is another run's."""
    path = record_path(results, f"{key}.{attempt}")
    record = read(path, Record)
    if record.spec.name != path.stem:
        raise BadInput(f"{path}: spec: found the run {record.spec.name}: a record keeps the name it was written under")
    return record


def write_record(results: Path, record: Record) -> None:
    """Written once, whole; an attempt that has a record keeps it."""
    path = record_path(results, record.spec.name)
    if path.exists():
        raise FileExistsError(f"{path} is written already, and records are never edited")
    for torn in path.parent.glob(f".{glob.escape(path.name)}.*"):  # by a sweep that was killed while it wrote
        torn.unlink(missing_ok=True)
    write(path, record, durable=True)  # the checkpoints go next


def unfinished(results: Path) -> list[str]:
    """Names of the attempts that have a work folder and no record."""
    return [name for name in attempts(results) if not record_path(results, name).exists()]


def attempts(results: Path) -> list[str]:
    """Names of the attempts that have a work folder."""
    folders = sorted(path for path in (results / "work").glob("*.*") if path.is_dir())
    return [path.name for path in folders if split_name(path.name)]
