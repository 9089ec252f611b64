"""What becomes of an attempt whose process is gone: its record, whatever happened."""

import datetime
import os
import time
from collections.abc import Iterator
from pathlib import Path

from harness.executors.job import Finished
from harness.ledger import results as layout
from harness.ledger.audit import disagreements
from harness.ledger.endings import REPEATED, Ending, Mark
from harness.ledger.errors import BadInput
from harness.ledger.files import read
from harness.ledger.plan import shortest
from harness.ledger.record import Outcome, Record, Witness
from harness.ledger.rules import DATA_BOUND, DISTURBED, OFF_BUDGET
from harness.ledger.spec import PlannedRun, RunSpec
from harness.ledger.ticket import SeenEnding, ending_path
from harness.sweep.nodes import node_is_slow, was_checked
from harness.sweep.working import answer_of, latest_status, log_tail


def conclude(folder: Path, finished: Finished, results: Path) -> Record:
    """The record of an attempt whose process is gone."""
    spec = spec_of(folder)
    outcome = outcome_of(folder, finished)
    began, ended = when(folder)
    record = Record(
        spec=spec.without_places(),
        outcome=outcome,
        witness=witness_of(finished),
        marks=marks_of(spec, outcome, is_on_slow_node(spec, outcome, results)),
        disagreements=disagreements(outcome, witness_of(finished), spec.ground),
        log_tail=None if outcome.ending == "done" else log_tail(folder / "log.txt"),
        started=utc(began),
        ended=utc(ended),
    )
    try:
        keep_files(folder, spec, results)
        layout.write_record(results, record)
    except OSError as error:
        mend = "what ended is kept in its work folder, and the same command goes on when this is mended"
        raise BadInput(f"{results}: cannot be written: {error.strerror or error}: {mend}") from error
    put_away(results, spec.name, outcome.ending)
    return record


def when(folder: Path) -> tuple[float, float]:
    """When an attempt began and ended: by its node's word, where a queue may have kept it for days."""
    try:
        seen = read(ending_path(folder / "out.json"), SeenEnding)
        ended = ending_path(folder / "out.json").stat().st_mtime
        return ended - seen.wall_seconds, ended
    except (BadInput, OSError):
        began = (folder / "spec.json").stat().st_mtime
        return began, max(began, time.time())  # a clock that was set back meanwhile would have it end before it began


def put_away(results: Path, name: str, ending: Ending) -> None:
    """Of an attempt that is recorded there stays what somebody may want: a log of what failed, a way to go on."""
    if ending not in REPEATED:
        layout.remove_checkpoints(results, key_of(name))
    if ending == "done":  # last, so that whoever is killed here leaves what tells the next that something is left
        layout.remove_work_folder(results, name)


def spec_of(folder: Path) -> RunSpec:
    """What was to be done in an attempt's folder; BadInput where that cannot be read, or is another's."""
    path = folder / "spec.json"
    spec = read(path, RunSpec)
    if spec.name != folder.name:
        raise BadInput(f"{path}: found the run {spec.name}: expected {folder.name}, as its folder is named")
    return spec


def key_of(name: str) -> str:
    """KEY of KEY.ATTEMPT."""
    key, _ = layout.split_name(name) or (name, 0)
    return key


def keep_files(folder: Path, spec: RunSpec, results: Path) -> None:
    """What the engine left beside OUT lies where a results folder has it; a workload's pictures are kept once."""
    places = {
        layout.COUNTS: layout.counts_path(results, spec.name),
        layout.PREDICTIONS: layout.predictions_path(results, spec.name),
        layout.SCENE: layout.scene_path(results, spec.ground.workload_digest),
    }
    for file, kept in places.items():
        if (folder / file).exists() and not (file == layout.SCENE and kept.exists()):
            kept.parent.mkdir(parents=True, exist_ok=True)
            os.replace(folder / file, kept)


def outcome_of(folder: Path, finished: Finished) -> Outcome:
    """What the engine wrote, or what can be told for a process that was killed."""
    answer = answer_of(finished, Outcome)
    if isinstance(answer, Outcome):
        return answer
    status = latest_status(folder / "out.json")
    # A run that began is no method that does not apply: what the engine refuses now has failed.
    ending = "failed" if answer.ending == "skipped" else answer.ending
    return Outcome(
        ending=ending,
        reason=answer.reason,
        iterations=status.iterations if status is not None else 0,
        spent_seconds=status.spent_seconds if status is not None else 0.0,
    )


def witness_of(finished: Finished) -> Witness | None:
    """The process as it was seen from outside; None where nobody saw it."""
    if finished.cpu_seconds is None or finished.wall_seconds is None:
        return None
    return Witness(cpu_seconds=finished.cpu_seconds, wall_seconds=finished.wall_seconds, exit_code=finished.exit_code)


def is_on_slow_node(spec: RunSpec, outcome: Outcome, results: Path) -> bool:
    """Whether the run was done on a host that a queue chose, whose own baseline lies off the track's."""
    if outcome.conditions is None or not was_checked(spec.ground, results):
        return False
    return node_is_slow(spec, outcome.conditions.host, results)


def marks_of(spec: RunSpec, outcome: Outcome, is_slow_node: bool = False) -> tuple[Mark, ...]:
    """The plan's marks, and what the run itself earned: iterations that were done decide, not those planned."""
    if outcome.ending != "done":
        return ()
    marks: set[Mark] = set(spec.marks) - {"too_short"}
    if outcome.iterations < shortest(spec.ground.workload):
        marks.add("too_short")
    if is_slow_node:
        marks.add("slow_node")
    kind = spec.ground.device_class.kind
    if spec.budget_seconds is not None and (spec.pace == "iterations" or kind == "cuda"):
        off = abs(outcome.spent_seconds / spec.budget_seconds - 1)
        if off > OFF_BUDGET[kind]:
            marks.add("off_budget")
    marks.update(disturbances(outcome, kind))
    return tuple(sorted(marks))


def disturbances(outcome: Outcome, kind: str) -> Iterator[Mark]:
    """What kept an accelerator from its work. On a CPU nothing is waited for, and the clock is the process's own."""
    times, readings = outcome.times, outcome.readings
    if kind != "cuda":
        return
    if times is not None and times.data_wait > DATA_BOUND * (times.data_wait + times.training):
        yield "data_bound"
    if readings is not None and (readings.throttled or 0.0) > DISTURBED:
        yield "throttled"
    if readings is not None and (readings.shared or 0.0) > DISTURBED:
        yield "shared_device"


def named(run: PlannedRun) -> str:
    """A run as a person calls it."""
    return f"{run.method.name} seed {run.seed} {run.budget}"


def told(record: Record) -> str:
    """A record in a line."""
    spec, outcome = record.spec, record.outcome
    name = named(spec)
    marks = f" [{', '.join(record.marks)}]" if record.marks else ""
    notes = marks + "".join(f"; accounts differ: {line}" for line in record.disagreements)
    notes += "".join(f"; {warning}" for warning in outcome.warnings)
    if outcome.scores is None:
        return f"{name}: {outcome.ending}: {outcome.reason}{notes}"
    return (
        f"{name}: {outcome.ending}, mIoU {100 * outcome.scores.miou:.1f} %, "
        f"{outcome.iterations} iterations in {outcome.spent_seconds:.1f} s{notes}"
    )


def utc(timestamp: float) -> str:
    """A time as records have it."""
    return datetime.datetime.fromtimestamp(timestamp, datetime.UTC).isoformat(timespec="seconds")
