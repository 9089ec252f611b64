"""An executor in a test, with the stand-in for the engine behind its door."""

import json
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from harness.executors.job import Executor, Finished, Job

DOOR = (sys.executable, "-P", str(Path(__file__).with_name("engine.py")))
SECONDS = 60.0


@dataclass(frozen=True)
class Place:
    """Where jobs of a test run; `make` gives another executor of the same place."""

    make: Callable[[], Executor]
    folder: Path
    device: str = "cpu"
    keeps: bool = False
    """Whether jobs go on there without their sweep."""

    def job(self, name: str = "job", *, outlives: bool = False, **wish: object) -> Job:
        """A job that does as it is wished: see engine.py."""
        folder = self.folder / name
        folder.mkdir()
        spec = folder / "spec.json"
        spec.write_text(json.dumps(wish))
        return Job(name, "run", spec, folder / "out.json", folder / "log.txt", self.device, 1, outlives)


def wait(executor: Executor, count: int = 1, seconds: float = SECONDS) -> list[Finished]:
    """The next `count` ends."""
    ended: list[Finished] = []
    until(lambda: len(ended) >= count, lambda: ended.extend(executor.poll()), seconds=seconds)
    return ended


def until(holds: Callable[[], bool], meanwhile: Callable[[], object] = lambda: None, seconds: float = SECONDS) -> None:
    """Waits until it holds."""
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, f"waited for {seconds:g} s"
        meanwhile()
        time.sleep(0.02)


def started(job: Job) -> bool:
    """Whether the job did its first iteration."""
    return job.out.with_name("checkpoint.json").exists()


def answer(job: Job) -> dict:
    """What the job left in OUT."""
    return json.loads(job.out.read_text())


def named(ends: Sequence[Finished]) -> dict[str, Finished]:
    """By their jobs' names."""
    return {finished.job.name: finished for finished in ends}
