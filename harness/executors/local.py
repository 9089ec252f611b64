"""This machine: one process a slot, a slot a device (or a core)."""

import os
import signal
import time
from collections.abc import Sequence
from pathlib import Path

from harness.executors.engine import DOOR, Door, Engine
from harness.executors.job import Finished, Job

POLL_SECONDS = 0.1

GRACE_SECONDS = 20.0
"""For the end of an iteration, and its checkpoint."""


class Local:
    """Runs jobs as child processes and sees their resource usage when they end."""

    is_here = True
    scratch: Path | None = None

    def __init__(self, slots: Sequence[str], door: Door = DOOR) -> None:
        self._slots = tuple(slots)
        self.width = len(self._slots)
        self._door = door
        self._engines: dict[Job, Engine] = {}

    def free(self) -> Sequence[str]:
        """The devices of the slots that hold no process."""
        free = list(self._slots)
        for job in self._engines:
            free.remove(job.device)
        return free

    def submit(self, job: Job) -> None:
        """Starts the engine, its output in the job's log."""
        self._engines[job] = Engine(self._door, job)

    def take_up(self, job: Job) -> bool:
        """Never: a process dies with its sweep."""
        return False

    def running(self) -> Sequence[Job]:
        """The jobs whose processes are alive."""
        return list(self._engines)

    def reason(self, job: Job) -> str | None:
        """Nothing waits here."""
        return None

    def poll(self) -> Sequence[Finished]:
        """Collects the processes that ended."""
        time.sleep(POLL_SECONDS)
        return self._collect(os.WNOHANG)

    def end(self, job: Job) -> None:
        """Kills the job's process, and what that started."""
        if job in self._engines:
            self._engines[job].kill()

    def cancel(self) -> Sequence[Finished]:
        """Ends what runs: a run is told to, so that it keeps what it has come to; another Ctrl-C kills it at once."""
        for job, engine in self._engines.items():
            if job.outlives:
                engine.tell(signal.SIGTERM)
            else:
                engine.kill()
        finished: list[Finished] = []
        deadline = time.monotonic() + GRACE_SECONDS
        try:
            while self._engines and time.monotonic() < deadline:
                finished += self.poll()
        finally:
            for engine in self._engines.values():
                engine.kill()
        return [*finished, *self._collect(0)]

    def farewell(self) -> Sequence[str]:
        """Nothing goes on without its sweep."""
        return ()

    def _collect(self, options: int) -> list[Finished]:
        """The ends that have come, or that are waited for."""
        ends = [(job, engine.wait(options)) for job, engine in self._engines.items()]
        finished = [Finished(job, e.exit_code, e.cpu_seconds, e.wall_seconds) for job, e in ends if e is not None]
        for end in finished:
            del self._engines[end.job]
        return finished
