"""A wall clock that is set an hour back, or forward, in the middle of a sweep."""

import datetime
import time
from pathlib import Path

import psutil
import pytest

from harness.executors.job import Job
from harness.ledger import claims
from harness.ledger import results as layout
from harness.ledger.files import write
from harness.ledger.record import is_utc
from harness.ledger.status import Status, status_path
from harness.sweep import working
from harness.sweep.watchdog import Watchdog
from tests.faults.test_two_sweeps import LIVING, claimed
from tests.ledger.test_plan import planned
from tests.sweep.test_spending import carry_out, done, ending, orphan

HOUR = 3600.0


class Clock:
    """Set by so much, as every process sees it: the time of day, and the day on which the system seems to have begun.

    What a file is dated with is the system's own and stays, as when the clock is set between the two.
    """

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.off = 0.0
        now, boot, created = time.time, psutil.boot_time, psutil.Process.create_time
        monkeypatch.setattr(time, "time", lambda: now() + self.off)
        monkeypatch.setattr(psutil, "boot_time", lambda: boot() + self.off)
        monkeypatch.setattr(psutil.Process, "create_time", lambda process: created(process) + self.off)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock(monkeypatch)


def seconds(text: str) -> float:
    return datetime.datetime.fromisoformat(text).timestamp()


@pytest.mark.parametrize("off", [-HOUR, HOUR])
def test_records_stay_valid_and_in_order(tmp_path: Path, clock: Clock, off: float):
    """Set while the first run is under way: no run ends before it began, and attempts are told by their numbers."""

    def engine(job: Job) -> int:
        clock.off = off
        return ending("failed")(job)

    first, _ = carry_out(tmp_path, engine)
    second, _ = carry_out(tmp_path, done)
    records = [*first, *second]
    assert all(is_utc(record.started) and is_utc(record.ended) for record in records)
    assert all(seconds(record.ended) >= seconds(record.started) for record in records)
    assert {record.outcome.ending for record in records if record.spec.attempt == 2} == {"done"}
    assert carry_out(tmp_path, done)[0] == []


@pytest.mark.parametrize("off", [-HOUR, HOUR])
def test_nobody_is_taken_for_hung(tmp_path: Path, clock: Clock, off: float, monkeypatch: pytest.MonkeyPatch):
    """The watchdog looks at progress by a clock that is never set; the heartbeat's date decides nothing."""
    stood = []
    monkeypatch.setattr(working, "SHOW_SECONDS", 0.0)

    class Seen(Watchdog):
        def stands_still(self, job: Job, status: Status | None) -> str | None:
            found = super().stands_still(job, status)
            stood.append(found)
            return found

    def engine(job: Job) -> int:
        clock.off = off
        write(
            status_path(job.out),
            Status(
                pid=1, phase="training", done=1, total=2, spent_seconds=1.0, budget_seconds=None, heartbeat=time.time()
            ),
        )
        return done(job)

    monkeypatch.setattr(working, "Watchdog", Seen)
    records, _ = carry_out(tmp_path, engine)
    assert [record.outcome.ending for record in records] == ["done", "done"]
    assert set(stood) <= {None}


@pytest.mark.parametrize("off", [-HOUR, HOUR])
def test_a_living_sweep_is_not_taken_for_dead(tmp_path: Path, clock: Clock, off: float):
    """It signed before the clock was set: its run is left to it."""
    claimed(tmp_path, LIVING)
    clock.off = off
    records, watcher = carry_out(tmp_path, done)
    assert [record.spec.method.name for record in records] == ["kd"]
    assert "is another process's" in watcher.lines[-1]
    assert len(layout.unfinished(tmp_path)) == 1


@pytest.mark.parametrize("off", [-HOUR, HOUR])
def test_a_dead_sweep_is_not_taken_for_living(tmp_path: Path, clock: Clock, off: float):
    """Its process's number was given out again: what it was at is recorded and done again."""
    plan = planned("90s")
    folder = orphan(tmp_path, plan)
    write(folder / claims.OWNER, LIVING.model_copy(update={"started": LIVING.started - 50}))
    clock.off = off
    records, _ = carry_out(tmp_path, done, plan)
    told = [(record.spec.method.name, record.spec.attempt, record.outcome.ending) for record in records]
    assert told == [("baseline", 1, "interrupted"), ("baseline", 2, "done"), ("kd", 1, "done")]
    assert seconds(records[0].ended) >= seconds(records[0].started)
