"""What is made of files and of what the queue says; with a queue that says what the test says."""

from collections.abc import Mapping
from pathlib import Path

import pytest

from harness.executors import squeue
from harness.executors.job import Finished
from harness.executors.sbatch import SlurmOptions
from harness.executors.squeue import Entry
from harness.ledger.files import write
from harness.ledger.ticket import SeenEnding, Ticket, ending_path, ticket_path
from tests.executors.place import Place

slurm = pytest.importorskip("harness.executors.slurm", reason="submitit is not installed")

BATCH = "bench-1"


@pytest.fixture
def executor(tmp_path: Path, queue):
    return slurm.Slurm(SlurmOptions({}), tmp_path / "slurm", look_seconds=0, gone_seconds=0)


@pytest.fixture
def job(tmp_path: Path):
    """A job that Slurm has as number 7."""
    made = Place(lambda: pytest.fail("none"), tmp_path).job(outlives=True)
    write(ticket_path(made.out), Ticket(queue="slurm", id="7", batch=BATCH))
    return made


def polled(executor, times: int = 5) -> list[Finished]:
    """What comes of so many polls: enough for a question and its answer."""
    return [finished for _ in range(times) for finished in executor.poll()]


def entry(state: str, reason: str = "", name: str = BATCH) -> Mapping[str, Entry]:
    return {"7": Entry(state, "n1", reason, name)}


@pytest.mark.parametrize(
    ("state", "ending"),
    [("CANCELLED", "interrupted"), ("OUT_OF_MEMORY", "out_of_memory"), ("COMPLETED", "interrupted")],
)
def test_where_no_node_says_how_a_job_ended_slurm_does(executor, job, queue, state, ending):
    """No exit code, and the state as the reason."""
    queue(entry(state))
    executor.take_up(job)
    (finished,) = polled(executor)
    assert (finished.exit_code, finished.cpu_seconds) == (None, None)
    assert (finished.refusal.ending, finished.refusal.reason) == (ending, f"Slurm: {state} on n1")


def test_a_job_that_failed_before_its_engine_tells_the_last_line_of_its_output(executor, job, queue, tmp_path):
    """Of Slurm's own log of it: the job's log has nothing."""
    log = tmp_path / "slurm" / BATCH / "7_0_log.out"
    log.parent.mkdir()
    log.write_text("Traceback …\nModuleNotFoundError: No module named 'submitit'\n")
    queue(entry("FAILED"))
    executor.take_up(job)
    (finished,) = polled(executor)
    assert finished.refusal.ending == "failed"
    assert finished.refusal.reason == (
        "Slurm: FAILED on n1; its output ends with: ModuleNotFoundError: No module named 'submitit'"
    )


@pytest.mark.parametrize("said", [None, entry("PENDING"), entry("COMPLETING"), entry("SUSPENDED"), entry("REQUEUED")])
def test_a_job_is_waited_for_while_it_may_go_on(executor, job, queue, said):
    """Also while Slurm does not answer at all."""
    queue(said)
    executor.take_up(job)
    assert polled(executor) == []


def test_a_job_that_was_over_when_its_node_was_lost_is_not_started_again(executor, job, queue, monkeypatch):
    """Slurm has it back in its queue, perhaps for hours; its ending lies there, and it is taken out."""
    taken_out: list[str] = []
    monkeypatch.setattr(squeue, "take_out", taken_out.extend)
    queue(entry("RUNNING"))
    executor.take_up(job)
    assert polled(executor) == []
    write(ending_path(job.out), SeenEnding(exit_code=0, cpu_seconds=1.5, wall_seconds=2.0, host="n1"))
    queue(entry("PENDING"))
    assert polled(executor) == [Finished(job, 0, 1.5, 2.0)]
    assert set(taken_out) <= {"7"}


def test_a_queue_that_says_the_same_is_asked_more_seldom(tmp_path, job, queue, monkeypatch):
    """Every 10 s at first, then after 20, 40 and 60 s; a change brings the 10 s back."""
    now, asked = [0.0], []
    monkeypatch.setattr(slurm.time, "monotonic", lambda: now[0])
    monkeypatch.setattr(slurm.time, "sleep", lambda seconds: None)
    executor = slurm.Slurm(SlurmOptions({}), tmp_path / "slurm", look_seconds=10, gone_seconds=0)
    state = ["RUNNING"]

    class AtOnce:
        """A question that is answered when it is asked."""

        over = True

        def __init__(self, ids: object) -> None:
            asked.append(now[0])
            self.asked, self.entries, self.complaint = now[0], entry(state[0]), None

    monkeypatch.setattr(slurm, "Question", AtOnce)
    executor.take_up(job)
    while now[0] < 300:
        executor.poll()
        now[0] += 5
        if now[0] == 200:
            state[0] = "SUSPENDED"
    assert asked[:9] == [0, 10, 30, 70, 130, 190, 250, 260, 280]


