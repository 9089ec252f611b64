"""Where ticks and names stand."""

import pytest

from harness.report.figures.placing import heights, linear_ticks, logarithmic_ticks, spread_out
from harness.score.stats import Interval


def test_names_move_as_little_as_they_can():
    """Two that collide step apart evenly; one that has room stays."""
    assert spread_out([1.0, 1.0, 5.0], 1.0, 0.0, 10.0) == pytest.approx([0.5, 1.5, 5.0])


def test_names_stay_within_the_figure():
    """At its top they stack downwards."""
    assert spread_out([9.9, 10.0], 1.0, 0.0, 10.0) == pytest.approx([9.0, 10.0])


def test_a_name_that_is_pushed_pushes_its_neighbours():
    """Three around one place: their mean stays, so that nobody moves further than it must."""
    assert spread_out([4.0, 4.2, 4.4], 1.0, 0.0, 10.0) == pytest.approx([3.2, 4.2, 5.2])


def test_no_names_need_no_places():
    """Nothing is spread out."""
    assert spread_out([], 1.0, 0.0, 10.0) == []


@pytest.mark.parametrize(
    ("low", "high", "ticks"),
    [(44.0, 62.0, [45, 50, 55, 60]), (0.0, 1.0, [0, 0.2, 0.4, 0.6, 0.8, 1]), (-3.0, 3.0, [-3, -2, -1, 0, 1, 2, 3])],
)
def test_linear_ticks_are_multiples_of_one_two_or_five(low, high, ticks):
    """As many as there is room for."""
    assert linear_ticks(low, high, 7) == pytest.approx(ticks)


@pytest.mark.parametrize(
    ("low", "high", "ticks"),
    [
        (90, 2100, [100, 200, 500, 1000, 2000]),
        (1, 1e6, [1, 10, 100, 1000, 1e4, 1e5, 1e6]),
        (1.05, 1.45, [1.1, 1.2, 1.3, 1.4]),
        (1, 1e12, [1, 100, 1e4, 1e6, 1e8, 1e10, 1e12]),
    ],
)
def test_logarithmic_ticks_are_as_round_as_they_can_be(low, high, ticks):
    """1, 2, 5 over a few powers of ten, powers over many, finer ones within one."""
    assert logarithmic_ticks(low, high, 8) == pytest.approx(ticks)


def test_an_interval_that_goes_far_beyond_the_means_is_cut_off():
    """Two seeds of one method can have one of fifty points, which would press the means into a line."""
    wide = heights(0.0, 100.0, [0.50, 0.52], [Interval(0.2, 0.8), None])

    assert 48.5 < wide.low < 50
    assert 52 < wide.high < 53.5
    assert (wide.y(0.2), wide.y(0.8)) == (100.0, 0.0)


def test_equal_means_have_an_axis_of_a_point():
    """A single run is no reason to show hundredths."""
    one = heights(0.0, 100.0, [0.5], [None])

    assert one.high - one.low == pytest.approx(1.16)
    assert ("50", 50) in [(words, round(down, -1)) for down, words in one.ticks]
