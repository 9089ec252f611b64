"""What an executor carries, and what it brings back."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from harness.ledger.spec import Verb


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


@dataclass(frozen=True)
class Finished:
    """A job's process is gone; this is what was seen of it from outside."""

    job: Job
    exit_code: int
    """Negative: the signal that ended it."""
    cpu_seconds: float
    wall_seconds: float
    stood_still: str | None = None
    """Where it was when its sweep ended it, because it had stood still for too long."""


class Executor(Protocol):
    """A place where jobs run."""

    def free(self) -> Sequence[str]:
        """The devices on which a job could start now, one entry a slot."""
        ...

    def submit(self, job: Job) -> None:
        """Starts the job on its device."""
        ...

    def running(self) -> Sequence[Job]:
        """The jobs that are under way."""
        ...

    def poll(self) -> Sequence[Finished]:
        """The jobs that ended since the last call; waits a moment, not for them."""
        ...

    def end(self, job: Job) -> None:
        """Kills one running job; `poll` brings its end like any other's."""
        ...

    def cancel(self) -> Sequence[Finished]:
        """Ends every running job and waits until it is gone."""
        ...
