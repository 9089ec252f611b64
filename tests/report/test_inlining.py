"""A figure as part of the page."""

import pytest

from harness.report.inlining import Inliner
from harness.report.picture import INK, Part, Picture

SVG = f"""<?xml version="1.0"?>
<svg width="756pt" height="9pt" viewBox="0 0 756 9" xmlns="http://www.w3.org/2000/svg"
 xmlns:xlink="http://www.w3.org/1999/xlink">
<defs><style type="text/css">*{{stroke: red}}</style></defs>
<g id="figure_1">
<g id="part-0"><defs><path id="m1" d="M0 0" style="fill:{INK}"/></defs><use xlink:href="#m1" style="stroke:{INK}"/></g>
<g clip-path="url(#c)"><text style="fill:{INK}">a &lt; b</text></g>
<defs><clipPath id="c"><rect/></clipPath></defs>
</g>
</svg>"""


def picture(name: str, *parts: Part) -> Picture:
    return Picture(name, "", "", SVG, b"", parts)


@pytest.fixture
def markup():
    fig = picture("fig", Part('"><b>', "<i>79 %</i>"))
    return Inliner([fig]).markup(fig)


def test_a_part_says_whose_it_is_and_what_it_stands_for_as_text(markup):
    """Whatever is in a stranger's name."""
    assert 'data-part="0" data-method="&quot;&gt;&lt;b&gt;"><title>&lt;i&gt;79 %&lt;/i&gt;</title>' in markup


def test_the_figure_says_its_name_and_takes_the_pages_width(markup):
    """Its own size is left to the page, its letters are kept."""
    assert 'viewBox="0 0 756 9" class="figure" data-figure="fig"' in markup
    assert "756pt" not in markup
    assert ">a &lt; b</text>" in markup


def test_what_says_nothing_is_left_out(markup):
    """Groups without attributes, unused ids, a style that would hold for the whole page."""
    assert "figure_1" not in markup
    assert "<g>" not in markup
    assert "<style" not in markup


def test_what_is_pointed_at_is_the_figures_own(markup):
    """Two figures have the same ids in their files."""
    assert 'clip-path="url(#f0-c)"' in markup
    assert '<clipPath id="f0-c">' in markup


def test_looks_and_markers_are_said_once_for_all_figures():
    """The same marker and the same ink in both."""
    figures = Inliner([picture(name, Part(None, "")) for name in ("one", "two")])

    assert figures.markers == '<path id="k0" class="f0" d="M0 0"/>'
    assert figures.style_sheet == ".f0{fill:var(--ink)}\n.f1{stroke:var(--ink)}"
    assert all(figures.markup(picture(name)).count('href="#k0"') == 1 for name in ("one", "two"))
