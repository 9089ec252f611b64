"""The tidy frames: exact by hand, and on the repository's own results."""

import dataclasses
import typing
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from harness.ledger.cost import Cost
from harness.ledger.errors import BadInput
from harness.ledger.record import Point, Times
from harness.ledger.results import counts_path
from harness.score import Table, frames, load
from harness.score.columns import RUNS, TABLES, markdown
from harness.score.runs import Run
from tests.factories import record, save

REPOSITORY = Path(__file__).parents[2]
ALL = typing.get_args(Table)

COUNTS = {
    "intersections": np.array([[6, 0, 1, 0], [1, 1, 2, 0]]),
    "unions": np.array([[8, 2, 3, 0], [5, 4, 4, 0]]),
    "labelled": np.array([[8, 0, 2, 0], [2, 4, 3, 0]]),
}
"""Two images of the four classes of the tests' workload."""

COST = Cost(
    seconds=0.2, ratio=2.0, ratio_low=1.9, ratio_high=2.1, rounds=40, flops=7,
    phases={"data": 0.1, "backward": 0.12}, phases_of=0.21,
)  # fmt: skip


def changed(held, *, cost=COST, key=None, **outcome):
    """The record with another cost and outcome."""
    spec = held.spec.model_copy(update={"cost": cost, "key": key or held.spec.key})
    return held.model_copy(update={"spec": spec, "outcome": held.outcome.model_copy(update=outcome)})


def of_two_images(seed=0, **facts):
    """A scored record whose score split holds two images, its IoU as the counts have it."""
    held = record("kd", seed, **facts)
    scores = held.outcome.scores.model_copy(update={"images": 2, "class_iou": (7 / 13, 1 / 6, 3 / 7, None)})
    return held.model_copy(update={"outcome": held.outcome.model_copy(update={"scores": scores})})


def beside(results, held, **counts):
    """Writes the record's counts."""
    np.savez_compressed(counts_path(results, held.spec.name), **(counts or COUNTS))


def rows(frame, *columns):
    return list(frame[list(columns)].itertuples(index=False, name=None))


def test_every_table_has_its_columns_and_types_full_or_empty(tmp_path):
    """Code that works on a frame works on an empty one."""
    point = Point(iteration=1, spent_seconds=1.0, task_loss=1.0, term_losses=(), learning_rate=0.1)
    times = Times(start_up=1.0, loading=2.0, warm_up=0.5, training=90.0, evaluation=3.0, other=0.5)
    held = changed(of_two_images(), curve=(point,), times=times)
    save(tmp_path, held)
    beside(tmp_path, held)

    for table in ALL:
        full, empty = load(tmp_path, table), load(str(tmp_path / "missing"), table)
        assert len(full) > 0 == len(empty)
        expected = [(column.name, column.dtype) for column in TABLES[table].columns]
        for made in (full, empty):
            assert [(name, str(dtype)) for name, dtype in made.dtypes.items()] == expected
        assert not full.isna().all(axis=1).any()


def test_the_runs_hold_every_plain_fact_of_a_run_in_its_order():
    """A fact that is added to Run is added here, with its type; what is nested has a table of its own."""
    dtypes = {str: "object", int: "int64", float: "float64", str | None: "object", int | None: "Int64"}
    dtypes[float | None] = "float64"
    facts = [
        (field.name, dtypes[field.type])
        for field in dataclasses.fields(Run)
        if typing.get_origin(field.type) is not tuple
    ]

    assert [(column.name, column.dtype) for column in RUNS[:-3]] == facts
    assert [column.name for column in RUNS[-3:]] == ["current", "baseline_miou", "gain"]


def test_the_document_says_what_the_frames_hold():
    """docs/frames.md is made of columns.py; the command to make it anew stands in it."""
    assert markdown() == (REPOSITORY / "docs" / "frames.md").read_text()


def test_every_run_is_a_row_of_plain_numbers(tmp_path):
    """A record's numbers stand in their columns, in fractions and seconds."""
    save(tmp_path, record("kd", 2, 0.5, iterations=900, cost_ratio=2.0, marks=("cost_uncertain", "off_budget")))
    row = load(tmp_path).iloc[0]

    assert (row.workload, row.method, row.seed, row.budget, row.pace) == ("streets", "kd", 2, "90s", "clock")
    assert (row.miou, row.teacher_miou, row.scored_images, row.parameters) == (0.5, 0.72, 32, 123_456)
    assert (row.planned_iterations, row.iterations, row.epochs) == (900, 900, 75.0)
    assert (row.budget_seconds, row.spent_seconds, row.device_hours) == (90.0, 90.0, 0.025)
    assert (row.cost_ratio, row.cost_seconds) == (2.0, 0.2)
    assert row.marks == "off_budget cost_uncertain"


