"""An executor of thirty lines: jobs end at once, as the test says."""

from collections.abc import Callable, Sequence

from harness.executors.job import Finished, Job
from harness.sweep.watch import Activity


class FakeExecutor:
    """Each submitted job is answered by `engine(job)`, which may write OUT, and whose value is the exit code."""

    is_here = True
    scratch = None

    def __init__(self, engine: Callable[[Job], int], slots: Sequence[str] = ("cpu", "cpu")) -> None:
        self.engine = engine
        self.slots = list(slots)
        self.width = len(self.slots)
        self.jobs: list[Job] = []
        self.cancelled = 0
        self._running: list[Job] = []

    def free(self) -> Sequence[str]:
        return self.slots[len(self._running) :]

    def submit(self, job: Job) -> None:
        job.log.touch()  # as every process that was started has one
        self.jobs.append(job)
        self._running.append(job)

    def take_up(self, job: Job) -> bool:
        return False

    def farewell(self) -> Sequence[str]:
        return ()

    def running(self) -> Sequence[Job]:
        return self._running

    def reason(self, job: Job) -> str | None:
        return None

    def poll(self) -> Sequence[Finished]:
        ended, self._running = self._running, []
        return [Finished(job, self.engine(job), 1.0, 2.0) for job in ended]

    def end(self, job: Job) -> None:
        self._running.remove(job)

    def cancel(self) -> Sequence[Finished]:
        self.cancelled += 1
        self._running = []
        return []


class Listening:
    """A watcher that keeps what it is told."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.shown: list[Activity] = []

    def say(self, line: str) -> None:
        self.lines.append(line)

    def show(self, activity: Activity) -> None:
        self.shown.append(activity)
