"""What is made of files and of what the queue says; with a queue that says what the test says."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
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
def queue(monkeypatch: pytest.MonkeyPatch):
    """Has the queue say something: a mapping, or None for no answer."""

    def says(entries: Mapping[str, Entry] | None, accounts: Mapping[str, Entry] | None = None) -> None:
        monkeypatch.setattr(squeue, "look", lambda: entries)
        monkeypatch.setattr(squeue, "look_back", lambda ids: accounts or {})

    says({})
    return says


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
            self.asked, self.entries = now[0], entry(state[0])

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


@dataclass
class Submitted:
    """What submitit says of a job that was taken."""

    job_id: str


@dataclass
class Submitter:
    """submitit's in a test: takes arrays while there is room for them, and numbers them from 1."""

    room: int = 1000
    words: str = "sbatch: error: Job violates accounting/QOS policy (job submit limit)"
    asked: list[int] = field(default_factory=list)
    """The sizes of the arrays that it was handed."""
    meanwhile: Callable[[], object] = lambda: None

    def __call__(self, folder: Path) -> "Submitter":
        return self

    def update_parameters(self, **parameters: object) -> None:
        """Takes them all."""

    def map_array(self, carry: object, jobs: Sequence[object], doors: object) -> list[Submitted]:
        """Jobs in the queue, if there is room for them all."""
        self.asked.append(len(jobs))
        self.meanwhile()
        if len(jobs) > self.room:
            raise slurm.FailedJobError(self.words)
        self.room -= len(jobs)
        return [Submitted(f"{len(self.asked)}_{task}") for task in range(len(jobs))]


@pytest.fixture
def submitter(monkeypatch: pytest.MonkeyPatch, queue) -> Submitter:
    """Stands in submitit's place; the queue does not answer."""
    queue(None)
    made = Submitter()
    monkeypatch.setattr(slurm, "SlurmExecutor", made)
    return made


@pytest.fixture
def four(tmp_path: Path):
    """Jobs that were not submitted yet."""
    place = Place(lambda: pytest.fail("none"), tmp_path)
    return [place.job(name, outlives=True) for name in "abcd"]


def again(tmp_path: Path, seconds: float):
    """An executor that tries again after so long."""
    folder = tmp_path / "slurm"
    return slurm.Slurm(SlurmOptions({}), folder, look_seconds=1000, gone_seconds=0, again_seconds=seconds)


def submit(executor, jobs) -> None:
    for job in jobs:
        executor.submit(job)
    executor.poll()


def test_a_wish_that_sbatch_refuses_at_first_is_told_at_once(tmp_path, submitter, four):
    """A partition that is misspelt never gets better; nothing is left of it."""
    submitter.room, submitter.words = 0, "sbatch: error: invalid partition specified: bnech"
    executor = again(tmp_path, 0)
    with pytest.raises(slurm.BadInput) as caught:
        submit(executor, four)
    assert str(caught.value) == "--slurm: sbatch says: invalid partition specified: bnech"
    assert (submitter.asked, len(executor.free()), executor.farewell()) == ([4], 1000, ())


def test_what_sbatch_refuses_while_others_are_in_the_queue_waits(tmp_path, submitter, four):
    """With sbatch's words for a reason, and without room for more; it goes when there is room."""
    executor = again(tmp_path, 0)
    submit(executor, four[:1])
    submitter.room, submitter.words = 0, "sbatch: error: Unable to contact slurm controller"
    submit(executor, four[1:])
    executor.poll()
    assert submitter.asked == [1, 3, 3]
    assert [executor.reason(job) for job in four] == [None] + ["sbatch says: Unable to contact slurm controller"] * 3
    assert executor.free() == ()
    submitter.room = 3
    executor.poll()
    assert all(ticket_path(job.out).exists() for job in four)
    assert len(executor.free()) == 996


def test_what_sbatch_refused_is_tried_again_after_a_while_and_not_before(tmp_path, submitter, four):
    """Slurm is not asked ten times a second."""
    executor = again(tmp_path, 1000)
    submit(executor, four[:1])
    submitter.room = 0
    submit(executor, four[1:])
    executor.poll()
    assert submitter.asked == [1, 3]


def test_an_array_too_large_for_a_site_goes_in_parts(tmp_path, submitter, four):
    """Halves at once while nothing is in the queue; of what is left as much as goes, later."""
    submitter.room = 3
    executor = again(tmp_path, 0)
    submit(executor, four)
    assert submitter.asked == [4, 2, 2]
    executor.poll()
    assert submitter.asked == [4, 2, 2, 1, 1]
    assert [job.name for job in four if ticket_path(job.out).exists()] == ["a", "b", "c"]


def test_jobs_that_sbatch_never_took_are_not_left_behind(tmp_path, submitter, four):
    """Who leaves is told of those alone that stay."""
    executor = again(tmp_path, 1000)
    submit(executor, four[:1])
    submitter.room = 0
    submit(executor, four[1:])
    assert executor.cancel() == []
    assert executor.farewell() == ("1 run stays in Slurm: squeue --job 1", "to cancel: scancel 1")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_while_jobs_are_handed_over_comes_after_their_tickets(tmp_path, submitter, four, number):
    """None is in the queue of which nobody knows; and then it comes."""

    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    before, executor = signal.signal(number, stop), again(tmp_path, 0)
    submitter.meanwhile = lambda: os.kill(os.getpid(), number)
    try:
        with pytest.raises(KeyboardInterrupt):
            submit(executor, four)
        assert signal.getsignal(number) is stop
    finally:
        signal.signal(number, before)
    assert all(ticket_path(job.out).exists() for job in four)
    executor.cancel()
    assert executor.farewell() == ("4 runs stay in Slurm: squeue --job 1", "to cancel: scancel 1")


def test_ctrl_c_at_a_terminal_does_not_reach_sbatch(tmp_path, submitter, four):
    """It would end between the queue's yes and its words."""
    asks = "import signal; print(signal.SIGINT in signal.pthread_sigmask(signal.SIG_BLOCK, ()))"
    said: list[str] = []
    submitter.meanwhile = lambda: said.append(
        subprocess.run([sys.executable, "-c", asks], capture_output=True, text=True, check=True).stdout
    )
    submit(again(tmp_path, 0), four)
    assert said == ["True\n"]
    assert signal.SIGINT not in signal.pthread_sigmask(signal.SIG_BLOCK, ())
