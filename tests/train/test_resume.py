"""Runs that are stopped and gone on with: what the second process ends with is what one process alone ends with."""

import dataclasses
import errno
import os
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from harness.ledger.descriptor import method_path, resolve_method
from harness.ledger.errors import BadInput
from harness.ledger.results import checkpoint_files, checkpoint_path, remove_checkpoints
from harness.ledger.spec import Ground, RunSpec
from harness.segmentation.weights import state_sha256
from harness.train import keeping
from harness.train import run as engine
from harness.train.checkpoint import FIRST_LINE, Checkpoint, load, save
from harness.train.clock import Clock
from harness.train.heartbeat import Heartbeat
from harness.train.trainee import Trainee
from harness.train.waiting import Waiting
from tests.factories import spec, workload
from tests.train.stopping import MOST, interrupt, kept, run_of
from tests.train.tiny import standing

ITERATIONS = 40


class Stopped(Exception):
    """What a test raises in the middle of an iteration, as a killed process would end there."""


@pytest.fixture(scope="module")
def whole_ground(tmp_path_factory: pytest.TempPathFactory) -> Ground:
    """Sixteen drawn scenes and a teacher of random weights."""
    held = workload()
    data = held.data.model_copy(update={"train": held.data.train.model_copy(update={"count": 16})})
    classes = ("sky", "building", "pole", "road", "pavement", "tree", "sign", "fence", "car", "pedestrian", "bicyclist")
    held = held.model_copy(
        update={"data": data, "classes": classes, "training": held.training.model_copy(update={"batch": 2})}
    )
    return standing(tmp_path_factory.mktemp("teacher"), held)


@pytest.fixture(autouse=True)
def every_pause_keeps_a_checkpoint(monkeypatch: pytest.MonkeyPatch):
    """Without waiting for half a minute, nor for the disk."""
    monkeypatch.setattr(os, "fsync", lambda file: None)
    monkeypatch.setattr(keeping, "CHECKPOINT_SECONDS", 0.0)


def spec_of(name: str, on: Ground, pace: str = "iterations", budget: str = f"{ITERATIONS} it") -> RunSpec:
    method = resolve_method(method_path(name), "streets", 2)
    preparing = 20 if method.preparation_share else 0
    planned = spec(method, on=on, budget=budget, pace=pace, iterations=ITERATIONS)
    return planned.model_copy(update={"preparation_iterations": preparing})


def stop_after(monkeypatch: pytest.MonkeyPatch, calls: int) -> None:
    """The call after so many of `iterate` ends the process."""
    original, left = Trainee.iterate, calls

    def counted(self: Trainee, *arguments, **named) -> None:
        nonlocal left
        if left == 0:
            raise Stopped
        left -= 1
        original(self, *arguments, **named)

    monkeypatch.setattr(Trainee, "iterate", counted)


def stopped(
    planned: RunSpec, folder: Path, monkeypatch: pytest.MonkeyPatch, what: str = "iterate", calls: int = 30
) -> Checkpoint:
    """Begins the run, and ends it at that call; its checkpoint."""
    with monkeypatch.context() as patched:
        stop_after(patched, calls + 3)  # the warm-up iterates three times
        with pytest.raises(Stopped):
            run_of(planned, folder).train()
    return kept(folder, planned)


