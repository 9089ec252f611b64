"""What a sweep tells whoever watches it. The terminal is one watcher, a test's list another."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from harness.ledger.status import Status


@dataclass(frozen=True)
class Progress:
    """One thing that runs, with what its engine last said."""

    name: str
    status: Status | None


@dataclass(frozen=True)
class Activity:
    """Where a sweep stands."""

    title: str
    running: Sequence[Progress]
    done: int
    total: int
    seconds_left: float | None
    """Estimated; null while nothing is known."""
    queued: Sequence[str] = ()
    """Of each job that a queue has not started why, in its words; empty where it does not say."""


class Watcher(Protocol):
    """Two ways to be told."""

    def say(self, line: str) -> None:
        """A line that stays."""
        ...

    def show(self, activity: Activity) -> None:
        """The present state, which the next one replaces."""
        ...
