"""Boards: who is ranked, who stands below the line and why."""

import pytest

from harness.ledger.rules import RULES_VERSION
from harness.score.leaderboard import boards
from harness.score.reasons import Tally
from harness.score.runs import runs_of
from tests.factories import device_class, ground, record, workload


def board_of(*records):
    (only,) = boards(runs_of(records))
    return only


def seeds(name, *mious, **facts):
    return [record(name, seed, miou, **facts) for seed, miou in enumerate(mious)]


def row_of(board, name):
    (only,) = (row for row in board.rows if row.method == name)
    return only


def test_rows_are_ranked_by_mean_miou():
    """Means, gains paired by seed and shares of the teacher, worked out by hand."""
    board = board_of(*seeds("baseline", 0.50, 0.52, 0.54), *seeds("kd", 0.53, 0.54, 0.58), *seeds("at", 0.4, 0.4, 0.4))

    assert [(row.rank, row.method) for row in board.rows] == [(1, "kd"), (2, "baseline"), (3, "at")]
    kd = row_of(board, "kd")
    assert (kd.miou.mean, kd.gain.mean, kd.share) == tuple(map(pytest.approx, (0.55, 0.03, 0.55 / 0.72)))
    assert kd.miou.interval.low < 0.55 < kd.miou.interval.high
    assert row_of(board, "baseline").gain is None


def test_a_single_seed_has_neither_interval_nor_rank():
    """One run says nothing about chance."""
    board = board_of(record("baseline"), record("kd", 0, 0.6))

    assert [(row.method, row.rank) for row in board.rows] == [("kd", None), ("baseline", None)]
    assert row_of(board, "kd").miou.interval is None
    assert row_of(board, "kd").above


def test_a_marked_row_stands_below_the_line_with_its_reason():
    """However good its mean is."""
    marked = [*seeds("kd", 0.7, 0.7), record("kd", 2, 0.7, marks=("off_budget",))]
    board = board_of(*seeds("baseline", 0.5, 0.5, 0.5), *marked)

    assert [(row.method, row.rank) for row in board.rows] == [("baseline", 1), ("kd", None)]
    assert row_of(board, "kd").why == ("off_budget: seed 2",)
    assert row_of(board, "kd").marks == (Tally("off_budget", 1),)


def test_an_uncertain_cost_is_shown_above_the_line():
    """On shared CPUs it is common; the interval says how uncertain."""
    board = board_of(*seeds("baseline", 0.5, 0.5), *seeds("kd", 0.6, 0.6, marks=("cost_uncertain",)))

    assert row_of(board, "kd").rank == 1
    assert row_of(board, "kd").marks == (Tally("cost_uncertain", 2),)


def test_a_row_with_failed_seeds_says_n_of_m():
    """The mean of the survivors is shown, not ranked."""
    failed = record("kd", 2, ending="diverged", reason="loss is not finite")
    board = board_of(*seeds("baseline", 0.5, 0.5, 0.5), *seeds("kd", 0.6, 0.62), failed)
    kd = row_of(board, "kd")

    assert (kd.n, kd.planned, kd.rank) == (2, 3, None)
    assert kd.endings == (Tally("done", 2), Tally("diverged", 1))
    assert kd.why == ("diverged: seed 2 (loss is not finite)",)


def test_a_method_without_any_finished_run_is_a_row():
    """Never dropped."""
    skipped = [
        record("cirkd", seed, ending="skipped", reason="needs a batch of 16", cost_ratio=None) for seed in (0, 1)
    ]
    board = board_of(*seeds("baseline", 0.5, 0.5), *skipped)
    cirkd = row_of(board, "cirkd")

    assert (cirkd.n, cirkd.miou, cirkd.gain, cirkd.cost_ratio, cirkd.device_hours) == (0, None, None, None, None)
    assert cirkd.why == ("skipped: seeds 0, 1 (needs a batch of 16)",)


def test_a_missing_seed_puts_a_row_below_the_line():
    """It was not compared on the same draws."""
    board = board_of(*seeds("baseline", 0.5, 0.5, 0.5), *seeds("kd", 0.6, 0.6))

    assert row_of(board, "kd").why == ("no run of seed 2",)


def test_a_sweep_that_was_cut_short_keeps_a_balanced_table():
    """Seed 2 was reached by one method of three: it is left out of that method's mean, and the row says so."""
    board = board_of(*seeds("baseline", 0.5, 0.5, 0.9), *seeds("kd", 0.6, 0.6), *seeds("at", 0.4, 0.4))

    assert board.seeds == (0, 1)
    assert [(row.method, row.rank) for row in board.rows] == [("kd", 1), ("baseline", 2), ("at", 3)]
    assert row_of(board, "baseline").notes == ("seed 2 not in the mean: most methods have none",)


