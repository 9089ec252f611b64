"""This machine's own promises, beside those that test_contract.py tells of every executor."""

import os
import platform
import resource
import sys
from pathlib import Path

import pytest

from harness.executors.engine import DOOR
from harness.executors.job import Job
from harness.executors.local import Local
from tests.executors.place import wait


@pytest.fixture
def run(tmp_path: Path):
    """Runs Python as the engine, and gives what it printed."""

    def printed(code: str, device: str = "cpu") -> str:
        job = Job("job", "run", tmp_path / "spec", tmp_path / "out", tmp_path / "log", device, 1)
        executor = Local([device], door=[sys.executable, "-c", code])
        executor.submit(job)
        wait(executor)
        return job.log.read_text()

    return printed


def test_the_door_is_the_engine_and_ignores_the_current_folder():
    """VERB SPEC OUT follow."""
    assert list(DOOR) == [sys.executable, "-P", "-m", "harness.train"]


def test_a_job_is_called_with_its_verb_spec_and_out(run, tmp_path):
    """In this order."""
    assert run("import sys; print(sys.argv[1:])") == f"{['run', str(tmp_path / 'spec'), str(tmp_path / 'out')]}\n"


def test_devices_are_handed_out_by_name(tmp_path):
    """What runs on cuda:1 leaves cuda:0 free."""
    executor = Local(["cuda:0", "cuda:1"], door=[sys.executable, "-c", "input()"])
    executor.submit(Job("job", "run", tmp_path / "spec", tmp_path / "out", tmp_path / "log", "cuda:1", 1))
    assert list(executor.free()) == ["cuda:0"]
    wait(executor)
    assert list(executor.free()) == ["cuda:0", "cuda:1"]


def test_a_cpu_job_has_its_threads_and_knows_its_sweep(run):
    """One OpenMP thread, and whose death to die with."""
    said = run("import os; print(os.environ['OMP_NUM_THREADS'], os.environ['SEGKD_PARENT'])")
    assert said == f"1 {os.getpid()}\n"


def test_jobs_count_gpus_as_nvml_does(run):
    """By bus, on whichever device."""
    assert run("import os; print(os.environ['CUDA_DEVICE_ORDER'])", "cuda:0") == "PCI_BUS_ID\n"


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="the limits are glibc's")
def test_a_cpu_job_keeps_the_memory_that_it_frees(run):
    """Thirty times four pieces of 8 MiB: their pages are asked for once, not in every iteration."""
    pages = 4 * 8 * 2**20 // resource.getpagesize()
    said = run(
        "import resource\n"
        "for _ in range(30): held = [b'x' * 2**23 for _ in range(4)]; del held\n"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt)"
    )
    assert int(said) < 3 * pages
