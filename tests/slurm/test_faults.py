"""What happens to jobs on a cluster, on a real Slurm with a stand-in for the engine: nothing is lost or done twice."""

import hashlib
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from harness.executors.job import Errand, Job
from harness.executors.sbatch import SlurmOptions
from harness.executors.slurm import Slurm
from harness.ledger.errors import BadInput
from harness.ledger.files import read
from harness.ledger.ticket import SeenEnding, Ticket, ending_path, ticket_path
from tests.executors.place import DOOR, Place, answer, named, started, until, wait
from tests.slurm.cluster import Cluster

pytestmark = pytest.mark.slurm

REQUEUE_SECONDS = 60.0
"""A requeued job waits until its credential is void, here 6 s, and for the next look of the scheduler."""


@pytest.fixture
def submit(cluster: Cluster, tmp_path: Path) -> Callable[..., Slurm]:
    """Makes an executor with options of sbatch, and hands it jobs."""

    def submitted(*jobs: Job, options: str = "gres=gpu:1") -> Slurm:
        asked = SlurmOptions.parse(f"{options},partition={cluster.partition}")
        executor = Slurm(asked, tmp_path / "slurm", "cuda:0", DOOR, look_seconds=0.5, gone_seconds=1)
        for job in jobs:
            executor.submit(job)
        executor.poll()
        return executor

    return submitted


@pytest.fixture
def job(tmp_path: Path) -> Callable[..., Job]:
    return Place(lambda: pytest.fail("no executor"), tmp_path, "cuda:0").job


def ticket(job: Job) -> Ticket:
    return read(ticket_path(job.out), Ticket)


def undisturbed(iterations: int) -> str:
    """What so many iterations make, one after the other."""
    value = ""
    for iteration in range(1, iterations + 1):
        value = hashlib.sha256(f"{value} {iteration}".encode()).hexdigest()
    return value


def test_six_jobs_share_four_gpus(cluster, submit, job):
    """Four at a time, each on a GPU of a node of its own; one array, whose tickets name its tasks."""
    jobs = [job(f"job{index}", iterations=15, seconds=0.1) for index in range(6)]
    executor = submit(*jobs)
    until(lambda: len(executor.running()) == 4, executor.poll)
    assert all((executor.reason(waiting) or "").startswith("PENDING") for waiting in jobs[4:])
    assert {finished.exit_code for finished in wait(executor, 6)} == {0}
    pairs = [(answer(one)["node"], answer(one)["cards"]) for one in jobs]
    assert len(set(pairs[:4])) == cluster.gpus
    assert set(pairs[4:]) <= set(pairs[:4])
    assert len({ticket(one).batch for one in jobs}) == 1
    assert [ticket(one).id.split("_")[1] for one in jobs] == list("012345")


def test_no_more_than_the_limit_run_at_once(submit, job):
    """limit=1: the second begins when the first has ended."""
    jobs = [job(f"job{index}", iterations=3, seconds=0.1) for index in range(2)]
    executor = submit(*jobs, options="gres=gpu:1,limit=1")
    until(lambda: len(executor.running()) == 1, executor.poll)
    assert executor.reason(jobs[1]) == "PENDING (JobArrayTaskLimit)"
    assert [finished.job for finished in wait(executor, 2)] == jobs


def test_a_killed_engine_takes_no_other_with_it(submit, job):
    """Its node tells the signal; those beside it, of the same array, are done."""
    jobs = [job("killed", iterations=9, fall=2), job("well", iterations=3, seconds=0.1)]
    ends = named(wait(submit(*jobs), 2))
    assert (ends["killed"].exit_code, ends["killed"].refusal) == (-9, None)
    assert ends["well"].exit_code == 0


