"""The tidy frame."""

import pandas as pd
import pytest

from harness.ledger.errors import BadInput
from harness.score import load
from harness.score.store import COLUMNS, track
from tests.factories import device_class, ground, method, record, save, spec


def test_a_missing_or_empty_folder_gives_an_empty_frame_with_columns_and_types(tmp_path):
    """Code that works on a frame works on an empty one."""
    save(tmp_path / "full", record())
    empty, full = load(tmp_path / "missing"), load(str(tmp_path / "full"))

    assert tuple(empty.columns) == COLUMNS
    assert len(empty) == 0
    pd.testing.assert_series_equal(full.dtypes, empty.dtypes)


def test_every_run_is_a_row_of_plain_numbers(tmp_path):
    """A record's numbers stand in their columns, in fractions and seconds."""
    save(tmp_path, record("kd", 2, 0.5, iterations=900, cost_ratio=2.0, marks=("cost_uncertain", "off_budget")))
    row = load(tmp_path).iloc[0]

    assert (row.workload, row.method, row.seed, row.budget, row.pace) == ("streets", "kd", 2, "90s", "clock")
    assert (row.miou, row.teacher_miou) == (0.5, 0.72)
    assert (row.planned_iterations, row.iterations, row.epochs) == (900, 900, 75.0)
    assert (row.budget_seconds, row.spent_seconds, row.device_hours) == (90.0, 90.0, 0.025)
    assert (row.cost_ratio, row.cost_seconds) == (2.0, 0.2)
    assert row.marks == "off_budget cost_uncertain"
    assert (row.device, row.host, row.sources) == ("Test CPU, 1 thread", "node1", "authors")


def test_the_last_attempt_of_a_key_counts(tmp_path):
    """A run that failed and was repeated is one row; ten comes after nine."""
    save(tmp_path, record(ending="failed", reason="disk", attempt=9), record(miou=0.6, attempt=10))
    frame = load(tmp_path)

    assert list(frame[["attempt", "ending", "miou"]].itertuples(index=False, name=None)) == [(10, "done", 0.6)]


def test_what_a_run_has_not_is_missing_not_zero(tmp_path):
    """A diverged run has no mIoU, an unmeasured cost is none."""
    save(tmp_path, record(ending="diverged", reason="loss is not finite", cost_ratio=None, budget="1k it"))
    row = load(tmp_path).iloc[0]

    assert pd.isna([row.miou, row.gain, row.cost_ratio, row.budget_seconds, row.replanned_iterations]).all()
    assert row.reason == "loss is not finite"


def test_a_file_that_cannot_be_read_is_named(tmp_path):
    """Nothing is dropped in silence."""
    save(tmp_path, record())
    broken = tmp_path / "runs" / "abc.1.json"
    broken.write_text('{"format": 1')

    with pytest.raises(BadInput, match=r"abc\.1\.json"):
        load(tmp_path)


def test_a_record_with_an_unreadable_budget_is_named(tmp_path):
    """Its board could not be told."""
    strange = record()
    save(tmp_path, strange.model_copy(update={"spec": strange.spec.model_copy(update={"budget": "a while"})}))

    with pytest.raises(BadInput, match=r"runs/.*\.1\.json: spec\.budget: .*'a while'"):
        load(tmp_path)


@pytest.mark.parametrize("name", ["notes.json", "abc.json", "other.1.json"])
def test_a_record_under_a_strange_name_is_refused(tmp_path, name):
    """A renamed record could hide another or count twice."""
    save(tmp_path, record())
    (written,) = (tmp_path / "runs").glob("*.json")
    written.rename(written.with_name(name))

    with pytest.raises(BadInput, match=name):
        load(tmp_path)


def test_a_status_beside_a_record_is_no_record(tmp_path):
    """The engine's status file may lie there while a run is at work."""
    save(tmp_path, record())
    (tmp_path / "runs" / "abc.1.status.json").write_text("{}")

    assert len(load(tmp_path)) == 1


def test_runs_that_are_no_folder_are_refused(tmp_path):
    """A file in the folder's place is said, not read as empty."""
    (tmp_path / "runs").write_text("")

    with pytest.raises(BadInput, match="is no folder"):
        load(tmp_path)


def test_gain_is_paired_by_seed(tmp_path):
    """Each run is held against the baseline of its own seed and track."""
    save(tmp_path, record("baseline", 0, 0.50), record("baseline", 1, 0.54), record("baseline", 0, 0.1, budget="2m"))
    save(tmp_path, record("kd", 0, 0.53), record("kd", 1, 0.55), record("kd", 2, 0.56))
    frame = load(tmp_path)

    assert frame[frame.method == "kd"].gain.round(9).tolist()[:2] == [0.03, 0.01]
    assert frame[frame.method == "kd"].gain.isna().tolist() == [False, False, True]


def test_an_earlier_version_of_a_method_is_not_current(tmp_path):
    """Versions are told apart by digest; the one that ended last is current."""
    save(tmp_path, record("kd", digest="a" * 16, ended="2025-01-01T00:00:00Z"))
    save(tmp_path, record("kd", digest="b" * 16, ended="2025-01-02T00:00:00Z"))
    frame = load(tmp_path)

    assert dict(zip(frame.method_digest, frame.current, strict=True)) == {"a" * 16: False, "b" * 16: True}


def test_a_track_is_workload_budget_device_pace_and_rules():
    """Two writings of one budget share a track; nothing else does."""
    held = track(spec(budget="120s"))
    h200 = ground(device=device_class(kind="cuda", model="H200"))

    assert held == track(spec(method("cwd"), budget="2m", seed=5))
    others = {track(spec(budget="3m")), track(spec(budget="2m", pace="iterations")), track(spec(budget="2m", rules=99))}
    assert held not in others | {track(spec(on=h200, budget="2m"))}
    assert len(others) == 3


def test_device_hours_count_devices(tmp_path):
    """An hour on two devices is two device-hours."""
    save(tmp_path, record(on=ground(device=device_class(count=2)), budget="1h"))

    assert load(tmp_path).device_hours.tolist() == [2.0]


def test_a_trial_is_on_no_board(tmp_path):
    """It was scored on the tune split: a folder that holds one is refused, with the file."""
    held = record()
    trial = held.model_copy(update={"spec": held.spec.model_copy(update={"scored_on": "tune"})})
    save(tmp_path, trial)
    with pytest.raises(BadInput, match=r"spec\.scored_on: found .tune.: a trial of `bench tune`, which no board holds"):
        load(tmp_path)


def test_accounts_that_differ_are_in_the_frame(tmp_path):
    """One run's ledger does not add up, the other's does."""
    wrong = record().model_copy(update={"disagreements": ("the clock says 9.00 s, the ledger has 7.00 s", "and more")})
    save(tmp_path, wrong, record(seed=1))
    assert load(tmp_path).disagreements.tolist() == ["the clock says 9.00 s, the ledger has 7.00 s; and more", ""]
