"""A cluster: jobs wait in Slurm's queue, which starts them on its nodes. submitit only hands them over."""

import io
import os
import re
import shutil
import signal
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stderr, suppress
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

from submitit import SlurmExecutor
from submitit.core.utils import FailedJobError, FailedSubmissionError

from harness.executors import squeue
from harness.executors.carry import carry
from harness.executors.engine import DOOR, Door
from harness.executors.job import Finished, Job
from harness.executors.sbatch import LARGEST_ARRAY, SlurmOptions, alone
from harness.executors.squeue import Entry, Question, on_one_line
from harness.ledger import claims
from harness.ledger.errors import BadInput
from harness.ledger.files import read, write
from harness.ledger.findings import Refusal
from harness.ledger.ticket import SeenEnding, Ticket, ending_path, ticket_path

POLL_SECONDS = 0.1
LOG_BYTES = 2**14
"""Of Slurm's own log of a job, whose last line is told."""
ENDING_SECONDS = 1.0
"""Between two looks at a job's files: the file system is shared with those who compute."""
MOST_PATIENCE = 6.0
CANCEL_SECONDS = 90.0
"""Longest wait for cancelled jobs to be gone: Slurm kills after KillWait, by default 30 s."""
HELD_BACK = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
"""What asks a sweep to stop, and may not do so between Slurm's yes and the tickets."""
TOO_MANY = re.compile("array|limit|policy", re.IGNORECASE)
"""In sbatch's words where fewer jobs might be taken: MaxArraySize, MaxSubmitJobs, a QOS."""


@dataclass
class _Held:
    """A job that Slurm has."""

    ticket: Ticket
    since: float
    """When this process learnt of it: the queue says nothing of it that is older."""
    missed: float | None = None
    """Since when it is over or unknown there, without its node's word on how it ended."""
    has_worked: bool = False
    """Whether it was seen out of the queue; one that is back there may be over all the same."""


