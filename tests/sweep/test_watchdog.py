"""Who stands still, with a clock that the test moves."""

import sys
from pathlib import Path

from harness.executors.job import Finished, Job
from harness.executors.local import Local
from harness.ledger.files import write
from harness.ledger.findings import Refusal
from harness.ledger.record import Outcome
from harness.ledger.status import Status, status_path
from harness.sweep.watchdog import Watchdog
from harness.sweep.working import answer_of, work_through
from tests.sweep.fake import FakeExecutor, Listening


class Time:
    def __init__(self) -> None:
        self.seconds = 0.0

    def now(self) -> float:
        return self.seconds


def job(folder: Path, name: str = "kd seed 0") -> Job:
    return Job(name, "run", folder / "spec.json", folder / "out.json", folder / "log.txt", "cpu", 1)


def status(done: int, heartbeat: float = 0.0, phase: str = "training") -> Status:
    return Status(
        pid=1, phase=phase, done=done, total=100, spent_seconds=float(done), budget_seconds=None, heartbeat=heartbeat
    )


def test_a_job_that_gets_on_never_stands_still(tmp_path: Path):
    """An iteration every 9 s of a patience of 10."""
    time = Time()
    watchdog = Watchdog(10.0, time.now)
    for done in range(20):
        assert watchdog.stands_still(job(tmp_path), status(done)) is None
        time.seconds += 9.0


def test_a_heartbeat_alone_is_no_progress(tmp_path: Path):
    """Its thread goes on beating where the work is stuck: after 10 s it is told where."""
    time = Time()
    watchdog = Watchdog(10.0, time.now)
    told = []
    for second in range(12):
        time.seconds = float(second)
        told.append(watchdog.stands_still(job(tmp_path), status(42, heartbeat=second)))
    assert told[:10] == [None] * 10
    assert told[10] == "stood still for 10 s in phase 'training' at 42"


def test_where_nothing_is_counted_work_is_progress(tmp_path: Path):
    """Reading a large data set: 3 s of CPU time in 9 s are work, and what a heartbeat alone uses is none."""
    time = Time()
    watchdog = Watchdog(10.0, time.now)
    reading = status(0, phase="data")
    for turn in range(5):
        assert watchdog.stands_still(job(tmp_path), reading.model_copy(update={"working_seconds": 3.0 * turn})) is None
        time.seconds += 9.0
    assert watchdog.stands_still(job(tmp_path), reading.model_copy(update={"working_seconds": 12.1})) is None
    time.seconds += 9.0
    assert watchdog.stands_still(job(tmp_path), reading.model_copy(update={"working_seconds": 13.0})) is not None


def test_burning_a_core_is_no_progress_where_a_methods_code_runs(tmp_path: Path):
    """Whoever waits for a device, or loops for ever, may use a core for it; an iteration more is progress."""
    time = Time()
    watchdog = Watchdog(10.0, time.now)
    settling = status(0, phase="settling").model_copy(update={"total": None})
    assert watchdog.stands_still(job(tmp_path), settling) is None
    time.seconds = 9.0
    assert watchdog.stands_still(job(tmp_path), settling.model_copy(update={"iterations": 1})) is None
    time.seconds = 20.0
    spinning = settling.model_copy(update={"iterations": 1, "working_seconds": 20.0})
    assert watchdog.stands_still(job(tmp_path), spinning) == "stood still for 11 s in phase 'settling' at 0"


def test_a_new_phase_is_progress(tmp_path: Path):
    """From the data to the warm-up, both at 0."""
    time = Time()
    watchdog = Watchdog(10.0, time.now)
    assert watchdog.stands_still(job(tmp_path), status(0, phase="data")) is None
    time.seconds = 15.0
    assert watchdog.stands_still(job(tmp_path), status(0, phase="warm-up")) is None


def test_a_job_that_never_says_a_word_stands_still_too(tmp_path: Path):
    """No status file at all."""
    time = Time()
    watchdog = Watchdog(10.0, time.now)
    assert watchdog.stands_still(job(tmp_path), None) is None
    time.seconds = 11.0
    assert watchdog.stands_still(job(tmp_path), None) == "stood still for 11 s before its first word"


class Stuck(FakeExecutor):
    """Its job runs until it is ended."""

    def __init__(self) -> None:
        super().__init__(lambda job: -9, ("cpu",))
        self.ended: list[Job] = []

    def end(self, job: Job) -> None:
        self.ended.append(job)

    def poll(self):
        return super().poll() if self.ended else []


