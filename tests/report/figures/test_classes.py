"""The grid of IoU by class: means over seeds, best method on top, cells that the page can ask."""

import io
import json
import xml.etree.ElementTree as ElementTree
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from harness.report.facts.classes import Classes, classes_of
from harness.report.figures.classes import MOST_NUMBERS, Grid, draw
from harness.report.figures.sheet import PNG_DPI
from harness.report.style import styles_of
from harness.score.leaderboard import boards
from harness.score.runs import run_of
from tests.factories import record

SVG = "{http://www.w3.org/2000/svg}"
NAMES = ("road", "sky", "pole")


def run(name, iou, **facts):
    return replace(run_of(record(name, **facts)), class_names=NAMES, class_iou=tuple(iou))


def board(*runs):
    return boards(runs)[0]


def drawn(classes):
    return draw(classes, styles_of(classes.methods), "classes")


def texts(picture):
    return ["".join(node.itertext()) for node in ElementTree.fromstring(picture.svg).iter(f"{SVG}text")]


def grid(rows, columns, value=0.5):
    names = tuple(f"class {place}" for place in range(columns))
    methods = tuple(f"method_{place}" for place in range(rows))
    return Classes("8h", names, methods, (0.5,) * rows, ((value,) * columns,) * rows)


def test_a_value_is_the_mean_over_seeds_that_have_pixels_of_the_class():
    """None where no seed has."""
    runs = [run("kd", (0.9, 0.4, None), seed=0), run("kd", (0.7, None, None), seed=1)]
    found = classes_of(board(*runs))

    assert found.names == NAMES
    assert found.values == ((pytest.approx(0.8), pytest.approx(0.4), None),)


def test_the_best_method_is_on_top():
    """By mIoU, whatever the order of names; what never finished is absent."""
    runs = [run("at", (0.5,) * 3, miou=0.5), run("kd", (0.6,) * 3, miou=0.6), run("cwd", (), ending="failed")]
    found = classes_of(board(*runs))

    assert (found.methods, found.mious) == (("kd", "at"), (0.6, 0.5))


def test_a_run_that_tells_of_other_classes_is_left_out():
    """A record may hold more or fewer numbers than the workload has classes."""
    found = classes_of(board(run("kd", (0.5,) * 3), run("at", (0.5, 0.5))))

    assert found.methods == ("kd",)


def test_no_numbers_by_class_are_no_figure():
    """As of runs that did not finish."""
    assert classes_of(board(run("kd", (), ending="failed"))) is None


def test_live_is_plain_json_with_four_digits():
    """What the page's script looks values up in."""
    picture = drawn(Classes("8h", NAMES, ("kd",), (0.5,), ((0.123456, 1.0, None),)))
    live = json.loads(json.dumps(picture.live, allow_nan=False))

    assert live["values"] == [[0.1235, 1.0, None]]
    assert (live["kind"], live["rows"], live["columns"]) == ("cells", ["kd"], list(NAMES))


def test_the_box_is_where_the_cells_are():
    """In the SVG's units, 72 to the inch: within it the PNG is dark and light, beside it white."""
    picture = drawn(Classes("8h", NAMES, ("kd", "at"), (0.5, 0.4), ((0.0, 1.0, None), (1.0, 0.0, 1.0))))
    left, top, width, height = picture.live["box"]
    pixels = np.asarray(Image.open(io.BytesIO(picture.png)).convert("L"))

    def at(column, row):
        """A corner of the cell, free of its number."""
        across, down = left + (column + 0.1) * width / 3, top + (row + 0.15) * height / 2
        return pixels[int(down * PNG_DPI / 72), int(across * PNG_DPI / 72)]

    assert [at(0, 0) < 60, at(1, 0) > 180, at(2, 0), at(0, 1) > 180] == [True, True, 255, True]
    assert at(3, 1) == 255


def test_cells_have_their_values_as_long_as_they_can_be_read():
    """20 × 20 have, 20 × 21 do not."""
    assert texts(drawn(grid(20, 20, 0.25))).count("25") == MOST_NUMBERS
    assert texts(drawn(grid(20, 21, 0.25))).count("25") == 0


def test_a_class_without_pixels_is_blank():
    """A dash in its cell, and the caption says why."""
    picture = drawn(Classes("8h", NAMES, ("kd",), (0.5,), ((0.5, 0.7, None),)))

    assert {"50", "70", "–"} <= set(texts(picture))
    assert "blank" in picture.caption
    assert "blank" not in drawn(grid(2, 2)).caption


def test_a_value_that_is_not_quite_everything_does_not_say_so():
    """99.9 % is not 100; a sign that is markup is escaped."""
    assert "99.9" in texts(drawn(grid(1, 1, 0.999)))
    assert ">0" in texts(drawn(grid(1, 1, 1e-12)))


def test_the_image_is_within_the_file():
    """A pixel a cell; no address leads out of the SVG."""
    picture = drawn(grid(29, 19))
    root = ElementTree.fromstring(picture.svg)
    addresses = [value for node in root.iter() for key, value in node.attrib.items() if key.endswith("href")]

    assert len([each for each in addresses if each.startswith("data:image/png;base64,")]) == 2
    assert all(each.startswith(("data:", "#")) for each in addresses)
    assert len(picture.svg) < 40_000


def test_thousands_of_methods_are_the_best_eighty():
    """And the caption says how many have no room."""
    found = classes_of(board(*(run(f"m{place}", (0.5,) * 3, miou=place / 1000) for place in range(83))))

    assert (len(found.methods), found.methods[0], found.without_room) == (80, "m82", 3)
    assert "3 more, of lower mIoU" in drawn(found).caption


def test_many_classes_make_a_wide_figure():
    """150 upright names, each with room."""
    assert Grid(8, 150, 22).slant == 90
    assert Grid(8, 150, 22).size[0] > 150 * 6
    assert Grid(8, 11, 22).slant == 45


@pytest.mark.parametrize("name", ["<script>alert(1)<script>", "$\\frac{1}{", "x" * 300, "\u4e2d\x07"])
def test_strange_names_are_drawn_as_text(name):
    """Of methods and of classes."""
    picture = drawn(Classes(name, (name,), (name,), (0.5,), ((0.5,),)))

    assert "script" not in {node.tag.rpartition("}")[2] for node in ElementTree.fromstring(picture.svg).iter()}
    assert max(map(len, texts(picture))) < 60
