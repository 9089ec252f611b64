"""A folder with a plan, what the stand-in for the engine leaves, and what must be true when its runs are done."""

import hashlib
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np
import psutil

from harness.ledger.counts import Counts, save, scores_of
from harness.ledger.files import read, write
from harness.ledger.plan import Plan
from harness.ledger.record import Outcome, Record
from harness.score.store import read_results
from harness.score.verifying import verify
from tests.faults.engine import KEPT_EVERY, value_after
from tests.ledger.test_plan import planned

ITERATIONS = 24
ROOT = Path(__file__).parents[2]


class Place:
    """`plan.json`, `results/`, and the book of what was paid for."""

    def __init__(self, folder: Path, seeds: int) -> None:
        self.folder, self.results, self.plan = folder, folder / "results", folder / "plan.json"
        folder.mkdir(parents=True, exist_ok=True)
        write(self.plan, planned(f"{ITERATIONS} it", seeds=seeds))
        self.keys = {run.key for run in self.read_plan().runs}
        ones = np.full((2, 4), 7, dtype=np.int64)
        counts = Counts(ones, ones + 3, ones + 1)
        save(counts, folder / "counts.npz")
        write(folder / "outcome.json", Outcome(ending="done", spent_seconds=1.0, scores=scores_of(counts)))

    def read_plan(self) -> Plan:
        """What the sweeps carry out."""
        return read(self.plan, Plan)

    def records(self) -> list[Record]:
        """All of them, whatever their endings."""
        return [read(path, Record) for path in sorted((self.results / "runs").glob("*.json"))]

    def finished(self) -> dict[str, str]:
        """The SHA-256 of every file of the results that is not to change any more."""
        kept = sorted((self.results / "runs").glob("[!.]*"))
        return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in kept}

    def due(self) -> set[str]:
        """The keys that have no run which is done."""
        return self.keys - {record.spec.key for record in self.records() if record.outcome.ending == "done"}

    def paid(self) -> Counter[tuple[str, int]]:
        """How often each iteration of each run was done."""
        book = (self.folder / "book").read_text().splitlines()
        return Counter((key, int(done)) for key, _, done in (line.split() for line in book))

    def start(self, **environment: str) -> "subprocess.Popen[str]":
        """The sweep, as a process of its own."""
        return driver(str(self.plan), str(self.results), **environment)

    def sweep(self, **environment: str) -> tuple[int, str]:
        """The sweep to its end: exit code and what it said."""
        process = self.start(**environment)
        said, _ = process.communicate(timeout=120)
        return process.returncode, said

    def must_be_whole(self) -> None:
        """Every planned run done once, by all that was paid for it, and nothing left over anywhere."""
        rows = read_results(self.results)
        assert rows.unreadable == ()
        assert {(run.key, run.ending) for run in rows.runs} == {(key, "done") for key in self.keys}
        done = [record for record in self.records() if record.outcome.ending == "done"]
        assert len(done) == len(self.keys)
        assert {record.outcome.iterations for record in done} == {ITERATIONS}
        assert {record.outcome.student_sha256 for record in done} == {value_after(ITERATIONS)}
        self.must_be_paid()
        self.must_be_tidy()
        assert engines_of(self.results) == []

    def must_be_tidy(self) -> None:
        """Every file is sound and belongs where it is; of attempts there are folders where something failed."""
        assert list(verify(self.results).problems) == []
        named = {record.spec.name for record in self.records() if record.outcome.ending != "done"}
        left = {path.name for path in (self.results / "work").iterdir() if path.suffix != ".lock"}
        assert left <= named, left - named

    def must_be_paid(self) -> None:
        """Each iteration was done, and done again only where it lay between a kill and the checkpoint before it."""
        paid = self.paid()
        assert set(paid) == {(key, done) for key in self.keys for done in range(1, ITERATIONS + 1)}
        attempts = Counter(record.spec.key for record in self.records())
        for key in self.keys:
            again = sum(paid[key, done] - 1 for done in range(1, ITERATIONS + 1))
            assert again <= KEPT_EVERY * (attempts[key] - 1)


class Nursery:
    """Starts sweeps in milliseconds."""

    def __enter__(self) -> Self:
        self._process = driver()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.communicate(timeout=60)

    def start(self, place: Place, *strike: int) -> int:
        """The pid of a sweep; a strike is a step and a signal."""
        stdin, stdout = self._process.stdin, self._process.stdout
        assert stdin is not None
        assert stdout is not None
        stdin.write(" ".join(map(str, (place.plan, place.results, *strike))) + "\n")
        stdin.flush()
        return int(stdout.readline())

    def wait(self) -> int:
        """Its exit code."""
        assert self._process.stdout is not None
        return int(self._process.stdout.readline())


def driver(*arguments: str, **environment: str) -> "subprocess.Popen[str]":
    """`tests/faults/driver.py` in the background."""
    return subprocess.Popen(
        [sys.executable, str(Path(__file__).with_name("driver.py")), *arguments],
        env={**os.environ, "PYTHONPATH": str(ROOT), "COLUMNS": "200", **environment},
        text=True,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )


def engines_of(results: Path) -> list[int]:
    """The processes that are at runs of this folder."""
    found = []
    for process in psutil.process_iter(["cmdline"]):
        if any(str(results / "work") in word for word in process.info["cmdline"] or ()):
            found.append(process.pid)
    return found