def test_a_stuck_run_is_killed_and_called_hung(tmp_path: Path, monkeypatch):
    """Without patience the first look that finds no progress ends it; the answer says where it stood."""
    monkeypatch.setattr("harness.sweep.working.SHOW_SECONDS", 0.0)
    monkeypatch.setattr("harness.sweep.working.Watchdog", lambda: Watchdog(0.0))
    stuck = job(tmp_path)
    write(status_path(stuck.out), status(42))
    executor = Stuck()
    ((_, finished),) = work_through("running", [stuck], lambda j, _: j, lambda _: 1.0, executor, Listening())
    assert executor.ended == [stuck]
    assert answer_of(finished, Outcome) == Refusal(
        ending="hung", reason="stood still for 0 s in phase 'training' at 42, and was killed"
    )


class Deaf(Stuck):
    """Its job ends when it has been asked to twice."""

    def poll(self):
        return super().poll() if len(self.ended) == 2 else []


def test_whoever_did_not_hear_that_a_job_is_to_end_is_asked_again(tmp_path: Path, monkeypatch):
    """A queue was busy when it was asked first."""
    monkeypatch.setattr("harness.sweep.working.SHOW_SECONDS", 0.0)
    monkeypatch.setattr("harness.sweep.watchdog.AGAIN_SECONDS", 0.0)
    monkeypatch.setattr("harness.sweep.working.Watchdog", lambda: Watchdog(0.0))
    stuck, executor = job(tmp_path), Deaf()
    write(status_path(stuck.out), status(42))
    ((_, finished),) = work_through("running", [stuck], lambda j, _: j, lambda _: 1.0, executor, Listening())
    assert executor.ended == [stuck, stuck]
    assert finished.refusal is not None
    assert finished.refusal.ending == "hung"


def test_an_end_is_asked_for_once_a_minute(tmp_path: Path):
    """Not at every look."""
    time = Time()
    watchdog = Watchdog(10.0, time.now)
    asked = []
    for second in range(0, 130, 10):
        time.seconds = float(second)
        asked.append(watchdog.is_to_be_ended(job(tmp_path)))
    assert [10 * turn for turn, is_asked in enumerate(asked) if is_asked] == [0, 60, 120]


class Waking(Stuck):
    """Its job gets on when it is to end, and is killed by somebody two looks later."""

    def __init__(self) -> None:
        super().__init__()
        self.looks = 0

    def end(self, job: Job) -> None:
        super().end(job)
        write(status_path(job.out), status(43))

    def poll(self):
        self.looks += bool(self.ended)
        return FakeExecutor.poll(self) if self.looks == 3 else []


def test_a_job_that_got_on_after_all_did_not_hang(tmp_path: Path, monkeypatch):
    """What ended it later is told as it was seen."""
    monkeypatch.setattr("harness.sweep.working.SHOW_SECONDS", 0.0)
    monkeypatch.setattr("harness.sweep.working.Watchdog", lambda: Watchdog(0.0))
    stuck, executor = job(tmp_path), Waking()
    write(status_path(stuck.out), status(42))
    ((_, finished),) = work_through("running", [stuck], lambda j, _: j, lambda _: 1.0, executor, Listening())
    assert executor.ended == [stuck]
    assert (finished.exit_code, finished.refusal) == (-9, None)


def test_a_process_that_is_stopped_dead_is_ended(tmp_path: Path, monkeypatch):
    """A real one, which wrote one status and then sleeps for a minute: it is killed, and called hung."""
    sleeping = Local(["cpu"], door=[sys.executable, "-c", "import time; time.sleep(60)"])
    monkeypatch.setattr("harness.sweep.working.Watchdog", lambda: Watchdog(0.6))
    stuck = job(tmp_path)
    write(status_path(stuck.out), status(7))
    ((_, finished),) = work_through("running", [stuck], lambda j, _: j, lambda _: 1.0, sleeping, Listening())
    assert finished.exit_code == -9
    answer = answer_of(finished, Outcome)
    assert isinstance(answer, Refusal)
    assert (answer.ending, answer.reason.partition("in phase")[2]) == ("hung", " 'training' at 7, and was killed")


def test_a_run_that_ended_while_it_was_being_killed_keeps_its_outcome(tmp_path: Path):
    """What it wrote counts more than what was thought of it."""
    done = job(tmp_path)
    write(done.out, Outcome(ending="done"))
    assert answer_of(
        Finished(done, -9, 1.0, 1.0, Refusal(ending="hung", reason="stood still for 600 s")), Outcome
    ) == Outcome(ending="done")


def test_a_job_that_was_in_the_queue_has_all_its_time_again(tmp_path: Path):
    """Three hours after its last word it starts anew, and that word still lies there: nobody calls it hung."""
    now = [0.0]
    watchdog = Watchdog(600.0, lambda: now[0])
    stopped = job(tmp_path)
    assert watchdog.stands_still(stopped, status(42)) is None
    now[0] = 10_800.0
    watchdog.forget(stopped)
    assert watchdog.stands_still(stopped, status(42)) is None
    now[0] += 599.0
    assert watchdog.stands_still(stopped, status(42)) is None
    now[0] += 2.0
    assert watchdog.stands_still(stopped, status(42)) == "stood still for 601 s in phase 'training' at 42"
