"""Colours and markers: the same in every figure, and told apart without colour."""

from itertools import pairwise

import pytest
from matplotlib.markers import MarkerStyle

from harness.report.picture import INK, PAPER
from harness.report.style import COLOURS, MARKERS, styles_of


def luminance(colour):
    """Of WCAG 2."""
    parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.03928 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.parametrize("colour", COLOURS)
def test_every_colour_stands_out_from_paper(colour):
    """By what WCAG asks of graphics, 3 to 1."""
    assert (luminance(PAPER) + 0.05) / (luminance(colour) + 0.05) >= 3


def test_fifty_six_methods_have_a_style_of_their_own():
    """Neighbours in the alphabet differ in colour and in marker."""
    styles = list(styles_of(f"method_{place:02}" for place in range(56)).values())[1:]

    assert len(set(styles)) == 56
    assert all(one.colour != other.colour and one.marker != other.marker for one, other in pairwise(styles))


def test_the_baseline_has_a_style_that_nobody_else_has():
    """Ink, and a marker of its own, whether it was run or not."""
    styles = styles_of(["kd", "at"])

    assert styles["baseline"].colour == INK
    assert INK not in COLOURS
    assert styles["baseline"].marker not in MARKERS


def test_styles_do_not_depend_on_order_or_repetition():
    """They come by the alphabet."""
    assert styles_of(["kd", "at", "kd"]) == styles_of(["at", "baseline", "kd"])


def test_markers_are_filled_so_that_they_can_be_hollow():
    """Below the line a marker is drawn without its filling."""
    assert all(MarkerStyle(marker).is_filled() for marker in (*MARKERS, "d"))