def test_scancel_from_outside_interrupts_a_job_and_no_other(cluster, submit, job):
    """The one at work stops at an iteration's end and stays cancelled; the one in the queue never begins."""
    jobs = [job(f"job{index}", iterations=300 if index in {0, 4} else 100, seconds=0.1) for index in range(5)]
    executor = submit(*jobs)
    until(lambda: all(started(one) for one in jobs[:4]), executor.poll)
    cluster.ask("scancel", ticket(jobs[0]).id, ticket(jobs[4]).id)
    ends = named(wait(executor, 5))
    assert {name: end.refusal and end.refusal.ending for name, end in ends.items()} == {
        "job0": "interrupted", "job1": None, "job2": None, "job3": None, "job4": "interrupted",
    }  # fmt: skip
    assert ends["job0"].refusal.reason.startswith("Slurm: CANCELLED")
    assert answer(jobs[0])["ending"] == "interrupted"
    assert not started(jobs[4])
    assert cluster.state(ticket(jobs[0]).id) == "CANCELLED"


def test_a_job_that_is_preempted_goes_on_afterwards_from_its_checkpoint(cluster, submit, job):
    """A job of the urgent partition takes its place; it stops, waits, and ends as if nothing had been."""
    one = job(iterations=200, seconds=0.1)
    executor = submit(one, options="gres=gpu:2,nodelist=n1")
    until(lambda: started(one), executor.poll)
    cluster.ask(
        "sbatch", f"--partition={cluster.urgent}", "--gres=gpu:2", "--nodelist=n1", "--output=/dev/null",
        "--wrap=sleep 1",
    )  # fmt: skip
    (finished,) = wait(executor, seconds=REQUEUE_SECONDS)
    assert finished.exit_code == 0
    assert len(answer(one)["starts"]) == 2
    assert answer(one)["value"] == undisturbed(200)
    assert "back in Slurm's queue" in one.log.read_text()


def test_a_job_whose_time_is_up_goes_on_in_the_next_slice(submit, job):
    """The signal comes within half a minute, as Slurm looks no oftener; requeued and resumed, it makes the same."""
    one = job(iterations=350, seconds=0.1)
    executor = submit(one, options="gres=gpu:1,time=1,grace=50")
    (finished,) = wait(executor, seconds=150)
    assert finished.exit_code == 0
    assert len(answer(one)["starts"]) >= 2
    assert answer(one)["value"] == undisturbed(350)


def test_a_task_that_goes_back_into_the_queue_takes_no_other_with_it(cluster, submit, job):
    """The last of its array, whose own number is the array's: what is beside it goes on."""
    jobs = [job(f"job{index}", iterations=200, seconds=0.1) for index in range(3)]
    executor = submit(*jobs)
    until(lambda: all(started(one) for one in jobs), executor.poll)
    array = ticket(jobs[2]).id.removesuffix("_2")
    own = cluster.ask("squeue", "--noheader", "--array", f"--jobs={array}_2", "--format=%A")
    assert own == array
    cluster.ask("scancel", "--signal=USR2", f"{array}_2")
    ends = wait(executor, 3, seconds=REQUEUE_SECONDS + 30)
    assert {finished.exit_code for finished in ends} == {0}
    assert [len(answer(one)["starts"]) for one in jobs] == [1, 1, 2]
    assert answer(jobs[2])["value"] == undisturbed(200)
    assert f"job {array}_2 is back in Slurm's queue" in jobs[2].log.read_text()


def test_jobs_of_a_lost_node_are_started_again_elsewhere(cluster, submit, job):
    """Daemon, step and engine of the node die at once; Slurm notices, and the job resumes where there is room."""
    one = job(iterations=200, seconds=0.1)
    executor = submit(one)
    until(lambda: started(one) and bool(executor.running()), executor.poll)
    node = cluster.ask("squeue", "--noheader", "--format=%N")
    cluster.kill_node(node)
    try:
        (finished,) = wait(executor, seconds=120)
    finally:
        cluster.start_node(node)
    assert finished.exit_code == 0
    assert answer(one)["node"] != node
    assert len(answer(one)["starts"]) == 2
    assert answer(one)["value"] == undisturbed(200)


