"""The figure: spots where the numbers are, names that can be read, and all that the page needs to change its axis."""

import json
import re
import xml.etree.ElementTree as ElementTree

import pytest

from harness.report.facts.frontier import Frontier, Spot, frontier_of
from harness.report.figures.frontier import draw
from harness.report.style import styles_of
from harness.score.groups import grouped
from harness.score.leaderboard import boards
from harness.score.runs import runs_of
from harness.score.stats import Interval
from tests.factories import record

SVG = "{http://www.w3.org/2000/svg}"


def texts(picture):
    """The text of an SVG, in the order of the file."""
    return [node.text for node in ElementTree.fromstring(picture.svg).iter(f"{SVG}text")]


def paths(picture):
    """The first path of every part that has one, by its number."""
    parts = {node.get("id"): node for node in ElementTree.fromstring(picture.svg).iter(f"{SVG}g")}
    return {
        place: parts[f"part-{place}"].find(f"{SVG}path").get("d")
        for place in range(len(picture.parts))
        if parts[f"part-{place}"].find(f"{SVG}path") is not None
    }


def corners(path):
    """The points of a path of M, L, H and V."""
    found = [(0.0, 0.0)]
    for code, numbers in re.findall(r"([MLHV])([^MLHV]*)", path):
        values, last = [float(number) for number in numbers.split()], found[-1]
        found.append({"H": (values[0], last[1]), "V": (last[0], values[0])}.get(code, tuple(values)))
    return found[1:]


def frontier(*records):
    return frontier_of(grouped(boards(runs_of(records)))[0])


def drawn(value):
    return draw(value, styles_of(spot.method for spot in value.spots), "figure")


