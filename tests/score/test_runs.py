"""A record as a flat run: its facts, its track, which version is current."""

import pytest

from harness.ledger.cost import Cost
from harness.ledger.record import Point, Times
from harness.score.runs import Point as FlatPoint
from harness.score.runs import baseline_mious, current_versions, run_of, runs_of, track, version_of
from tests.factories import device_class, ground, method, record, spec


def with_outcome(held, **changes):
    return held.model_copy(update={"outcome": held.outcome.model_copy(update=changes)})


def test_a_record_is_a_row_of_plain_numbers():
    """Its numbers stand under their names, in fractions and seconds; epochs and images are of the iterations done."""
    run = run_of(record("kd", 2, 0.5, iterations=900, cost_ratio=2.0, marks=("cost_uncertain", "off_budget")))

    assert (run.workload, run.method, run.seed, run.budget, run.pace) == ("streets", "kd", 2, "90s", "clock")
    assert (run.miou, run.pixel_accuracy, run.scored_images, run.teacher_miou) == (0.5, 0.9, 32, 0.72)
    assert (run.planned_iterations, run.iterations, run.images, run.epochs) == (900, 900, 7200, 75.0)
    assert (run.budget_seconds, run.spent_seconds, run.device_hours) == (90.0, 90.0, 0.025)
    assert (run.cost_ratio, run.cost_seconds) == (2.0, 0.2)
    assert (run.device, run.host, run.sources) == ("Test CPU, 1 thread", "node1", "authors")
    assert run.class_names == ("road", "pavement", "building", "sky")
    assert run.class_iou == (0.5,) * 4
    assert run.name == f"{run.key}.1"


def test_marks_stand_in_the_order_of_the_rules():
    """Whatever order the record has them in."""
    assert run_of(record(marks=("cost_uncertain", "off_budget"))).marks == "off_budget cost_uncertain"


def test_what_a_run_has_not_is_none_not_zero():
    """A diverged run has no mIoU, an unmeasured cost is none."""
    run = run_of(record(ending="diverged", reason="loss is not finite", cost_ratio=None, budget="1k it"))

    absent = (run.miou, run.scored_images, run.cost_ratio, run.flops, run.budget_seconds, run.replanned_iterations)
    assert absent == (None,) * 6
    assert (run.energy_kwh, run.teacher_hours, run.student_sha256, run.variant_of) == (None,) * 4
    assert (run.class_iou, run.curve, run.times, run.phases) == ((), (), (), ())
    assert run.reason == "loss is not finite"


def test_device_hours_count_devices():
    """An hour on two devices is two device-hours."""
    assert run_of(record(on=ground(device=device_class(count=2)), budget="1h")).device_hours == 2.0


def test_the_ledger_of_time_is_its_entries_without_their_sum():
    """`process` is what they add up to, by another clock."""
    times = Times(start_up=1.0, loading=2.0, warm_up=0.5, training=90.0, evaluation=3.0, other=0.5, process=97.0)
    run = run_of(with_outcome(record(), times=times))

    assert sum(seconds for _, seconds in run.times) == 97.0
    assert dict(run.times)["loading"] == 2.0
    assert "process" not in dict(run.times)


def test_points_and_phases_are_kept_in_order():
    """Of a point what a curve shows."""
    point = Point(iteration=100, spent_seconds=9.5, task_loss=1.25, term_losses=(0.1,), learning_rate=0.05)
    cost = Cost(
        seconds=0.2, ratio=2.0, ratio_low=1.9, ratio_high=2.1, rounds=40, flops=7, phases={"data": 0.1, "backward": 0.1}
    )
    held = with_outcome(record(), curve=(point,))
    run = run_of(held.model_copy(update={"spec": held.spec.model_copy(update={"cost": cost})}))

    assert run.curve == (FlatPoint(100, 9.5, 1.25),)
    assert run.phases == (("data", 0.1), ("backward", 0.1))
    assert run.flops == 7


def test_accounts_that_differ_are_one_text():
    """One run's ledger does not add up, the other's does."""
    wrong = record().model_copy(update={"disagreements": ("the clock says 9.00 s, the ledger has 7.00 s", "and more")})

    assert run_of(wrong).disagreements == "the clock says 9.00 s, the ledger has 7.00 s; and more"
    assert run_of(record()).disagreements == ""


def test_what_was_mended_is_told_with_the_run():
    """A torn checkpoint for which the one before was taken."""
    outcome = record().outcome.model_copy(update={"warnings": ("x.checkpoint: torn", "the one before it is taken")})
    mended = record().model_copy(update={"outcome": outcome})
    assert run_of(mended).warnings == "x.checkpoint: torn; the one before it is taken"


def test_of_a_key_the_last_attempt_counts():
    """Ten comes after nine, in whatever order they come."""
    failed = record(ending="failed", reason="disk", attempt=9)
    for records in ((failed, record(attempt=10)), (record(attempt=10), failed)):
        assert [(run.attempt, run.ending) for run in runs_of(records)] == [(10, "done")]


def test_runs_stand_in_the_order_of_track_method_version_and_seed():
    """Seed 10 comes after seed 2."""
    names = [("kd", 10), ("kd", 2), ("baseline", 1), ("at", 3)]
    runs = runs_of(record(name, seed) for name, seed in names)

    assert [(run.method, run.seed) for run in runs] == [("at", 3), ("baseline", 1), ("kd", 2), ("kd", 10)]


def test_a_track_is_workload_budget_device_pace_and_rules():
    """Two writings of one budget share a track; nothing else does."""
    held = track(spec(budget="120s"))
    h200 = ground(device=device_class(kind="cuda", model="H200"))

    assert held == track(spec(method("cwd"), budget="2m", seed=5))
    others = {track(spec(budget="3m")), track(spec(budget="2m", pace="iterations")), track(spec(budget="2m", rules=99))}
    assert held not in others | {track(spec(on=h200, budget="2m"))}
    assert len(others) == 3


def test_the_version_that_ended_last_is_current():
    """Versions are told apart by digest, on each track by itself."""
    early, late = (
        {"digest": "a" * 16, "ended": "2025-01-01T00:00:00Z"},
        {"digest": "b" * 16, "ended": "2025-01-02T00:00:00Z"},
    )
    runs = runs_of([record("kd", **early), record("kd", 1, **late), record("kd", budget="2m", **early)])

    current = {(run.budget, run.method_digest): version_of(run) in current_versions(runs) for run in runs}
    assert current == {("90s", "a" * 16): False, ("90s", "b" * 16): True, ("2m", "a" * 16): True}


def test_the_baselines_mious_are_of_its_current_version():
    """A seed that only an earlier version ran has none, nor has one that diverged."""
    early, late = (
        {"digest": "a" * 16, "ended": "2025-01-01T00:00:00Z"},
        {"digest": "b" * 16, "ended": "2025-01-02T00:00:00Z"},
    )
    held = [record("baseline", 0, 0.4, **early), record("baseline", 1, 0.4, **early)]
    held += [record("baseline", 0, 0.5, **late), record("baseline", 2, ending="diverged", reason="inf", **late)]
    runs = runs_of([*held, record("kd", 0, 0.6)])

    assert baseline_mious(runs) == {(track(spec()), 0): pytest.approx(0.5)}
