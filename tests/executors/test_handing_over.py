"""How jobs come into Slurm's queue, and what becomes of those that do not; with a stand-in for submitit."""

import errno
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
from harness.ledger import claims
from harness.ledger.files import write
from harness.ledger.ticket import Ticket, ticket_path
from tests.executors.place import Place

slurm = pytest.importorskip("harness.executors.slurm", reason="submitit is not installed")


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
    parameters: Mapping[str, object] = field(default_factory=dict)

    def __call__(self, folder: Path) -> "Submitter":
        folder.mkdir()
        return self

    def update_parameters(self, **parameters: object) -> None:
        """Takes them all."""
        self.parameters = parameters

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
    assert [executor.reason(job) for job in four[1:]] == ["sbatch says: Unable to contact slurm controller"] * 3
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
    """Who leaves is told how many stay, and how many Slurm never had."""
    executor = again(tmp_path, 1000)
    submit(executor, four[:1])
    submitter.room = 0
    submit(executor, four[1:])
    assert executor.cancel() == []
    assert executor.farewell() == (
        "1 run stays in Slurm: squeue --job 1",
        "to cancel: scancel 1",
        "3 runs are not in Slurm: sbatch had not taken them yet, and the same command submits them",
    )


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


@pytest.fixture
def taken_out(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What Slurm was asked to cancel."""
    said: list[str] = []
    monkeypatch.setattr(squeue, "ask", lambda *command: said.append(" ".join(command)))
    return said


def full(*_: object) -> None:
    raise OSError(errno.EDQUOT, os.strerror(errno.EDQUOT))


def test_jobs_whose_tickets_cannot_be_written_are_taken_out_again(tmp_path, submitter, four, monkeypatch, taken_out):
    """The sweep says so and stops: they are not submitted twice, and no ticket tells of them."""

    def until_the_third(path: Path, ticket: Ticket) -> None:
        return full() if path == ticket_path(four[2].out) else write(path, ticket)

    monkeypatch.setattr(slurm, "write", until_the_third)
    executor = again(tmp_path, 0)
    with pytest.raises(OSError, match=os.strerror(errno.EDQUOT)):
        submit(executor, four)
    assert (submitter.asked, taken_out) == ([4], ["scancel --quiet 1"])
    assert [job.name for job in four if ticket_path(job.out).exists()] == []
    assert list((tmp_path / "slurm").iterdir()) == []
    assert executor.cancel() == []
    assert executor.farewell() == (
        "4 runs are not in Slurm: sbatch had not taken them yet, and the same command submits them",
    )


def test_what_sbatch_took_before_submitit_failed_is_taken_out_by_its_name(tmp_path, submitter, four, taken_out):
    """Files are written after sbatch's yes too, and then nobody is told the job's number."""
    executor = again(tmp_path, 1000)
    submit(executor, four[:1])
    (batch,) = (path.name for path in (tmp_path / "slurm").iterdir())
    submitter.meanwhile = full
    submit(executor, four[1:])
    assert [line.partition("bench-")[0] for line in taken_out] == ["scancel --quiet --name="]
    assert batch not in taken_out[0]
    assert [path.name for path in (tmp_path / "slurm").iterdir()] == [batch]
    assert str(executor.reason(four[1])).endswith(os.strerror(errno.EDQUOT))


def test_runs_that_another_sweep_has_taken_over_meanwhile_are_not_handed_over(tmp_path, submitter, four):
    """This one slept for over a minute: they end here, without a word on how."""
    executor = again(tmp_path, 0)
    executor.submit(four[0])
    executor.poll()
    submitter.room = 0
    submit(executor, four[1:])
    for job in four[1:3]:
        write(job.out.with_name(claims.OWNER), claims.Owner(system="elsewhere", pid=1, started=0.0))
    submitter.room = 1000
    assert list(executor.poll()) == [Finished(job, None, None, None) for job in four[1:3]]
    assert submitter.asked == [1, 3, 1]
    assert [ticket_path(job.out).exists() for job in four] == [True, False, False, True]
    assert len(executor.free()) == 998


def test_when_all_that_sbatch_refused_is_lost_there_is_room_again(tmp_path, submitter, four):
    """Nothing waits for sbatch any more."""
    executor = again(tmp_path, 0)
    submit(executor, four[:1])
    submitter.room = 0
    submit(executor, four[1:])
    for job in four[1:]:
        write(job.out.with_name(claims.OWNER), claims.Owner(system="elsewhere", pid=1, started=0.0))
    assert len(executor.poll()) == 3
    assert len(executor.free()) == 999


def test_a_job_is_one_process_whatever_else_is_asked_for(tmp_path, submitter, four):
    """Slurm counts tasks from GPUs and lists of nodes too."""
    options = SlurmOptions.parse("gpus=2,gpus-per-task=1,nodelist=n[1-2],cpus-per-task=4")
    submit(slurm.Slurm(options, tmp_path / "slurm"), four)
    assert submitter.parameters["srun_args"] == ["--nodes=1", "--ntasks=1", "--cpus-per-task=4"]


def test_defaults_of_a_site_do_not_beat_what_is_asked_for(tmp_path, submitter, four, monkeypatch):
    """They are out of sbatch's sight while jobs are handed over."""
    seen: list[str | None] = []
    monkeypatch.setenv("SBATCH_PARTITION", "site")
    submitter.meanwhile = lambda: seen.append(os.environ.get("SBATCH_PARTITION"))
    submit(slurm.Slurm(SlurmOptions.parse("partition=bench"), tmp_path / "slurm"), four)
    assert (seen, os.environ["SBATCH_PARTITION"]) == ([None], "site")
