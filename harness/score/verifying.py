"""A results folder held against itself: every file read, every score derived again from the counts beside it."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path
from typing import TypeVar

from harness.ledger.counts import read_counts, scores_of
from harness.ledger.errors import BadInput, without_path
from harness.ledger.files import Value, shown
from harness.ledger.pictures import read_pictures, read_student
from harness.ledger.record import Record, Scores, is_utc
from harness.ledger.results import split_name, work_folder
from harness.ledger.stored import (
    TRIALS,
    Kind,
    Stored,
    must_be_plain,
    read_anchor_file,
    read_cost_file,
    read_named_record,
    stored,
)
from harness.score.runs import run_of
from harness.score.store import BEYOND

V = TypeVar("V", bound=Value)

ROUNDING = 1e-12
"""How far a mean may lie from the same mean, summed in another order."""


@dataclass(frozen=True)
class Problem:
    """What is wrong with a file."""

    place: str
    """Under the results folder."""
    problem: str


@dataclass(frozen=True)
class Soundness:
    """What was looked at in a results folder, and what is wrong."""

    records: int
    """Those that could be read."""
    scored: int
    counts_held: int
    """Counts that were held against the scores of their record."""
    costs: int
    """Costs and anchors that could be read."""
    problems: tuple[Problem, ...]


def verify(results: Path) -> Soundness:
    """Everything under a results folder, read and held against each other."""
    files = stored(results)
    problems: list[Problem] = []
    records = _readable(files, "record", read_named_record, results, problems)
    costs = _readable(files, "cost", read_cost_file, results, problems)
    anchors = _readable(files, "anchor", read_anchor_file, results, problems)
    problems += _leftovers(files)
    problems += _broken_pictures(files)
    problems += _gaps(files, results)
    problems += _strays(records)
    problems += _unlikely(records, results)
    scored = {place: record for place, record in records.items() if record.outcome.scores is not None}
    wrong = [problem for place, record in scored.items() if (problem := _against_counts(results, place, record))]
    missing = sum(problem.problem == MISSING for problem in wrong)
    return Soundness(
        records=len(records),
        scored=len(scored),
        counts_held=len(scored) - missing,
        costs=len(costs) + len(anchors),
        problems=tuple(sorted((*problems, *wrong), key=lambda each: each.place)),
    )


def _readable(
    files: Sequence[Stored], kind: Kind, read: Callable[[Path], V], results: Path, problems: list[Problem]
) -> dict[str, V]:
    """By place what can be read of a kind; what cannot is added to the problems."""
    found = {}
    for file in files:
        if file.kind == kind:
            try:
                found[file.place] = read(file.path)
            except BadInput as error:
                problems.append(Problem(file.place, without_path(file.path, error)))
    return found


def _leftovers(files: Sequence[Stored]) -> Iterator[Problem]:
    """What belongs to no run."""
    names = {(file.room, file.name) for file in files if file.kind == "record"}
    for file in files:
        if file.kind == "leftover":
            yield Problem(file.place, "left over: no part of a results folder, and nothing here reads it")
        is_of_a_run = file.kind == "counts" or (file.kind == "picture" and split_name(file.name))
        if is_of_a_run and (file.room, file.name) not in names:
            yield Problem(file.place, f"left over: {file.kind} of a run that has no record")


def _broken_pictures(files: Sequence[Stored]) -> Iterator[Problem]:
    """Pictures of runs and of workloads that cannot be read."""
    for file in files:
        if file.kind == "picture":
            try:
                must_be_plain(file.path)
                look = read_student if split_name(file.name) else read_pictures
                look(file.path.parent.parent, file.name)
            except BadInput as error:
                yield Problem(file.place, without_path(file.path, error))


def _gaps(files: Sequence[Stored], results: Path) -> Iterator[Problem]:
    """Attempts that are missing before a run's last one and are not under way either."""
    attempts: dict[tuple[str, str], set[int]] = {}
    for file in files:
        if file.kind == "record" and (named := split_name(file.name)):
            attempts.setdefault((file.room, named[0]), set()).add(named[1])
    for (room, key), found in attempts.items():
        for attempt in sorted(set(range(1, min(max(found), len(found) + MOST_GAPS))) - found):
            if not work_folder(results / room, f"{key}.{attempt}").exists():
                place = f"{room}/runs/{key}.{attempt}.json".lstrip("/")
                yield Problem(place, f"missing, though there is attempt {max(found)}: a record was lost or moved away")


MOST_GAPS = 10
"""Of so many missing attempts of a run each is told: a name may claim any number."""


def _strays(records: dict[str, Record]) -> Iterator[Problem]:
    """Trials among runs, and runs among trials."""
    rooms: dict[str, set[str]] = {}
    for place, record in records.items():
        rooms.setdefault(place.rpartition("/")[0], set()).add(record.spec.scored_on)
    for place, record in records.items():
        folder = place.rpartition("/")[0]
        if record.spec.scored_on == "tune" and "score" in rooms[folder]:
            yield Problem(place, f"spec.scored_on: a trial of `bench tune` among runs: expected it in {TRIALS}/runs")


def _unlikely(records: dict[str, Record], results: Path) -> Iterator[Problem]:
    """What no run leaves behind: times that are none, numbers beyond all bounds, counts and no scores."""
    for place, record in records.items():
        for key in ("started", "ended"):
            if not is_utc(found := getattr(record, key)):
                yield Problem(place, f"{key}: found {shown(found)}: expected a time in UTC, by ISO 8601")
        try:
            run_of(record)
        except OverflowError:
            yield Problem(place, BEYOND)
        beside = (results / place).with_suffix(".npz")
        if record.outcome.ending == "done" and record.outcome.scores is None and beside.exists():
            yield Problem(place, "outcome.scores: none, though the run is done and its counts lie beside its record")


MISSING = "counts missing: its scores cannot be derived again"


def _against_counts(results: Path, place: str, record: Record) -> Problem | None:
    """What is wrong with the counts beside a scored record; None when they give its scores."""
    scores, path = record.outcome.scores, (results / place).with_suffix(".npz")
    if scores is None:
        return None
    if not path.exists():
        return Problem(place, MISSING)
    beside = Path(place).with_suffix(".npz").as_posix()
    try:
        must_be_plain(path)
        found = scores_of(read_counts(path, scores.images, len(record.spec.ground.workload.classes)))
    except BadInput as error:
        return Problem(beside, without_path(path, error))
    told = _difference(scores, found)
    return Problem(beside, told) if told else None


def _difference(recorded: Scores, derived: Scores) -> str | None:
    """The first score that the counts do not give."""
    for key, of_record, of_counts in _numbers(recorded, derived):
        if (of_record is None) != (of_counts is None) or abs((of_record or 0.0) - (of_counts or 0.0)) > ROUNDING:
            return f"gives {key} {_shown(of_counts)}, but the record says {_shown(of_record)}"
    return None


def _numbers(recorded: Scores, derived: Scores) -> Iterator[tuple[str, float | None, float | None]]:
    """Every score of the two, side by side."""
    for key in ("miou", "miou_absent_zero", "miou_predicted", "pixel_accuracy"):
        yield key, getattr(recorded, key), getattr(derived, key)
    for index, (of_record, of_counts) in enumerate(zip_longest(recorded.class_iou, derived.class_iou)):
        yield f"class_iou[{index}]", of_record, of_counts


def _shown(value: float | None) -> str:
    return "none" if value is None else f"{value:.6f}"
