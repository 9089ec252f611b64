"""A thread that says how far the process is, and ends it when its sweep is gone or when it was asked to stop."""

import datetime
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path

from harness.ledger.files import Value, write
from harness.ledger.findings import Refusal
from harness.ledger.status import PARENT, Status, status_path
from harness.train.stop import Stop
from harness.train.timesheet import Timesheet

ORPHANED = 86
"""Exit code of a process whose sweep died."""


class Heartbeat:
    """Writes OUT.status.json about once a second. The working thread only sets plain attributes, never waits."""

    def __init__(self, out: Path, stop: Stop | None = None, *, period: float = 1.0) -> None:
        self.out = out
        self.stop = stop or Stop()
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
        self._left = _written(out)
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

    def answer(self, value: Value) -> None:
        """The process's last word stands in OUT: nobody writes over it any more."""
        self.stop.mind()
        write(self.out, value)

    def _beat(self) -> None:
        while True:
            self.stop.wait(self.period)
            if self._parent is not None and os.getppid() != self._parent:
                os._exit(ORPHANED)
            if self.stop.asked is not None and self.phase != "end" and _written(self.out) == self._left:
                self.stop.end(self._last_words)
            try:
                self.sample()
                self.write()
            except Exception:  # a full disk, or a clock at its stop: the status grows old, the watch goes on
                continue

    def _last_words(self, asked: str) -> None:
        """For a process that is ended where it has nothing to keep but what a checkpoint holds already."""
        reason = f"{asked}: ended in the phase {self.phase!r}"
        if self._left is None:  # what an earlier start left is an answer, and stands
            write(self.out, Refusal(ending="interrupted", reason=reason))
        self.write()
        self.log(reason)


def _written(path: Path) -> tuple[int, int] | None:
    """Which file has this name; None where none has. Whoever replaces it makes another."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns


def cpu_time_of(thread: threading.Thread) -> Callable[[], float]:
    """Reads a thread's CPU seconds; the whole process's where the system does not tell threads apart."""
    if not hasattr(time, "pthread_getcpuclockid") or thread.ident is None:
        return time.process_time
    clock = time.pthread_getcpuclockid(thread.ident)
    return lambda: time.clock_gettime(clock)
