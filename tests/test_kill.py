"""What is left when processes are killed: records, no orphans, and a sweep that goes on."""

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from harness.ledger.errors import BadInput
from harness.ledger.files import read
from harness.ledger.record import Record
from harness.ledger.status import Status
from tests.story import bench, environment, tiny

FLAGS = ("run", "--workload", "tiny.yaml", "--budget", "6s", "--seeds", "1", "--profile-time", "0.1s")


pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("kill")]  # one teacher for all


@pytest.fixture(scope="module")
def taught(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache that holds the workload's teacher."""
    folder = tmp_path_factory.mktemp("kill")
    tiny(folder)
    assert bench(folder / "cache", "teacher", "--workload", "tiny.yaml", cwd=folder).returncode == 0
    return folder / "cache"


@pytest.fixture
def place(tmp_path: Path, taught: Path) -> Path:
    """A folder with a workload and its teacher."""
    tiny(tmp_path)
    (tmp_path / "cache").symlink_to(taught)
    return tmp_path


def start(place: Path, *methods: str) -> "subprocess.Popen[str]":
    """`bench run` in the background."""
    command = [sys.executable, "-m", "harness", *FLAGS, "--methods", ",".join(methods)]
    return subprocess.Popen(
        command,
        cwd=place,
        env=environment(place / "cache"),
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        # A suite that was started in the background inherits that Ctrl-C is ignored.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )


def training(place: Path, method: str) -> int:
    """The process id of the method's run, once it trains."""

    def look() -> int:
        for path in (place / "results" / "work").glob(f"tiny-{method}-*/out.json.status.json"):
            try:
                status = read(path, Status)
            except BadInput:
                continue
            if status.phase == "training" and psutil.pid_exists(status.pid):
                return status.pid
        return 0

    return until(look, f"{method} trains")


def until(look: Callable[[], int], what: str) -> int:
    """Waits until `look` finds something."""
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        if found := look():
            return found
        time.sleep(0.05)
    raise AssertionError(f"waited in vain until {what}")


def endings(place: Path) -> list[tuple[str, int, str]]:
    records = [read(path, Record) for path in sorted((place / "results" / "runs").glob("*.json"))]
    return [(record.spec.method.name, record.spec.attempt, record.outcome.ending) for record in records]


def test_kills_leave_records_and_no_orphans_and_the_same_command_goes_on(place: Path):
    """A run killed: failed, the other done, exit 3. A sweep killed: no orphan. The same command: all done."""
    sweep = start(place, "baseline", "kd")
    os.kill(training(place, "kd"), signal.SIGKILL)
    sweep.communicate(timeout=120)
    assert sweep.returncode == 3
    assert endings(place) == [("baseline", 1, "done"), ("kd", 1, "failed")]
    (failed,) = (place / "results" / "runs").glob("tiny-kd-*.json")
    assert read(failed, Record).outcome.reason.startswith("killed by signal 9 (SIGKILL")
    assert "training" in read(failed, Record).log_tail

    sweep = start(place, "baseline", "kd")
    engine = training(place, "kd")
    sweep.kill()
    sweep.communicate()
    until(lambda: not psutil.pid_exists(engine), "the orphan has ended")

    again = bench(place / "cache", *FLAGS, "--methods", "baseline,kd", cwd=place)
    assert again.returncode == 0, again.stderr
    assert endings(place) == [("baseline", 1, "done"), ("kd", 1, "failed"), ("kd", 2, "interrupted"), ("kd", 3, "done")]


def test_an_interrupt_is_said_and_recorded(place: Path):
    """Ctrl-C: exit 130, the run's record says interrupted, no process stays."""
    sweep = start(place, "kd")
    engine = training(place, "kd")
    told = bench(place / "cache", "status", cwd=place).stdout
    assert re.search(r"tiny-kd-s0-\w+\.1 .* training .* of [\d,]+ .* s of 6 s .* s ago", told), told
    assert "results: 1 under way; 0 ended" in told
    sweep.send_signal(signal.SIGINT)
    _, stderr = sweep.communicate(timeout=60)
    assert sweep.returncode == 130
    assert "bench: interrupted; the same command goes on from here" in stderr
    assert endings(place) == [("kd", 1, "interrupted")]
    assert not psutil.pid_exists(engine)


def test_a_sweep_that_is_killed_while_it_measures_is_measured_by_the_next(place: Path):
    """SIGKILL while kd is priced: no orphan, no half a cost, and the same command does all of it."""
    sweep = start(place, "kd")
    engine = until(lambda: measuring(sweep.pid), "kd is measured")
    sweep.kill()
    sweep.communicate()
    until(lambda: not psutil.pid_exists(engine), "the orphan has ended")
    assert [path for path in (place / "results").rglob("*") if path.is_file()] == []
    again = bench(place / "cache", *FLAGS, "--methods", "kd", cwd=place)
    assert again.returncode == 0, again.stderr
    assert endings(place) == [("kd", 1, "done")]


def measuring(sweep: int) -> int:
    """The process that measures a cost for the sweep, once it does."""
    for child in psutil.Process(sweep).children():
        with suppress(psutil.Error):  # over between two looks
            if "profile" in child.cmdline():
                return child.pid
    return 0
