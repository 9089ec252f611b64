"""The node's side of Slurm, without one: a script stands in for scontrol."""

import pickle
import signal
import subprocess
import sys
import time
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest
from filelock import FileLock

from harness.executors import carry
from harness.executors.engine import Ended
from harness.executors.job import Errand, Job
from harness.ledger.files import read, write
from harness.ledger.rules import HUNG_SECONDS
from harness.ledger.status import PREEMPTED, Status, status_path
from harness.ledger.ticket import SeenEnding, ending_path
from tests.executors.place import DOOR, Place, answer, started, until

CARRY = "import pickle, sys; from harness.executors.carry import carry; carry(*pickle.load(sys.stdin.buffer))"
HASTY = f"from harness.executors import carry as rules; rules.ERRAND_SECONDS = 0.2; {CARRY}"
LAST = """
import pickle, sys
from harness.executors import carry
job, door = pickle.load(sys.stdin.buffer)
carry.write = lambda path, value: path.write_bytes(job.log.read_bytes())
carry.carry(job, door)
"""
STOP_FIRST = """
import os, pickle, signal, sys
from harness.executors.carry import Stopping
stopping = Stopping()
os.kill(os.getpid(), signal.SIGUSR2)
job, door = pickle.load(sys.stdin.buffer)
sys.exit(stopping.run(door, job).exit_code)
"""


@pytest.fixture
def job(tmp_path: Path):
    return Place(lambda: pytest.fail("none"), tmp_path).job


