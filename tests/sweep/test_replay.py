"""Runs done again: the command that asks for them, and a plan that repeats them to the last bit."""

import shlex
from collections.abc import Callable
from pathlib import Path

import pytest

from harness.ledger import rules
from harness.ledger.descriptor import method_path, resolve_method, scaled
from harness.ledger.device import device_class
from harness.ledger.errors import BadInput
from harness.ledger.record import Point, Record
from harness.ledger.spec import Ground, Replay
from harness.ledger.workload import Workload, read_workload, workload_path
from harness.sweep import replay
from harness.sweep.replay import again, method_here, must_be_the_ground, plan_again, replay_of
from harness.train import pace as paces
from harness.train.heartbeat import Heartbeat
from harness.train.run import Run
from tests.factories import ground, method, record, spec
from tests.stored import leave
from tests.train.tiny import roomy, standing

RESULTS = Path("results")
CURVE = (Point(iteration=28, spent_seconds=2.0, task_loss=1.0, term_losses=(), learning_rate=0.1),)


def streets() -> Workload:
    return read_workload(workload_path("streets"))


def run_of(name: str, factor: float = 1.0, **of) -> Record:
    """A run of a shipped method on the shipped streets, as its record has it."""
    method = scaled(resolve_method(method_path(name), "streets", streets().training.batch), factor)
    made = record(name, 3, 0.5, on=ground(of=streets()), **of)
    return made.model_copy(update={"spec": made.spec.model_copy(update={"method": method}).without_places()})


def words(found: replay.Again) -> dict[str, str]:
    """The command's flags and their values."""
    assert found.command is not None
    bench, run, *rest = shlex.split(found.command)
    assert (bench, run) == ("bench", "run")
    return dict(zip(rest[::2], rest[1::2], strict=True))


def test_the_command_names_all_that_the_run_was(tmp_path: Path):
    """A shipped method on a shipped workload: nothing is left to a default."""
    assert words(again(run_of("kd", budget="40k it of kd"), RESULTS)) == {
        "--workload": "streets",
        "--methods": "kd",
        "--budget": "40k it of kd",
        "--pace": "clock",
        "--device": "cpu",
        "--seed": "3",
        "--results": "replay",
    }


@pytest.mark.parametrize("factor", [3.0, 1 / 3, 1 / 9, 0.3])
def test_the_factor_of_the_weights_is_told_exactly(factor: float):
    """The name has three digits of it: what the command asks for is the method of the record, digest and all."""
    held = run_of("kd", factor)
    asked = words(again(held, RESULTS))
    assert asked["--methods"] == "kd"
    found = scaled(
        resolve_method(method_path("kd"), "streets", streets().training.batch), float(asked["--weight-scale"])
    )
    assert found.digest == held.spec.method.digest
    assert method_here(held.spec.method, None, streets()).name == held.spec.method.name


@pytest.mark.parametrize("name", ["kd_x1.2.3", "kd_x.", "kd_x"])
def test_a_name_that_says_no_factor_is_a_name(name: str):
    """It only looks like one of `--weight-scale`."""
    assert replay.asked_for(method(name), None, streets()) == (name, 1.0)


def test_what_does_not_ship_is_asked_for_by_path():
    """A method and a workload of the user's own, and data that lie somewhere."""
    made = record("mine", 0, 0.5, on=ground("my_streets").model_copy(update={"data": "my data.tar"}))
    found = again(made, RESULTS)
    asked = words(found)
    assert asked["--methods"] == "PATH/mine.yaml"
    assert asked["--workload"] == "PATH/my_streets.yaml"
    assert asked["--data"] == "PATH/my data.tar"
    assert found.notes[0] == "PATH: a record keeps no folders: say where the file lies"


def test_a_method_that_has_changed_since_is_told():
    """The command would run another."""
    held = run_of("kd")
    changed = held.spec.method.model_copy(update={"digest": "0123456789abcdef"})
    told = again(held.model_copy(update={"spec": held.spec.model_copy(update={"method": changed})}), RESULTS).notes
    assert any(note.startswith("method: kd is another here than it was for the run") for note in told)


def test_a_run_of_other_rules_is_told_and_not_planned(tmp_path: Path):
    """Its result would stand on another board."""
    held = run_of("kd", rules=rules.RULES_VERSION - 1)
    assert any("version" in note for note in again(held, RESULTS).notes)
    with pytest.raises(BadInput, match="run by version"):
        plan_again(held, tmp_path, None, None, None, "cpu", None, None)


def test_a_trial_has_no_command_but_a_plan():
    """`bench run` scores on the score split alone."""
    held = run_of("kd")
    trial = held.model_copy(update={"spec": held.spec.model_copy(update={"scored_on": "tune"})})
    found = again(trial, Path("results/tuning"))
    assert found.command is None
    assert "bench results show" in found.notes[0]
    assert "--results results/tuning --plan replay.json" in found.notes[0]
    older = trial.model_copy(update={"spec": trial.spec.model_copy(update={"rules": 1})})
    assert again(older, RESULTS).notes == (
        f"a trial of `bench tune` by version 1 of the rules, and this is {rules.RULES_VERSION}",
    )


