"""Who stands still: progress, not life, is what a job has to show."""

import time
from collections.abc import Callable

from harness.executors.job import Job
from harness.ledger.rules import HUNG_SECONDS
from harness.ledger.status import Status

AGAIN_SECONDS = 60.0
"""Between two attempts at ending a job: a queue that is busy may not have heard of the first."""


class Watchdog:
    """Knows for each job what it last showed, and since when. Times are this process's own: hosts' clocks differ."""

    def __init__(self, patience: float = HUNG_SECONDS, now: Callable[[], float] = time.monotonic) -> None:
        self._patience = patience
        self._now = now
        self._seen: dict[Job, tuple[tuple[object, ...] | None, float]] = {}
        self._asked: dict[Job, float] = {}

    def forget(self, job: Job) -> None:
        """A job that is back in a queue has all its time again when it starts."""
        self._seen.pop(job, None)

    def stands_still(self, job: Job, status: Status | None) -> str | None:
        """Where a job stands that has shown nothing new for too long, in words; None for all others."""
        progress = status.progress if status is not None else None
        now = self._now()
        before, since = self._seen.get(job, (None, now))
        if job not in self._seen or progress != before:
            self._seen[job] = (progress, now)
            return None
        if now - since < self._patience:
            return None
        where = f"in phase {status.phase!r} at {status.done}" if status is not None else "before its first word"
        return f"stood still for {now - since:.0f} s {where}"

    def is_to_be_ended(self, job: Job) -> bool:
        """Whether to ask now for the end of a job that stands still: at once, and again while it goes on to."""
        now = self._now()
        if job in self._asked and now - self._asked[job] < AGAIN_SECONDS:
            return False
        self._asked[job] = now
        return True
