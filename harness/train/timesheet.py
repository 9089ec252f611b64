"""The ledger of time: a process's wall time by what it was spent on."""

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

STARTED = 19
"""Of what stands after the name in Linux's /proc/PID/stat, the process's start in ticks since the boot."""


class Timesheet:
    """One entry is open at any moment, so that no moment is left out or counted twice."""

    def __init__(self, entry: str, before: float = 0.0, now: Callable[[], float] = time.perf_counter) -> None:
        self.seconds: dict[str, float] = {entry: before}
        """Wall seconds by entry, of what is over."""
        self.entry = entry
        self._now = now
        self._since = now()

    @classmethod
    def of_process(cls, entry: str) -> "Timesheet":
        """Opens with what this process has lived so far."""
        return cls(entry, before=process_seconds())

    def turn_to(self, entry: str) -> None:
        """Closes the open entry and opens this one."""
        now = self._now()
        self.seconds[self.entry] = self.seconds.get(self.entry, 0.0) + now - self._since
        self.entry, self._since = entry, now

    @contextmanager
    def on(self, entry: str) -> Iterator[None]:
        """Inside, time goes to this entry; afterwards to the one that was open."""
        outer = self.entry
        self.turn_to(entry)
        try:
            yield
        finally:
            self.turn_to(outer)


def process_seconds() -> float:
    """Wall seconds since this process began, by the system's word: another one than the entries'."""
    stat = Path("/proc/self/stat")
    if not stat.exists():
        return time.time() - psutil.Process().create_time()
    # Not psutil on Linux: it reckons from the boot's date, which is known in whole seconds.
    began_ticks = int(stat.read_text().rpartition(")")[2].split()[STARTED])
    return time.clock_gettime(time.CLOCK_BOOTTIME) - began_ticks / os.sysconf("SC_CLK_TCK")
