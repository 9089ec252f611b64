"""Tasks through an executor, in order, as slots come free."""

import signal
import tempfile
import time
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import TypeVar

from harness.executors.job import Executor, Finished, Job
from harness.ledger.endings import Ending
from harness.ledger.errors import BadInput, without_path
from harness.ledger.files import Value, read, write
from harness.ledger.findings import Refusal
from harness.ledger.spec import Verb
from harness.ledger.status import PREEMPTED, Status, status_path
from harness.sweep.watch import Activity, Progress, Watcher
from harness.sweep.watchdog import Watchdog

T = TypeVar("T")
V = TypeVar("V", bound=Value)

SHOW_SECONDS = 0.5

TAIL_BYTES = 2**16
"""More than the last lines of an honest log."""

MEANINGS = {
    int(signal.SIGKILL): ": by a person, or for want of memory",
    int(signal.SIGBUS): ": a file that it was reading has shrunk, or its disk failed",
}


def work_through(
    title: str,
    tasks: Sequence[T],
    start: Callable[[T, str], Job | None],
    expected_seconds: Callable[[T], float],
    executor: Executor,
    watcher: Watcher,
    company: Callable[[str], Job] | None = None,
    taken: Mapping[Job, T] = MappingProxyType({}),
) -> Generator[tuple[T, Finished], None, None]:
    """Yields each task as its process ends; one that stands still is ended.

    `start` makes a task's job for a device, or None to pass the task over. `company` makes a job for a slot that no
    task is left for, so that the last tasks find the machine as busy as the first did; it is killed after them. `taken`
    are jobs that the executor has taken up, which an earlier sweep had submitted.
    Whatever ends the caller ends the processes too, before the exception leaves, but for jobs that may outlive it.
    """
    waiting = list(tasks)
    under_way = dict(taken)
    companions: set[Job] = set()
    stuck: dict[Job, Refusal] = {}
    watchdog = Watchdog()
    shown = 0.0
    try:
        while waiting or under_way:
            _fill(waiting, under_way, companions, start, company, executor)
            for finished in executor.poll():
                if finished.job in companions:
                    companions.remove(finished.job)
                    watcher.say(f"nothing keeps company any more: {death_of(finished)}")
                    company = None
                else:
                    refusal = stuck.pop(finished.job, finished.refusal)
                    yield under_way.pop(finished.job), replace(finished, refusal=refusal)
            if time.monotonic() - shown > SHOW_SECONDS:
                shown = time.monotonic()
                at_work = [job for job in executor.running() if job in under_way]
                progress = {job: latest_status(job.out) for job in at_work}
                for job, status in progress.items():
                    where = watchdog.stands_still(job, status)
                    if where is None:
                        stuck.pop(job, None)  # it got on after all, or a queue has started it anew
                    elif watchdog.is_to_be_ended(job):
                        stuck[job] = Refusal(ending="hung", reason=f"{where}, and was killed")
                        executor.end(job)
                queued = [job for job in under_way if job not in progress]
                for job in queued:
                    watchdog.forget(job)
                # Of a queue nobody knows how many devices it will give: as many as it gives now.
                slots = len(under_way) + len(companions) + len(executor.free()) if executor.is_here else len(at_work)
                left = _seconds_left(
                    [expected_seconds(task) for task in (*waiting, *(under_way[job] for job in queued))],
                    [expected_seconds(under_way[job]) * (1 - _fraction(status)) for job, status in progress.items()],
                    slots,
                )
                running = [Progress(job.name, status) for job, status in progress.items()]
                total = len(tasks) + len(taken)
                done = total - len(waiting) - len(under_way)
                reasons = [executor.reason(job) or "" for job in queued]
                watcher.show(Activity(title, running, done, total, left, reasons))
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


