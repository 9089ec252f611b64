"""The second interval of a gain."""

import numpy as np
import pytest

from harness.ledger.results import counts_path
from harness.score.leaderboard import boards
from harness.score.over_images import answer, question, with_gains
from harness.score.runs import runs_of
from tests.factories import record, save

LABELLED = np.full((6, 4), 100)


def counts(intersections, labelled=LABELLED):
    return {"intersections": intersections, "unions": np.full((6, 4), 100), "labelled": labelled}


def board_with(folder, rows):
    """A board of runs whose counts lie beside them; `rows` has each method's counts by seed."""
    found = []
    for name, by_seed in rows.items():
        for seed, arrays in by_seed.items():
            scored = record(name, seed, 0.5)
            scores = scored.outcome.scores.model_copy(update={"images": 6})
            outcome = scored.outcome.model_copy(update={"scores": scores})
            held = scored.model_copy(update={"outcome": outcome})
            save(folder, held)
            if arrays is not None:
                np.savez_compressed(counts_path(folder, held.spec.name), **arrays)
            found.append(held)
    (board,) = boards(runs_of(found))
    return board


def asked_of(board, folder):
    asked = question(board)
    assert asked is not None
    return answer(asked, folder)


def test_a_gain_that_every_image_shares_has_no_width(tmp_path):
    """Of 100 pixels kd has 60 right in every image and class, the baseline 50: 0.1, whichever images are drawn."""
    rows = {"baseline": {0: counts(np.full((6, 4), 50))}, "kd": {0: counts(np.full((6, 4), 60))}}
    board = board_with(tmp_path, rows)
    told = with_gains(board, asked_of(board, tmp_path))
    gains = {row.method: row.gain_images for row in told.rows}

    assert (gains["kd"].low, gains["kd"].high) == (pytest.approx(0.1), pytest.approx(0.1))
    assert gains["baseline"] is None


def test_images_that_disagree_widen_it(tmp_path):
    """On three images kd is better, on three it is worse."""
    mixed = np.repeat([[70], [30]], 3, axis=0) * np.ones(4, dtype=np.int64)
    board = board_with(tmp_path, {"baseline": {0: counts(np.full((6, 4), 50))}, "kd": {0: counts(mixed)}})
    gain = next(iter(asked_of(board, tmp_path).gains.values()))

    assert gain.low < -0.05 < 0.05 < gain.high


def test_counts_that_cannot_be_used_are_named_and_the_rest_counts(tmp_path):
    """One file is missing, one is of other labels; the third seed still tells."""
    half, better = counts(np.full((6, 4), 50)), counts(np.full((6, 4), 60))
    odd = counts(np.full((6, 4), 10), labelled=np.full((6, 4), 99))
    rows = {"baseline": {0: half, 1: half, 2: half}, "kd": {0: None, 1: odd, 2: better}}
    board = board_with(tmp_path, rows)
    found = asked_of(board, tmp_path)

    assert [interval.low for interval in found.gains.values()] == [pytest.approx(0.1)]
    assert sorted(each.why for each in found.unusable) == [
        "cannot be read: No such file or directory",
        "its labels differ from those of the other runs of its board",
    ]


def test_without_a_baseline_there_is_nothing_to_ask(tmp_path):
    """A gain is over something."""
    assert question(board_with(tmp_path, {"kd": {0: None}})) is None
