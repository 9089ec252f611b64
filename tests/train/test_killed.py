"""Real processes of the engine that are asked to stop, or killed, and started again until the run is done."""

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from harness.ledger.device import device_class
from harness.ledger.errors import BadInput
from harness.ledger.files import read, write
from harness.ledger.record import Outcome
from harness.ledger.results import checkpoint_path, work_folder
from harness.ledger.spec import RunSpec
from harness.ledger.status import PREEMPTED, Status, status_path
from harness.train.heartbeat import Heartbeat
from harness.train.run import main
from tests import layouts
from tests.factories import spec
from tests.train.tiny import resolved, roomy, standing

ITERATIONS = 120
CLASSES = ("road", "sky", "car")

DOOR = """
import sys
import functools, time
from harness.train import __main__ as door, keeping
from harness.train.trainee import Trainee
if KEEPS:
    keeping.CHECKPOINT_SECONDS = 0.0
door.Heartbeat = functools.partial(door.Heartbeat, period=0.02)
iterate = Trainee.iterate
def slowly(self, *arguments, **named):
    iterate(self, *arguments, **named)
    time.sleep(SECONDS)
Trainee.iterate = slowly
door.leave(door.main(sys.argv[1:]))
"""
"""As `-m harness.train`, but with a quick heartbeat, slow iterations, and perhaps a checkpoint at every pause."""


def planned_in(folder: Path, iterations: int = ITERATIONS, files: Path | None = None, method: str = "kd") -> RunSpec:
    """A run, planned for this machine; on drawn scenes, or on those files."""
    held = roomy(folder, 64)
    if files is not None:
        of_files = {"data": layouts.folders_data(), "classes": CLASSES, "image_size": None, "label_size": None}
        held = held.model_copy(update=of_files)
    here = {"device_class": device_class("cpu", 1, "float32"), "data": None if files is None else str(files)}
    on = standing(folder, held).model_copy(update=here)
    budget = f"{iterations} it"
    planned = spec(resolved(method), on=on, budget=budget, pace="iterations", iterations=iterations)
    return planned.model_copy(update={"students": str(folder / "students")})


def out_of(results: Path, planned: RunSpec) -> Path:
    """Where the run's outcome will stand; its spec stands beside it already."""
    folder = work_folder(results, planned.name)
    folder.mkdir(parents=True, exist_ok=True)
    write(folder / "spec.json", planned)
    return folder / "out.json"


def start(out: Path, *, keeps: bool, seconds: float) -> "subprocess.Popen[bytes]":
    """The engine, whose iterations take so long at least that a signal finds it among them."""
    door = DOOR.replace("KEEPS", str(keeps)).replace("SECONDS)", f"{seconds})")
    command = [sys.executable, "-P", "-c", door, "run", str(out.with_name("spec.json")), str(out)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    with out.with_name("log.txt").open("ab") as log:
        return subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT, env=environment)


def status_of(out: Path, process: "subprocess.Popen[bytes]") -> Status | None:
    try:
        found = read(status_path(out), Status)
    except BadInput:
        return None
    return found if found.pid == process.pid else None


def until_kept(out: Path, process: "subprocess.Popen[bytes]", checkpoint: Path | None) -> None:
    """Returns when the process is at its iterations and has replaced the checkpoint, or is over."""
    before = checkpoint.stat().st_mtime_ns if checkpoint is not None and checkpoint.exists() else 0
    deadline = time.monotonic() + 120
    while process.poll() is None and time.monotonic() < deadline:
        status = status_of(out, process)
        is_kept = checkpoint is None or (checkpoint.exists() and checkpoint.stat().st_mtime_ns != before)
        if status is not None and status.phase == "training" and is_kept:
            return
        time.sleep(0.01)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("method", "number"), [("kd", signal.SIGUSR2), ("kd", signal.SIGKILL), ("cirkd", signal.SIGUSR2)]
)
def test_a_run_whose_processes_are_ended_twice_ends_where_one_alone_does(
    tmp_path: Path, method: str, number: signal.Signals
):
    """At random moments of training; what was asked ends with 85 at once, and its outcome says interrupted.

    Of kd, which keeps nothing of its own, and of cirkd with its adapters and banks.
    """
    planned = planned_in(tmp_path, method=method)
    alone = out_of(tmp_path / "alone", planned)
    assert main(alone.with_name("spec.json"), alone, Heartbeat(alone)) == 0

    results = tmp_path / "stopped"
    out = out_of(results, planned)
    keeps = number == signal.SIGKILL  # who is asked keeps what it has, however young
    waits_for = checkpoint_path(results, planned.key) if keeps else None
    chance = random.Random(number)
    for _ in range(2):
        process = start(out, keeps=keeps, seconds=0.02)
        until_kept(out, process, waits_for)
        time.sleep(chance.uniform(0.0, 0.2))
        process.send_signal(number)
        assert process.wait(120) == (PREEMPTED if number == signal.SIGUSR2 else -number)
        if number == signal.SIGUSR2:
            assert read(out, Outcome).ending == "interrupted"
    assert start(out, keeps=keeps, seconds=0.0).wait(300) == 0
    outcome, expected = read(out, Outcome), read(alone, Outcome)
    assert (outcome.ending, outcome.iterations, outcome.warnings) == ("done", ITERATIONS, ())
    assert outcome.resumed_iterations > 0
    assert outcome.student_sha256 == expected.student_sha256
    assert outcome.scores == expected.scores
    losses = [[(each.iteration, each.task_loss) for each in found.curve] for found in (outcome, expected)]
    assert losses[0] == losses[1]


