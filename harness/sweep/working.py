"""Tasks through an executor, in order, as slots come free."""

import signal
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

from harness.executors.job import Executor, Finished, Job
from harness.ledger.errors import BadInput
from harness.ledger.files import Value, read, write
from harness.ledger.findings import Refusal
from harness.ledger.spec import Verb
from harness.ledger.status import Status, status_path
from harness.sweep.watch import Activity, Progress, Watcher
from harness.sweep.watchdog import Watchdog

T = TypeVar("T")
V = TypeVar("V", bound=Value)

SHOW_SECONDS = 0.5


def work_through(
    title: str,
    tasks: Sequence[T],
    start: Callable[[T, str], Job | None],
    expected_seconds: Callable[[T], float],
    executor: Executor,
    watcher: Watcher,
    company: Callable[[str], Job] | None = None,
) -> Iterator[tuple[T, Finished]]:
    """Yields each task as its process ends; one that stands still is ended.

    `start` makes a task's job for a device, or None to pass the task over. `company` makes a job for a slot that no
    task is left for, so that the last tasks find the machine as busy as the first did; it is killed after them.
    Whatever ends the caller ends the processes too: they are killed before the exception leaves.
    """
    waiting = list(tasks)
    under_way: dict[Job, T] = {}
    companions: set[Job] = set()
    stuck: dict[Job, str] = {}
    watchdog = Watchdog()
    shown = 0.0
    try:
        while waiting or under_way:
            _fill(waiting, under_way, companions, start, company, executor)
            for finished in executor.poll():
                if finished.job in companions:
                    companions.remove(finished.job)
                    watcher.say(f"nothing keeps company any more: {death_of(finished.exit_code, finished.job.log)}")
                    company = None
                else:
                    yield under_way.pop(finished.job), replace(finished, stood_still=stuck.pop(finished.job, None))
            if time.monotonic() - shown > SHOW_SECONDS:
                shown = time.monotonic()
                progress = {job: latest_status(job.out) for job in under_way}
                for job, status in progress.items():
                    if job not in stuck and (where := watchdog.stands_still(job, status)):
                        stuck[job] = where
                        executor.end(job)
                left = _seconds_left(
                    [expected_seconds(task) for task in waiting],
                    [expected_seconds(under_way[job]) * (1 - _fraction(status)) for job, status in progress.items()],
                    len(under_way) + len(companions) + len(executor.free()),
                )
                running = [Progress(job.name, status) for job, status in progress.items()]
                done = len(tasks) - len(waiting) - len(under_way)
                watcher.show(Activity(title, running, done, len(tasks), left))
    finally:
        if under_way or companions:
            executor.cancel()


def _fill(
    waiting: list[T],
    under_way: dict[Job, T],
    companions: set[Job],
    start: Callable[[T, str], Job | None],
    company: Callable[[str], Job] | None,
    executor: Executor,
) -> None:
    """Puts a task into every free slot, and company into those that are left over."""
    for device in executor.free():
        while waiting:
            task = waiting.pop(0)
            job = start(task, device)
            if job is not None:
                under_way[job] = task
                executor.submit(job)
                break
        else:
            if company is not None and under_way:
                companion = company(device)
                companions.add(companion)
                executor.submit(companion)


SPENDING = {"training", "evaluation", "pictures", "end"}
"""Phases in which a run spends its budget, or has spent it."""


def _fraction(status: Status | None) -> float:
    return (status.fraction or 0.0) if status is not None and status.phase in SPENDING else 0.0


def _seconds_left(waiting: Sequence[float], running: Sequence[float], slots: int) -> float | None:
    """What is left to spend, over the slots that spend it; never less than the longest task at work."""
    if not slots:
        return None
    return max(max(running, default=0.0), (sum(waiting) + sum(running)) / slots)


def latest_status(out: Path) -> Status | None:
    """The status beside OUT, if the engine has written one that can be read."""
    try:
        return read(status_path(out), Status)
    except BadInput:
        return None


def call(
    name: str, verb: Verb, spec: Value, model: type[V], device: str, threads: int, executor: Executor, watcher: Watcher
) -> V:
    """One engine's answer to one spec; BadInput with the engine's reason when it refuses."""
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        job = new_job(Path(folder), name, verb, spec, device, threads)
        for _, finished in work_through(name, [job], lambda task, _: task, lambda _: 0.0, executor, watcher):
            answer = answer_of(finished, model)
            if isinstance(answer, Refusal):
                raise BadInput(answer.reason)
            return answer
    raise AssertionError("a job ends once")


def new_job(folder: Path, name: str, verb: Verb, spec: Value, device: str, threads: int) -> Job:
    """A job with its spec written into a folder of its own."""
    job = Job(
        name=name,
        verb=verb,
        spec=folder / "spec.json",
        out=folder / "out.json",
        log=folder / "log.txt",
        device=device,
        threads=threads,
    )
    write(job.spec, spec)
    return job


def answer_of(finished: Finished, model: type[V]) -> V | Refusal:
    """What the engine left in OUT: its value, its refusal, or one written here for a process that was killed."""
    try:
        return read(finished.job.out, Refusal)  # first, for it could pass for an outcome that says little
    except BadInput:
        pass
    try:
        return read(finished.job.out, model)
    except BadInput:
        pass
    if finished.stood_still:
        return Refusal(ending="hung", reason=f"{finished.stood_still}, and was killed")
    return Refusal(ending="failed", reason=death_of(finished.exit_code, finished.job.log))


def death_of(exit_code: int, log: Path) -> str:
    """Why a process without an answer is gone."""
    last = (log_tail(log, 1) or "its log is empty").strip()
    if exit_code < 0:
        name = _signal_name(-exit_code)
        return f"killed by {name}; the log ends with: {last}"
    return f"the process ended with code {exit_code} and no answer; the log ends with: {last}"


def _signal_name(number: int) -> str:
    try:
        return f"signal {number} ({signal.Signals(number).name})"
    except ValueError:
        return f"signal {number}"


def log_tail(log: Path, lines: int = 30) -> str | None:
    """The last lines of a log, or None without any."""
    try:
        text = log.read_text(errors="replace").strip()
    except OSError:
        return None
    return "\n".join(text.splitlines()[-lines:]) or None
