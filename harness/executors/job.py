"""What an executor carries, and what it brings back."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

from harness.ledger.findings import Refusal
from harness.ledger.spec import Verb


@dataclass(frozen=True)
class Errand:
    """What a node does before a job, unless it has done it: one answer a host."""

    verb: Verb
    spec: Path
    answers: Path
    """The folder of the answers: HOST.json."""


@dataclass(frozen=True)
class Job:
    """One call of the engine's door. The spec stands in its file already."""

    name: str
    verb: Verb
    spec: Path
    out: Path
    log: Path
    device: str
    threads: int
    outlives: bool = False
    """Whether it goes on where it can when its sweep ends before it."""
    errand: Errand | None = None

    def from_anywhere(self) -> "Job":
        """The job with paths that hold in any folder."""
        errand = self.errand
        if errand is not None:
            errand = replace(errand, spec=errand.spec.absolute(), answers=errand.answers.absolute())
        here = {name: getattr(self, name).absolute() for name in ("spec", "out", "log")}
        return replace(self, **here, errand=errand)


@dataclass(frozen=True)
class Finished:
    """A job's process is gone; this is what was seen of it from outside."""

    job: Job
    exit_code: int | None
    """Negative: the signal that ended it. None: nobody saw it end."""
    cpu_seconds: float | None
    wall_seconds: float | None
    refusal: Refusal | None = None
    """Why it ended, where an executor or a sweep knows: it was cancelled, its node was lost, it stood still."""


class Executor(Protocol):
    """A place where jobs run."""

    is_here: bool
    """Whether jobs run on this very machine: what is found of its devices holds for them."""
    width: int
    """How many jobs may be at work at once."""
    scratch: Path | None
    """A folder that this process and its jobs both see; None: any will do."""

    def free(self) -> Sequence[str]:
        """The devices on which a job could start, or wait for its start, now: one entry a slot."""
        ...

    def submit(self, job: Job) -> None:
        """Starts the job on its device, or has it wait for one; at the latest when `poll` is called."""
        ...

    def take_up(self, job: Job) -> bool:
        """Whether the job was submitted by an executor of this kind before, and is waited for from now on."""
        ...

    def running(self) -> Sequence[Job]:
        """The jobs that are at work; those that wait in a queue are not."""
        ...

    def reason(self, job: Job) -> str | None:
        """Why a job that is not at work waits, in its queue's words; None where nothing is known."""
        ...

    def poll(self) -> Sequence[Finished]:
        """The jobs that ended since the last call; waits a moment, not for them."""
        ...

    def end(self, job: Job) -> None:
        """Kills one running job; `poll` brings its end like any other's."""
        ...

    def cancel(self) -> Sequence[Finished]:
        """Ends every job that is left and may not outlive its sweep, and waits until it is gone."""
        ...

    def farewell(self) -> Sequence[str]:
        """Lines for a person: which jobs go on without their sweep, how to find and cancel them; which never began."""
        ...
