"""Runs: claimed, started, watched, and recorded whatever became of them."""

import datetime
import os
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path

from filelock import FileLock, Timeout

from harness.executors.job import Executor, Finished, Job
from harness.ledger import results as layout
from harness.ledger.audit import disagreements
from harness.ledger.endings import REPEATED, RETRIED, Mark
from harness.ledger.errors import BadInput
from harness.ledger.files import read
from harness.ledger.findings import Refusal
from harness.ledger.plan import Plan, RefusedRun, expected_seconds, shortest
from harness.ledger.record import Outcome, Record, Witness
from harness.ledger.rules import DATA_BOUND, DISTURBED, OFF_BUDGET, RULES_VERSION
from harness.ledger.spec import NO_EXTRAS, Extras, Ground, PlannedRun, RunSpec
from harness.sweep.watch import Watcher
from harness.sweep.working import answer_of, latest_status, log_tail, new_job, work_through


def spend(
    plan: Plan,
    results: Path,
    retry: bool,
    executor: Executor,
    watcher: Watcher,
    students: Path,
    extras: Extras = NO_EXTRAS,
) -> Sequence[Record]:
    """Carries out what is due of the plan; returns the records written, in the order in which runs ended."""
    written = adopt_orphans(results, watcher)
    written += [
        record_refused(refused, plan.ground, results, students)
        for refused in plan.refused
        if due(refused.run.key, results, retry)
    ]
    runs = [run for run in plan.runs if due(run.key, results, retry)]
    if len(runs) < len(plan.runs):
        ended = len(plan.runs) - len(runs)
        watcher.say(f"{ended} of {len(plan.runs)} runs have ended already (--retry repeats diverged and out_of_memory)")

    def start(run: PlannedRun, device: str) -> Job | None:
        if is_locked(results, run.key):
            watcher.say(f"{run.key}: another process is at it")
            return None
        if not due(run.key, results, retry):
            return None  # another sweep has done it since this one began
        spec = make_spec(run, plan.ground, layout.claim(results, run.key), device, students, extras)
        folder = layout.work_folder(results, spec.name)
        name = f"{run.method.name} seed {run.seed} {run.budget}"
        return new_job(folder, name, "run", spec, device, plan.ground.workload.threads)

    try:
        for _, finished in work_through("running", runs, start, expected_seconds, executor, watcher):
            if finished.exit_code == layout.LOCKED:
                shutil.rmtree(
                    finished.job.out.parent
                )  # another sweep was quicker: the run, and its record, are its own
                continue
            written.append(conclude(finished.job.out.parent, finished, results))
            watcher.say(told(written[-1]))
    except (KeyboardInterrupt, SystemExit):
        adopt_orphans(results, watcher)
        raise
    return written


def due(key: str, results: Path, retry: bool) -> bool:
    """Whether a key is to be run: it has no record, or its last ending is one that is tried again."""
    attempt = layout.latest_attempts(results).get(key)
    if attempt is None:
        return True
    ending = layout.read_record(results, key, attempt).outcome.ending
    return ending in REPEATED or (retry and ending in RETRIED)


ORPHAN_SECONDS = 10.0
"""An engine whose sweep was killed ends within about a second; this long is waited for it."""


def is_locked(results: Path, key: str, wait_seconds: float = 0.0) -> bool:
    """Whether a living process holds the run."""
    lock = layout.lock_path(results, key)
    lock.parent.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(lock, timeout=wait_seconds):
            return False
    except Timeout:
        return True


def make_spec(
    run: PlannedRun, ground: Ground, attempt: int, device: str, students: Path, extras: Extras = NO_EXTRAS
) -> RunSpec:
    """What the engine is told."""
    planned = {name: getattr(run, name) for name in PlannedRun.model_fields}
    return RunSpec(
        **planned,
        attempt=attempt,
        ground=ground,
        device=device,
        students=str(students),
        rules=RULES_VERSION,
        extras=extras,
    )