def test_what_was_spent_before_the_stop_is_spent(whole_ground: Ground, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """The clock goes on from the checkpoint's reading, and the outcome tells how much of it is not this process's."""
    planned = spec_of("baseline", whole_ground)
    left = stopped(planned, tmp_path, monkeypatch)
    assert left.facts.reached.done >= 20
    resumed = run_of(planned, tmp_path)
    resumed.train()
    outcome = resumed.outcome("done", None)
    assert (outcome.resumed_iterations, outcome.resumed_seconds) == (left.facts.reached.done, left.facts.spent_seconds)
    assert outcome.curve[-1].spent_seconds == outcome.spent_seconds > left.facts.spent_seconds


def test_a_torn_checkpoint_is_said_and_the_one_before_is_taken(whole_ground: Ground, tmp_path: Path, capsys):
    """One bit is another, where no reader would notice: log and outcome say it, and the run ends where it would."""
    planned = spec_of("baseline", whole_ground)
    expected = state_sha256(run_of(planned, tmp_path).train().student)
    newest, before, _ = checkpoint_files(checkpoint_path(tmp_path, planned.key))
    content = bytearray(newest.read_bytes())
    content[len(content) // 2] ^= 1
    newest.write_bytes(content)
    standing = load(before, planned.key, MOST).facts.reached.done
    run = run_of(planned, tmp_path)
    assert state_sha256(run.train().student) == expected
    assert run.facts.resumed_iterations == standing < ITERATIONS
    torn, taken = run.outcome("done", None).warnings
    assert torn.startswith(f"{newest.name}: is torn: its SHA-256 is ")
    assert taken == f"the checkpoint before it is taken, which stands at iteration {standing}"
    assert f"warning: {torn}" in capsys.readouterr().out
    assert load(newest, planned.key, MOST).facts.reached.done == ITERATIONS


def test_where_both_are_torn_the_run_begins_anew(whole_ground: Ground, tmp_path: Path, capsys):
    """Half a file each: said of both, and 40 iterations are done again."""
    planned = spec_of("baseline", whole_ground)
    newest, before, _ = checkpoint_files(checkpoint_path(tmp_path, planned.key))
    newest.parent.mkdir(parents=True)
    newest.write_bytes(FIRST_LINE + b"\n" + b"0" * 64 + b"\n{}")
    before.write_bytes(b"PK\x03\x04 half a file")
    run = run_of(planned, tmp_path)
    run.train()
    assert (run.facts.resumed_iterations, run.pace.done) == (0, ITERATIONS)
    warnings = run.outcome("done", None).warnings
    assert [warning.partition(":")[0] for warning in warnings] == [newest.name, before.name, "begins anew"]
    assert "warning: begins anew: no checkpoint can be gone on from" in capsys.readouterr().out


def test_another_runs_checkpoint_is_refused(whole_ground: Ground, tmp_path: Path):
    """A file that was put in the wrong place tells whose it is."""
    planned = spec_of("baseline", whole_ground)
    run_of(planned, tmp_path).train()
    with pytest.raises(BadInput, match="expected that of 'another'"):
        load(checkpoint_path(tmp_path, planned.key), "another", MOST)


def test_a_run_says_where_it_was_stopped(whole_ground: Ground, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """However young its checkpoint is; in a preparation by its updates, and in the outcome as an ending."""
    monkeypatch.setattr(keeping, "CHECKPOINT_SECONDS", 1e9)
    planned = spec_of("freekd", whole_ground)
    said = interrupt(monkeypatch, planned, tmp_path, 7)
    stands = "after 7 updates of the preparation"
    assert said == f"SIGUSR2: stopped {stands}; its checkpoint stands {stands}"
    said = interrupt(monkeypatch, planned, tmp_path, 18)
    assert said == "SIGUSR2: stopped at iteration 5; its checkpoint stands at iteration 5"

    run = run_of(planned, tmp_path)
    run.check_device = lambda: None  # type: ignore[method-assign]
    run.heartbeat.stop.asked = "SIGTERM"
    outcome = run.carry_out()
    assert (outcome.ending, outcome.iterations, outcome.resumed_iterations) == ("interrupted", 5, 5)
    assert outcome.reason == "SIGTERM: stopped at iteration 5; its checkpoint stands at iteration 5"


def test_what_a_preparation_waits_for_is_not_taken_from_the_training(
    whole_ground: Ground, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """A run that ends before its first iteration: its ledger of time has no entry below zero."""
    monkeypatch.setattr(Waiting, "read", lambda self: 5.0)
    run = run_of(spec_of("freekd", whole_ground), tmp_path)
    run.check_device = lambda: None  # type: ignore[method-assign]
    run.heartbeat.stop.asked = "SIGTERM"
    outcome = run.carry_out()
    assert (outcome.ending, outcome.iterations, outcome.preparation_iterations) == ("interrupted", 0, 0)
    assert outcome.times is not None
    assert (outcome.times.training, outcome.times.data_wait) == (0.0, 0.0)


def test_a_run_that_needs_too_much_may_be_ended_while_smaller_batches_are_tried(
    whole_ground: Ground, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """There is nothing to keep: the heartbeat need not wait for them."""
    minded: list[bool] = []

    def too_much(self: Trainee, *arguments) -> None:
        raise torch.OutOfMemoryError

    def probe(error: Exception, ground: object, method: object, device: object, heartbeat: Heartbeat) -> str:
        minded.append(heartbeat.stop._minded)
        return "too much"

    run = run_of(spec_of("baseline", whole_ground), tmp_path)
    run.check_device = lambda: None  # type: ignore[method-assign]
    monkeypatch.setattr(engine, "warm_up", lambda *arguments: None)
    monkeypatch.setattr(engine, "out_of_memory", probe)
    monkeypatch.setattr(Trainee, "iterate", too_much)
    outcome = run.carry_out()
    assert (outcome.ending, outcome.reason, minded) == ("out_of_memory", "too much", [False])


def test_a_pipe_in_a_checkpoints_place_blocks_nobody(whole_ground: Ground, tmp_path: Path):
    """Neither who reads nor who writes: it is said, and replaced."""
    planned = spec_of("baseline", whole_ground)
    newest, _, new = checkpoint_files(checkpoint_path(tmp_path, planned.key))
    newest.parent.mkdir(parents=True)
    for path in (newest, new):
        os.mkfifo(path)
    run = run_of(planned, tmp_path)
    run.train()
    assert run.outcome("done", None).warnings[0] == f"{newest.name}: is no plain file"
    assert kept(tmp_path, planned).facts.reached.done == ITERATIONS


def test_no_checkpoint_is_due_before_spending_begins(
    whole_ground: Ground, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """However long data and compiler took."""
    run = run_of(spec_of("baseline", whole_ground), tmp_path)
    moments = iter((1e6, 1e6 + keeping.LONGEST_SECONDS, 1e6 + keeping.LONGEST_SECONDS + 1))
    monkeypatch.setattr(keeping, "time", SimpleNamespace(monotonic=lambda: next(moments)))
    run.keeping.resume(None, None, lambda: None)  # type: ignore[arg-type,return-value]
    assert [run.keeping.is_due(), run.keeping.is_due()] == [False, True]


def test_a_full_disk_costs_nobody_the_run(
    whole_ground: Ground, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys
):
    """Each pause tries again, the outcome says it once, and what is asked to stop says what is left."""
    planned = spec_of("baseline", whole_ground)
    room = [True, True, *[False] * 5]

    def sync(file: int) -> None:
        if not (room.pop(0) if room else True):
            raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", sync)
    run = run_of(planned, tmp_path)
    run.train()
    said = "a checkpoint could not be written: No space left on device"
    assert run.outcome("done", None).warnings == (said,)
    assert capsys.readouterr().out.count(f"warning: {said}, at iteration ") == 5
    newest, before, new = checkpoint_files(checkpoint_path(tmp_path, planned.key))
    assert kept(tmp_path, planned).facts.reached.done == ITERATIONS
    assert before.exists()
    assert not new.exists()

    remove_checkpoints(tmp_path, planned.key)
    assert not newest.exists()
    assert not before.exists()
    room[:] = [True, *[False] * ITERATIONS]
    found = interrupt(monkeypatch, planned, tmp_path, 20)
    assert found == "SIGUSR2: stopped at iteration 20; its checkpoint stands at iteration 3"


def test_a_run_that_diverged_says_of_which_loss(whole_ground: Ground, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """A loss that is no number ends the run at the next pause, as diverged."""
    planned = spec_of("baseline", whole_ground)
    iterate = Trainee.iterate

    def lose(self: Trainee, *arguments, **named) -> None:
        iterate(self, *arguments, **named)
        self.losses[0] = float("nan")

    run = run_of(planned, tmp_path)
    run.check_device = lambda: None  # type: ignore[method-assign]
    monkeypatch.setattr(Trainee, "iterate", lose)
    outcome = run.carry_out()
    assert (outcome.ending, outcome.iterations) == ("diverged", 3)
    assert outcome.reason == "the loss (task) was no number any more by iteration 3"


def test_a_later_plan_does_not_move_a_run_that_is_half_way(
    whole_ground: Ground, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """Begun with 40 iterations and gone on with under a plan of 60, which a new price drew up: 40 it is."""
    planned = spec_of("baseline", whole_ground)
    stopped(planned, tmp_path, monkeypatch)
    resumed = run_of(planned.model_copy(update={"iterations": 60}), tmp_path)
    resumed.train()
    assert (resumed.pace.done, resumed.outcome("done", None).replanned_iterations) == (ITERATIONS, ITERATIONS)


def test_a_later_plan_does_not_prepare_again(whole_ground: Ground, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """20 updates were planned and done; a later plan of 25 finds the run in its training, and leaves it there."""
    planned = spec_of("freekd", whole_ground)
    stopped(planned, tmp_path, monkeypatch, calls=20)
    resumed = run_of(planned.model_copy(update={"preparation_iterations": 25}), tmp_path)
    resumed.train()
    assert (resumed.pace.prepared, resumed.pace.done) == (20, ITERATIONS)


def test_a_run_by_the_clock_goes_on_where_its_clock_stood(
    whole_ground: Ground, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """What the first process spent is spent, and no iteration of the second is asked for at an earlier share."""
    planned = spec_of("baseline", whole_ground, pace="clock", budget="1s")
    left = stopped(planned, tmp_path, monkeypatch)
    resumed = run_of(planned, tmp_path)
    resumed.train()
    outcome = resumed.outcome("done", None)
    assert 0 < left.facts.spent_seconds < 1.0 <= outcome.spent_seconds
    assert [point.spent_seconds for point in outcome.curve] == sorted(point.spent_seconds for point in outcome.curve)
    assert outcome.iterations > outcome.resumed_iterations == left.facts.reached.done


def test_a_checkpoint_that_does_not_fit_leaves_nothing_of_itself(whole_ground: Ground, tmp_path: Path, capsys):
    """Another method's state under this run's name: said, and the run ends as if there had been none."""
    planned, other = spec_of("baseline", whole_ground), spec_of("fitnet", whole_ground)
    expected = state_sha256(run_of(planned, tmp_path / "alone").train().student)
    run_of(other, tmp_path / "other").train()
    found = kept(tmp_path / "other", other)
    facts = found.facts.model_copy(update={"key": planned.key})
    save(checkpoint_path(tmp_path / "wrong", planned.key), dataclasses.replace(found, facts=facts))
    assert state_sha256(run_of(planned, tmp_path / "wrong").train().student) == expected
    assert ": does not fit the run: " in capsys.readouterr().out


def test_a_failure_is_told_without_asking_the_device_again(whole_ground: Ground, tmp_path: Path):
    """After an error a device's clock may not be readable: the reading at the latest iteration stands."""

    class Broken(Clock):
        @property
        def spent(self) -> float:
            raise RuntimeError("device not ready")

    run = run_of(spec_of("baseline", whole_ground), tmp_path)
    run.clock = Broken(lambda: 7.0, lambda: None)
    run.clock.start()
    run.clock.tick()
    assert run.outcome("out_of_memory", "too much").spent_seconds == 0.0