@contextmanager
def mendable(where: Path | str) -> Iterator[None]:
    """Inside, a disk that is full, or one that fails, is one line for a person."""
    try:
        yield
    except OSError as error:
        mend = "nothing that has ended is lost, and the same command goes on when this is mended"
        raise BadInput(f"{where}: {error.strerror or error}: {mend}") from error


@contextmanager
def room(executor: Executor) -> Iterator[Path]:
    """A folder for jobs of which the answers alone are wanted. One that is late may still write there at the end."""
    with (
        mendable(executor.scratch or "the folder for temporary files (TMPDIR)"),
        tempfile.TemporaryDirectory(prefix="bench-", dir=executor.scratch, ignore_cleanup_errors=True) as folder,
    ):
        yield Path(folder)


def call(
    name: str, verb: Verb, spec: Value, model: type[V], device: str, threads: int, executor: Executor, watcher: Watcher
) -> V:
    """One engine's answer to one spec; BadInput with the engine's reason when it refuses."""
    with room(executor) as folder:
        job = new_job(folder, name, verb, spec, device, threads)
        for _, finished in work_through(name, [job], lambda task, _: task, lambda _: 0.0, executor, watcher):
            answer = answer_of(finished, model)
            if isinstance(answer, Refusal):
                raise BadInput(answer.reason)
            return answer
    raise AssertionError("a job ends once")


def new_job(folder: Path, name: str, verb: Verb, spec: Value, device: str, threads: int) -> Job:
    """A job with its spec written into a folder of its own."""
    job = job_in(folder, name, verb, device, threads)
    write(job.spec, spec)
    return job


def job_in(folder: Path, name: str, verb: Verb, device: str, threads: int) -> Job:
    """A job whose spec stands in its folder already."""
    return Job(
        name=name,
        verb=verb,
        spec=folder / "spec.json",
        out=folder / "out.json",
        log=folder / "log.txt",
        device=device,
        threads=threads,
    )


def answer_of(finished: Finished, model: type[V]) -> V | Refusal:
    """What the engine left in OUT: its value, its refusal, or one written here for a process that was killed."""
    try:
        return read(finished.job.out, Refusal)  # first, for it could pass for an outcome that says little
    except BadInput:
        pass
    try:
        return read(finished.job.out, model)
    except BadInput as error:
        what_is_wrong = without_path(finished.job.out, error) if finished.job.out.exists() else None
    return finished.refusal or Refusal(ending=_ending_of(finished), reason=death_of(finished, what_is_wrong))


def _ending_of(finished: Finished) -> Ending:
    """Of a process without an answer: one that was asked to stop had nothing yet that was worth one."""
    asked = {PREEMPTED, -signal.SIGTERM, -signal.SIGUSR2}  # the last two: before it could hear of it
    return "interrupted" if finished.exit_code in asked else "failed"


def death_of(finished: Finished, what_is_wrong: str | None = None) -> str:
    """Why a process is gone without an answer, or with one in which something is wrong."""
    last = (log_tail(finished.job.log, 1) or "its log is empty").strip()
    exit_code = finished.exit_code
    if exit_code is None:
        return f"nobody saw how the process ended; the log ends with: {last}"
    if exit_code < 0:
        return f"killed by {_signal_name(-exit_code)}; the log ends with: {last}"
    answer = f"an answer that is none ({what_is_wrong})" if what_is_wrong else "no answer"
    return f"the process ended with code {exit_code} and {answer}; the log ends with: {last}"


def _signal_name(number: int) -> str:
    try:
        return f"signal {number} ({signal.Signals(number).name}{MEANINGS.get(number, '')})"
    except ValueError:
        return f"signal {number}"


def log_tail(log: Path, lines: int = 30) -> str | None:
    """The last lines of a log, or None without any."""
    try:
        with log.open("rb") as file:
            file.seek(max(0, log.stat().st_size - TAIL_BYTES))
            text = file.read(TAIL_BYTES).decode(errors="replace").strip()
    except OSError:
        return None
    return "\n".join(text.splitlines()[-lines:]) or None