def test_an_interrupted_start_is_no_answer_and_a_finished_one_is_the_last(
    tmp_path: Path,
):
    """Asked before its first iteration: 85. Started again by its queue: done. Started once more: it is let be."""
    planned = planned_in(tmp_path, iterations=2)
    out = out_of(tmp_path, planned)
    heartbeat = Heartbeat(out)
    heartbeat.stop.asked = "SIGUSR2"
    assert main(out.with_name("spec.json"), out, heartbeat) == PREEMPTED
    assert read(out, Outcome).reason == "SIGUSR2: stopped at iteration 0; its checkpoint stands at iteration 0"
    assert checkpoint_path(tmp_path, planned.key).exists()

    out.unlink()  # as the door does
    assert main(out.with_name("spec.json"), out, Heartbeat(out)) == 0
    first = out.read_bytes()
    assert read(out, Outcome).ending == "done"
    assert main(out.with_name("spec.json"), out, Heartbeat(out)) == 0
    assert out.read_bytes() == first


def test_data_that_vanished_since_the_plan_is_named(tmp_path: Path):
    """Before an iteration is spent, in the outcome's reason."""
    files = layouts.folders(tmp_path / "data")
    out = out_of(tmp_path, planned_in(tmp_path, 2, files))
    shutil.rmtree(files / "images" / "train")
    assert main(out.with_name("spec.json"), out, Heartbeat(out)) == 0
    outcome = read(out, Outcome)
    assert (outcome.ending, outcome.iterations) == ("failed", 0)
    assert outcome.reason is not None
    assert "images/train" in outcome.reason


def train_on_files(folder: Path, monkeypatch: pytest.MonkeyPatch) -> "tuple[Path, Path, subprocess.Popen[bytes]]":
    """OUT of a run on files, the files, and its process, which is at its iterations; what is decoded is in `cache`."""
    monkeypatch.setenv("SEGKD_CACHE", str(folder / "cache"))
    files = layouts.folders(folder / "data")
    out = out_of(folder, planned_in(folder, files=files))
    process = start(out, keeps=True, seconds=0.02)
    until_kept(out, process, checkpoint_path(folder, read(out.with_name("spec.json"), RunSpec).key))
    return out, files, process


def goes_on(out: Path) -> bool:
    """Whether another start ends the run, from what the first one left."""
    out.unlink(missing_ok=True)
    started = start(out, keeps=True, seconds=0.0).wait(120)
    outcome = read(out, Outcome)
    assert (started, outcome.ending, outcome.reason, outcome.iterations) == (0, "done", None, ITERATIONS)
    return outcome.resumed_iterations > 0


@pytest.mark.slow
def test_data_that_vanish_in_mid_run_are_missed_where_they_are_read_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """It trains to the end with what is mapped; scored it cannot be. When they are back only that is left to do."""
    out, files, process = train_on_files(tmp_path, monkeypatch)
    shutil.move(tmp_path / "cache", tmp_path / "no cache")
    shutil.move(files, tmp_path / "elsewhere")
    assert process.wait(120) == 0
    outcome = read(out, Outcome)
    assert (outcome.ending, outcome.iterations) == ("failed", ITERATIONS)
    assert outcome.reason is not None
    assert str(files) in outcome.reason
    shutil.move(tmp_path / "elsewhere", files)
    assert goes_on(out)


@pytest.mark.slow
def test_data_that_are_cut_short_in_mid_run_end_the_process_and_no_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """What is mapped and there no more is a bus error; decoded anew, the run goes on from its checkpoint."""
    out, _, process = train_on_files(tmp_path, monkeypatch)
    for decoded in (tmp_path / "cache").rglob("*.bin"):
        os.truncate(decoded, 0)
    assert process.wait(120) == -signal.SIGBUS
    assert goes_on(out)
