"""`bench run` on a real Slurm, with the real engine: jobs are stopped, killed and cancelled, and nothing is lost."""

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import psutil
import pytest

from harness.ledger.errors import BadInput
from harness.ledger.files import read
from harness.ledger.record import Record
from harness.ledger.status import Status
from tests.slurm.cluster import Cluster
from tests.story import bench, environment, tiny

pytestmark = [pytest.mark.slurm, pytest.mark.xdist_group("sweeps on slurm")]  # a cluster for both

PLAN = ("--workload", "tiny.yaml", "--budget", "400 it", "--pace", "iterations", "--profile-time", "0.1s", "--yes")
CLUSTER = ("--executor", "slurm", "--slurm", "partition=bench,gres=gpu:1,time=10,limit=4", "--device", "cpu")


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A folder with a workload and its teacher."""
    tiny(tmp_path)
    assert bench(tmp_path / "cache", "teacher", "--workload", "tiny.yaml", cwd=tmp_path).returncode == 0
    return tmp_path


def begin(place: Path) -> "subprocess.Popen[str]":
    """Six runs, in the background."""
    command = [sys.executable, "-P", "-m", "harness", "run", *PLAN, "--methods", "baseline,kd", *CLUSTER]
    return subprocess.Popen(
        command, cwd=place, env=environment(place / "cache"), text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )


def trains(place: Path, name: str) -> Status | None:
    """What the run says of itself, once it is well under way."""
    for path in (place / "results" / "work").glob(f"tiny-{name}-*/out.json.status.json"):
        try:
            status = read(path, Status)
        except BadInput:
            continue
        if status.phase == "training" and status.iterations > 10 and psutil.pid_exists(status.pid):
            return status
    return None


def ticket(place: Path, name: str) -> str:
    """The id by which Slurm knows the run."""
    (path,) = (place / "results" / "work").glob(f"tiny-{name}-*/ticket.json")
    return re.search(r'"id": "([0-9_]+)"', path.read_text())[1]


def meddle(place: Path, acts: dict[str, Callable[[Status], object]], seconds: float = 240.0) -> None:
    """Does each act once, as soon as its run trains."""
    done: set[str] = set()
    asked: list[Future[object]] = []
    deadline = time.monotonic() + seconds
    with ThreadPoolExecutor() as pool:
        while acts.keys() - done:
            assert time.monotonic() < deadline, f"waited in vain until these train: {acts.keys() - done}"
            for name in acts.keys() - done:
                if status := trains(place, name):
                    asked.append(pool.submit(acts[name], status))  # scancel takes its time; the other runs do not wait
                    done.add(name)
            time.sleep(0.05)
    for answer in asked:
        answer.result()


def records(folder: Path) -> dict[str, Record]:
    """By method, seed and attempt."""
    found = [read(path, Record) for path in sorted((folder / "runs").glob("*.json"))]
    return {f"{r.spec.method.name}-s{r.spec.seed}.{r.spec.attempt}": r for r in found}


def test_a_sweep_of_six_runs_loses_nothing_to_a_stop_a_kill_and_a_scancel(cluster: Cluster, place: Path):
    """One run is done to stop (as by a time limit), is requeued, and ends bit by bit as one that nobody stopped.

    One is killed: failed. One is cancelled: interrupted. The others are done, the exit code is 3; the same command
    does the two again, and everything stands exactly once.
    """
    sweep = begin(place)
    meddle(
        place,
        {
            # What Slurm does before a time limit. scancel would repeat it to the next start, before that listens.
            "kd-s0": lambda status: os.kill(psutil.Process(status.pid).ppid(), signal.SIGUSR2),
            "baseline-s2": lambda status: os.kill(status.pid, signal.SIGKILL),
            "kd-s2": lambda status: cluster.ask("scancel", ticket(place, "kd-s2")),
        },
    )
    stdout, stderr = sweep.communicate(timeout=240)
    assert sweep.returncode == 3, stdout + stderr

    first = records(place / "results")
    assert {name: record.outcome.ending for name, record in first.items()} == {
        "baseline-s0.1": "done", "baseline-s1.1": "done", "baseline-s2.1": "failed",
        "kd-s0.1": "done", "kd-s1.1": "done", "kd-s2.1": "interrupted",
    }  # fmt: skip
    assert first["baseline-s2.1"].outcome.reason.startswith("killed by signal 9 (SIGKILL")
    resumed = first["kd-s0.1"].outcome
    assert (resumed.iterations, resumed.resumed_iterations > 10) == (400, True)
    hosts = {record.outcome.conditions.host for record in first.values() if record.outcome.conditions}
    assert hosts <= set(cluster.nodes)

    alone = bench(
        place / "cache", "run", *PLAN, "--methods", "kd", "--seed", "0", "--device", "cpu", "--results", "alone",
        cwd=place,
    )  # fmt: skip
    assert alone.returncode == 0, alone.stderr
    assert records(place / "alone")["kd-s0.1"].outcome.student_sha256 == resumed.student_sha256

    before = {path: path.read_bytes() for path in (place / "results" / "runs").iterdir()}
    again = begin(place)
    stdout, stderr = again.communicate(timeout=240)
    assert again.returncode == 0, stdout + stderr
    second = records(place / "results")
    assert {path: path.read_bytes() for path in before} == before
    assert {name: second[name].outcome.ending for name in second.keys() - first.keys()} == {
        "baseline-s2.2": "done", "kd-s2.2": "done",
    }  # fmt: skip
    assert second["kd-s2.2"].outcome.resumed_iterations > 0
