"""Spots, their places on an axis, and which of them nobody beats."""

import pickle
from math import log10

import pytest

from harness.report.facts.frontier import Frontier, Spot, frontier_of
from harness.report.figures.spending import views
from harness.score.groups import grouped
from harness.score.leaderboard import boards
from harness.score.runs import runs_of
from tests.factories import record


def spot(method, hours, miou, *, images=None, why="", kwh=None):
    """A run of one seed."""
    return Spot(method, method, "1h", miou, None, (), 1, (hours, images, None, kwh), why, method == "baseline")


def front(*spots):
    """The methods of the Pareto front by device-hours."""
    return [spots[at].method for at in views(spots)[0].front]


def group(*records):
    return grouped(boards(runs_of(records)))[0]


def test_the_front_is_whom_nobody_beats_for_as_little():
    """Dearer has to be better."""
    assert front(spot("cheap", 1, 0.5), spot("better", 2, 0.6), spot("dear", 4, 0.55), spot("best", 8, 0.7)) == [
        "cheap",
        "better",
        "best",
    ]


def test_a_second_is_no_reason_to_be_on_the_front():
    """Runs of one budget differ by what their last iteration took: the better of them counts."""
    assert front(spot("sooner", 0.999, 0.5), spot("better", 1.001, 0.6)) == ["better"]


def test_the_front_has_no_rows_below_the_line():
    """They do not take part in the ranking."""
    assert front(spot("kd", 1, 0.5), spot("at", 1, 0.6, why="1 of 2 seeds finished")) == ["kd"]


def test_those_of_one_amount_stand_side_by_side_and_meet_no_other():
    """By mIoU from the left, around what they spent; a lone neighbour leaves them nearly all of the room."""
    spots = [
        *(spot(f"m{place}", 1, 0.5 + place / 100) for place in range(9)),
        spot("late", 1.1, 0.4),
        spot("x", 10, 0.4),
    ]
    view = views(spots)[0]
    ranks = view.ranks

    assert [rank.members for rank in ranks] == [tuple(range(9)), (9,), (10,)]
    assert list(view.across[:9]) == sorted(view.across[:9])
    assert ranks[0].middle == pytest.approx(0.0)
    assert ranks[0].edges[1] < ranks[1].edges[0]
    assert ranks[0].edges[1] - ranks[0].edges[0] > 0.7 * 2 * log10(1.1) * 9 / 10
    assert view.low < ranks[0].edges[0] and ranks[-1].edges[1] < view.high  # noqa: PT018  # one claim


def test_spots_that_spent_differently_stand_where_they_are():
    """However near their neighbours' neighbours are: a chain of small steps is no one amount."""
    spots = [spot(f"m{place}", 1.04**place, 0.5) for place in range(12)]
    view = views(spots)[0]

    assert max(abs(across - log10(each.spent[0])) for across, each in zip(view.across, spots, strict=True)) < 0.02


def test_an_axis_of_which_nothing_is_known_is_left_out():
    """No kWh on a CPU; where some are known the others have no place."""
    spots = (spot("kd", 1, 0.5, images=100), spot("at", 2, 0.6))

    assert [view.axis.name for view in views(spots)] == ["hours", "images"]
    assert views(spots)[1].across[1] is None
    assert views(spots)[1].front == (0,)


def test_the_baseline_is_level_where_others_spent_what_it_did():
    """In between it is straight; beyond its budgets, where nobody measured it, it is not drawn."""
    spots = (
        spot("at", 0.1, 0.4),
        spot("baseline", 1, 0.5),
        spot("kd", 1, 0.6),
        spot("baseline", 2, 0.55),
        spot("at", 9, 0.6),
    )
    view = views(spots)[0]
    across, levels = zip(*view.reference, strict=True)

    assert levels == (0.5, 0.5, 0.55, 0.55)
    assert across == (*view.ranks[1].edges, *view.ranks[2].edges)


def test_ticks_stand_at_the_budgets():
    """Where they are few; six minutes and a second are six minutes."""
    view = views((spot("a", 90.2 / 3600, 0.5), spot("b", 361 / 3600, 0.5), spot("c", 1, 0.5)))[0]

    assert [words for _, words in view.ticks] == ["90 s", "6 min", "1 h"]
    assert view.ticks[1][0] == pytest.approx(log10(361 / 3600))


def test_ticks_are_round_where_every_method_spent_another_amount():
    """As at a budget of iterations: minutes of 1, 2 and 5."""
    view = views([spot(f"m{place}", 1.3**place / 60, 0.5) for place in range(12)])[0]

    assert [words for _, words in view.ticks] == ["60 s", "120 s", "5 min", "10 min"]
    assert view.ticks[2][0] == pytest.approx(log10(5 / 60))


def test_the_numbers_come_from_the_finished_rows_of_all_budgets():
    """A version's spots together by what they spent, the version that ends lowest first."""
    runs = [record(name, seed, miou + seed / 100, budget=budget)
            for name, miou in (("cwd", 0.6), ("kd", 0.5)) for seed in (0, 1) for budget in ("6m", "90s")]  # fmt: skip
    frontier = frontier_of(group(*runs, record("at", ending="failed")))

    assert [(spot.method, spot.budget, spot.n) for spot in frontier.spots] == [
        ("kd", "90s", 2), ("kd", "6m", 2), ("cwd", "90s", 2), ("cwd", "6m", 2),
    ]  # fmt: skip
    assert frontier.spots[0].spent == (0.025, 7200, 900, None)
    assert frontier.spots[0].seeds == pytest.approx((0.5, 0.51))
    assert frontier.teacher_miou == 0.72


@pytest.mark.parametrize(("seeds", "shown"), [(1, 0), (10, 10), (11, 0)])
def test_seeds_are_shown_where_there_are_a_few(seeds, shown):
    """One is the mean itself; more than ten are a bar of their own."""
    frontier = frontier_of(group(*(record("kd", seed, 0.5) for seed in range(seeds))))

    assert len(frontier.spots[0].seeds) == shown


def test_a_row_below_the_line_says_why():
    """What the figure draws hollow."""
    frontier = frontier_of(group(record("kd", 0, 0.5), record("kd", 1, ending="failed"), record("at", 0, 0.5),
                              record("at", 1, 0.5)))  # fmt: skip

    assert {spot.method: spot.why for spot in frontier.spots} == {"kd": "failed: seed 1", "at": ""}


def test_the_reference_is_the_boards_baseline():
    """An older version of the baseline is a method like others."""
    runs = (
        record("baseline", 0, 0.5, digest="a" * 16),
        record("baseline", 0, 0.4, digest="b" * 16, ended="2024-01-01T00:00:00Z"),
    )
    frontier = frontier_of(group(*runs))

    assert {spot.digest[0]: spot.is_reference for spot in frontier.spots} == {"a": True, "b": False}


def test_nothing_finished_is_no_figure():
    """The page then says so."""
    assert frontier_of(group(record("kd", ending="failed"))) is None


def test_the_value_travels_without_runs():
    """It is sent to another process: numbers and words alone."""
    frontier = frontier_of(group(*(record("kd", seed, 0.5) for seed in range(3))))

    assert pickle.loads(pickle.dumps(frontier)) == frontier
    assert isinstance(frontier, Frontier)
    assert b"harness.score.runs" not in pickle.dumps(frontier)