def test_an_end_that_slurm_tells_is_believed_after_a_while(tmp_path, job, queue):
    """What the node wrote may come late on a shared file system, and then counts."""
    queue(entry("COMPLETED"))
    executor = slurm.Slurm(SlurmOptions({}), tmp_path / "slurm", look_seconds=0, gone_seconds=1000)
    executor.take_up(job)
    assert polled(executor) == []
    write(ending_path(job.out), SeenEnding(exit_code=3, cpu_seconds=1.5, wall_seconds=2.0, host="n1"))
    assert polled(executor) == [Finished(job, 3, 1.5, 2.0)]


def test_the_accounts_tell_of_a_job_that_the_queue_forgot(executor, job, queue):
    """Where there are any."""
    queue({}, entry("TIMEOUT"))
    executor.take_up(job)
    assert polled(executor)[0].refusal.reason == "Slurm: TIMEOUT on n1"


@pytest.mark.parametrize("said", [{}, entry("RUNNING", name="someone else's")])
def test_a_job_that_nobody_knows_is_gone(executor, job, queue, said):
    """Also where its id is another's."""
    queue(said)
    executor.take_up(job)
    (finished,) = polled(executor)
    assert finished.refusal.ending == "interrupted"
    assert finished.refusal.reason == "Slurm no longer knows job 7"


def test_what_killed_an_engine_is_asked_when_its_job_is_over(tmp_path, job, queue):
    """Slurm's word that memory ran out comes after the node's that signal 9 did."""
    executor = slurm.Slurm(SlurmOptions({}), tmp_path / "slurm", look_seconds=0, gone_seconds=1000)
    write(ending_path(job.out), SeenEnding(exit_code=-9, cpu_seconds=1.0, wall_seconds=1.0, host="n1"))
    queue(entry("RUNNING"))
    executor.take_up(job)
    assert polled(executor) == []
    queue(entry("OUT_OF_MEMORY"))
    (finished,) = polled(executor)
    assert (finished.exit_code, finished.refusal.ending) == (-9, "out_of_memory")


def test_why_a_job_waits_can_be_shown(executor, job, queue):
    """In Slurm's words; of one at work there is nothing to say."""
    queue(entry("PENDING", "launch failed requeued held"))
    executor.take_up(job)
    polled(executor)
    assert executor.reason(job) == "PENDING (launch failed requeued held) on n1"
    queue(entry("RUNNING"))
    polled(executor)
    assert executor.reason(job) is None
    assert executor.running() == [job]


def test_what_squeue_complains_of_is_shown_while_it_does_not_answer(executor, job, queue):
    """Where a job's reason stands, for its own is not known; of one that was at work its progress tells."""
    queue(None)
    executor.take_up(job)
    polled(executor)
    assert executor.reason(job) == "squeue does not answer: Unable to contact slurm controller"
    queue(entry("PENDING", "Resources"))
    polled(executor)
    assert executor.reason(job) == "PENDING (Resources) on n1"


def test_a_thousand_jobs_may_wait_and_what_is_taken_up_is_one_of_them(executor, job):
    """As many as Slurm takes in one array."""
    assert len(executor.free()) == 1000
    executor.take_up(job)
    assert list(executor.free()) == ["cuda:0"] * 999


def test_leaving_names_what_stays(executor, job):
    """How to find it and how to cancel it."""
    executor.take_up(job)
    assert executor.cancel() == []
    assert executor.farewell() == ("1 run stays in Slurm: squeue --job 7", "to cancel: scancel 7")


def test_without_sbatch_the_wish_is_refused(executor, job, monkeypatch):
    """In one line, before anything waits."""
    monkeypatch.setenv("PATH", "")
    executor.submit(job)
    with pytest.raises(slurm.BadInput, match=r"^--slurm: "):
        executor.poll()
    assert len(executor.free()) == 1000
