"""The node's side of Slurm: carries one job to its end there, or back into the queue."""

import datetime
import os
import re
import shutil
import signal
import time
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from types import FrameType

from filelock import FileLock, Timeout

from harness.executors import squeue
from harness.executors.engine import Door, Ended, Engine
from harness.executors.job import Errand, Job
from harness.ledger.device import this_host
from harness.ledger.errors import BadInput
from harness.ledger.files import read, write
from harness.ledger.spec import Verb
from harness.ledger.status import PREEMPTED, Status, status_path
from harness.ledger.ticket import SeenEnding, ending_path

MOST_STARTS = 4
"""A job that is stopped at its fourth start or a later one, and did not get on in it, is not started again."""

KEPT: frozenset[Verb] = frozenset({"run", "teacher"})
"""The verbs that go on from a checkpoint."""

ERRAND_SECONDS = 300.0
"""For how long a job does its host's errand, or waits while another does: far below HUNG_SECONDS.

A job shows no progress of its own meanwhile.
"""

PARTING_SECONDS = 20.0
"""For how long an errand that is told to stop may take to."""

LOOK_SECONDS = 0.1
"""Between two looks at whether an errand is over."""

LOCK_SECONDS = 0.5
"""Between two looks at whether a job that waits is to stop."""


class Stopping:
    """Hands Slurm's wish that the job stop on to the engine, whichever is at work."""

    def __init__(self) -> None:
        self.asked = False
        self._engine: Engine | None = None
        for number in (signal.SIGTERM, signal.SIGUSR2):
            signal.signal(number, self._hand_on)
        signal.signal(signal.SIGCONT, signal.SIG_DFL)  # comes with each SIGTERM, and says nothing more

    def _hand_on(self, number: int, frame: FrameType | None) -> None:
        self.asked = True
        if self._engine is not None:
            self._engine.tell(number)

    def run(self, door: Door, job: Job, until: float | None = None) -> Ended:
        """An engine from its start to its end; none is started for a job that is to stop.

        One that is still at work `until` then, by the monotonic clock, is ended.
        """
        if self.asked:
            return Ended(PREEMPTED, 0.0, 0.0)
        self._engine = engine = Engine(door, job)
        if self.asked:  # while the engine was being started
            engine.tell(signal.SIGTERM)
        ended = engine.wait() if until is None else end_by(until, engine)
        assert ended is not None
        self._engine = None
        # Before it could hear of it, an engine is ended by the signal itself: it has nothing to keep.
        if self.asked and ended.exit_code in {-signal.SIGTERM, -signal.SIGUSR2}:
            return replace(ended, exit_code=PREEMPTED)
        return ended


def end_by(until: float, engine: Engine) -> Ended:
    """The end of an engine that is told to stop when its time is over, and killed where it does not."""
    if ended := _seen_by(until, engine):
        return ended
    engine.tell(signal.SIGTERM)
    if ended := _seen_by(until + PARTING_SECONDS, engine):
        return ended
    engine.kill()
    ended = engine.wait()
    assert ended is not None
    return ended


def _seen_by(deadline: float, engine: Engine) -> Ended | None:
    while (ended := engine.wait(os.WNOHANG)) is None and time.monotonic() < deadline:
        time.sleep(LOOK_SECONDS)
    return ended


def carry(job: Job, door: Door) -> None:
    """Afterwards the job's ending stands beside OUT, or Slurm has the job still, and will start it again or end it."""
    stopping = Stopping()  # first of all: submitit's own handlers ignore one signal and raise at the other
    if ending_path(job.out).exists():
        return  # Slurm starts a job again when it lost a node, whatever the job had come to
    _note(job.log, _where())
    if job.errand is not None:
        try:
            _run_errand(job, job.errand, door, stopping)
        except (OSError, NotImplementedError) as error:  # the second: a file system without locks
            _note(job.log, f"{job.errand.verb} has no answer ({error}): the job goes on without")
    before = _reached(job.out)
    ended = stopping.run(door, job)
    gets_on = job.verb in KEPT and _reached(job.out) > before
    if ended.exit_code == PREEMPTED and _is_left_to_slurm(job.log, gets_on=gets_on):
        return
    seen = SeenEnding(
        exit_code=ended.exit_code,
        cpu_seconds=ended.cpu_seconds,
        wall_seconds=ended.wall_seconds,
        host=this_host(),
    )
    _note(job.log, f"ended with code {ended.exit_code}")
    write(ending_path(job.out), seen)  # last of all: who reads it may remove the folder


