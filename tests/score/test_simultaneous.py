"""Quantiles for several differences together, against published tables and scipy's own."""

import numpy as np
import pytest
from scipy.special import stdtrit
from scipy.stats import studentized_range

from harness.score.simultaneous import dunnett_quantile, joint_quantile, tukey_quantile

ALIKE = 0.5**0.5
"""The loading of differences to a mean over as many runs: they correlate by a half."""


@pytest.mark.parametrize(
    ("groups", "freedom", "printed"),
    [(2, 1, 17.97), (3, 2, 8.33), (3, 10, 3.88), (5, 5, 5.67), (10, 20, 5.01), (12, 24, 5.10), (20, 120, 5.13)],
)
def test_tukeys_quantile_is_that_of_the_printed_table(groups, freedom, printed):
    """The upper 5 % points of the studentized range as textbooks print them."""
    assert tukey_quantile(groups, freedom) == pytest.approx(printed, abs=0.0051)


@pytest.mark.parametrize(
    ("compared", "freedom", "printed"),
    [(1, 5, 2.57), (2, 5, 3.03), (3, 10, 2.76), (4, 20, 2.65), (9, 20, 2.95), (9, 10_000, 2.69)],
)
def test_dunnetts_quantile_is_that_of_the_printed_table(compared, freedom, printed):
    """Dunnett (1964), two-sided, 5 %: so many treatments against a control of as many runs."""
    assert dunnett_quantile((ALIKE,) * compared, freedom) == pytest.approx(printed, abs=0.0051)


@pytest.mark.parametrize("groups", [3, 12, 25])
@pytest.mark.parametrize("freedom", [1.5, 7.3, 22, 10_000])
def test_tukeys_quantile_is_scipys_to_four_digits(groups, freedom):
    """Also for a fraction of a degree of freedom."""
    assert tukey_quantile(groups, freedom) == pytest.approx(studentized_range.ppf(0.95, groups, freedom), rel=2e-5)


def test_another_level_has_another_quantile():
    """99 % reach further than 95 %."""
    assert tukey_quantile(4, 10, 0.99) == pytest.approx(studentized_range.ppf(0.99, 4, 10), rel=2e-5)
    assert tukey_quantile(4, 10, 0.99) > tukey_quantile(4, 10)


def test_one_difference_is_as_uncertain_as_t_says():
    """Whichever way it is asked."""
    alone = float(stdtrit(7, 0.975))

    assert tukey_quantile(2, 7) / 2**0.5 == pytest.approx(alone)
    assert dunnett_quantile((ALIKE,), 7) == pytest.approx(alone)
    assert joint_quantile(np.ones((1, 1)), 7) == pytest.approx(alone)


def test_differences_with_unlike_loadings_reach_as_far_as_simulated_ones():
    """Three methods of 2, 3 and 8 runs against 5 of the reference, 10 degrees of freedom: 400,000 draws."""
    runs, reference, random = np.array([2, 3, 8]), 5, np.random.default_rng(0)
    means = random.normal(size=(400_000, 3)) / runs**0.5
    differences = means - random.normal(size=(400_000, 1)) / reference**0.5
    scale = (random.chisquare(10, (400_000, 1)) / 10) ** 0.5 * (1 / runs + 1 / reference) ** 0.5
    largest = np.abs(differences / scale).max(axis=1)

    loadings = tuple(float(loading) for loading in (runs / (runs + reference)) ** 0.5)
    assert dunnett_quantile(loadings, 10) == pytest.approx(np.quantile(largest, 0.95), rel=0.005)


def test_differences_that_correlate_alike_have_dunnetts_quantile():
    """Exactly, as it is one and the same distribution."""
    alike = np.full((4, 4), 0.5) + 0.5 * np.eye(4)

    assert joint_quantile(alike, 12) == pytest.approx(dunnett_quantile((ALIKE,) * 4, 12))


def test_uncorrelated_differences_have_the_studentized_maximum_modulus():
    """For five differences and seven degrees of freedom its printed 5 % point is 3.38; negative ones change nothing."""
    negative = np.eye(5) - 0.2 * (1 - np.eye(5))

    assert joint_quantile(np.eye(5), 7) == pytest.approx(3.38, abs=0.0051)
    assert joint_quantile(negative, 7) == joint_quantile(np.eye(5), 7)


@pytest.mark.parametrize("others", [1, 3, 8])
def test_two_methods_each_against_several_are_never_held_to_too_little(others):
    """All pairs of the contrast of docs/rules.md lie within at least 95 % of the time, and not by much more."""
    contrasts = np.zeros((2 * others, 2 + others))
    for row in range(2 * others):
        contrasts[row, [row % 2, 2 + row // 2]] = 1, -1
    random, freedom = np.random.default_rng(others), 2 * (1 + others)
    means, scale = random.normal(size=(100_000, 2 + others)), (random.chisquare(freedom, 100_000) / freedom) ** 0.5
    largest = np.abs(means @ contrasts.T).max(axis=1) / 2**0.5 / scale

    reach = joint_quantile(contrasts @ contrasts.T / 2, freedom)
    assert 0.95 - 0.002 < (largest < reach).mean() < 0.965  # 0.002: three standard errors of such a count
