"""Learning curves: means at the same shares of what runs spend, ends told from the way."""

import xml.etree.ElementTree as ElementTree
from dataclasses import replace

import pytest

from harness.report.facts.curves import MOST_POINTS, Curve, Curves, Ending, curves_of
from harness.report.figures.curves import draw
from harness.report.style import styles_of
from harness.score.groups import grouped
from harness.score.leaderboard import boards
from harness.score.runs import Point, run_of
from harness.score.stats import Estimate, Interval
from tests.factories import record

SVG = "{http://www.w3.org/2000/svg}"


def run(name, losses, *, spent=90.0, **facts):
    """Its curve has a point at each of as many equal steps of what it spends."""
    points = (Point(place, spent * place / len(losses), loss) for place, loss in enumerate(losses, start=1))
    return replace(run_of(record(name, spent_seconds=spent, **facts)), curve=tuple(points))


def group(*runs):
    return grouped(boards(runs))[0]


def drawn(curves):
    return draw(curves, styles_of(curve.method for curve in curves.curves), "curves")


def texts(picture):
    return [node.text for node in ElementTree.fromstring(picture.svg).iter(f"{SVG}text")]


def test_a_curve_is_the_mean_of_its_seeds_at_the_same_shares_of_their_spending():
    """One spent 3600 s and one 7200 s: half of the way is after 0.75 hours in the mean."""
    runs = [run("kd", [4.0, 2.0], spent=3600.0, seed=0), run("kd", [2.0, 1.0], spent=7200.0, seed=1)]
    [curve] = curves_of(group(*runs)).curves

    assert curve.hours == pytest.approx((0.75, 1.5))
    assert curve.losses == pytest.approx((3.0, 1.5))
    assert curve.endings == (Ending("90s", pytest.approx(1.5), pytest.approx(1.5)),)


def test_a_curve_with_fewer_points_is_read_between_them():
    """Two points against four; it begins where both have begun."""
    runs = [run("kd", [3.0, 1.0], seed=0), run("kd", [1.0, 1.0, 1.0, 1.0], seed=1)]
    [curve] = curves_of(group(*runs)).curves

    assert curve.hours == pytest.approx([90 / 3600 * share for share in (1 / 2, 2 / 3, 5 / 6, 1)])
    assert curve.losses == pytest.approx((2.0, 5 / 3, 4 / 3, 1.0))


def test_a_long_curve_is_thinned_and_keeps_its_end():
    """400 points are no more to see than 40."""
    [curve] = curves_of(group(run("kd", [1 / place for place in range(1, 401)]))).curves

    assert len(curve.losses) == MOST_POINTS
    assert (curve.losses[0], curve.losses[-1]) == (1.0, 1 / 400)


def test_the_way_is_the_largest_budgets_and_the_ends_are_all_budgets():
    """From the smallest to the largest."""
    runs = [run("kd", [2.0, 1.0], budget="90s"), run("kd", [1.0, 0.5], spent=360.0, budget="6m")]
    found = curves_of(group(*runs))
    [curve] = found.curves

    assert found.budget == "6m"
    assert curve.losses == (1.0, 0.5)
    assert [(ending.budget, ending.loss) for ending in curve.endings] == [("90s", 1.0), ("6m", 0.5)]


def test_methods_come_by_miou_and_those_without_a_curve_are_counted():
    """A run that did not finish has neither."""
    runs = [run("kd", [1.0], miou=0.4), run("cwd", [2.0], miou=0.6), run("at", [], miou=0.5)]
    found = curves_of(group(*runs, run("dist", [1.0], ending="failed")))

    assert ([curve.method for curve in found.curves], found.without) == (["cwd", "kd"], 1)
    assert "kept no curve: 1." in drawn(found).caption


def test_no_curve_at_all_is_no_figure():
    """The page then shows none."""
    assert curves_of(group(run("kd", []))) is None


def test_thousands_of_methods_are_the_best_eighty():
    """And the caption says how many have no room."""
    found = curves_of(group(*(run(f"m{place}", [1.0], miou=place / 1000) for place in range(83))))

    assert (len(found.curves), found.curves[0].method, found.without_room) == (80, "m82", 3)
    assert "3 more, of lower mIoU" in drawn(found).caption


def curve(method, loss, hours=(1.0, 2.0)):
    ending = Ending("2h", hours[-1], loss)
    return Curve(method, hours, (2 * loss, loss), (ending,), Estimate(0.5, 3, Interval(0.49, 0.51)))


def test_the_axis_is_logarithmic_only_where_every_loss_has_a_logarithm():
    """A loss of nothing at all is drawn, too."""
    assert "task loss, logarithmic" in texts(drawn(Curves("2h", (curve("kd", 0.5), curve("at", 0.4)), 0)))
    assert "task loss" in texts(drawn(Curves("2h", (curve("kd", 0.5), curve("at", 0.0)), 0)))


def test_one_method_with_one_point_is_a_figure():
    """No way, no spread."""
    only = Curve("kd", (1.0,), (0.5,), (Ending("1h", 1.0, 0.5),), Estimate(0.5, 1, None))

    assert "kd  50.0" in texts(drawn(Curves("1h", (only,), 0)))


def test_the_parts_say_which_points_compare():
    """A way, its ends, its mIoU."""
    picture = drawn(Curves("2h", (curve("kd", 0.5),), 0))

    assert [part.text for part in picture.parts] == [
        "kd: on the way, schedule not over",
        "kd: task loss 0.5 after 2.00 device-hours (2h)",
        "kd: mIoU 50.0 ± 1.0, n = 3",
    ]
    assert {part.method for part in picture.parts} == {"kd"}


def test_29_methods_are_named_once_each():
    """In a file that a page can hold."""
    names = [f"method_{place}" for place in range(29)]
    picture = drawn(Curves("2h", tuple(curve(name, 0.5 + place / 100) for place, name in enumerate(names)), 0))

    assert [sum(name in text.split() for text in texts(picture)) for name in names] == [1] * 29
    assert len(picture.svg) < 100_000
