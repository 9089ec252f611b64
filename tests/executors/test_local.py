"""Real child processes, without the engine: a stand-in script is the door."""

import os
import platform
import resource
import sys
import time
from pathlib import Path

import pytest

from harness.executors.job import Finished, Job
from harness.executors.local import Local


@pytest.fixture
def python_as_engine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Runs what stands in the job's spec file, as Python, in place of the engine."""
    engine = tmp_path / "engine"
    engine.write_text(f'#!/bin/sh\nexec {sys.executable} "$5"\n')
    engine.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(engine))

    def job(code: str, name: str = "job", device: str = "cpu") -> Job:
        spec = tmp_path / f"{name}.py"
        spec.write_text(code)
        return Job(name, "run", spec, tmp_path / f"{name}.json", tmp_path / f"{name}.log", device, 1)

    return job


def wait(executor: Local, count: int = 1) -> list[Finished]:
    ended: list[Finished] = []
    deadline = time.monotonic() + 30
    while len(ended) < count and time.monotonic() < deadline:
        ended += executor.poll()
    return ended


def test_a_job_is_seen_to_end_with_its_usage_and_its_log(python_as_engine):
    """Exit code, CPU time and wall time from outside, and what it printed in its log."""
    executor = Local(["cpu"])
    job = python_as_engine("print('hello'); sum(range(3_000_000)); raise SystemExit(3)")
    executor.submit(job)
    (finished,) = wait(executor)
    assert finished.exit_code == 3
    assert finished.cpu_seconds > 0
    assert finished.wall_seconds > 0
    assert job.log.read_text() == "hello\n"


def test_a_killed_job_tells_its_signal(python_as_engine):
    """Minus nine, as Python says it."""
    executor = Local(["cpu"])
    executor.submit(python_as_engine("import os; os.kill(os.getpid(), 9)"))
    assert wait(executor)[0].exit_code == -9


def test_one_job_can_be_ended_and_the_others_go_on(python_as_engine):
    """The one that sleeps is killed; the one beside it prints."""
    executor = Local(["cpu", "cpu"])
    sleeping = python_as_engine("import time; time.sleep(60)", "sleeping")
    for job in (sleeping, python_as_engine("import time; time.sleep(0.3)", "working")):
        executor.submit(job)
    executor.end(sleeping)
    ends = {finished.job.name: finished.exit_code for finished in wait(executor, 2)}
    assert ends == {"sleeping": -9, "working": 0}


def test_a_slot_holds_one_job(python_as_engine):
    """Two slots: after one submission one is free, after the end both are."""
    executor = Local(["cpu", "cpu"])
    executor.submit(python_as_engine("import time; time.sleep(0.3)"))
    assert list(executor.free()) == ["cpu"]
    wait(executor)
    assert list(executor.free()) == ["cpu", "cpu"]


def test_devices_are_handed_out_by_name(python_as_engine):
    """What runs on cuda:1 leaves cuda:0 free."""
    executor = Local(["cuda:0", "cuda:1"])
    executor.submit(python_as_engine("import time; time.sleep(0.3)", device="cuda:1"))
    assert list(executor.free()) == ["cuda:0"]
    wait(executor)


def test_a_cpu_job_has_its_threads_and_knows_its_sweep(python_as_engine):
    """One OpenMP thread, and whose death to die with."""
    executor = Local(["cpu"])
    job = python_as_engine("import os; print(os.environ['OMP_NUM_THREADS'], os.environ['SEGKD_PARENT'])")
    executor.submit(job)
    wait(executor)
    assert job.log.read_text() == f"1 {os.getpid()}\n"


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="the limits are glibc's")
def test_a_cpu_job_keeps_the_memory_that_it_frees(python_as_engine):
    """Thirty times four pieces of 8 MiB: their pages are asked for once, not in every iteration."""
    pages = 4 * 8 * 2**20 // resource.getpagesize()
    job = python_as_engine(
        "import resource\n"
        "for _ in range(30): held = [b'x' * 2**23 for _ in range(4)]; del held\n"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt)"
    )
    executor = Local(["cpu"])
    executor.submit(job)
    wait(executor)
    assert int(job.log.read_text()) < 3 * pages


def test_cancel_leaves_no_process(python_as_engine):
    """Both are gone when it returns."""
    executor = Local(["cpu", "cpu"])
    for name in ("one", "two"):
        executor.submit(python_as_engine("import time; time.sleep(60)", name))
    assert [finished.exit_code for finished in executor.cancel()] == [-9, -9]
    assert list(executor.running()) == []
