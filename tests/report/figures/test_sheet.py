"""Figures as files: short, the same at every build, parts that can be found."""

import io
import re
import xml.etree.ElementTree as ElementTree

import pytest
from PIL import Image

from harness.report.figures.canvas import Bundle, Canvas, marked
from harness.report.figures.sheet import Parts, as_png, as_svg, settings
from harness.report.picture import INK, MUTED, Part
from harness.report.style import Style

SVG = "{http://www.w3.org/2000/svg}"


def canvas():
    return Canvas(200.0, 100.0)


def element(svg, name):
    """The element with that id."""
    return next(node for node in ElementTree.fromstring(svg).iter() if node.get("id") == name)


def test_a_canvas_is_measured_as_its_svg_is():
    """So that the page's script can compute with the numbers that the figure was drawn with."""
    with settings():
        sheet, parts = canvas(), Parts()
        parts.name(sheet.line([(10.0, 20.0), (10.0, 30.5), (40.0, 50.0)], INK), "kd", "")
        svg = as_svg(sheet.figure)

    assert element(svg, "part-0").find(f"{SVG}path").get("d") == "M10 20V30.5L40 50"
    assert ElementTree.fromstring(svg).get("viewBox") == "0 0 200 100"


def test_parts_are_found_by_their_number():
    """An element each, in the order in which they were named."""
    with settings():
        sheet, parts = canvas(), Parts()
        numbers = [parts.name(sheet.text((50.0, 10.0 * place), name), name, name) for place, name in enumerate("ab")]
        svg = as_svg(sheet.figure)

    assert numbers == [0, 1]
    assert parts.found == [Part("a", "a"), Part("b", "b")]
    assert ["".join(element(svg, f"part-{number}").itertext()).strip() for number in numbers] == ["a", "b"]


def test_a_bundle_is_one_part():
    """Its texts are within it, and the page replaces all of them together."""
    with settings():
        sheet, parts = canvas(), Parts()
        texts = [
            sheet.written((place, 50.0), words, MUTED, "center") for place, words in ((20.0, "1 h"), (90.0, "2 h"))
        ]
        parts.name(Bundle(sheet, texts), None, "")
        svg = as_svg(sheet.figure)

    found = list(element(svg, "part-0").iter(f"{SVG}text"))
    assert [(node.text, node.get("x"), node.get("y")) for node in found] == [("1 h", "20", "50"), ("2 h", "90", "50")]


def test_a_markers_place_and_filling_stay_in_a_shortened_file():
    """Hollow is told by the filling alone."""
    with settings():
        sheet, parts = canvas(), Parts()
        for hollow in (False, True):
            line = sheet.line([(50.0, 60.0)], "#0072b2", **marked(Style("#0072b2", "o"), [0], 5.0, hollow=hollow))
            parts.name(line, "kd", "")
        svg = as_svg(sheet.figure)

    uses = [next(element(svg, name).iter(f"{SVG}use")) for name in ("part-0", "part-1")]
    assert [(use.get("x"), use.get("y"), use.get("style")) for use in uses] == [
        ("50", "60", "fill:#0072b2"),
        ("50", "60", "fill:#ffffff"),
    ]
    assert "stroke:#0072b2" in element(svg, uses[0].get("{http://www.w3.org/1999/xlink}href")[1:]).get("style")


@pytest.mark.parametrize("words", ['a style="fill: red; x: 1.23456"', "M 1.23456 L 2", "<g>", "rotate(-0 1 2)", "a  b"])
def test_shortening_leaves_what_strangers_wrote(words):
    """Only tags are shortened, never the text between them."""
    with settings():
        sheet = canvas()
        sheet.text((10.0, 10.0), words)
        texts = [node.text for node in ElementTree.fromstring(as_svg(sheet.figure)).iter(f"{SVG}text")]

    assert texts == [words]


def test_a_figure_is_the_same_at_every_build():
    """A committed page changes only when its numbers do."""

    def built():
        with settings():
            sheet = canvas()
            sheet.line([(1.0, 2.0), (3.0, 4.0)], INK, **marked(Style(INK, "d"), [0], 5.0))
            return as_svg(sheet.figure), as_png(sheet.figure)

    assert built() == built()


def test_a_file_says_nothing_of_when_and_by_what_it_was_made():
    """Nor does it ask anything of a network: the addresses in it are names."""
    with settings():
        svg = as_svg(canvas().figure)

    assert "<metadata" not in svg
    assert "matplotlib" not in svg
    assert set(re.findall(r'(?:href|src)="([^"#])', svg)) == set()


def test_a_png_has_twice_the_pixels_of_a_screen():
    """150 dots an inch."""
    with settings():
        size = Image.open(io.BytesIO(as_png(canvas().figure))).size

    assert size == (416, 208)
