"""Shares of the teacher's mIoU: best first, and where the claim under test stands."""

import pickle
import xml.etree.ElementTree as ElementTree

import pytest

from harness.report.facts.share import Dot, Shares, share_of
from harness.report.figures.share import draw
from harness.report.style import styles_of
from harness.score.leaderboard import boards
from harness.score.runs import runs_of
from harness.score.stats import Interval
from tests.factories import ground, record

SVG = "{http://www.w3.org/2000/svg}"


def shares(*records):
    return share_of(boards(runs_of(records))[0])


def drawn(value):
    return draw(value, styles_of(dot.method for dot in value.dots), "share")


def written(picture):
    """Texts and their places."""
    return {node.text: (float(node.get("x")), float(node.get("y")))
            for node in ElementTree.fromstring(picture.svg).iter(f"{SVG}text")}  # fmt: skip


def markers(picture):
    """Where the markers of parts stand, from the top."""
    parts = [node for node in ElementTree.fromstring(picture.svg).iter(f"{SVG}g") if node.get("id").startswith("part")]
    return [float(use.get("x")) for part in parts for use in part.iter(f"{SVG}use")]


def test_shares_are_of_the_teacher_and_best_first():
    """A teacher of 72 and a student of 36 are a half; intervals shrink and grow alike."""
    found = shares(
        *(record(name, seed, miou + seed / 50) for name, miou in (("at", 0.35), ("kd", 0.53)) for seed in (0, 1))
    )
    first, second = found.dots

    assert [(dot.method, dot.n, dot.why) for dot in (first, second)] == [("kd", 2, ""), ("at", 2, "")]
    assert (first.share, second.share) == pytest.approx((0.75, 0.5))
    assert (second.interval.low + second.interval.high) / 2 == pytest.approx(0.5)


def test_those_below_the_line_come_last_and_say_why():
    """However high they are; hollow."""
    found = shares(
        *(record("kd", seed, 0.5) for seed in (0, 1)), record("at", 0, 0.6), record("at", 1, ending="failed")
    )
    picture = drawn(found)

    assert [(dot.method, dot.why) for dot in found.dots] == [("kd", ""), ("at", "failed: seed 1")]
    assert "below the line" in written(picture)
    assert "below the line: failed: seed 1" in picture.parts[-1].text
    assert sum("#ffffff" in node.get("style") for node in ElementTree.fromstring(picture.svg).iter(f"{SVG}use")) == 2


def test_a_dot_stands_at_its_share():
    """As far along as the axis's numbers say."""
    value = Shares("1h", 0.8, (Dot("kd", 0.99, None, 1, ""), Dot("at", 0.95, Interval(0.94, 0.96), 3, "")))
    picture = drawn(value)
    ticks = written(picture)
    unit = (ticks["100"][0] - ticks["95"][0]) / 5

    assert markers(picture) == pytest.approx([ticks["95"][0] + 4 * unit, ticks["95"][0]], abs=0.1)


def test_numbers_stand_beside_the_dots():
    """With half the width of the interval where there is one."""
    picture = drawn(Shares("1h", 0.8, (Dot("kd", 0.991, None, 1, ""), Dot("at", 0.95, Interval(0.94, 0.96), 3, ""))))

    assert {"99.1", "95.0 ± 1.0", "99 %, the claim", "teacher 80.0"} <= written(picture).keys()
    assert picture.parts[0].text == "kd: 99.1 % of the teacher's mIoU, 1 seed"
    assert picture.parts[3].text == "at: 95.0 % of the teacher's mIoU (94.0 to 96.0), 3 seeds"
    assert picture.title == "Share of the teacher's mIoU at 1h"


def test_a_student_above_its_teacher_has_room():
    """Nothing ends at a hundred."""
    picture = drawn(Shares("1h", 0.5, (Dot("kd", 1.04, Interval(1.0, 1.08), 3, ""),)))

    assert max(markers(picture)) < max(across for across, _ in written(picture).values())
    assert "108.0" in picture.parts[0].text


def test_a_very_wide_interval_is_cut_off():
    """Two seeds alone can say nothing; the others stay apart."""
    wide = Dot("at", 0.9, Interval(0.1, 1.7), 2, "")
    picture = drawn(Shares("1h", 0.5, (Dot("kd", 0.95, None, 1, ""), wide)))
    one, other = markers(picture)

    assert one - other > 50


def test_nothing_finished_is_no_figure():
    """Nor is a teacher that knows nothing."""
    assert shares(record("kd", ending="failed")) is None
    assert shares(record("kd", 0, 0.5, on=ground(teacher_miou=0.0))) is None


def test_thirty_methods_have_a_row_each():
    """The figure grows with them."""
    few, many = (drawn(shares(*(record(f"m{place}", 0, 0.5) for place in range(count)))) for count in (2, 30))
    heights = [float(ElementTree.fromstring(picture.svg).get("viewBox").split()[3]) for picture in (few, many)]

    assert heights[1] - heights[0] == pytest.approx(28 * 14)
    assert len(many.svg) < 40_000


def test_more_methods_than_have_room_are_counted():
    """A sweep of hundreds is no figure."""
    found = shares(*(record(f"m{place}", 0, 0.5) for place in range(90)))

    assert (len(found.dots), found.without_room) == (80, 10)
    assert "10 more" in drawn(found).caption


def test_shares_are_sent_as_numbers_and_words():
    """No run goes to the process that draws."""
    found = shares(record("kd", 0, 0.5))

    assert pickle.loads(pickle.dumps(found)) == found
    assert b"harness.score.runs" not in pickle.dumps(found)