def test_what_a_run_has_not_is_missing_not_zero(tmp_path):
    """A diverged run has no mIoU, an unmeasured cost is none."""
    save(tmp_path, record(ending="diverged", reason="loss is not finite", cost_ratio=None, budget="1k it"))
    row = load(tmp_path).iloc[0]

    absent = ("miou", "gain", "cost_ratio", "budget_seconds", "replanned_iterations", "scored_images", "variant_of")
    assert row[list(absent)].isna().all()
    assert row.reason == "loss is not finite"
    for table in ("evaluations", "costs", "phases", "time", "curves", "classes", "images"):
        assert len(load(tmp_path, table)) == 0


def test_gain_is_paired_by_seed(tmp_path):
    """Each run is held against the baseline of its own seed and track."""
    save(tmp_path, record("baseline", 0, 0.50), record("baseline", 1, 0.54), record("baseline", 0, 0.1, budget="2m"))
    save(tmp_path, record("kd", 0, 0.53), record("kd", 1, 0.55), record("kd", 2, 0.56))
    frame = load(tmp_path)

    assert frame[frame.method == "kd"].gain.round(9).tolist()[:2] == [0.03, 0.01]
    assert frame[frame.method == "kd"].gain.isna().tolist() == [False, False, True]
    assert frame[frame.method == "baseline"].gain.tolist() == [0.0, 0.0, 0.0]


def test_an_earlier_version_of_a_method_is_not_current_in_any_table(tmp_path):
    """Versions are told apart by digest; the one that ended last is current."""
    save(tmp_path, record("kd", digest="a" * 16, ended="2025-01-01T00:00:00Z"))
    save(tmp_path, record("kd", digest="b" * 16, ended="2025-01-02T00:00:00Z"))
    expected = [("a" * 16, False), ("b" * 16, True)]

    assert rows(load(tmp_path), "method_digest", "current") == expected
    assert rows(load(tmp_path, "costs"), "method_digest", "current") == expected
    assert load(tmp_path, "evaluations").current.tolist() == [False] * 4 + [True] * 4


def test_a_file_that_is_no_record_is_left_out_with_a_warning_at_the_callers_line(tmp_path):
    """One a file, which names it; the other runs are there."""
    save(tmp_path, record())
    (tmp_path / "runs" / "abc.1.json").write_text('{"format": 1')
    (tmp_path / "runs" / "notes.json").write_text("{}")

    with pytest.warns(UserWarning, match="left out") as caught:
        frame = load(tmp_path)
    assert len(frame) == 1
    texts = [str(each.message) for each in caught]
    assert [text.split(": left out: ")[0] for text in texts] == [
        str(tmp_path / "runs" / name) for name in ("abc.1.json", "notes.json")
    ]
    assert "no record's name" in texts[1]
    assert {each.filename for each in caught} == {__file__}


def test_a_number_that_no_column_holds_leaves_its_run_out(tmp_path):
    """JSON bounds whole numbers by nothing; 2**63 - 1 is the last that is held."""
    held = changed(record(), student_parameters=2**63)
    most = changed(record(seed=1), student_parameters=2**63 - 1)
    far = Point(iteration=10**30, spent_seconds=1.0, task_loss=1.0, term_losses=(), learning_rate=0.1)
    save(tmp_path, held, most, changed(record(seed=2), curve=(far,)))

    with pytest.warns(UserWarning, match="beyond 64 bits") as caught:
        frame = load(tmp_path)
    assert len(caught) == 2
    assert not any(most.spec.name in str(each.message) for each in caught)
    assert frame.parameters.tolist() == [2**63 - 1]


def test_a_table_that_is_none_is_refused_with_the_nearest_name(tmp_path):
    """Of all tables."""
    with pytest.raises(BadInput, match=r"table: found 'class': expected one of runs, .* \(did you mean 'classes'\?\)"):
        load(tmp_path, "class")