def conclude(folder: Path, finished: Finished | None, results: Path) -> Record:
    """The record of an attempt whose process is gone; `finished` is None when nobody saw it go."""
    spec = read(folder / "spec.json", RunSpec)
    outcome = outcome_of(folder, finished)
    record = Record(
        spec=spec.without_places(),
        outcome=outcome,
        witness=witness_of(finished),
        marks=marks_of(spec, outcome),
        disagreements=disagreements(outcome, witness_of(finished), spec.ground),
        log_tail=None if outcome.ending == "done" else log_tail(folder / "log.txt"),
        started=_utc((folder / "spec.json").stat().st_mtime),
        ended=_utc(datetime.datetime.now().timestamp()),
    )
    keep_files(folder, spec, results)
    layout.write_record(results, record)
    if outcome.ending == "done":
        shutil.rmtree(folder)
    if outcome.ending not in REPEATED:
        layout.checkpoint_path(results, spec.key).unlink(missing_ok=True)
    return record


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


def outcome_of(folder: Path, finished: Finished | None) -> Outcome:
    """What the engine wrote, or what can be told for a process that was killed."""
    if finished is not None:
        answer = answer_of(finished, Outcome)
    else:
        try:
            answer = read(folder / "out.json", Outcome)
        except BadInput:
            answer = Refusal(ending="interrupted", reason="the sweep ended before the run did")
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


def witness_of(finished: Finished | None) -> Witness | None:
    """The process as it was seen from outside."""
    if finished is None:
        return None
    return Witness(cpu_seconds=finished.cpu_seconds, wall_seconds=finished.wall_seconds, exit_code=finished.exit_code)


def marks_of(spec: RunSpec, outcome: Outcome) -> tuple[Mark, ...]:
    """The plan's marks, and what the run itself earned: iterations that were done decide, not those planned."""
    if outcome.ending != "done":
        return ()
    marks: set[Mark] = set(spec.marks) - {"too_short"}
    if outcome.iterations < shortest(spec.ground.workload):
        marks.add("too_short")
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


def record_refused(refused: RefusedRun, ground: Ground, results: Path, students: Path) -> Record:
    """A run that could not be had leaves its reason."""
    run = refused.run
    spec = make_spec(run, ground, layout.claim(results, run.key), "none", students)
    shutil.rmtree(layout.work_folder(results, spec.name))
    now = _utc(datetime.datetime.now().timestamp())
    outcome = Outcome(ending=refused.refusal.ending, reason=refused.refusal.reason)
    record = Record(
        spec=spec.without_places(), outcome=outcome, witness=None, marks=(), log_tail=None, started=now, ended=now
    )
    layout.write_record(results, record)
    return record


def adopt_orphans(results: Path, watcher: Watcher) -> list[Record]:
    """Records for attempts that a killed sweep left behind; those that somebody is at are let be."""
    adopted = []
    for name in layout.unfinished(results):
        folder = layout.work_folder(results, name)
        key, _ = layout.split_name(name) or (name, 0)
        if not layout.owner_is_gone(folder) or is_locked(results, key, ORPHAN_SECONDS):
            continue
        if not (folder / "spec.json").exists():
            shutil.rmtree(folder)  # claimed, and killed before its first word: nothing was spent
            continue
        adopted.append(conclude(folder, None, results))
        watcher.say(told(adopted[-1]))
    return adopted


def told(record: Record) -> str:
    """A record in a line."""
    spec, outcome = record.spec, record.outcome
    name = f"{spec.method.name} seed {spec.seed} {spec.budget}"
    marks = f" [{', '.join(record.marks)}]" if record.marks else ""
    notes = marks + "".join(f"; accounts differ: {line}" for line in record.disagreements)
    if outcome.scores is None:
        return f"{name}: {outcome.ending}: {outcome.reason}{notes}"
    return (
        f"{name}: {outcome.ending}, mIoU {100 * outcome.scores.miou:.1f} %, "
        f"{outcome.iterations} iterations in {outcome.spent_seconds:.1f} s{notes}"
    )


def _utc(timestamp: float) -> str:
    return datetime.datetime.fromtimestamp(timestamp, datetime.UTC).isoformat(timespec="seconds")
