"""The slope chart: ranks on two boards, what chance leaves them, and who changed places for sure."""

import pickle
import xml.etree.ElementTree as ElementTree

import pytest

from harness.report.facts.flips import End, Slope, Slopes, slopes_of
from harness.report.figures.flips import draw, lanes_of
from harness.report.style import styles_of
from harness.score.groups import Flip
from harness.score.leaderboard import boards
from harness.score.runs import runs_of
from tests.factories import record

SVG = "{http://www.w3.org/2000/svg}"


def board(budget, seeds=(0, 1), **mious):
    """The board of methods and their mIoU, the same at every seed but for a little."""
    records = [record(name, seed, miou + seed / 1000, budget=budget) for name, miou in mious.items() for seed in seeds]
    return boards(runs_of(records))[0]


def flip(before, after, tau=None):
    return Flip("baseline", before, after, tau)


def slopes(*methods, tau=None):
    """Ends are (rank, best, worst)."""
    found = tuple(Slope(method, End(*before, miou=0.5), End(*after, miou=0.5)) for method, before, after in methods)
    return Slopes("baseline", "4k it", "4k it of baseline", tau, found)


def drawn(value):
    return draw(value, styles_of(slope.method for slope in value.slopes), "flip")


def texts(picture):
    return [node.text for node in ElementTree.fromstring(picture.svg).iter(f"{SVG}text")]


def test_ranks_are_those_of_the_two_boards():
    """Best first on the left; the same methods the other way round on the right."""
    found = slopes_of(flip(board("900 it", kd=0.7, cwd=0.6), board("90s", kd=0.5, cwd=0.6)))

    assert [(s.method, s.iterations.rank, s.time.rank) for s in found.slopes] == [("kd", 1, 2), ("cwd", 2, 1)]
    assert [s.iterations.miou for s in found.slopes] == pytest.approx([0.7005, 0.6005])
    assert all(slope.is_sure for slope in found.slopes)


def test_a_single_seed_shows_the_order_only():
    """No interval, so no bar and no sure flip; the caption says so."""
    found = slopes_of(flip(board("900 it", (0,), kd=0.7, cwd=0.6), board("90s", (0,), kd=0.5, cwd=0.6)))
    picture = drawn(found)

    assert [(s.iterations.rank, s.time.rank, s.iterations.best, s.is_sure) for s in found.slopes] == [
        (1, 2, None, False),
        (2, 1, None, False),
    ]
    assert "A method of one seed has no bar" in picture.caption
    assert [part.text.count("by chance") for part in picture.parts] == [0, 0]


def test_one_method_in_common_is_no_figure():
    """There is nothing to compare."""
    assert slopes_of(flip(board("900 it", kd=0.7, cwd=0.6), board("90s", kd=0.5, at=0.6))) is None


def test_ranks_are_among_the_methods_on_both_boards():
    """By hand: at, dist and mgd stand on the left board alone, above kd and cwd, who keep their places."""
    before = board("900 it", at=0.9, dist=0.8, mgd=0.7, kd=0.6, cwd=0.5)
    found = slopes_of(flip(before, board("90s", kd=0.6, cwd=0.5)))
    picture = drawn(found)

    ends = [(s.method, s.iterations.rank, s.iterations.best, s.iterations.worst, s.time.rank) for s in found.slopes]
    assert ends == [("kd", 1, 1, 1, 1), ("cwd", 2, 2, 2, 2)]
    assert not any(slope.is_sure for slope in found.slopes)
    assert "(0 of 2 lines)" in picture.caption
    assert "of one of the two boards alone (3)" in picture.caption


def test_a_flip_is_sure_when_no_rank_is_in_both_intervals():
    """1–2 against 3 is; 1–2 against 2–3 is not; nor is a single seed's on one side."""
    found = slopes(("a", (1, 1, 2), (3, 3, 3)), ("b", (2, 1, 2), (2, 2, 3)), ("c", (3, 3, 3), (1, None, None)))

    assert [slope.is_sure for slope in found.slopes] == [True, False, False]


def test_bars_that_meet_have_lanes_of_their_own():
    """A lane is used again as soon as it is free."""
    assert lanes_of([(1, 3), (2, 4), (3, 3), (4, 5), (6, 6)]) == [0, 1, 2, 0, 0]


def test_the_title_has_kendalls_tau():
    """With a minus, not a hyphen."""
    both = (("kd", (1, 1, 1), (2, 2, 2)), ("cwd", (2, 2, 2), (1, 1, 1)))

    assert drawn(slopes(*both, tau=-0.333)).title.endswith("Kendall’s tau −0.33")
    assert "tau" not in drawn(slopes(*both)).title


def test_every_method_is_named_on_both_sides_and_its_parts_are_in_the_file():
    """29 methods, each with a bar a side and a line."""
    methods = [f"method_{place}" for place in range(1, 30)]
    found = slopes(
        *((name, (at, max(1, at - 3), at + 2), (30 - at, 1, 29)) for at, name in enumerate(methods, start=1))
    )
    picture = drawn(found)
    ids = {node.get("id") for node in ElementTree.fromstring(picture.svg).iter()}

    assert [sum(name in text.split() for text in texts(picture)) for name in methods] == [2] * 29
    assert len(picture.parts) == 3 * 29
    assert {f"part-{place}" for place in range(3 * 29)} <= ids
    assert picture.png.startswith(b"\x89PNG")


def test_thousands_of_methods_are_the_best_eighty():
    """Of either board."""
    mious = {f"m{place}": 0.5 + place / 1000 for place in range(83)}
    found = slopes_of(flip(board("900 it", **mious), board("90s", **mious)))

    assert (len(found.slopes), found.ranks, found.without_room) == (80, 80, 3)
    assert "3 more, of lower mIoU" in drawn(found).caption


@pytest.mark.parametrize("name", ["<script>alert(1)<script>", "$\\frac{1}{", "x" * 300, "\u4e2d\x07", "_hidden"])
def test_a_strange_name_is_drawn_as_text(name):
    """Markup, mathematics, length, foreign letters and control characters break neither file nor layout."""
    picture = drawn(slopes((name, (1, 1, 1), (2, 2, 2)), ("kd", (2, 2, 2), (1, 1, 1))))

    assert "script" not in {node.tag.rpartition("}")[2] for node in ElementTree.fromstring(picture.svg).iter()}
    assert max(map(len, texts(picture))) < 60


def test_the_figures_numbers_travel_to_another_process():
    """And are slim."""
    found = slopes_of(flip(board("900 it", kd=0.7, cwd=0.6), board("90s", kd=0.5, cwd=0.6)))

    assert pickle.loads(pickle.dumps(found)) == found
    assert len(pickle.dumps(found)) < 1000
