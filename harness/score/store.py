"""What lies in a results folder: the last attempt of every run, and every file that is no record, by name."""

import gc
import re
from collections.abc import Iterator, Sequence
from concurrent.futures import Executor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from harness.ledger.errors import BadInput, without_path
from harness.ledger.files import shown
from harness.ledger.record import Record, is_utc
from harness.ledger.stored import read_named_record
from harness.score.runs import Run, in_order, last_attempts, run_of

BESIDE = re.compile(r"\.(status|spec)\.json$")
"""What the engine may leave beside a record."""

BEYOND = "a number in it is beyond anything that a run can have done"

FEWEST_SHARED = 2000
"""Records from which two processes are quicker than one: what the other reads has to be handed over."""


@dataclass(frozen=True)
class Unreadable:
    """A file that stands where records stand and is none, with what is wrong with it."""

    file: str
    why: str


@dataclass(frozen=True)
class Results:
    """A results folder's runs, and what else was found among them."""

    folder: Path
    runs: tuple[Run, ...]
    """The last attempt of every key, in order."""
    unreadable: tuple[Unreadable, ...]
    superseded: int
    """Earlier attempts, which stay in the folder and count no more."""


def read_results(folder: str | Path, helper: Executor | None = None) -> Results:
    """Everything under RESULTS/runs, half of very many files by the helper; nothing of a folder that is not there."""
    folder = Path(folder)
    runs = folder / "runs"
    if runs.exists() and not runs.is_dir():
        raise BadInput(f"{runs}: is no folder: expected one that holds KEY.ATTEMPT.json files")
    paths = sorted(path for path in runs.glob("*.json") if not BESIDE.search(path.name))
    found = _read_all(paths, helper)
    readable = [each for each in found if isinstance(each, Run)]
    wrong = [each for each in found if isinstance(each, Unreadable)]
    last = last_attempts(readable)
    superseded = len(readable) - len(last)
    kept, twice = _once_each(last)
    return Results(folder, in_order(kept), tuple(sorted((*wrong, *twice), key=lambda each: each.file)), superseded)


def _read_all(paths: Sequence[Path], helper: Executor | None) -> list[Run | Unreadable]:
    """A result a path, in order."""
    if len(paths) < FEWEST_SHARED or helper is None:
        return _read_some(paths)
    half = len(paths) // 2
    others = helper.submit(_read_some, paths[half:])
    return [*_read_some(paths[:half]), *others.result()]


def _read_some(paths: Sequence[Path]) -> list[Run | Unreadable]:
    with _uncollected():
        return [_read(path) for path in paths]


@contextmanager
def _uncollected() -> Iterator[None]:
    """Records hold no circles: looking for some would take a third of the time."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def _read(path: Path) -> Run | Unreadable:
    try:
        return run_of(read_record(path))
    except BadInput as error:
        return Unreadable(path.name, without_path(path, error))
    except OverflowError:
        return Unreadable(path.name, BEYOND)


def read_record(path: Path) -> Record:
    """The record of a run that was scored on the score split; BadInput says what the file is instead."""
    record = read_named_record(path)
    scores, classes = record.outcome.scores, len(record.spec.ground.workload.classes)
    if scores is not None and len(scores.class_iou) != classes:
        raise BadInput(f"{path}: outcome.scores.class_iou: found {len(scores.class_iou)} numbers: expected {classes}")
    if record.spec.scored_on != "score":
        raise BadInput(
            f"{path}: spec.scored_on: found '{record.spec.scored_on}': a trial of `bench tune`, which no board holds"
        )
    if not is_utc(record.ended):  # of two versions of a method the one that ended last is current
        raise BadInput(f"{path}: ended: found {shown(record.ended)}: expected a time in UTC, by ISO 8601")
    return record


def _once_each(runs: Sequence[Run]) -> tuple[list[Run], list[Unreadable]]:
    """A run that lies there under two keys counts once, under the key that comes first."""
    first: dict[tuple[str, str, str, int], Run] = {}
    twice: list[Unreadable] = []
    for run in sorted(runs, key=lambda run: run.key):
        same = first.setdefault((run.track, run.method, run.method_digest, run.seed), run)
        if same is not run:
            twice.append(Unreadable(f"{run.name}.json", f"the same run as {same.name}.json, which counts: remove one"))
    return list(first.values()), twice
