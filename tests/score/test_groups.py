"""Boards side by side."""

import pytest

from harness.score.groups import flips, grouped
from harness.score.leaderboard import boards
from harness.score.runs import runs_of
from tests.factories import device_class, ground, record


def seeds(name, *mious, **facts):
    return [record(name, seed, miou, **facts) for seed, miou in enumerate(mious)]


def test_boards_that_differ_in_budget_alone_are_a_group():
    """Three budgets on one device, one on another."""
    other = ground(device=device_class(model="H200", kind="cuda"))
    runs = [record(budget=budget) for budget in ("6m", "90s", "3m")] + [record(on=other, budget="90s")]
    found = grouped(boards(runs_of(runs)))

    assert [[board.budget for board in group.boards] for group in found] == [["90s"], ["90s", "3m", "6m"]]
    assert len({group.name for group in found}) == 2


def test_a_groups_name_fits_into_an_address():
    """Whatever a stranger's workload is called."""
    (group,) = grouped(boards(runs_of([record(on=ground('.."><b>Ä'))])))

    assert group.name.replace("-", "").isalnum()
    assert group.name.isascii()


def test_the_largest_board_is_of_the_largest_budget_that_anybody_finished():
    """Nobody finished six minutes."""
    runs = [record(budget="90s"), record(budget="3m"), record(budget="6m", ending="failed", reason="disk")]
    (group,) = grouped(boards(runs_of(runs)))

    assert group.largest.budget == "3m"


def test_a_flip_joins_iterations_and_time_of_one_anchor():
    """The order by time is the reverse of that by iterations: tau is -1."""
    by_iterations = {"baseline": 0.50, "kd": 0.60, "cwd": 0.55}
    by_time = {"baseline": 0.58, "kd": 0.54, "cwd": 0.56}
    runs = [
        *(each for name, miou in by_iterations.items() for each in seeds(name, miou, miou, budget="40k it")),
        *(each for name, miou in by_time.items() for each in seeds(name, miou, miou, budget="40k it of kd")),
        *seeds("kd", 0.5, 0.5, budget="20k it of kd"),
    ]
    (flip,) = flips(boards(runs_of(runs)))

    assert (flip.anchor, flip.iterations.budget, flip.time.budget) == ("kd", "40k it", "40k it of kd")
    assert [one.method for one, _ in flip.pairs] == ["kd", "cwd", "baseline"]
    assert [other.rank for _, other in flip.pairs] == [3, 2, 1]
    assert flip.tau == pytest.approx(-1.0)


def test_boards_of_two_devices_are_no_flip():
    """What it takes one device says nothing of another."""
    other = ground(device=device_class(model="H200", kind="cuda"))
    runs = [record("kd", budget="40k it"), record("kd", budget="40k it of kd", on=other)]

    assert flips(boards(runs_of(runs))) == ()