class Slurm:
    """Hands jobs to Slurm, an array a batch, and learns of their ends from files and the queue.

    A node's word beside OUT comes first. Slurm's counts where there is none: accounts are kept by few small clusters,
    so that the queue is asked, which knows a job for some minutes after its end.
    """

    is_here = False

    def __init__(
        self,
        options: SlurmOptions,
        folder: Path,
        device: str = "cuda:0",
        door: Door = DOOR,
        *,
        look_seconds: float = 5.0,
        gone_seconds: float = 10.0,
        again_seconds: float = 60.0,
    ) -> None:
        """`folder` is seen by this machine and by the nodes; `device` is what a job calls the one that it is given.

        The queue is asked every `look_seconds`, and down to a sixth as often while nothing changes there. A job that is
        over is waited for `gone_seconds` more: what its node wrote may be late on a shared file system. What sbatch
        refuses is tried again every `again_seconds`.
        """
        folder.mkdir(parents=True, exist_ok=True)
        self.scratch: Path | None = folder
        self.width = options.limit
        self._folder, self._options, self._device, self._door = folder, options, device, door
        self._look_seconds, self._gone_seconds, self._again_seconds = look_seconds, gone_seconds, again_seconds
        self._unsent: list[Job] = []
        self._largest, self._has_sent = LARGEST_ARRAY, False
        self._refused: str | None = None
        self._again = -float("inf")
        self._held: dict[Job, _Held] = {}
        self._left: dict[Job, Ticket] = {}
        self._given_up = 0
        self._complaint: str | None = None
        self._entries: Mapping[str, Entry] = {}
        self._question: Question | None = None
        self._asked = self._answered = self._read = -float("inf")
        self._patience = 1.0

    def free(self) -> Sequence[str]:
        """As many as Slurm takes in one array, where they wait; none while sbatch refuses those that there are."""
        if self._refused is not None:
            return ()
        return (self._device,) * max(0, LARGEST_ARRAY - len(self._held) - len(self._unsent))

    def submit(self, job: Job) -> None:
        """Keeps the job until `poll` hands over what came together."""
        for stale in (ending_path(job.out), ticket_path(job.out)):
            stale.unlink(missing_ok=True)
        self._unsent.append(job)

    def take_up(self, job: Job) -> bool:
        """Whether a ticket of Slurm's lies beside OUT; the job is waited for from now on."""
        try:
            ticket = read(ticket_path(job.out), Ticket)
        except BadInput:
            return False
        self._left.pop(job, None)
        self._held[job] = _Held(ticket, time.monotonic())
        return True

    def running(self) -> Sequence[Job]:
        """The jobs that are at work, as the queue said when it was last asked."""
        return [job for job, held in self._held.items() if (entry := self._entry(held)) and entry.state == "RUNNING"]

    def reason(self, job: Job) -> str | None:
        """Why the job does not work, as Slurm says: `PENDING (Resources)`; None where it does or nothing is known."""
        held = self._held.get(job)
        if held is None:
            return f"sbatch says: {self._refused}" if self._refused is not None and job in self._unsent else None
        entry = self._entry(held)
        if entry is not None and entry.state == "RUNNING":
            return None
        if self._complaint is not None:
            return f"squeue does not answer: {self._complaint}"
        return entry.told.removeprefix("Slurm: ") if entry else None

    def poll(self) -> Sequence[Finished]:
        """Hands over what was submitted, and collects the jobs that ended."""
        lost = self._send()
        time.sleep(POLL_SECONDS)
        now = time.monotonic()
        if not self._look() and now - self._read < min(ENDING_SECONDS, self._look_seconds):
            return lost
        self._read = now
        finished = [end for job, held in self._held.items() if (end := self._end_of(job, held))]
        for end in finished:
            del self._held[end.job]
        return lost + finished

    def end(self, job: Job) -> None:
        """Has Slurm cancel the job: it is told to stop, and killed where it does not."""
        if job in self._held:
            squeue.take_out([self._held[job].ticket.id])
            self._asked = -float("inf")

    def cancel(self) -> Sequence[Finished]:
        """Cancels the jobs that may not outlive their sweep and waits until they are gone; forgets the others."""
        self._given_up += sum(job.outlives for job in self._unsent)
        self._unsent.clear()
        self._refused = None
        self._left |= {job: held.ticket for job, held in self._held.items() if job.outlives}
        self._held = {job: held for job, held in self._held.items() if not job.outlives}
        if self._held:
            squeue.take_out(held.ticket.id for held in self._held.values())
        finished: list[Finished] = []
        deadline = time.monotonic() + CANCEL_SECONDS
        while self._held and time.monotonic() < deadline:
            finished += self.poll()
        late = Refusal(ending="interrupted", reason="Slurm was asked to cancel it, and has not said that it did")
        finished += [Finished(job, None, None, None, late) for job in self._held]
        self._held.clear()
        return finished

    def farewell(self) -> Sequence[str]:
        """How many jobs stay in Slurm, the commands that find and cancel them, and how many Slurm never had."""
        lines = []
        stay = [*self._left.values(), *(held.ticket for job, held in self._held.items() if job.outlives)]
        if stay:
            ids = list(dict.fromkeys(ticket.id.split("_")[0] for ticket in stay))
            are = f"{len(stay)} runs stay" if len(stay) > 1 else "1 run stays"
            lines = [f"{are} in Slurm: squeue --job {','.join(ids)}", f"to cancel: scancel {' '.join(ids)}"]
        if self._given_up:
            are = f"{self._given_up} runs are" if self._given_up > 1 else "1 run is"
            lines.append(f"{are} not in Slurm: sbatch had not taken them yet, and the same command submits them")
        return tuple(lines)

    def _send(self) -> list[Finished]:
        """Every job that sbatch takes is in the queue, its ticket beside OUT; the others are tried again later.

        BadInput where it refuses and has taken none before: then it is the wish that is wrong. OSError where tickets
        cannot be written. What is returned another sweep has taken over: this one was not heard of for a minute.
        """
        lost: list[Finished] = []
        now = time.monotonic()
        while self._unsent and now >= self._again:
            jobs = self._unsent[: self._largest]
            if gone := {job for job in jobs if job.outlives and not claims.is_mine(job.out.parent)}:
                lost += [Finished(job, None, None, None) for job in jobs if job in gone]
                self._unsent = [job for job in self._unsent if job not in gone]
                self._refused = self._refused if self._unsent else None
                continue
            with _undisturbed():
                refused = self._hand_over(jobs)
            if refused is not None:
                self._refuse(refused, len(jobs))
                continue
            self._refused, self._has_sent = None, True
            self._largest = min(2 * self._largest, LARGEST_ARRAY)
        return lost

    def _hand_over(self, jobs: Sequence[Job]) -> str | None:
        """The jobs are one array in the queue; else why sbatch did not take them. OSError as `_send` has it."""
        # A folder a batch: Slurm that was set up anew counts from 1 again, and submitit names its files by the count.
        batch = f"bench-{uuid4().hex[:12]}"
        seen = [job.from_anywhere() for job in jobs]
        said = io.StringIO()  # submitit prints sbatch's words and raises them too
        try:
            with alone(self._options), redirect_stderr(said):
                handed = self._submitter(batch, len(jobs)).map_array(carry, seen, [tuple(self._door)] * len(seen))
        except (FailedJobError, FailedSubmissionError, OSError, RuntimeError) as error:
            if isinstance(error, OSError):
                squeue.take_out_named(batch)  # submitit writes files after sbatch's yes too
            shutil.rmtree(self._folder / batch, ignore_errors=True)
            return on_one_line(str(error))
        except BaseException:
            shutil.rmtree(self._folder / batch, ignore_errors=True)
            raise
        self._keep(jobs, [Ticket(queue="slurm", id=one.job_id, batch=batch) for one in handed])
        return None

    def _keep(self, jobs: Sequence[Job], tickets: Sequence[Ticket]) -> None:
        """Every ticket lies beside its OUT; OSError where one cannot, and then nothing is in the queue."""
        try:
            for job, ticket in zip(jobs, tickets, strict=True):
                write(ticket_path(job.out), ticket)
        except BaseException:
            squeue.take_out(dict.fromkeys(ticket.id.split("_")[0] for ticket in tickets))
            # A task that scancel does not reach finds nothing there that it could do.
            shutil.rmtree(self._folder / tickets[0].batch, ignore_errors=True)
            for job in jobs:
                with suppress(OSError):
                    ticket_path(job.out).unlink(missing_ok=True)
            raise
        now = time.monotonic()
        self._held |= {job: _Held(ticket, now) for job, ticket in zip(jobs, tickets, strict=True)}
        self._unsent = [job for job in self._unsent if job not in self._held]
        self._asked = -float("inf")

    def _refuse(self, words: str, count: int) -> None:
        """The jobs wait for a better moment, and fewer are tried then: at once, where nothing else is there to end."""
        self._refused = words
        if TOO_MANY.search(words) and count > 1:
            self._largest = count // 2
            if not self._held:
                return
        if not self._held and not self._has_sent:
            self._unsent.clear()
            self._refused = None
            raise BadInput(f"--slurm: sbatch says: {words}")
        self._again = time.monotonic() + self._again_seconds

    def _submitter(self, batch: str, count: int) -> SlurmExecutor:
        submitter = SlurmExecutor(self._folder / batch)
        given = dict(self._options.sbatch)
        # One process a job, whatever was asked for and however Slurm counts tasks from it.
        step = ["--nodes=1", "--ntasks=1"]
        if cores := given.get("cpus-per-task"):
            step.append(f"--cpus-per-task={cores}")  # which a step does not inherit since 22.05
        submitter.update_parameters(
            time=None,  # sbatch's own default, where none is given
            wckey=None,
            job_name=batch,
            signal_delay_s=self._options.grace,
            array_parallelism=min(count, self._options.limit),
            stderr_to_stdout=True,
            setup=["export PYTHONSAFEPATH=1"],  # submitit starts Python without -P
            srun_args=step,
            additional_parameters={"requeue": True, **given} if "no-requeue" not in given else given,
        )
        return submitter

    def _look(self) -> bool:
        """Whether Slurm has answered since the last call; it is asked again when it is time to."""
        question, answered = self._question, False
        if question is not None and question.over:
            self._question, self._complaint = None, question.complaint
            if question.entries is not None:
                # Those who run the queue ask to be asked seldom: ever more seldom while nothing changes.
                is_news = question.entries != self._entries
                self._patience = 1.0 if is_news else min(MOST_PATIENCE, 2 * self._patience)
                self._entries, self._answered, answered = question.entries, question.asked, True
        patience = self._patience * self._look_seconds
        if self._question is None and self._held and time.monotonic() - self._asked >= patience:
            self._asked = time.monotonic()
            self._question = Question({held.ticket.id: held.ticket.batch for held in self._held.values()})
        return answered

    def _entry(self, held: _Held) -> Entry | None:
        """What the queue last said of the job; None where it knows none of that id, or another batch's."""
        entry = self._entries.get(held.ticket.id)
        return entry if entry is not None and entry.name == held.ticket.batch else None

    def _end_of(self, job: Job, held: _Held) -> Finished | None:
        """The job's end, if it has come."""
        entry = self._entry(held)
        if entry is not None and entry.state == "PENDING":
            held.missed = None
            if not held.has_worked or (ending := _ending(job)) is None:
                return None
            squeue.take_out([held.ticket.id])  # its node was lost when the job was over: Slurm would start it again
            return self._seen(job, held, ending, entry)
        held.has_worked |= entry is not None
        ending = _ending(job)
        settled = self._answered > held.since and (entry is None or entry.over)
        # Whether a process was killed for want of memory Slurm says only when the whole job is over.
        if ending is not None and (settled or ending.exit_code != -signal.SIGKILL):
            return self._seen(job, held, ending, entry)
        if ending is None and not settled:
            held.missed = None
            return None
        held.missed = held.missed or time.monotonic()
        if time.monotonic() - held.missed < self._gone_seconds:
            return None
        return self._seen(job, held, ending, entry)

    def _seen(self, job: Job, held: _Held, ending: SeenEnding | None, entry: Entry | None) -> Finished:
        """What the node saw of the end, or Slurm where the node did not."""
        if ending is None:
            return Finished(job, None, None, None, self._refusal(held, entry))
        refusal = self._refusal(held, entry) if entry is not None and entry.state == "OUT_OF_MEMORY" else None
        return Finished(job, ending.exit_code, ending.cpu_seconds, ending.wall_seconds, refusal)

    def _refusal(self, held: _Held, entry: Entry | None) -> Refusal:
        """Slurm's word on a job whose node left none."""
        if entry is None:
            return Refusal(ending="interrupted", reason=f"Slurm no longer knows job {held.ticket.id}")
        said = _last_line(self._folder / held.ticket.batch / f"{held.ticket.id}_0_log.out")
        more = f"; its output ends with: {said}" if said and entry.state == "FAILED" else ""
        return Refusal(ending=squeue.OVER[entry.state], reason=entry.told + more)


