"""Bars of an iteration's phases: in multiples of the baseline's, in a fixed order, the dearest last."""

import xml.etree.ElementTree as ElementTree
from dataclasses import replace

import pytest

from harness.report.facts.phases import Bar, Bars, Phase, bars_of
from harness.report.figures.phases import boxes_of, draw
from harness.report.picture import PAPER
from harness.report.style import styles_of
from harness.score.leaderboard import boards
from harness.score.runs import run_of
from tests.factories import record

SVG = "{http://www.w3.org/2000/svg}"
ALONE = (("data", 0.01), ("student", 0.03), ("task loss", 0.02), ("backward", 0.04))


def run(name, phases, of, **facts):
    """Without a cost timed in pairs, unless it is given."""
    return replace(run_of(record(name, **{"cost_ratio": None} | facts)), phases=tuple(phases), phases_of=of)


def board(*runs):
    return boards(runs)[0]


def drawn(bars):
    return draw(bars, styles_of(bar.method for bar in bars.bars), "phases")


def texts(picture):
    return [node.text for node in ElementTree.fromstring(picture.svg).iter(f"{SVG}text")]


def widths(bar, unit):
    """Of its boxes, but for the lines along their middle."""
    return [box.width for box in boxes_of(bar, 0, bar.seconds / unit) if box.fill != PAPER]


def test_the_dearest_is_last_and_the_baseline_is_one():
    """Whatever their order on the board."""
    bars = bars_of(
        board(
            run("cwd", [*ALONE, ("teacher", 0.2)], 0.3),
            run("kd", [*ALONE, ("teacher", 0.1)], 0.2),
            run("baseline", ALONE, 0.1),
        )
    )

    assert [bar.method for bar in bars.bars] == ["baseline", "kd", "cwd"]
    assert (bars.baseline_seconds, bars.without) == (0.1, 0)
    assert [text for text in texts(drawn(bars)) if "×" in text] == ["1.00 ×", "2.00 ×", "3.00 ×"]


def test_a_bar_is_as_long_as_the_cost_that_the_table_says():
    """By hand: phases were timed at 4 and 3 times the baseline's, pairs say 2 and 2.5, and that is the order."""
    bars = bars_of(
        board(
            run("kd", ALONE, 0.4, cost_ratio=2.0),
            run("cwd", ALONE, 0.3, cost_ratio=2.5),
            run("baseline", ALONE, 0.1, cost_ratio=1.0),
        )
    )
    picture = drawn(bars)

    assert [(bar.method, bars.length(bar)) for bar in bars.bars] == [("baseline", 1.0), ("kd", 2.0), ("cwd", 2.5)]
    assert [text for text in texts(picture) if "×" in text] == ["1.00 ×", "2.00 ×", "2.50 ×"]
    assert "the table's cost ×" in picture.caption


def test_methods_without_phases_are_left_out_and_counted():
    """Older records have none."""
    bars = bars_of(board(run("baseline", ALONE, 0.1), run("kd", (), None)))

    assert [bar.method for bar in bars.bars] == ["baseline"]
    assert "nobody timed their phases: 1." in drawn(bars).caption


def test_no_phases_at_all_are_no_figure():
    """The page then shows none."""
    assert bars_of(board(run("kd", (), None))) is None


def test_without_a_baseline_the_unit_is_a_millisecond():
    """And nothing is said of multiples."""
    picture = drawn(bars_of(board(run("kd", ALONE, 0.1))))

    assert "milliseconds an iteration" in texts(picture)
    assert "100 ms" in texts(picture)
    assert "multiples" not in picture.caption


def test_a_bar_is_as_long_as_the_iteration_without_marks():
    """Marks made phases of 0.1 s out of 0.08 s: the parts keep their shares, 1 : 3 : 2 : 4."""
    found = widths(Bar("baseline", 0.08, tuple(Phase(*phase) for phase in ALONE)), 0.08)

    assert found == pytest.approx([0.1, 0.3, 0.2, 0.4])


def test_phases_come_in_the_order_of_an_iteration_and_terms_one_by_one():
    """`copy` counts as data, `after step` as the optimizer's; what has no other name is a term."""
    names = ("copy", "data", "teacher", "student", "task loss", "kl@logits", "at@stage3", "optimizer", "after step")
    phases = tuple(Phase(name, 0.01) for name in reversed(names))

    assert widths(Bar("kd", 0.09, phases), 0.01) == pytest.approx([2, 1, 1, 1, 1, 1, 2])


def test_a_part_says_every_phase():
    """In percent of the iteration, with its own name."""
    [part] = drawn(Bars("CPU", 0.1, (Bar("baseline", 0.1, tuple(Phase(*phase) for phase in ALONE)),), 0)).parts

    assert part.method == "baseline"
    assert part.text == (
        "baseline: 1.00 × the baseline's iteration (100 ms when its phases were timed): "
        "data 10.0%, student 30.0%, task loss 20.0%, backward 40.0%"
    )


def test_the_version_that_stands_highest_has_the_bar():
    """A method has one, also when an earlier version of it stands below the line."""
    older = run("kd", [("student", 0.9)], 0.9, digest="a" * 16, ended="2024-01-01T00:00:00Z")
    bars = bars_of(board(older, run("kd", ALONE, 0.1, ended="2025-01-01T00:00:00Z")))

    assert [(bar.method, bar.seconds) for bar in bars.bars] == [("kd", 0.1)]


def test_thousands_of_methods_are_the_best_eighty():
    """By mIoU, not by price."""
    runs = [run(f"m{place}", ALONE, 0.1 + place / 1000, miou=place / 1000) for place in range(83)]
    found = bars_of(board(*runs))

    assert (len(found.bars), found.bars[-1].method, found.without_room) == (80, "m82", 3)
    assert "3 more, of lower mIoU" in drawn(found).caption


def test_a_strange_name_is_drawn_as_text():
    """Of a method, a phase and a device."""
    strange = "<script>$\\frac{1}{</script>" * 9
    picture = drawn(Bars(strange, None, (Bar(strange, 0.1, (Phase(strange, 0.1),)),), 0))

    assert "script" not in {node.tag.rpartition("}")[2] for node in ElementTree.fromstring(picture.svg).iter()}
    assert max(map(len, texts(picture))) < 60
