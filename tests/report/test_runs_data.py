"""Every run as JSON and as CSV."""

import csv
import io
import json

from harness.report.runs_data import as_json, to_csv, to_json
from harness.score.runs import runs_of
from tests.factories import record

RUNS = runs_of(
    [
        *(record("baseline", seed, 0.5) for seed in range(3)),
        *(record("kd", seed, 0.52 + 0.01 * seed) for seed in range(2)),
        record("kd", 2, ending="failed", reason="disk full"),
    ]
)


def test_columns_of_equal_values_are_told_in_stretches():
    """Six runs of one board; three of each method; a gain to five digits, missing where there is no score."""
    found = json.loads(to_json(RUNS))
    columns = found["columns"]

    assert columns["board"] == {"values": [0], "counts": [6]}
    assert (found["methods"], columns["method"]) == (["baseline", "kd"], {"values": [0, 1], "counts": [3, 3]})
    assert columns["seed"] == [0, 1, 2, 0, 1, 2]
    assert columns["gain"][3:] == [0.02, 0.03, None]
    assert [found["reasons"][place] for place in (0, 1)] == ["", "disk full"]


def test_nothing_in_the_json_ends_its_element():
    """A stranger's reason may hold anything."""
    text = as_json({"reason": "</script><!--&"})

    assert not set("<>&") & set(text)
    assert json.loads(text) == {"reason": "</script><!--&"}


def test_csv_has_a_row_a_run_and_empty_cells():
    """A program reads it back without guessing."""
    rows = list(csv.DictReader(io.StringIO(to_csv(RUNS))))

    assert [(row["method"], row["seed"], row["ending"]) for row in rows[-2:]] == [
        ("kd", "1", "done"),
        ("kd", "2", "failed"),
    ]
    assert (rows[-1]["miou"], rows[-1]["gain"], rows[-1]["reason"]) == ("", "", "disk full")
    assert abs(float(rows[-2]["gain"]) - 0.03) < 1e-12


def test_the_baseline_has_no_gain_over_itself():
    """Zero would be a result."""
    columns = json.loads(to_json(RUNS))["columns"]

    assert columns["gain"][:3] == [None, None, None]