def _run_errand(job: Job, errand: Errand, door: Door, stopping: Stopping) -> None:
    """The errand's answer for this host stands in its folder, unless it failed, which stops nothing."""
    answer = errand.answers / f"{this_host()}.json"
    if answer.exists():
        return
    errand.answers.mkdir(parents=True, exist_ok=True)
    lock = FileLock(errand.answers / f".{answer.stem}.lock")
    until = time.monotonic() + ERRAND_SECONDS
    if not _is_its_turn(lock, stopping, until):
        if not stopping.asked:
            _note(job.log, f"another job still does {errand.verb} for this host: the job goes on without")
        return
    try:
        if not answer.exists():  # the job that was waited for may have brought it
            _do_errand(job, errand, door, stopping, answer, until)
    finally:
        lock.release()


def _is_its_turn(lock: FileLock, stopping: Stopping, until: float) -> bool:
    """Whether the lock is held now: not by a job that is to stop, nor by one that has waited for long."""
    while not stopping.asked and time.monotonic() < until:
        with suppress(Timeout):
            lock.acquire(timeout=LOCK_SECONDS)
            return True
    return False


def _do_errand(job: Job, errand: Errand, door: Door, stopping: Stopping, answer: Path, until: float) -> None:
    """The same, by the only job that does it on this host."""
    for left in errand.answers.glob(".*"):  # by a job that was killed
        if re.fullmatch(rf"\.{re.escape(answer.stem)}\.[0-9]+", left.name) and left.is_dir():
            shutil.rmtree(left, ignore_errors=True)
    folder = errand.answers / f".{answer.stem}.{os.environ.get('SLURM_JOB_ID', os.getpid())}"
    folder.mkdir()
    work = replace(job, verb=errand.verb, spec=errand.spec, out=folder / "out.json", errand=None)
    _note(job.log, f"before the job, once for this host: {errand.verb}")
    ended = stopping.run(door, work, until)
    if ended.exit_code == 0 and work.out.exists():
        os.replace(work.out, answer)
    elif not stopping.asked:
        late = f" after {ERRAND_SECONDS:g} s" if time.monotonic() >= until else ""
        how = f"ended{late} with code {ended.exit_code} and no answer"
        _note(job.log, f"{errand.verb} {how}: the job goes on without")
    shutil.rmtree(folder, ignore_errors=True)


def _reached(out: Path) -> tuple[int, int]:
    """Iterations and updates of the preparation, as the process said last that had this OUT."""
    try:
        status = read(status_path(out), Status)
    except BadInput:
        return 0, 0
    return status.iterations, status.done if status.phase == "preparation" else 0


def _is_left_to_slurm(log: Path, *, gets_on: bool) -> bool:
    """Whether Slurm starts the job again, or is about to end it, and then says itself how."""
    number = _number()
    state = re.search(r"\bJobState=(\w+)", squeue.ask("scontrol", "show", "job", "-o", number) or "")
    if state is not None and state[1] != "RUNNING":
        # A job that was cancelled, whose time is over or that is preempted without grace is COMPLETING here. To
        # requeue it would succeed, and bring a cancelled job back to life (seen with 22.05).
        _note(log, f"stopped; Slurm says that job {number} is {state[1]}")
        return True
    if not gets_on and _starts() >= MOST_STARTS:
        # A start-up that is longer than the time limit would else go on for ever.
        _note(log, f"stopped {_starts()} times, at last without getting on: it needs a longer time limit")
        return False
    if squeue.ask("scontrol", "requeue", number) is None:
        _note(log, f"stopped, and Slurm did not take job {number} back into its queue")
        return False
    _note(log, f"stopped; job {number} is back in Slurm's queue")
    return True


def _number() -> str:
    """The job as Slurm's commands take it; a task of an array by its index.

    Each has a number of its own too, but the last one's is the array's: by that all would be requeued (seen with
    22.05).
    """
    array, task = (os.environ.get(f"SLURM_ARRAY_{part}") for part in ("JOB_ID", "TASK_ID"))
    return f"{array}_{task}" if array and task else os.environ["SLURM_JOB_ID"]


def _starts() -> int:
    """How often Slurm has started this job, this time counted."""
    return int(os.environ.get("SLURM_RESTART_COUNT", "0")) + 1


def _where() -> str:
    """On which host and device this is which start of which job."""
    cards = os.environ.get("CUDA_VISIBLE_DEVICES", "none")
    return f"Slurm job {_number()}, start {_starts()}, on {this_host()}, GPUs {cards}"


def _note(log: Path, line: str) -> None:
    """A dated line in the job's log; where it cannot be written the job does without."""
    with suppress(OSError), log.open("a", encoding="utf-8") as file:
        file.write(f"{datetime.datetime.now().isoformat(timespec='seconds')} {line}\n")