@pytest.fixture
def node(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Starts Python on a node whose Slurm says that the job is in a state, and takes it back or not."""
    monkeypatch.setenv("SLURM_JOB_ID", "7")
    monkeypatch.delenv("SLURM_ARRAY_JOB_ID", raising=False)
    monkeypatch.setenv("SLURMD_NODENAME", "n1")
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")

    def start(job: Job, state: str = "RUNNING", *, takes_back: bool = True, code: str = CARRY) -> subprocess.Popen:
        script = f'echo "$@" >> {tmp_path}/asked; echo "JobId=7 JobState={state} Reason=None"'
        refusal = "" if takes_back else '; [ "$1" != requeue ]'
        (tmp_path / "scontrol").write_text(f"#!/bin/sh\n{script}{refusal}\n")
        (tmp_path / "scontrol").chmod(0o755)
        process = subprocess.Popen([sys.executable, "-P", "-c", code], stdin=subprocess.PIPE)
        process.stdin.write(pickle.dumps((job, DOOR)))
        process.stdin.close()
        return process

    return start


def asked(job: Job) -> list[str]:
    """What Slurm was told to do."""
    path = job.out.parents[1] / "asked"
    return path.read_text().splitlines() if path.exists() else []


def stopped(process: subprocess.Popen, job: Job, number: int = signal.SIGTERM) -> int:
    """Tells the node's side to stop once the engine is at work, and waits for its end."""
    until(lambda: started(job))
    process.send_signal(number)
    return process.wait(30)


def test_an_end_is_told_beside_out(job, node):
    """Code, usage, host; and in the log where it was."""
    one = job(exit=3, say="hello")
    assert node(one).wait(30) == 0
    ending = read(ending_path(one.out), SeenEnding)
    assert (ending.exit_code, ending.host) == (3, "n1")
    assert ending.cpu_seconds > 0
    assert "Slurm job 7, start 1, on n1" in one.log.read_text()
    assert "hello\n" in one.log.read_text()
    assert asked(one) == []


@pytest.mark.parametrize("number", [signal.SIGTERM, pytest.param(signal.SIGUSR2, marks=pytest.mark.slow)])
def test_a_job_that_is_told_to_stop_goes_back_into_the_queue(job, node, number):
    """The engine keeps what it has; there is no ending, for it is not over."""
    one = job(iterations=600, seconds=0.05)
    assert stopped(node(one), one, number) == 0
    assert answer(one)["ending"] == "interrupted"
    assert asked(one) == ["show job -o 7", "requeue 7"]
    assert not ending_path(one.out).exists()


def test_a_task_of_an_array_is_put_back_alone(job, node, monkeypatch):
    """The last one's own number is the array's, by which Slurm would put back all of them."""
    monkeypatch.setenv("SLURM_ARRAY_JOB_ID", "7")
    monkeypatch.setenv("SLURM_ARRAY_TASK_ID", "2")
    one = job(iterations=600, seconds=0.05)
    stopped(node(one), one)
    assert asked(one) == ["show job -o 7_2", "requeue 7_2"]
    assert "Slurm job 7_2, start 1, on n1" in one.log.read_text()


@pytest.mark.parametrize(("restarts", "does_nothing"), [(3, True), (2, True), (3, False)])
def test_a_job_that_does_not_get_on_is_not_put_back_for_ever(job, node, monkeypatch, restarts, does_nothing):
    """Stopped at its fourth start, in which it did no more than before: its time is too short."""
    monkeypatch.setenv("SLURM_RESTART_COUNT", str(restarts))
    one = job(iterations=600, seconds=0.05)
    before = Status(
        pid=1, phase="training", done=5, total=600, spent_seconds=1.0, budget_seconds=None,
        iterations=600 if does_nothing else 0, heartbeat=0.0,
    )  # fmt: skip
    write(status_path(one.out), before)
    stopped(node(one), one)
    is_over = does_nothing and restarts == 3
    assert ending_path(one.out).exists() == is_over
    assert (
        "stopped 4 times, at last without getting on: it needs a longer time limit" in one.log.read_text()
    ) == is_over
    if is_over:
        assert read(ending_path(one.out), SeenEnding).exit_code == PREEMPTED
        assert asked(one) == ["show job -o 7"]


def test_updates_of_a_preparation_are_getting_on_too(tmp_path):
    """The first number stands while they are done."""
    told = {"pid": 1, "total": 9, "spent_seconds": 1.0, "budget_seconds": None, "heartbeat": 0.0}
    out = tmp_path / "out.json"
    found = [carry._reached(out)]
    for phase, done, iterations in (("preparation", 4, 0), ("training", 2, 2), ("evaluation", 7, 9)):
        write(status_path(out), Status(phase=phase, done=done, iterations=iterations, **told))
        found.append(carry._reached(out))
    assert found == [(0, 0), (0, 4), (2, 0), (9, 0)]


def test_a_log_that_cannot_be_written_raises_nothing(tmp_path):
    """A full disk; here it is a folder."""
    carry._note(tmp_path, "a line")


def test_a_job_that_slurm_is_ending_is_not_put_back(job, node):
    """A cancelled job is COMPLETING and would come back to life; its state says how it ended."""
    one = job(iterations=600, seconds=0.05)
    stopped(node(one, "COMPLETING"), one)
    assert asked(one) == ["show job -o 7"]
    assert not ending_path(one.out).exists()


@pytest.mark.slow
def test_a_job_that_slurm_does_not_take_back_has_ended(job, node):
    """As the engine said: with code 85."""
    one = job(iterations=600, seconds=0.05)
    stopped(node(one, takes_back=False), one)
    assert read(ending_path(one.out), SeenEnding).exit_code == PREEMPTED


def test_what_is_over_is_not_done_again(job, node):
    """Slurm starts a job again that was on a lost node, whatever it had come to."""
    one = job()
    before = SeenEnding(exit_code=0, cpu_seconds=1.0, wall_seconds=1.0, host="n2")
    write(ending_path(one.out), before)
    assert node(one).wait(30) == 0
    assert read(ending_path(one.out), SeenEnding) == before
    assert not started(one)


def test_no_engine_is_started_for_a_job_that_is_to_stop(job, node):
    """The signal came first: as good as an engine that stopped."""
    one = job()
    assert node(one, code=STOP_FIRST).wait(30) == PREEMPTED
    assert not started(one)


@pytest.mark.slow
def test_an_engine_ends_with_the_node_that_carries_it(job, node):
    """Killed without a word, it leaves no process; a checkpoint stays."""
    one = job(iterations=600, seconds=0.05)
    process = node(one)
    until(lambda: started(one))
    (engine,) = psutil.Process(process.pid).children()
    process.kill()
    process.wait(30)
    until(lambda: not engine.is_running())
    assert not ending_path(one.out).exists()


@pytest.mark.slow
def test_an_errand_that_fails_stops_nothing(job, node, tmp_path):
    """No answer is left, nor half of one; the job is done, and its log says so."""
    errand = Errand("profile", job("errand", exit=1).spec, tmp_path / "answers")
    one = replace(job(), errand=errand)
    node(one).wait(30)
    assert read(ending_path(one.out), SeenEnding).exit_code == 0
    assert [path.name for path in (tmp_path / "answers").iterdir() if path.suffix != ".lock"] == []
    assert "profile ended with code 1 and no answer: the job goes on without" in one.log.read_text()


@pytest.mark.slow
def test_an_errand_is_done_once_for_a_host(job, node, tmp_path):
    """Of two jobs that begin together one waits, and finds the answer; what a killed one left there is gone."""
    (tmp_path / "answers" / ".n1.5").mkdir(parents=True)
    errand = Errand("profile", job("errand", iterations=10, seconds=0.1, say="measuring").spec, tmp_path / "answers")
    jobs = [replace(job(name), errand=errand) for name in ("one", "two")]
    for process in [node(one) for one in jobs]:
        assert process.wait(60) == 0
    assert sorted(one.log.read_text().count("measuring") for one in jobs) == [0, 1]
    assert [path.name for path in (tmp_path / "answers").iterdir() if path.suffix != ".lock"] == ["n1.json"]


def test_an_errand_that_takes_long_is_ended_and_its_job_goes_on(job, node, tmp_path):
    """Nothing is left of it, and the job's log says so."""
    errand = Errand("profile", job("errand", iterations=600, seconds=0.05).spec, tmp_path / "answers")
    one = replace(job(), errand=errand)
    assert node(one, code=HASTY).wait(30) == 0
    assert read(ending_path(one.out), SeenEnding).exit_code == 0
    assert [path.name for path in (tmp_path / "answers").iterdir() if path.suffix != ".lock"] == []
    assert "profile ended after 0.2 s with code " in one.log.read_text()
    assert " and no answer: the job goes on without" in one.log.read_text()


class Stubborn:
    """An engine that ends when it is killed, and not before."""

    def __init__(self) -> None:
        self.told: list[object] = []

    def tell(self, number: int) -> None:
        self.told.append(signal.Signals(number).name)

    def kill(self) -> None:
        self.told.append("killed")

    def wait(self, options: int = 0) -> Ended | None:
        return Ended(-9, 1.0, 2.0) if "killed" in self.told else None


def test_an_errand_that_hangs_is_killed(monkeypatch):
    """After it was told politely."""
    monkeypatch.setattr(carry, "PARTING_SECONDS", 0.0)
    engine = Stubborn()
    assert carry.end_by(time.monotonic(), engine) == Ended(-9, 1.0, 2.0)
    assert engine.told == ["SIGTERM", "killed"]


def test_an_errand_is_over_long_before_its_job_counts_as_hung():
    """Which shows nothing of itself meanwhile, and then has data to read."""
    assert carry.ERRAND_SECONDS + carry.PARTING_SECONDS < 0.6 * HUNG_SECONDS


def test_an_ending_is_the_last_that_a_job_writes(job, node):
    """Who reads it may remove the folder: the log has all its lines by then."""
    one = job(exit=3)
    assert node(one, code=LAST).wait(30) == 0
    assert ending_path(one.out).read_bytes() == one.log.read_bytes()
    assert one.log.read_text().endswith("ended with code 3\n")


@pytest.mark.parametrize("waits", [True, False])
def test_a_job_that_is_stopped_before_it_begins_goes_back_into_the_queue(job, node, tmp_path, waits):
    """While another does the errand, or while it does: no engine is started, and nothing false is said."""
    errand = Errand("profile", job("errand", iterations=600, seconds=0.05).spec, tmp_path / "answers")
    one = replace(job(), errand=errand)
    errand.answers.mkdir()

    def begun() -> bool:
        return one.log.exists() and "start 1" in one.log.read_text()

    with FileLock(errand.answers / ".n1.lock") if waits else nullcontext():
        process = node(one)
        until(lambda: begun() if waits else any(errand.answers.glob(".n1.*/checkpoint.json")))
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0
    assert asked(one) == ["show job -o 7", "requeue 7"]
    assert not started(one)
    assert "goes on without" not in one.log.read_text()


def test_a_job_that_has_waited_for_long_goes_on_without(tmp_path):
    """Whoever holds the lock may hang."""
    assert not carry._is_its_turn(FileLock(tmp_path / "lock"), SimpleNamespace(asked=False), time.monotonic())
