"""Runs that are stopped and gone on with: what the second process ends with is what one process alone ends with."""

import dataclasses
from pathlib import Path

import pytest

from harness.ledger.descriptor import method_path, resolve_method
from harness.ledger.errors import BadInput
from harness.ledger.results import checkpoint_path
from harness.ledger.spec import Ground, RunSpec
from harness.segmentation.weights import state_sha256
from harness.train import run as engine
from harness.train.checkpoint import load, save
from harness.train.clock import Clock
from harness.train.heartbeat import Heartbeat
from harness.train.run import Run
from harness.train.trainee import Trainee
from tests.factories import spec, workload
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
    """Without waiting for half a minute."""
    monkeypatch.setattr(engine, "CHECKPOINT_SECONDS", 0.0)


def spec_of(name: str, on: Ground, pace: str = "iterations", budget: str = f"{ITERATIONS} it") -> RunSpec:
    method = resolve_method(method_path(name), "streets", 2)
    preparing = 20 if method.preparation_share else 0
    planned = spec(method, on=on, budget=budget, pace=pace, iterations=ITERATIONS)
    return planned.model_copy(update={"preparation_iterations": preparing})


def run_of(planned: RunSpec, folder: Path) -> Run:
    folder.mkdir(exist_ok=True)
    return Run(planned, folder / "out.json", Heartbeat(folder / "out.json"), folder)


def stop_after(monkeypatch: pytest.MonkeyPatch, what: str, calls: int) -> None:
    """The call after so many of `iterate` or `prepare` ends the process."""
    original, left = getattr(Trainee, what), calls

    def counted(self: Trainee, *arguments, **named) -> None:
        nonlocal left
        if left == 0:
            raise Stopped
        left -= 1
        original(self, *arguments, **named)

    monkeypatch.setattr(Trainee, what, counted)


def stopped(planned: RunSpec, folder: Path, monkeypatch: pytest.MonkeyPatch, what: str = "iterate", calls: int = 30):
    """Begins the run, and ends it at that call; its checkpoint."""
    with monkeypatch.context() as patched:
        stop_after(patched, what, calls + 3)  # the warm-up iterates three times
        with pytest.raises(Stopped):
            run_of(planned, folder).train()
    return load(checkpoint_path(folder, planned.key), planned.key)


@pytest.mark.parametrize(
    ("name", "what", "calls"),
    [("baseline", "iterate", 20), ("fitnet", "iterate", 34), ("cirkd", "iterate", 26), ("freekd", "prepare", 11)],
)
def test_a_resumed_run_ends_bit_by_bit_where_one_that_was_not_stopped_ends(
    whole_ground: Ground, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, what: str, calls: int
):
    """Adapters, banks, preparation: weights and learning curve are the same, and so is the number of iterations."""
    planned = spec_of(name, whole_ground)
    alone = run_of(planned, tmp_path / "alone")
    expected = state_sha256(alone.train().student)

    stopped(planned, tmp_path / "stopped", monkeypatch, what, calls)
    resumed = run_of(planned, tmp_path / "stopped")
    assert state_sha256(resumed.train().student) == expected
    assert (resumed.pace.done, resumed.pace.prepared) == (ITERATIONS, planned.preparation_iterations)
    curves = [[point.model_dump(exclude={"spent_seconds"}) for point in run.curve] for run in (alone, resumed)]
    assert curves[0] == curves[1]


def test_what_was_spent_before_the_stop_is_spent(whole_ground: Ground, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """The clock goes on from the checkpoint's reading, and the outcome tells how much of it is not this process's."""
    planned = spec_of("baseline", whole_ground)
    kept = stopped(planned, tmp_path, monkeypatch)
    assert kept.reached.done >= 20
    resumed = run_of(planned, tmp_path)
    resumed.train()
    outcome = resumed.outcome("done", None)
    assert (outcome.resumed_iterations, outcome.resumed_seconds) == (kept.reached.done, kept.spent_seconds)
    assert outcome.curve[-1].spent_seconds == outcome.spent_seconds > kept.spent_seconds


def test_a_torn_checkpoint_is_said_and_the_run_begins_anew(whole_ground: Ground, tmp_path: Path, capsys):
    """Half a file: the log says why nothing was taken from it."""
    planned = spec_of("baseline", whole_ground)
    path = checkpoint_path(tmp_path, planned.key)
    path.parent.mkdir(parents=True)
    path.write_bytes(b"PK\x03\x04 half a file")
    run = run_of(planned, tmp_path)
    run.train()
    assert run.facts.resumed_iterations == 0
    assert "from the beginning, for " in capsys.readouterr().out
    assert run.pace.done == ITERATIONS


def test_another_runs_checkpoint_is_refused(whole_ground: Ground, tmp_path: Path):
    """A file that was put in the wrong place tells whose it is."""
    planned = spec_of("baseline", whole_ground)
    run_of(planned, tmp_path).train()
    with pytest.raises(BadInput, match="expected 'another', format 2"):
        load(checkpoint_path(tmp_path, planned.key), "another")


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
    kept = stopped(planned, tmp_path, monkeypatch)
    resumed = run_of(planned, tmp_path)
    resumed.train()
    outcome = resumed.outcome("done", None)
    assert 0 < kept.spent_seconds < 1.0 <= outcome.spent_seconds
    assert [point.spent_seconds for point in outcome.curve] == sorted(point.spent_seconds for point in outcome.curve)
    assert outcome.iterations > outcome.resumed_iterations == kept.reached.done


def test_a_checkpoint_that_does_not_fit_leaves_nothing_of_itself(whole_ground: Ground, tmp_path: Path, capsys):
    """Another method's state under this run's name: said, and the run ends as if there had been none."""
    planned, other = spec_of("baseline", whole_ground), spec_of("fitnet", whole_ground)
    expected = state_sha256(run_of(planned, tmp_path / "alone").train().student)
    run_of(other, tmp_path / "other").train()
    found = load(checkpoint_path(tmp_path / "other", other.key), other.key)
    save(checkpoint_path(tmp_path / "wrong", planned.key), dataclasses.replace(found, key=planned.key))
    assert state_sha256(run_of(planned, tmp_path / "wrong").train().student) == expected
    assert "from the beginning, for " in capsys.readouterr().out


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
