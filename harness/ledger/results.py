"""The layout of a results folder: RESULTS/runs/KEY.ATTEMPT.json, and RESULTS/work/ for runs under way.

Beside them, for a person to look at: RESULTS/pictures/ and RESULTS/tensorboard/.
"""

import os
import re
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import psutil

from harness.ledger.errors import BadInput
from harness.ledger.files import Value, read, write
from harness.ledger.record import Record

LOCKED = 75
"""The engine's exit code for a run that another process is at."""

COUNTS = "counts.npz"
"""The per-image counts while they lie in a work folder."""

SCENE = "scene.npz"
"""A workload's pictures while they lie in a work folder."""

PREDICTIONS = "predictions.npz"
"""The student's predictions of the same pictures while they lie there."""

OWNER = "owner.json"
START_SLACK_SECONDS = 2.0
"""A process's start is told from the boot time, which a clock's step may move."""

CLAIM_SECONDS = 5.0
"""Within this a folder may be claimed and not yet signed."""

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


def lock_path(results: Path, key: str) -> Path:
    """Held by the process that is at a run."""
    return results / "work" / f"{key}.lock"


def checkpoint_path(results: Path, key: str) -> Path:
    """Where a run that is not over goes on from."""
    return results / "work" / f"{key}.checkpoint"


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
    """One record."""
    return read(record_path(results, f"{key}.{attempt}"), Record)


def claim(results: Path, key: str) -> int:
    """A new attempt at a run, by making its work folder: of two sweeps only one can."""
    attempt = latest_attempts(results).get(key, 0)
    while True:
        attempt += 1
        folder = work_folder(results, f"{key}.{attempt}")
        try:
            folder.mkdir(parents=True)
        except FileExistsError:
            continue
        write(folder / OWNER, this_process())
        return attempt


class Owner(Value):
    """The sweep that claimed an attempt."""

    host: str
    pid: int
    started: float


def this_process() -> Owner:
    """What this process signs with."""
    return Owner(host=socket.gethostname(), pid=os.getpid(), started=psutil.Process().create_time())


def owner_is_gone(folder: Path) -> bool:
    """Whether the sweep that claimed the folder is dead, or is this process itself.

    Of another host nothing can be seen: there the run's lock alone decides.
    """
    try:
        owner = read(folder / OWNER, Owner)
    except BadInput:
        return not folder.exists() or time.time() - folder.stat().st_mtime > CLAIM_SECONDS
    if owner.host != socket.gethostname() or owner == this_process():
        return True
    try:
        return abs(psutil.Process(owner.pid).create_time() - owner.started) > START_SLACK_SECONDS
    except psutil.NoSuchProcess:
        return True


def write_record(results: Path, record: Record) -> None:
    """Written once, whole; an attempt that has a record keeps it."""
    path = record_path(results, record.spec.name)
    if path.exists():
        raise FileExistsError(f"{path} is written already, and records are never edited")
    write(path, record)


def unfinished(results: Path) -> list[str]:
    """Names of the attempts that have a work folder and no record."""
    folders = sorted(path for path in (results / "work").glob("*.*") if path.is_dir())
    return [path.name for path in folders if split_name(path.name) and not record_path(results, path.name).exists()]
