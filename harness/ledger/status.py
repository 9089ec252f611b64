"""What a working engine says of itself, about once a second, in OUT.status.json."""

from pathlib import Path
from typing import Literal

from harness.ledger.files import Value

PARENT = "SEGKD_PARENT"
"""Environment variable by which a sweep tells its children whose death they must not survive."""

PREEMPTED = 85
"""Exit code of an engine that was asked to stop and kept what is needed to go on."""

WORK_SECONDS = 2.0
"""More than a heartbeat uses in ten minutes, where threads cannot be told apart."""


UNCOUNTED = {"starting", "data", "reading", "building"}


class Status(Value):
    """How far a process is. Fractions of `total` count iterations, rounds or files, as the phase has them."""

    format: Literal[1] = 1
    pid: int
    phase: str
    done: int
    total: int | None
    spent_seconds: float
    budget_seconds: float | None
    iterations: int = 0
    """Done so far, whatever the phase."""
    working_seconds: float = 0.0
    """CPU time of the thread that does the work."""
    heartbeat: float
    """Seconds since the epoch when this was written."""

    @property
    def progress(self) -> tuple[object, ...]:
        """What changes while a process gets anywhere; the heartbeat alone also beats in one that is stuck.

        In phases that count nothing and run no method's code a few seconds of CPU time are progress. Elsewhere they are
        none: whoever waits for a device, or for ever, may use a core for it.
        """
        if self.phase in UNCOUNTED:
            return self.phase, self.working_seconds // WORK_SECONDS
        return self.phase, self.done, self.iterations, self.spent_seconds

    @property
    def seconds_left(self) -> float | None:
        """Of the phase, at the pace so far: of the budget where it is a time, else by what was done."""
        if self.budget_seconds and self.spent_seconds:
            return max(0.0, self.budget_seconds - self.spent_seconds)
        if self.total and self.done and self.spent_seconds:
            return max(0, self.total - self.done) * self.spent_seconds / self.done
        return None

    @property
    def fraction(self) -> float | None:
        """The share of the phase that is done, where it is known."""
        if self.budget_seconds:
            return min(1.0, self.spent_seconds / self.budget_seconds)
        if self.total:
            return min(1.0, self.done / self.total)
        return None


def status_path(out: Path) -> Path:
    """The status file that stands beside OUT."""
    return out.with_name(out.name + ".status.json")
