"""What every executor promises, with a stand-in for the engine: on this machine, and on a real Slurm."""

import pytest

from harness.executors.local import Local
from tests.executors.place import DOOR, Place, answer, named, started, until, wait


@pytest.fixture(params=["local", pytest.param("slurm", marks=pytest.mark.slurm)])
def place(request: pytest.FixtureRequest, tmp_path) -> Place:
    if request.param == "local":
        return Place(lambda: Local(["cpu"] * 3, DOOR), tmp_path)
    request.getfixturevalue("cluster")
    slurm = pytest.importorskip("harness.executors.slurm", reason="submitit is not installed")
    asked = slurm.SlurmOptions.parse("partition=bench,gres=gpu:1")
    make = lambda: slurm.Slurm(asked, tmp_path / "slurm", "cpu", DOOR, look_seconds=0.5, gone_seconds=1)  # noqa: E731
    return Place(make, tmp_path, keeps=True)


def test_a_job_is_seen_to_end_with_its_usage_and_its_log(place):
    """Exit code, CPU time and wall time from outside, and what it printed in its log."""
    executor, job = place.make(), place.job(iterations=2, exit=3, say="hello")
    executor.submit(job)
    (finished,) = wait(executor)
    assert (finished.job, finished.exit_code, finished.refusal) == (job, 3, None)
    assert finished.cpu_seconds > 0
    assert finished.wall_seconds > 0
    assert "hello\n" in job.log.read_text()
    assert answer(job)["done"] == 2


def test_a_job_that_is_killed_tells_its_signal(place):
    """Minus nine, as Python says it, in the midst of its work."""
    executor, job = place.make(), place.job(iterations=5, fall=2)
    executor.submit(job)
    (finished,) = wait(executor)
    assert finished.exit_code == -9
    assert not job.out.exists()


def test_one_job_can_be_ended_and_the_others_go_on(place):
    """The one that would work for a minute is ended; the one beside it is done."""
    executor = place.make()
    long, short = place.job("long", iterations=600, seconds=0.1), place.job("short", iterations=10, seconds=0.1)
    for job in (long, short):
        executor.submit(job)
    until(lambda: started(long) and started(short), executor.poll)
    executor.end(long)
    ends = named(wait(executor, 2))
    assert ends["short"].exit_code == 0
    assert ends["long"].exit_code != 0
    assert answer(short)["ending"] == "done"


def test_cancel_leaves_nothing_behind(place):
    """Both are gone when it returns, with their ends; none is at work, and nothing is said at leaving."""
    executor = place.make()
    jobs = [place.job(name, iterations=600, seconds=0.1) for name in ("one", "two")]
    for job in jobs:
        executor.submit(job)
    until(lambda: all(started(job) for job in jobs), executor.poll)
    ends = named(executor.cancel())
    assert set(ends) == {"one", "two"}
    assert all(end.exit_code != 0 for end in ends.values())
    done = [job.out.with_name("checkpoint.json").read_bytes() for job in jobs]
    assert list(executor.running()) == []
    assert list(executor.farewell()) == []
    assert [job.out.with_name("checkpoint.json").read_bytes() for job in jobs] == done


def test_what_outlives_its_sweep_is_taken_up_by_the_next(place):
    """Cancel lets it be where jobs can outlive; another executor waits for its end. Else it is gone, and not taken."""
    first, second = place.make(), place.make()
    job = place.job(outlives=True, iterations=15, seconds=0.1)
    first.submit(job)
    until(lambda: started(job), first.poll)
    assert [finished.job for finished in first.cancel()] == ([] if place.keeps else [job])
    assert bool(first.farewell()) == place.keeps
    assert second.take_up(job) == place.keeps
    if place.keeps:
        (finished,) = wait(second)
        assert (finished.job, finished.exit_code) == (job, 0)
        assert answer(job)["starts"] == [0]


def test_a_job_that_was_never_submitted_is_not_taken_up(place):
    """There is nothing to wait for."""
    assert not place.make().take_up(place.job())


def test_more_jobs_than_devices_are_all_done_once(place):
    """Nine, as slots come free; each has its own OUT."""
    executor, waiting = place.make(), [place.job(f"job{index}", iterations=2, seconds=0.02) for index in range(9)]
    jobs, ended = list(waiting), []
    while len(ended) < len(jobs):
        for _ in list(executor.free())[: len(waiting)]:
            executor.submit(waiting.pop(0))
        ended += executor.poll()
    assert sorted(finished.job.name for finished in ended) == sorted(job.name for job in jobs)
    assert [answer(job)["starts"] for job in jobs] == [[0]] * 9


def test_a_device_that_is_taken_is_not_free(place):
    """One slot fewer while the job is there, one more after it."""
    executor = place.make()
    before = len(executor.free())
    executor.submit(place.job(iterations=3, seconds=0.1))
    assert len(executor.free()) == before - 1
    wait(executor)
    assert len(executor.free()) == before


def test_a_job_goes_on_from_its_checkpoint_when_it_is_submitted_again(place):
    """Killed at the third iteration and started anew, it makes what it would have made undisturbed."""
    undisturbed, job = place.job("undisturbed", iterations=6), place.job(iterations=6, fall=3)
    executor = place.make()
    for task in (undisturbed, job):
        executor.submit(task)
    assert named(wait(executor, 2))["job"].exit_code == -9
    executor.submit(job)
    assert wait(executor)[0].exit_code == 0
    assert answer(job)["starts"] == [0, 3]
    assert answer(job)["value"] == answer(undisturbed)["value"]


def test_running_tells_who_is_at_work(place):
    """From its start, and not after its end."""
    executor, job = place.make(), place.job(iterations=10, seconds=0.1)
    executor.submit(job)
    until(lambda: list(executor.running()) == [job], executor.poll)
    wait(executor)
    assert list(executor.running()) == []
