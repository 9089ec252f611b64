"""Runs: claimed, started, watched, and recorded whatever became of them."""

import time
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import Path

from harness.executors.job import Errand, Executor, Finished, Job
from harness.ledger import claims
from harness.ledger import results as layout
from harness.ledger.endings import REPEATED, RETRIED
from harness.ledger.errors import BadInput
from harness.ledger.files import write
from harness.ledger.order import expected_seconds, in_order
from harness.ledger.plan import Plan, RefusedRun
from harness.ledger.record import Outcome, Record
from harness.ledger.rules import RULES_VERSION
from harness.ledger.spec import NO_EXTRAS, Extras, Ground, PlannedRun, RunSpec
from harness.ledger.status import status_path
from harness.sweep.adopting import adopt_orphans, run_job, take_up, tickets, tidy, withdraw
from harness.sweep.concluding import conclude, key_of, named, told, utc
from harness.sweep.nodes import baseline_errand
from harness.sweep.watch import Watcher
from harness.sweep.working import mendable, work_through

BEATS_SECONDS = 3.0
"""In this time the status of a living engine changes."""


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
    with mendable(results), claims.Beating(results):
        return _Spending(plan, results, retry, executor, watcher, students, extras).carry_out()


@dataclass(frozen=True)
class _Spending:
    """One sweep's way through its plan."""

    plan: Plan
    results: Path
    retry: bool
    executor: Executor
    watcher: Watcher
    students: Path
    extras: Extras
    passed: list[PlannedRun] = field(default_factory=list)
    """Runs that another process was at."""
    broken: set[str] = field(default_factory=set)
    """Keys whose last record cannot be read."""
    errands: dict[str, Errand] = field(default_factory=dict)

    def carry_out(self) -> Sequence[Record]:
        """The records of what earlier sweeps left, of what cannot be had, and of what is due."""
        results, watcher = self.results, self.watcher
        tidy(results)
        in_queues = dict(tickets(results))  # looked at once: what ends from now on was in a queue all the same
        taken = take_up(results, in_queues, self.executor, watcher)
        written = adopt_orphans(results, in_queues, watcher)
        busy = {key_of(name) for name in in_queues}
        for refused in self.plan.refused:
            if refused.run.key not in busy and self.is_due(refused.run.key):
                written += self.refuse(refused)
        runs = [run for run in self.plan.runs if run.key not in busy and self.is_due(run.key)]
        if ended := sum(run.key not in busy for run in self.plan.runs) - len(runs):
            of = f"{ended} of {len(self.plan.runs)}"
            watcher.say(f"{of} runs have ended already (--retry repeats diverged and out_of_memory)")
        ordered = in_order(runs, self.executor.width)
        work = work_through("running", ordered, self.start, expected_seconds, self.executor, watcher, taken=taken)
        try:
            with closing(work):
                for _, finished in work:
                    written += self.conclude(finished)
        except (KeyboardInterrupt, SystemExit):
            for line in self.executor.farewell():
                watcher.say(line)
            withdraw(results)
            adopt_orphans(results, dict(tickets(results)), watcher)
            raise
        if self.passed:
            are = f"{len(self.passed)} runs are" if len(self.passed) > 1 else f"{named(self.passed[0])} is"
            watcher.say(f"{are} another process's; this command again does what that one leaves undone")
        return written

    def is_due(self, key: str) -> bool:
        """Whether a key is to be run: no record, one that cannot be read (said once), or an ending that is repeated."""
        attempt = layout.latest_attempts(self.results).get(key)
        if attempt is None:
            return True
        try:
            ending = layout.read_record(self.results, key, attempt).outcome.ending
        except BadInput as error:
            if key not in self.broken:
                self.broken.add(key)
                self.watcher.say(f"{error}: the run is done again, as another attempt")
            return True
        return ending in REPEATED or (self.retry and ending in RETRIED)

    def start(self, run: PlannedRun, device: str) -> Job | None:
        """The run's job in a work folder of its own; None when somebody else is at it, or has done it meanwhile."""
        results = self.results
        if claims.is_locked(results, run.key) or claims.is_claimed_elsewhere(results, run.key):
            self.passed.append(run)
            return None
        attempt = self.claim(run.key)
        if attempt is None:
            return None
        spec = make_spec(run, self.plan.ground, attempt, device, self.students, self.extras)
        folder = layout.work_folder(results, spec.name)
        write(folder / "spec.json", spec)
        job = run_job(folder, spec)
        if self.executor.is_here:
            return job
        if device not in self.errands:
            self.errands[device] = baseline_errand(self.plan.ground, device, results)
        return replace(job, errand=self.errands[device])

    def claim(self, key: str) -> int | None:
        """A new attempt; None where another sweep has done the run since this one began, or claimed it just before."""
        if not self.is_due(key):
            return None
        attempt = claims.claim(self.results, key)
        is_first = not claims.is_claimed_elsewhere(self.results, key, before=attempt)
        if is_first and self.is_due(key):
            return attempt
        layout.remove_work_folder(self.results, f"{key}.{attempt}")
        return None

    def refuse(self, refused: RefusedRun) -> list[Record]:
        """A run that could not be had leaves its reason, unless another sweep has left it."""
        attempt = self.claim(refused.run.key)
        if attempt is None:
            return []
        spec = make_spec(refused.run, self.plan.ground, attempt, "none", self.students)
        now = utc(time.time())
        outcome = Outcome(ending=refused.refusal.ending, reason=refused.refusal.reason)
        record = Record(
            spec=spec.without_places(), outcome=outcome, witness=None, marks=(), log_tail=None, started=now, ended=now
        )
        layout.write_record(self.results, record)
        layout.remove_work_folder(self.results, spec.name)
        return [record]

    def conclude(self, finished: Finished) -> list[Record]:
        """The record of what ended; none where the engine found that another process is at the run."""
        folder = finished.job.out.parent
        if not claims.is_mine(folder):
            self.watcher.say(f"{finished.job.name}: another sweep has taken it over")
            return []
        if finished.exit_code != layout.LOCKED:
            record = conclude(folder, finished, self.results)
            self.watcher.say(told(record))
            return [record]
        if _beats(folder):
            where = "a queue has started it twice; this command again records the one that is at work"
            self.watcher.say(f"{finished.job.name}: {where}")
        else:
            self.watcher.say(f"{finished.job.name}: another process is at it")
            layout.remove_work_folder(self.results, folder.name)
        return []


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


def _beats(folder: Path) -> bool:
    """Whether a living engine writes its status there."""
    before = _status(folder)
    time.sleep(BEATS_SECONDS)
    return _status(folder) != before


def _status(folder: Path) -> bytes:
    try:
        return status_path(folder / "out.json").read_bytes()
    except OSError:
        return b""