# The plan


@pytest.fixture
def surveyed(monkeypatch: pytest.MonkeyPatch) -> Callable[[Ground], None]:
    """Sets what is found on this machine, without an engine to look."""

    def found(here: Ground) -> None:
        monkeypatch.setattr(replay, "survey", lambda *_: here)

    return found


def test_the_plan_is_the_run_alone_with_this_machines_places(tmp_path: Path, surveyed):
    """Key, iterations, seconds and cost of the record; files of this machine."""
    held = run_of("kd", pace="iterations", iterations=700)
    here = held.spec.ground.model_copy(
        update={"teacher": held.spec.ground.teacher.model_copy(update={"path": "/here/teacher.safetensors"})}
    )
    surveyed(here)
    plan = plan_again(held, tmp_path, None, None, None, "cpu", None, None)
    (run,) = plan.runs
    assert (run.key, run.iterations, run.budget_seconds) == (held.spec.key, 700, held.spec.budget_seconds)
    assert run.replay == Replay(run=held.spec.name, replanned_after=None, replanned_iterations=None)
    assert plan.host == "node1"
    assert plan.ground.teacher.path == "/here/teacher.safetensors"
    assert all(Path(term.file).is_absolute() for term in run.method.terms)


def test_what_does_not_ship_has_to_be_named_for_a_plan(tmp_path: Path):
    """With the flag that names it."""
    with pytest.raises(BadInput, match=r"--workload: my_streets does not ship with bench: expected the path"):
        plan_again(record("kd", on=ground("my_streets")), tmp_path, None, None, None, "cpu", None, None)
    with pytest.raises(BadInput, match=r"--method: mine does not ship with bench: expected the path"):
        plan_again(record("mine", on=ground(of=streets())), tmp_path, None, None, None, "cpu", None, None)


@pytest.mark.parametrize("what", ["device", "data", "teacher", "workload"])
def test_another_ground_is_refused_by_the_part_that_differs(what: str):
    """Exactly what is another."""
    there = ground()
    other = {
        "device": {"device_class": there.device_class.model_copy(update={"model": "Other CPU"})},
        "data": {"data_sha256": "f" * 64},
        "teacher": {"teacher": there.teacher.model_copy(update={"sha256": "a" * 64})},
        "workload": {"workload_digest": "0123456789abcdef"},
    }
    must_be_the_ground(there, there)
    with pytest.raises(BadInput, match=f"^{what}: found "):
        must_be_the_ground(there.model_copy(update=other[what]), there)


def test_a_resumed_run_whose_attempts_were_planned_otherwise_is_refused(tmp_path: Path):
    """Whose schedule it followed, and from where on, is not on record."""
    first = record("kd", 0, None, ending="interrupted", pace="iterations", iterations=900)
    second = record("kd", 0, 0.5, attempt=2, pace="iterations", iterations=880)
    resumed = {"resumed_iterations": 300, "replanned_iterations": 900, "curve": CURVE}
    second = second.model_copy(update={"outcome": second.outcome.model_copy(update=resumed)})
    _, second = leave(tmp_path, first, second)
    with pytest.raises(BadInput, match="resumed from attempt 1, which was planned with 900 iterations and not 880"):
        replay_of(second, tmp_path)


def test_a_run_by_the_clock_is_planned_and_not_replayed(tmp_path: Path):
    """Its iterations were an outcome."""
    assert replay_of(run_of("kd", pace="clock"), tmp_path) is None


def test_a_run_that_changed_its_plan_is_repeated_bit_by_bit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Planned with 40 iterations, planned anew by the clock of that run; again from its record: the same student."""
    held = roomy(tmp_path, 56)
    here = standing(tmp_path, held).model_copy(
        update={"device_class": device_class("cpu", held.threads, held.engine.precision)}
    )
    method = resolve_method(method_path("kd"), "streets", 2)
    planned = spec(method, on=here, budget="0.2s", pace="iterations", iterations=40)
    monkeypatch.setattr(paces, "REPLAN_TOLERANCE", -1.0)
    first = carried_out(planned, tmp_path / "first")
    assert first.ending == "done", first.reason
    assert first.replanned_iterations not in (None, 40)
    template = record("kd")
    made = template.model_copy(update={"spec": planned.without_places(), "outcome": first})
    plan = replay_of(made, tmp_path)
    second = carried_out(planned.model_copy(update={"replay": plan}), tmp_path / "second")
    assert second.student_sha256 == first.student_sha256
    assert second.scores == first.scores
    assert (second.iterations, second.replanned_iterations) == (first.iterations, first.replanned_iterations)
    from_the_start = plan.model_copy(update={"replanned_after": 0})
    other = carried_out(planned.model_copy(update={"replay": from_the_start}), tmp_path / "other")
    assert other.student_sha256 != first.student_sha256  # as many iterations alone are not the run


def carried_out(planned, folder: Path):
    """The run's outcome, in this process."""
    out = folder / "work" / "run" / "out.json"
    out.parent.mkdir(parents=True)
    moved = planned.model_copy(update={"students": str(folder / "students")})
    return Run(moved, out, Heartbeat(out), folder).carry_out()