def test_evaluations_are_a_row_a_measure(tmp_path):
    """Of the scored runs, each under its seed."""
    held = record("kd", 3, 0.5)
    scores = held.outcome.scores.model_copy(update={"miou_absent_zero": 0.4, "miou_predicted": 0.45})
    save(tmp_path, changed(held, scores=scores), record("kd", 4, ending="diverged", reason="inf"))

    frame = load(tmp_path, "evaluations")
    assert rows(frame, "measure", "value") == [
        ("miou", 0.5),
        ("miou_absent_zero", 0.4),
        ("miou_predicted", 0.45),
        ("pixel_accuracy", 0.9),
    ]
    assert set(rows(frame, "method", "seed", "key", "attempt", "images")) == {("kd", 3, held.spec.key, 1, 32)}


def test_a_price_is_one_row_however_many_runs_it_planned(tmp_path):
    """A price that was measured anew is another, and each has its own phases."""
    anew = COST.model_copy(update={"seconds": 0.3, "flops": None, "phases": {"data": 0.2}})
    save(tmp_path, *(changed(record("kd", seed)) for seed in range(3)), changed(record("kd", 3), cost=anew))
    save(tmp_path, changed(record("at"), cost=None))
    costs, phases = load(tmp_path, "costs"), load(tmp_path, "phases")

    assert rows(costs, "cost", "method", "runs", "seconds", "ratio", "ratio_low", "ratio_high", "phases_of") == [
        (0, "kd", 3, 0.2, 2.0, 1.9, 2.1, 0.21),
        (1, "kd", 1, 0.3, 2.0, 1.9, 2.1, 0.21),
    ]
    assert (costs.flops[0], costs.flops[1]) == (7, pd.NA)
    assert rows(phases, "cost", "phase", "seconds") == [(0, "data", 0.1), (0, "backward", 0.12), (1, "data", 0.2)]
    assert phases.merge(costs, on="cost").seconds_y.tolist() == [0.2, 0.2, 0.3]


def test_the_ledger_of_time_is_long(tmp_path):
    """A row an entry; what did not happen took no time; a run without an account has no row."""
    times = Times(start_up=1.0, loading=2.0, warm_up=0.5, training=90.0, evaluation=3.0, other=0.5, process=97.0)
    save(tmp_path, record("at"), changed(record("kd", 5), times=times))
    frame = load(tmp_path, "time")

    assert set(zip(frame.method, frame.seed, strict=True)) == {("kd", 5)}
    assert dict(rows(frame, "entry", "seconds")) == times.model_dump(exclude={"process"})
    assert frame.seconds.sum() == times.process


def test_curves_hold_the_points_on_the_way(tmp_path):
    """Runs of different lengths, each point under its run."""
    points = [
        Point(iteration=at, spent_seconds=at / 10, task_loss=1 / at, term_losses=(0.1,), learning_rate=0.1)
        for at in (1, 2, 4)
    ]
    save(tmp_path, changed(record("kd", 0), curve=tuple(points[:1])), changed(record("kd", 1), curve=tuple(points)))

    assert rows(load(tmp_path, "curves"), "seed", "iteration", "spent_seconds", "task_loss") == [
        (0, 1, 0.1, 1.0),
        (1, 1, 0.1, 1.0),
        (1, 2, 0.2, 0.5),
        (1, 4, 0.4, 0.25),
    ]


def test_classes_sum_their_images_where_there_are_counts(tmp_path):
    """IoU is the record's; the first run has counts, the second none, and misses them."""
    counted = of_two_images()
    save(tmp_path, counted, of_two_images(1))
    beside(tmp_path, counted)
    frame = load(tmp_path, "classes")

    with_counts, without = frame[frame.seed == 0], frame[frame.seed == 1]
    columns = ("class_index", "class_name", "intersection", "union", "labelled")
    assert rows(with_counts, *columns) == [
        (0, "road", 7, 13, 10),
        (1, "pavement", 1, 6, 4),
        (2, "building", 3, 7, 5),
        (3, "sky", 0, 0, 0),
    ]
    assert without[["intersection", "union", "labelled"]].isna().all(axis=None)
    for part in (with_counts, without):
        assert part.iou.tolist()[:3] == [7 / 13, 1 / 6, 3 / 7]
        assert part.iou.isna().tolist() == [False, False, False, True]