def two_budgets(**more):
    """Two methods and the baseline at two budgets, two seeds each."""
    means = {"baseline": 0.5, "cwd": 0.53, "kd": 0.56}
    return drawn(frontier(*(
        record(name, seed, miou + seed / 100 + (budget == "6m") / 20, budget=budget, cost_ratio=1 + len(name) / 10,
               iterations=900 * (1 + (budget == "6m")) // len(name), **more)
        for name, miou in means.items() for seed in (0, 1) for budget in ("90s", "6m")
    )))  # fmt: skip


def test_every_method_with_a_finished_run_is_named_once():
    """Also those of two budgets; its spots say where they belong."""
    picture = two_budgets()

    assert [texts(picture).count(name) for name in ("cwd", "kd")] == [1, 1]
    assert sum(part.text.startswith("kd, 6m: 61.5 %") for part in picture.parts) == 2
    assert picture.png.startswith(b"\x89PNG\r\n\x1a\n")


def test_spots_and_names_are_parts_of_their_method():
    """So that the page hides and singles out all of a method at once: a line, a name, a spot a budget."""
    picture = two_budgets()

    assert [part.method for part in picture.parts].count("kd") == 4
    assert [part.method for part in picture.parts].count("baseline") == 5


def test_what_a_spot_says_has_its_n_and_its_interval():
    """Every mean has both."""
    spot = Spot(
        "kd", "d", "1h", 0.5, Interval(0.48, 0.52), (0.49, 0.51), 2, (1.0, 7200, 900, 0.25), "off budget", False
    )

    assert drawn(Frontier(0.7, (spot,))).parts[-1].text == (
        "kd, 1h: 50.0 % (48.0 to 52.0), 2 seeds; 1 device-hours, 7\u202f200 images, 900 iterations, 0.25 kWh; "
        "below the line: off budget"
    )


def test_the_front_is_a_line_of_steps_from_its_spots():
    """As the page's script draws it again: M x y, H x V y, H right."""
    picture = two_budgets()
    live, view = picture.live, picture.live["views"][0]
    places = [(view["x"][at], live["spots"][at]["y"]) for at in view["front"]]
    (first, low), (second, high) = places

    assert corners(paths(picture)[live["front"]]) == [
        pytest.approx(point, abs=0.06) for point in [(first, low), (second, low), (second, high), (live["right"], high)]
    ]
    assert picture.parts[live["front"]].text == "Pareto front: kd at 90s, kd at 6m"


def test_a_line_leads_through_its_spots_to_its_name():
    """As the page's script draws it again; the baseline's has its own, which is the dotted one."""
    picture = two_budgets()
    live, view = picture.live, picture.live["views"][0]
    for line in live["lines"]:
        points = [(view["x"][at], live["spots"][at]["y"]) for at in line["spots"]] + line["end"]
        assert corners(paths(picture)[line["part"]]) == [pytest.approx(tuple(point), abs=0.06) for point in points]
    alone = next(line for line in live["lines"] if picture.parts[line["part"]].method == "baseline")

    assert alone["spots"] == []
    assert corners(paths(picture)[live["reference"]]) == [
        pytest.approx(tuple(point), abs=0.06) for point in view["reference"]
    ]


def test_a_spot_stands_where_the_page_is_told():
    """Its marker, at x of the view that is drawn."""
    picture = two_budgets()
    root, live = ElementTree.fromstring(picture.svg), picture.live
    for at, spot in enumerate(live["spots"]):
        part = next(node for node in root.iter(f"{SVG}g") if node.get("id") == f"part-{spot['part']}")
        use = next(part.iter(f"{SVG}use"))
        assert float(use.get("x")) == pytest.approx(live["views"][0]["x"][at], abs=0.06)
        assert float(use.get("y")) == pytest.approx(spot["y"], abs=0.06)


def test_every_axis_of_which_something_is_known_is_a_view():
    """None has kWh here; all of it is plain JSON within the axes."""
    live = two_budgets().live

    assert [view["name"] for view in live["views"]] == ["hours", "images", "iterations"]
    assert json.loads(json.dumps(live)) == live
    for view in live["views"]:
        assert all(40 < across < live["right"] for across in view["x"])
        assert all(40 <= across <= live["right"] and words for across, words in view["ticks"])
        assert view["ticks"]


def test_a_run_below_the_line_is_hollow_and_off_the_front():
    """And the key says what that means."""
    picture = drawn(
        frontier(record("kd", 0, 0.5), record("kd", 1, 0.5), record("at", 0, 0.6), record("at", 1, ending="failed"))
    )
    hollow = [node for node in ElementTree.fromstring(picture.svg).iter(f"{SVG}use") if "#ffffff" in node.get("style")]

    assert len(hollow) == 3  # its spot, beside its name, in the key
    assert "below the line" in texts(picture)
    assert "Hollow" in picture.caption


def test_a_teacher_near_the_students_is_a_line():
    """It is named on it."""
    spots = tuple(Spot(name, "d", "1h", miou, None, (), 1, (1.0, None, None, None), "", False)
                  for name, miou in (("kd", 0.5), ("at", 0.6)))  # fmt: skip

    assert "teacher 62.0" in texts(drawn(Frontier(0.62, spots)))


def test_a_teacher_far_above_is_said_instead_of_drawn():
    """Its line would squeeze the students into a corner."""
    picture = drawn(frontier(record("baseline", 0, 0.30), record("kd", 0, 0.31)))

    assert "teacher 72.0, above this figure ↑" in texts(picture)


@pytest.mark.parametrize(
    "name", ["<script>alert(1)<script>", "$\\frac{1}{", "x" * 300, "\u4e2d\x07", "_hidden", 'a" b="']
)
def test_a_strange_name_is_drawn_as_text(name):
    """Markup, mathematics, length, foreign letters and control characters break neither file nor layout."""
    picture = drawn(frontier(record(name, 0, 0.5), record("baseline", 0, 0.4)))

    assert ElementTree.fromstring(picture.svg).tag.endswith("svg")
    assert "script" not in {node.tag.rpartition("}")[2] for node in ElementTree.fromstring(picture.svg).iter()}
    assert max(map(len, texts(picture))) < 60


def test_many_methods_at_many_budgets_have_a_name_each_and_a_short_file():
    """The figure grows with them; names do not touch."""
    picture = drawn(frontier(*(
        record(f"method_{index}", seed, 0.5 + index / 1000 + seed / 100, budget=budget)
        for index in range(25) for seed in range(2) for budget in ("90s", "3m", "6m", "12m")
    )))  # fmt: skip
    names = [node for node in ElementTree.fromstring(picture.svg).iter(f"{SVG}text") if "method_" in node.text]
    heights = sorted(float(node.get("y")) for node in names)

    assert len(names) == 25
    assert min(after - before for before, after in zip(heights, heights[1:], strict=False)) >= 11.9  # noqa: RUF007
    assert len(picture.svg) < 40_000


def test_the_same_numbers_make_the_same_files():
    """A committed figure changes only when they do."""
    assert two_budgets() == two_budgets()