def test_seeds_that_no_two_methods_share_are_all_kept():
    """A board without common seeds ranks nobody, and still shows them."""
    board = board_of(record("baseline", 0), record("kd", 1), record("at", 2))

    assert board.seeds == (0, 1, 2)
    assert board.ranked == ()


def test_gains_use_the_seeds_that_both_have():
    """The baseline failed at seed 1: the gain rests on seeds 0 and 2."""
    baseline = [record("baseline", 0, 0.5), record("baseline", 1, ending="failed"), record("baseline", 2, 0.6)]
    board = board_of(*baseline, *seeds("kd", 0.6, 0.1, 0.6))

    assert row_of(board, "kd").gain.mean == pytest.approx(0.05)
    assert row_of(board, "kd").gain.n == 2


def test_a_board_without_baseline_gives_no_gain():
    """Means are ranked all the same."""
    board = board_of(*seeds("kd", 0.5, 0.6), *seeds("at", 0.5, 0.5))

    assert board.baseline is None
    assert [row.gain for row in board.rows] == [None, None]


def test_versions_of_a_method_are_rows_of_their_own():
    """They are never averaged; the earlier one stands below the line."""
    earlier = seeds("kd", 0.7, 0.7, digest="a" * 16, ended="2025-01-01T00:00:00Z")
    later = seeds("kd", 0.6, 0.6, digest="b" * 16, ended="2025-01-02T00:00:00Z")
    board = board_of(*seeds("baseline", 0.5, 0.5), *earlier, *later)

    assert [(row.digest[0], row.rank) for row in board.rows if row.method == "kd"] == [("b", 1), ("a", None)]
    assert board.rows[-1].why == ("an earlier version of the method (aaaaaa)",)


def test_the_baseline_is_the_version_that_the_gains_are_over():
    """The earlier one stands below the line with a higher mean, the current one too, for a run that failed."""
    earlier = seeds("baseline", 0.7, 0.7, digest="a" * 16, ended="2025-01-01T00:00:00Z")
    failed = record("baseline", 1, ending="failed", digest="b" * 16, ended="2025-01-02T00:00:00Z")
    later = [record("baseline", 0, 0.5, digest="b" * 16, ended="2025-01-02T00:00:00Z"), failed]
    board = board_of(*earlier, *later, *seeds("kd", 0.6, 0.6))

    assert board.baseline.digest == board.reference == "b" * 16
    assert row_of(board, "kd").gain.mean == pytest.approx(0.1)


def test_equal_means_share_a_rank():
    """And the next one is third."""
    board = board_of(*seeds("at", 0.6, 0.5), *seeds("baseline", 0.4, 0.4), *seeds("kd", 0.5, 0.6))

    assert [(row.rank, row.method) for row in board.rows] == [(1, "at"), (1, "kd"), (3, "baseline")]


def test_an_opponents_sources_are_those_of_its_current_version():
    """The earlier one had its authors' settings: no opponent is left, and no verdict. The other way round there is."""
    on = ground("camvid", of=workload(title="CamVid", standing="benchmark"))
    kd = seeds("kd", 0.6, 0.6, 0.6, on=on)
    for earlier, later, pairs in (("authors", "transferred", 0), ("transferred", "authors", 2)):
        versions = [
            *seeds("x", 0.5, 0.5, 0.5, on=on, family="segmentation", source=earlier, digest="a" * 16),
            *seeds(
                *("x", 0.5, 0.5, 0.5),
                on=on, family="segmentation", source=later, digest="b" * 16, ended="2025-01-02T00:00:00Z",
            ),
        ]  # fmt: skip
        assert len(board_of(*kd, *versions).verdict.pairs) == pairs


def test_a_track_is_a_board_and_benchmarks_come_first():
    """Budgets ascend within a workload and a device."""
    real = ground("camvid", of=workload(title="CamVid", standing="benchmark"), device=device_class(model="H200"))
    runs = [
        record(budget="6m"),
        record(budget="90s"),
        record(on=real, budget="1h"),
        record(rules=RULES_VERSION + 1, budget="90s"),
    ]
    found = boards(runs_of(runs))

    assert [board.workload for board in found] == ["camvid", "streets", "streets", "streets"]
    assert [(board.rules, board.budget) for board in found[1:]] == [
        (RULES_VERSION, "90s"),
        (RULES_VERSION, "6m"),
        (RULES_VERSION + 1, "90s"),
    ]


def test_an_empty_frame_has_no_board():
    """Nothing in, nothing out."""
    assert boards(runs_of([])) == ()
