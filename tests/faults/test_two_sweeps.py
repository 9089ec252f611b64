"""Several `bench run` on one results folder at once."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from harness.executors.job import Job
from harness.ledger import claims
from harness.ledger import results as layout
from harness.ledger.files import write
from harness.ledger.findings import Refusal
from harness.ledger.record import Record
from harness.sweep.spending import spend
from tests.faults.place import ITERATIONS, Place
from tests.ledger.test_plan import planned
from tests.sweep.fake import FakeExecutor, Listening
from tests.sweep.test_spending import carry_out, done


@pytest.mark.parametrize("sweeps", [2, pytest.param(3, marks=pytest.mark.slow)])
def test_sweeps_at_once_share_the_runs(tmp_path: Path, sweeps: int):
    """Each of 8 runs is done exactly once, by one of them; all exit 0, and every iteration was paid once."""
    place = Place(tmp_path, 4)
    processes = [place.start() for _ in range(sweeps)]
    said = [process.communicate(timeout=120)[0] for process in processes]
    assert [process.returncode for process in processes] == [0] * sweeps, said
    assert [record.spec.attempt for record in place.records()] == [1] * 8
    assert set(place.paid().values()) == {1}
    assert len(place.paid()) == 8 * ITERATIONS
    place.must_be_whole()


@pytest.mark.slow
@pytest.mark.parametrize("seconds", [0.0, 0.2, 0.5])
def test_one_of_two_sweeps_is_killed(tmp_path: Path, seconds: float):
    """What it was at is done by the other, or by the next; nothing twice but what lay behind the last checkpoint."""
    place = Place(tmp_path, 4)
    one, other = place.start(), place.start()
    until_claimed_by(place, one.pid)
    time.sleep(seconds)
    one.send_signal(signal.SIGKILL)
    one.communicate(timeout=60)
    said, _ = other.communicate(timeout=120)
    assert other.returncode == 0, said
    code, said = place.sweep()
    assert code == 0, said
    place.must_be_whole()


def until_claimed_by(place: Place, pid: int) -> None:
    """Waits until the sweep is at a run."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        if any(f'"pid": {pid},' in text_of(owner) for owner in (place.results / "work").glob("*/owner.json")):
            return
        time.sleep(0.01)
    raise AssertionError("no run was claimed")


def text_of(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""


PARENT = psutil.Process(os.getppid())
LIVING = claims.Owner(system=claims.this_system(), pid=PARENT.pid, started=claims.started_after_boot(PARENT))
DEAD = LIVING.model_copy(update={"started": LIVING.started - 100})
ELSEWHERE = LIVING.model_copy(update={"system": "another-host"})


def endings(records: list[Record]) -> list[tuple[str, int, str]]:
    return [(record.spec.method.name, record.spec.attempt, record.outcome.ending) for record in records]


def claimed(results: Path, owner: claims.Owner) -> None:
    """An attempt at the first run of the plan, which somebody has just claimed."""
    key = planned("90s").runs[0].key
    write(layout.work_folder(results, f"{key}.{claims.claim(results, key)}") / claims.OWNER, owner)


@pytest.mark.parametrize("owner", [LIVING, ELSEWHERE])
def test_what_another_living_sweep_has_claimed_is_left_to_it(tmp_path: Path, owner: claims.Owner):
    """Of this host by its process, of another by its beat."""
    claimed(tmp_path, owner)
    (tmp_path / "work" / f"another-host-{owner.pid}.sweep").touch()
    records, watcher = carry_out(tmp_path, done)
    assert endings(records) == [("kd", 1, "done")]
    assert "is another process's" in watcher.lines[-1]


@pytest.mark.parametrize("owner", [DEAD, ELSEWHERE])
def test_what_a_dead_sweep_had_claimed_is_done(tmp_path: Path, owner: claims.Owner):
    """Of this host by its process's absence, of another by its silence; nothing had been spent, so nothing is told."""
    claimed(tmp_path, owner)
    records, _ = carry_out(tmp_path, done)
    assert endings(records) == [("baseline", 1, "done"), ("kd", 1, "done")]
    assert layout.attempts(tmp_path) == []


def test_a_claim_that_came_second_steps_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Both saw a run that is due; the other claimed it between this one's look and its claim."""
    claim = claims.claim

    def after_another(results: Path, key: str) -> int:
        monkeypatch.setattr(claims, "claim", claim)
        claimed(results, LIVING)
        return claim(results, key)

    monkeypatch.setattr(claims, "claim", after_another)
    records, _ = carry_out(tmp_path, done)
    assert endings(records) == [("kd", 1, "done")]
    assert len(layout.attempts(tmp_path)) == 1


def test_a_run_that_another_did_between_look_and_claim_is_not_repeated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Its record came just before this one's claim: one record, one job."""
    claim = claims.claim
    others, _ = carry_out(tmp_path / "other", done, planned("90s"))

    def after_another(results: Path, key: str) -> int:
        monkeypatch.setattr(claims, "claim", claim)
        layout.write_record(results, others[0])
        return claim(results, key)

    executor = FakeExecutor(done)
    monkeypatch.setattr(claims, "claim", after_another)
    spend(planned("90s"), tmp_path, False, executor, Listening(), tmp_path / "students")
    assert [job.name for job in executor.jobs] == ["kd seed 0 90s"]
    assert layout.attempts(tmp_path) == []


def test_two_sweeps_leave_one_reason_for_a_run_that_cannot_be_had(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """The other's record came just before this one's claim."""
    plan = planned("90s", kd=Refusal(ending="skipped", reason="needs logits of 64×64"))
    claim = claims.claim

    def after_another(results: Path, key: str) -> int:
        monkeypatch.setattr(claims, "claim", claim)
        carry_out(results, done, plan)
        return claim(results, key)

    monkeypatch.setattr(claims, "claim", after_another)
    assert carry_out(tmp_path, done, plan)[0] == []
    assert len(list((tmp_path / "runs").glob("*.json"))) == 2


def test_an_orphan_that_another_sweep_recorded_is_recorded_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """The other looked too, was quicker, and has ended since."""
    claimed(tmp_path, DEAD)
    (name,) = layout.attempts(tmp_path)
    (tmp_path / "runs").mkdir()
    layout.record_path(tmp_path, name).write_text("{}")
    assert not claims.take_over(tmp_path, name)


def test_a_sweep_nobody_asked_after_is_over(tmp_path: Path):
    """A zombie: its process has ended, and its parent, as in a container without an init, has not been told."""
    child = subprocess.Popen([sys.executable, "-S", "-c", ""])
    process = psutil.Process(child.pid)
    while process.status() != psutil.STATUS_ZOMBIE:
        time.sleep(0.005)
    claimed(tmp_path, LIVING.model_copy(update={"pid": child.pid, "started": claims.started_after_boot(process)}))
    records, _ = carry_out(tmp_path, done)
    child.wait()
    assert endings(records) == [("baseline", 1, "done"), ("kd", 1, "done")]


def test_a_lock_that_a_dead_process_left_holds_up_nobody(tmp_path: Path):
    """The file stays, the lock does not."""
    lock = layout.lock_path(tmp_path, planned("90s").runs[0].key)
    lock.parent.mkdir(parents=True)
    lock.write_text("4711 another-host")

    def locked(job: Job) -> int:
        assert claims.is_locked(tmp_path, layout.split_name(job.out.parent.name)[0]) is False
        return done(job)

    records, _ = carry_out(tmp_path, locked)
    assert endings(records) == [("baseline", 1, "done"), ("kd", 1, "done")]
