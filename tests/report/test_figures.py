"""The figure: points where the numbers are, names that can be read."""

import xml.etree.ElementTree as ElementTree

import pytest

from harness.report.figures import draw, spread_out
from harness.score.leaderboard import boards
from harness.score.store import frame_of
from tests.factories import ground, record

PNG = b"\x89PNG\r\n\x1a\n"


def texts(picture):
    """The text of an SVG, in the order of the file."""
    root = ElementTree.fromstring(picture.svg)
    return ["".join(node.itertext()).strip() for node in root.iter("{http://www.w3.org/2000/svg}text")]


def drawn(*records):
    return draw(boards(frame_of(records)), "figure")


def test_every_method_with_a_finished_run_is_named_once():
    """Also those of two budgets; not those that never finished."""
    runs = [
        record(name, seed, 0.5 + 0.1 * seed, budget=budget)
        for name in ("cwd", "kd")
        for seed in (0, 1)
        for budget in ("90s", "6m")
    ]
    picture = drawn(*runs, record("at", ending="failed"))

    assert [texts(picture).count(name) for name in ("cwd", "kd", "at")] == [1, 1, 0]
    assert "teacher 72.0" in texts(picture)
    assert picture.png.startswith(PNG)


def test_a_teacher_far_above_is_said_instead_of_drawn():
    """Its line would squeeze the students into a corner."""
    picture = drawn(record("baseline", 0, 0.30), record("kd", 0, 0.31))

    assert "teacher 72.0, above this figure ↑" in texts(picture)


def test_nothing_finished_is_no_figure():
    """The page then says so."""
    assert drawn(record("kd", ending="failed")) is None


@pytest.mark.parametrize("name", ["<script>alert(1)</script>", "$\\frac{1}{", "x" * 300, "\u4e2d\x07", "_hidden"])
def test_a_strange_name_is_drawn_as_text(name):
    """Markup, mathematics, length, foreign letters and control characters break neither file nor layout."""
    picture = drawn(record(name, 0, 0.5), record("baseline", 0, 0.4))

    assert ElementTree.fromstring(picture.svg).tag.endswith("svg")
    assert "script" not in {node.tag.rpartition("}")[2] for node in ElementTree.fromstring(picture.svg).iter()}
    assert max(map(len, texts(picture))) < 60


def test_thirty_methods_at_one_budget_have_a_name_each():
    """The figure grows with them."""
    picture = drawn(*(record(f"method_{index}", seed, 0.5) for index in range(30) for seed in range(2)))

    assert sum(text.startswith("method_") for text in texts(picture)) == 30


def test_iteration_budgets_have_a_round_axis():
    """What was spent differs by method, so the ticks are 1, 2, 5 and their like."""
    costs = (1.0, 1.3, 1.7, 2.2, 2.9, 3.8, 5.0)
    runs = [record(f"m{cost}", 0, 0.5, budget="40k it", iterations=40_000, cost_ratio=cost) for cost in costs]
    picture = drawn(
        *(each.model_copy(update={"spec": each.spec.model_copy(update={"ground": ground()})}) for each in runs)
    )

    assert {"2", "2 h", "5", "5 h"} <= {part for text in texts(picture) for part in text.split("\n")} | set(
        texts(picture)
    )


def test_names_move_as_little_as_they_can():
    """Two that collide step apart evenly; one that has room stays."""
    assert spread_out([1.0, 1.0, 5.0], 1.0, 0.0, 10.0) == pytest.approx([0.5, 1.5, 5.0])


def test_names_stay_within_the_figure():
    """At its top they stack downwards."""
    assert spread_out([9.9, 10.0], 1.0, 0.0, 10.0) == pytest.approx([9.0, 10.0])
