"""Numbers that cannot round into a lie."""

import pytest

from harness.score import numerals
from harness.score.stats import Estimate, Interval


@pytest.mark.parametrize(
    ("fraction", "digits", "text"),
    [
        (0.79, 1, "79.0"),
        (1.0, 1, "100.0"),
        (0.0, 1, "0.0"),
        (0.9996, 1, "99.96"),
        (0.99999, 1, "99.999"),
        (1.00004, 1, "100.004"),
        (0.0001, 1, "0.01"),
        (1 - 1e-12, 1, "<100.0"),
        (1 + 1e-12, 1, ">100.0"),
        (1e-12, 1, ">0.0"),
        (None, 1, "–"),
    ],
)
def test_a_percentage_is_0_or_100_only_when_it_is(fraction, digits, text):
    """It gets more digits first, then a sign."""
    assert numerals.percent(fraction, digits) == text


@pytest.mark.parametrize(
    ("difference", "text"), [(0.013, "+1.3"), (-0.013, "−1.3"), (0.0001, "0.0"), (-0.0001, "0.0"), (None, "–")]
)
def test_points_have_a_sign_only_when_they_show_a_difference(difference, text):
    """A gain that rounds to nothing claims no direction."""
    assert numerals.points(difference, 1) == text


def estimate(half):
    return Estimate(0.5, 3, Interval(0.5 - half, 0.5 + half))


@pytest.mark.parametrize(("half", "text"), [(0.003, "± 0.3"), (0.0001, "± <0.1"), (0.0, "± 0.0")])
def test_a_narrow_interval_does_not_read_as_none(half, text):
    """± 0.0 would say that there is no doubt."""
    assert numerals.half_width(estimate(half), 1) == text


def test_digits_follow_the_narrowest_interval_of_a_column():
    """So that a column lines up."""
    assert numerals.decimals([estimate(0.01), None]) == 1
    assert numerals.decimals([estimate(0.01), estimate(0.001)]) == 2
    assert numerals.decimals([None]) == 1


@pytest.mark.parametrize(
    ("seconds", "text"), [(90, "90 s"), (360, "6 min"), (3600, "1 h"), (28_800, "8 h"), (216_000, "2.5 d"), (None, "–")]
)
def test_durations_read_as_people_write_them(seconds, text):
    """In the unit that leaves a small number."""
    assert numerals.duration(seconds) == text


@pytest.mark.parametrize(("hours", "text"), [(8.0, "8.00"), (0.025, "0.0250"), (123.4, "123"), (0.0, "0"), (None, "–")])
def test_hours_have_three_figures(hours, text):
    """Seconds and weeks in one column."""
    assert numerals.hours(hours) == text


def test_counts_are_grouped():
    """Thin spaces, which do not break."""
    assert numerals.count(40_000) == "40\u202f000"
    assert (numerals.epochs(0.4), numerals.epochs(75.2), numerals.epochs(None)) == ("0.4", "75", "–")