def test_jobs_go_on_while_slurm_answers_nobody(cluster, submit, job):
    """Its head is killed and comes back; the job's end is seen from its file meanwhile, another's afterwards."""
    short, long = job("short", iterations=90, seconds=0.1), job("long", iterations=150, seconds=0.1)
    executor = submit(short, long)
    until(lambda: started(short) and started(long) and len(executor.running()) == 2, executor.poll)
    begun, saved = time.time(), cluster.folder / "state" / "job_state"  # what it has not saved, it loses
    cluster.until(lambda: saved.exists() and saved.stat().st_mtime > begun, "the jobs are saved")
    cluster.kill_controller()
    try:
        assert [finished.job for finished in wait(executor)] == [short]
    finally:
        cluster.start_controller()
    (finished,) = wait(executor)
    assert (finished.job, finished.exit_code) == (long, 0)
    assert answer(long)["starts"] == [0]


def test_another_job_of_the_same_id_is_not_taken_for_it(cluster, submit, job):
    """A ticket of a Slurm that was set up anew: the id is another's now, which is not waited for."""
    one = job()
    number = cluster.ask("sbatch", "--parsable", "--output=/dev/null", "--wrap=sleep 60")
    ticket_path(one.out).write_text(Ticket(queue="slurm", id=number, batch="bench-of-before").model_dump_json())
    executor = submit()
    assert executor.take_up(one)
    (finished,) = wait(executor)
    assert (finished.exit_code, finished.refusal.ending) == (None, "interrupted")
    assert finished.refusal.reason == f"Slurm no longer knows job {number}"
    assert cluster.state(number) == "RUNNING"


def test_a_held_job_says_so(cluster, submit, job):
    """It would wait for ever: Slurm's reason can be shown."""
    one = job()
    executor = submit(one, options="gres=gpu:1,hold=true")
    until(lambda: executor.reason(one) is not None, executor.poll)
    assert executor.reason(one) == "PENDING (JobHeldUser)"


def test_the_commands_at_leaving_find_and_cancel_what_stays(cluster, submit, job):
    """Both lines work as they are printed."""
    jobs = [job(f"job{index}", outlives=True, iterations=600, seconds=0.1) for index in range(2)]
    executor = submit(*jobs)
    assert executor.cancel() == []
    find, end = executor.farewell()
    assert find.startswith("2 runs stay in Slurm: squeue --job ")
    assert len(cluster.ask(*find.split(": ")[1].split(), "--noheader", "--array").splitlines()) == 2
    cluster.ask(*end.removeprefix("to cancel: ").split())
    cluster.until(lambda: not cluster.ask("squeue", "--noheader"), "the queue is empty")


def test_a_node_does_its_errand_once_before_its_jobs(submit, job, tmp_path):
    """Two jobs in turn on one node: the first brings the node's answer, the second finds it."""
    errand = job("errand", iterations=1, say="measuring")
    jobs = []
    for name in ("one", "two"):
        plain = job(name)
        jobs.append(Job(**{**vars(plain), "errand": Errand("profile", errand.spec, tmp_path / "answers")}))
    wait(submit(*jobs, options="gres=gpu:1,nodelist=n2,limit=1"), 2)
    assert [path.name for path in (tmp_path / "answers").glob("[!.]*")] == ["n2.json"]
    assert [one.log.read_text().count("measuring") for one in jobs] == [1, 0]


def test_a_wish_that_slurm_refuses_is_said_in_one_line(submit, job):
    """What sbatch says, and nothing is left in the queue."""
    with pytest.raises(BadInput) as refused:
        submit(job(), options="gres=gpu:9")
    line = str(refused.value)
    assert line.startswith("--slurm: sbatch says: ")
    assert "Requested node configuration is not available" in line
    assert "\n" not in line


def test_a_hostile_folder_changes_nothing(submit, job, tmp_path, monkeypatch):
    """A yaml.py, an os.py and a pydantic.py where the sweep was started are not imported on the node."""
    for name in ("yaml", "pydantic", "submitit", "cloudpickle"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit('taken over')")
    monkeypatch.chdir(tmp_path)
    one = job()
    (finished,) = wait(submit(one))
    assert finished.exit_code == 0
    assert read(ending_path(one.out), SeenEnding).host in {"n1", "n2"}