def test_images_are_a_row_an_image_and_a_class(tmp_path):
    """By hand: image by image, class by class, run by run."""
    held = [of_two_images(), of_two_images(1)]
    save(tmp_path, *held)
    beside(tmp_path, held[0])
    beside(tmp_path, held[1], **{name: 2 * array for name, array in COUNTS.items()})
    frame = load(tmp_path, "images")

    columns = ("image", "class_index", "class_name", "intersection", "union", "labelled")
    assert rows(frame[frame.seed == 0], *columns) == [
        (0, 0, "road", 6, 8, 8),
        (0, 1, "pavement", 0, 2, 0),
        (0, 2, "building", 1, 3, 2),
        (0, 3, "sky", 0, 0, 0),
        (1, 0, "road", 1, 5, 2),
        (1, 1, "pavement", 1, 4, 4),
        (1, 2, "building", 2, 4, 3),
        (1, 3, "sky", 0, 0, 0),
    ]
    assert frame[frame.seed == 1].union.tolist() == [16, 4, 6, 0, 10, 8, 8, 0]
    assert frame[["seed", "key"]].drop_duplicates().key.tolist() == [each.spec.key for each in held]


def test_runs_without_counts_are_told_of_in_one_line(tmp_path):
    """They may be thousands; the others' images are there."""
    held = [of_two_images(seed) for seed in range(3)]
    save(tmp_path, *held)
    beside(tmp_path, held[1])

    with pytest.warns(UserWarning, match="not there, nor are those of 1 more") as caught:
        frame = load(tmp_path, "images")
    assert len(caught) == 1
    assert set(frame.seed) == {1}


@pytest.mark.parametrize("table", ["classes", "images"])
def test_counts_that_are_none_are_named(tmp_path, table):
    """The run's classes stay, without pixels; its images are left out."""
    held = of_two_images()
    save(tmp_path, held)
    counts_path(tmp_path, held.spec.name).write_bytes(b"no counts at all, but bytes")

    with pytest.warns(UserWarning, match=rf"{held.spec.name}\.npz: left out: ") as caught:
        frame = load(tmp_path, table)
    assert len(caught) == 1
    assert len(frame) == {"classes": 4, "images": 0}[table]


def test_records_that_speak_of_too_many_images_are_refused_before_any_is_read(tmp_path, monkeypatch):
    """A frame that would fill the memory is none."""
    save(tmp_path, of_two_images(), of_two_images(1))
    monkeypatch.setattr(frames, "MOST_ROWS", 15)
    monkeypatch.setattr(frames, "read_counts", None)

    with pytest.raises(BadInput, match="found 16 rows by the records: expected at most 15"):
        load(tmp_path, "images")


def test_the_three_lines_of_a_notebook_on_the_repositorys_own_results():
    """As docs/frames.md and the README have them; nothing warns."""
    results = REPOSITORY / "results"
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        frame = load(results)
        table = frame.groupby("method").miou.agg(["mean", "count"])

    assert set(frame.key) == {path.name.rsplit(".", 2)[0] for path in (results / "runs").glob("*.json")}
    scored = frame[frame.miou.notna()].method.value_counts()
    assert table["count"].to_dict() == {name: scored.get(name, 0) for name in set(frame.method)}
    assert table["mean"].dropna().between(0.1, 0.9).all()


def test_the_repositorys_own_counts_say_what_its_records_say():
    """A class's IoU is its intersection over its union; its pixels are those of all images."""
    classes, images = load(REPOSITORY / "results", "classes"), load(REPOSITORY / "results", "images")
    evaluations = load(REPOSITORY / "results", "evaluations")

    np.testing.assert_allclose(classes.iou, classes.intersection / classes.union, rtol=1e-12)
    summed = images.groupby(["key", "class_index"])[["intersection", "union", "labelled"]].sum().reset_index()
    merged = classes.merge(summed, on=["key", "class_index"], suffixes=("", "_summed"), validate="one_to_one")
    assert len(merged) == len(classes) > 0
    for name in ("intersection", "union", "labelled"):
        assert (merged[name] == merged[f"{name}_summed"]).all()
    miou = evaluations[evaluations.measure == "miou"].set_index("key").value
    np.testing.assert_allclose(classes.groupby("key").iou.mean()[miou.index], miou, rtol=1e-12)
