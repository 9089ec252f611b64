"""A thread that says how far the process is, and ends it when the sweep that started it is gone."""

import datetime
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path

from harness.ledger.files import write
from harness.ledger.status import PARENT, Status, status_path
from harness.train.timesheet import Timesheet

ORPHANED = 86
"""Exit code of a process whose sweep died."""


class Heartbeat:
    """Writes OUT.status.json about once a second. The working thread only sets plain attributes, never waits."""

    def __init__(self, out: Path, *, period: float = 1.0) -> None:
        self.out = out
        self.period = period
        self.phase = "starting"
        self.done: Callable[[], int] = int
        self.total: int | None = None
        self.budget_seconds: float | None = None
        self.spent: Callable[[], float] = lambda: 0.0
        self.iterations: Callable[[], int] = int
        self.sample: Callable[[], None] = lambda: None
        """Called at every beat: the device's meters are looked at here."""
        self.timesheet = Timesheet.of_process(self.phase)
        self._working = cpu_time_of(threading.main_thread())
        self._parent = int(os.environ[PARENT]) if PARENT in os.environ else None
        self._thread = threading.Thread(target=self._beat, name="heartbeat", daemon=True)

    def start(self) -> "Heartbeat":
        """The first status is on the disk when this returns."""
        self.write()
        self._thread.start()
        return self

    def enter(self, phase: str, total: int | None = None, done: Callable[[], int] = int) -> None:
        """A new phase begins; `done` counts what is done of it, where nobody will `tell`."""
        self.timesheet.turn_to(phase)
        self.phase, self.done, self.total = phase, done, total
        self.log(phase)

    def tell(self, done: int) -> None:
        """So much is done of the phase."""
        self.done = lambda: done

    def log(self, line: str) -> None:
        """A dated line for whoever reads the log of a process that did not end well."""
        print(f"{datetime.datetime.now().isoformat(timespec='seconds')} {line}", flush=True)

    def write(self) -> None:
        """Replaces the status file."""
        status = Status(
            pid=os.getpid(),
            phase=self.phase,
            done=self.done(),
            total=self.total,
            spent_seconds=self.spent(),
            budget_seconds=self.budget_seconds,
            iterations=self.iterations(),
            working_seconds=self._working(),
            heartbeat=time.time(),
        )
        write(status_path(self.out), status)

    def _beat(self) -> None:
        while True:
            time.sleep(self.period)
            if self._parent is not None and os.getppid() != self._parent:
                os._exit(ORPHANED)
            try:
                self.sample()
                self.write()
            except Exception:  # a full disk, or a clock at its stop: the status grows old, the watch goes on
                continue


def cpu_time_of(thread: threading.Thread) -> Callable[[], float]:
    """Reads a thread's CPU seconds; the whole process's where the system does not tell threads apart."""
    if not hasattr(time, "pthread_getcpuclockid") or thread.ident is None:
        return time.process_time
    clock = time.pthread_getcpuclockid(thread.ident)
    return lambda: time.clock_gettime(clock)
