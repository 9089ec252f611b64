"""The scaling curve: end points alone, and when a method has what the baseline ends with."""

import pickle
import xml.etree.ElementTree as ElementTree

import pytest

from harness.report.facts.scaling import Curves, scaling_of
from harness.report.figures.scaling import draw
from harness.report.style import styles_of
from harness.score.groups import Group, grouped
from harness.score.leaderboard import boards
from harness.score.runs import runs_of
from tests.factories import device_class, ground, record

SVG = "{http://www.w3.org/2000/svg}"
BUDGETS = ("90s", "3m", "6m")


def group(*records):
    return grouped(boards(runs_of(records)))[0]


def scaling(seeds=(0,), **mious):
    """Methods with an mIoU a budget; None where there is no run."""
    return scaling_of(group(*(
        record(name, seed, miou + seed / 100, budget=budget)
        for name, found in mious.items() for budget, miou in zip(BUDGETS, found, strict=False) if miou is not None
        for seed in seeds
    )))  # fmt: skip


def drawn(curves):
    return draw(curves, styles_of(curve.method for curve in curves.curves), "scaling")


def texts(picture):
    return [node.text for node in ElementTree.fromstring(picture.svg).iter(f"{SVG}text")]


def test_end_points_come_by_budget_and_methods_by_their_last():
    """In device-hours, with n and interval."""
    curves = scaling((0, 1), kd=(0.4, 0.5, 0.6), baseline=(0.3, 0.4, 0.5))

    assert [curve.method for curve in curves.curves] == ["baseline", "kd"]
    assert curves.sizes == ((0.025, "90s"), (0.05, "3m"), (0.1, "6m"))
    assert [(end.miou, end.n) for end in curves.curves[1].ends] == [
        (pytest.approx(miou), 2) for miou in (0.405, 0.505, 0.605)
    ]
    assert curves.level == pytest.approx(0.505)


def test_the_time_to_the_baselines_last_miou_is_read_between_two_budgets():
    """Half way between 90 s and 3 min on the logarithmic axis, of 6 min."""
    reached = {curve.method: curve.reached for curve in scaling(
        baseline=(0.3, 0.4, 0.5), kd=(0.4, 0.6, 0.7), at=(0.55, 0.6, 0.7), cwd=(0.3, 0.35, 0.4)).curves}  # fmt: skip

    assert (reached["kd"].ratio, reached["kd"].interpolated) == (pytest.approx(2**0.5 / 4), True)
    assert (reached["at"].ratio, reached["at"].at_most) == (pytest.approx(1 / 4), True)
    assert reached["cwd"] is None


def test_the_figure_says_when_each_method_has_it():
    """A number beside the name, `≤` where the smallest budget was enough, a dash for never; none of the baseline."""
    picture = drawn(scaling(
        baseline=(0.3, 0.4, 0.5), kd=(0.4, 0.6, 0.7), at=(0.55, 0.6, 0.7), cwd=(0.3, 0.35, 0.4)))  # fmt: skip

    assert [words for words in texts(picture) if words.endswith("×") or words == "–"] == ["–", "≤ 0.25 ×", "0.35 ×"]
    assert next(part.text for part in picture.parts if part.method == "kd") == (
        "kd: 40.0 % at 90s (1 seed), 60.0 % at 3m (1 seed), 70.0 % at 6m (1 seed); "
        "has the baseline's last mIoU after 0.35 × of its time"
    )
    assert "complete runs of that very budget" in picture.caption


def test_without_a_baseline_there_is_no_level():
    """Nor a word of it."""
    picture = drawn(scaling(kd=(0.4, 0.5), at=(0.3, 0.4)))

    assert "reached after" not in texts(picture)
    assert "dashed" not in picture.caption


@pytest.mark.parametrize(
    "records",
    [
        [record("kd", 0, 0.5)],
        [record("kd", 0, 0.5), record("kd", 0, ending="failed", budget="3m")],
        [record("kd", 0, 0.5), record("kd", 0, 0.6, budget="4k it")],
    ],
)
def test_fewer_than_two_budgets_of_a_unit_are_no_curve(records):
    """Runs that failed are no end points; seconds and iterations have no common axis."""
    assert scaling_of(group(*records)) is None


def test_iterations_make_a_curve_where_there_is_none_of_time():
    """Their sizes are counts."""
    curves = scaling_of(group(*(record("kd", 0, 0.5, budget=budget) for budget in ("4k it", "8k it", "90s"))))

    assert (curves.unit, curves.sizes) == ("iterations", ((4000, "4k it"), (8000, "8k it")))


def test_hours_are_those_of_all_devices():
    """Two of them spend twice the device-hours in the time."""
    two = ground(device=device_class(count=2))
    curves = scaling_of(group(*(record("kd", 0, 0.5, budget=budget, on=two) for budget in ("90s", "3m"))))

    assert [size for size, _ in curves.sizes] == pytest.approx([0.05, 0.1])


def test_rows_below_the_line_are_left_out():
    """Their runs are incomplete or off their budget."""
    runs = [
        record(name, seed, 0.5, budget=budget) for name in ("kd", "at") for seed in (0, 1) for budget in ("90s", "3m")
    ]
    broken = record("at", 2, ending="failed", budget="3m"), record("kd", 2, 0.5, budget="3m")

    assert {curve.method: len(curve.ends) for curve in scaling_of(group(*runs, *broken)).curves} == {"kd": 2, "at": 1}


def test_a_method_is_a_line_a_name_a_number_and_a_crossing():
    """All of them parts of it."""
    parts = drawn(scaling(baseline=(0.3, 0.4, 0.5), kd=(0.4, 0.6, 0.7))).parts

    assert [part.method for part in parts].count("kd") == 5  # with the line to its name
    assert [part.method for part in parts].count("baseline") == 3


def test_curves_are_sent_as_numbers_and_words():
    """No run goes to the process that draws."""
    curves = scaling(baseline=(0.3, 0.4), kd=(0.4, 0.6))

    assert pickle.loads(pickle.dumps(curves)) == curves
    assert isinstance(curves, Curves)
    assert b"harness.score.runs" not in pickle.dumps(curves)


def test_a_strange_name_is_drawn_as_text():
    """Markup stays words."""
    picture = drawn(scaling_of(group(*(record("<b>$x$", 0, 0.5, budget=budget) for budget in ("90s", "3m")))))

    assert "<b>$x$" in texts(picture)


def test_a_group_is_read_whatever_its_boards_lack():
    """Boards on which nobody finished have no end points."""
    assert scaling_of(Group(boards(runs_of([record("kd", ending="failed")])))) is None