def _ending(job: Job) -> SeenEnding | None:
    """The node's word on the job's end, if it can be read yet."""
    try:
        os.listdir(job.out.parent)  # a file system over a network remembers for a while that a file was not there
        return read(ending_path(job.out), SeenEnding)
    except (OSError, BadInput):
        return None


@contextmanager
def _undisturbed() -> Iterator[None]:
    """What asks this process to stop does so afterwards: a job in the queue without its ticket is nobody's."""
    if threading.current_thread() is not threading.main_thread():
        yield  # Python hears signals in its main thread alone
        return
    came: list[int] = []
    handlers = {number: handler for number in HELD_BACK if (handler := signal.getsignal(number)) is not None}
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, ())
    try:
        for number in handlers:  # which another thread may be given
            signal.signal(number, lambda number, _: came.append(number))
        signal.pthread_sigmask(signal.SIG_BLOCK, handlers)  # sbatch inherits it: Ctrl-C at a terminal reaches it too
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        for number, handler in handlers.items():
            signal.signal(number, handler)
        for late in came[:1]:
            signal.raise_signal(late)


def _last_line(log: Path) -> str | None:
    try:
        with log.open("rb") as file:
            file.seek(max(0, log.stat().st_size - LOG_BYTES))
            lines = file.read(LOG_BYTES).decode(errors="replace").strip().splitlines()
    except OSError:
        return None
    return lines[-1].strip() if lines else None
