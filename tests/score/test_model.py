"""What the model says of methods together, against numbers worked out by hand and a fit written out in full."""

import time

import numpy as np
import pytest
from scipy.stats import studentized_range

from harness.score import model
from harness.score.model import RankInterval, against, paired, pairwise, rank_intervals
from harness.score.simultaneous import dunnett_quantile
from harness.score.stats import residual_variance

NAN = float("nan")
TWO = np.array([[1.0, 2.0, 3.0], [2.0, 3.0, 7.0]])
"""Differences 1, 1, 4: mean 2, variance 3, half-width t(2) × √(3 / 3) with t(2) = 4.30265."""

THREE = np.array([[1.0, 2.0], [2.0, 4.0], [3.0, 3.0]])
"""Means 1.5, 3 and 3; residuals 0, ± 0.5 and ± 0.5: squares 1 over 2 degrees of freedom, 0.5."""


ALIKE = np.array([1, -1, 1, -1])[:, None] * np.array([2.0, -1, -1])
"""Four methods whose rows and columns sum to nothing: all of it is residual."""

TUKEY = float(studentized_range.ppf(0.95, 4, 6))
DUNNETT = dunnett_quantile((0.5**0.5,) * 3, 6)


def random_table(methods, seeds, missing=0.0, seed=0):
    """From the model, with some runs gone."""
    random = np.random.default_rng(seed)
    table = random.normal(0, 1, (methods, seeds)) + random.normal(0, 2, (1, seeds)) + np.arange(methods)[:, None]
    return np.where(random.random((methods, seeds)) < missing, np.nan, table)


def written_out(table):
    """Effects of methods and their covariance by a pseudo-inverse of the whole design."""
    method, seed = np.nonzero(~np.isnan(table))
    design = np.hstack([np.eye(len(table))[method], np.eye(table.shape[1])[seed]])
    inverse = np.linalg.pinv(design.T @ design)
    effects = inverse @ design.T @ table[method, seed]
    return effects[: len(table)], inverse[: len(table), : len(table)]


def test_two_methods_have_the_paired_t_interval():
    """With one pair, all together is that pair alone."""
    pairs = pairwise(TWO)

    assert pairs is not None
    assert pairs.difference == pytest.approx(np.array([[0, -2], [2, 0]]))
    assert pairs.half == pytest.approx(np.array([[0, 4.30265], [4.30265, 0]]), abs=1e-5)
    found = paired(TWO, 1, 0)
    assert found is not None
    assert (found.mean, found.n, found.pairs) == (pytest.approx(2.0), 3, 1)
    assert (found.alone.half, found.together.half) == (pytest.approx(4.30265, abs=1e-5),) * 2


def test_two_methods_against_each_other_have_the_paired_t_interval_too():
    """Differences 1, 1, 4: mean 2, variance 3, half-width t(2) × √(3 / 3) with t(2) = 4.30265."""
    gain = against(TWO, 0)[1]

    assert gain is not None
    assert gain.interval is not None
    assert (gain.mean, gain.n, gain.interval.half) == (pytest.approx(2.0), 3, pytest.approx(4.30265, abs=1e-5))


def test_three_methods_share_tukeys_interval():
    """The pool is 0.5 of 2 degrees of freedom: q(3, 2) = 8.33078 times √(0.5 / 2). Nobody scatters unusually."""
    pairs = pairwise(THREE)

    assert pairs is not None
    assert pairs.difference[1, 0] == pytest.approx(1.5)
    assert pairs.half[0, 1] == pytest.approx(8.33078 * 0.5, abs=1e-4)
    assert paired(THREE, 0, 1).alone.half == pytest.approx(4.30265 * 0.5**0.5, abs=1e-5)
    assert paired(THREE, 0, 1).together.half == pytest.approx(pairs.half[0, 1])


def test_differences_of_a_full_table_are_means_of_paired_differences():
    """Each with the seeds that it is a mean of; the reference has none to itself."""
    table = random_table(6, 4)
    gains = against(table, 2)

    assert gains[2] is None
    for row, gain in enumerate(gains):
        if gain:
            assert (gain.mean, gain.n) == (pytest.approx((table[row] - table[2]).mean()), 4)


def test_methods_that_scatter_alike_share_the_pools_variance():
    """Squares 6 a row, 24 over 6 degrees of freedom: 4, and three seeds."""
    pairs = pairwise(ALIKE)

    assert pairs is not None
    assert pairs.half[~np.eye(4, dtype=bool)] == pytest.approx(TUKEY * (4 / 3) ** 0.5)


def test_the_reference_carries_its_own_variance_sooner():
    """Own is as pooled, 4; the median of own over pooled is 3 × (1 − √½) = 0.87868, so that it counts as 4.55229."""
    gain = against(ALIKE, 0)[1]

    assert gain is not None
    assert gain.interval is not None
    assert gain.interval.half == pytest.approx(DUNNETT * ((4 + 4.55229) / 3) ** 0.5, rel=1e-5)


def test_a_method_that_scatters_more_has_wider_intervals_and_the_others_keep_theirs():
    """Squares 54, 6, 6, 6: pool 12, own 36, which counts from 3 × (1 − √0.2) = 1.65836 times the pool."""
    pairs = pairwise(np.array([3, -1, -1, -1])[:, None] * np.array([2.0, -1, -1]))

    assert pairs is not None
    assert pairs.half[1, 2] == pytest.approx(TUKEY * (12 / 3) ** 0.5)
    assert pairs.half[0, 1] == pytest.approx(TUKEY * ((12 + 36 / 1.65836) / 2 / 3) ** 0.5, rel=1e-5)


@pytest.mark.parametrize("seed", [3, 4, 8])
def test_missing_runs_are_compared_through_others(seed):
    """Effects and their uncertainty are those of the fit of method + seed, written out."""
    table = random_table(6, 5, missing=0.3, seed=seed)
    effects, covariance = written_out(table)
    pairs, variance = pairwise(table), residual_variance(table)

    assert pairs is not None
    assert variance is not None
    assert pairs.difference == pytest.approx(effects[:, None] - effects)
    own = np.diagonal(covariance)
    smallest = studentized_range.ppf(0.95, 6, variance.freedom) * np.sqrt(
        variance.value * (own[:, None] + own - 2 * covariance) / 2
    )
    apart = ~np.eye(6, dtype=bool)
    raised = pairs.half[apart] / smallest[apart]
    assert raised.min() == pytest.approx(1, rel=1e-5)
    assert raised.max() < 1.5


def test_a_missing_seed_leaves_the_mean_over_the_seeds_that_both_have():
    """Differences 1 and 3: 2, n = 2. The fit, in which the third row speaks for the missing seed too, says 2 / 3."""
    table = np.array([[0.0, 0.0, 0.0], [1.0, 3.0, NAN], [0.0, 0.0, -8.0]])
    gain, found, pairs = against(table, 0)[1], paired(table, 1, 0), pairwise(table)

    assert pairs is not None
    assert pairs.difference[1, 0] == pytest.approx(2 / 3)
    assert (gain.mean, gain.n) == (found.mean, found.n) == (pytest.approx(2.0), 2)


def test_the_error_of_a_difference_is_that_of_the_seeds_that_both_have():
    """By t of the residual's freedom, √(2 σ² / n) with n = 2 and 3: nobody scatters unusually at these levels."""
    table = random_table(4, 3, seed=3)
    table[3, 2] = NAN
    variance = residual_variance(table)
    two, three = paired(table, 3, 1), paired(table, 2, 1)

    assert (variance.freedom, two.n, three.n) == (5, 2, 3)
    assert three.alone.half == pytest.approx(2.570582 * (2 * variance.value / 3) ** 0.5, rel=1e-5)
    assert two.alone.half == pytest.approx(2.570582 * (2 * variance.value / 2) ** 0.5, rel=1e-5)


def test_gains_over_different_seeds_have_the_correlation_of_their_shared_ones(monkeypatch):
    """Means over three and two of the reference's runs: 2 of 3 · 2 in common, against 2 / 3 and 2 / 2."""
    seen = []
    monkeypatch.setattr(model, "joint_quantile", lambda correlation, freedom: seen.append(correlation) or 3.0)
    table = random_table(3, 3)
    table[2, 2] = NAN
    against(table, 0)

    assert seen[0] == pytest.approx(np.array([[1, 1 / 3 / (2 / 3) ** 0.5], [1 / 3 / (2 / 3) ** 0.5, 1]]))


def test_methods_without_a_chain_of_shared_seeds_cannot_be_compared():
    """Two and two, and a fifth without a run."""
    table = np.array(
        [[1.0, 2, NAN, NAN], [1.0, 1.5, NAN, NAN], [NAN, NAN, 3.0, 4], [NAN, NAN, 3.0, 5], [NAN, NAN, NAN, NAN]]
    )
    pairs, gains = pairwise(table), against(table, 0)

    assert pairs is not None
    assert pairs.difference[:2, :2] == pytest.approx(np.array([[0, 0.25], [-0.25, 0]]))
    assert np.isnan(pairs.difference[:2, 2:]).all()
    assert np.isnan(pairs.half[:2, 2:]).all()
    assert np.isnan(pairs.difference[4]).all()
    assert [gain and gain.n for gain in gains] == [None, 2, None, None, None]


def test_a_chain_of_shared_seeds_compares_without_counting_as_paired():
    """The first and the third meet in the second alone: a difference, of no seed that both have."""
    table = np.array([[1.0, 2, NAN, NAN], [2.0, 4, 5, 5], [NAN, NAN, 7.0, 8]])
    pairs, gains = pairwise(table), against(table, 0)

    assert pairs is not None
    assert pairs.difference[2, 0] == pytest.approx(1.5 + 2.5)
    assert pairs.half[2, 0] > pairs.half[1, 0]
    assert gains[2] is None


def test_one_run_has_a_difference_and_neither_interval_nor_rank():
    """And takes no part in how many methods are ranked."""
    table = np.array([[1.0, 2, 3], [2.0, 3.5, 4], [NAN, 5.0, NAN]])
    pairs, gain = pairwise(table), against(table, 0)[2]

    assert pairs is not None
    assert pairs.difference[2, 1] == pytest.approx(5 / 3)  # 5 less seed 1's own 1/6, less 19/6
    assert np.isnan(pairs.half[2]).all()
    assert gain is not None
    assert (gain.n, gain.interval) == (1, None)
    assert rank_intervals(table)[2] is None
    assert rank_intervals(table)[:2] == (RankInterval(2, 2), RankInterval(1, 1))


def test_one_seed_has_differences_without_any_interval():
    """Nothing is left over to tell a variance from."""
    table = np.array([[0.5], [0.6]])
    gain = against(table, 0)[1]

    assert pairwise(table) is None
    assert rank_intervals(table) == (None, None)
    assert gain is not None
    assert (gain.mean, gain.n, gain.interval) == (pytest.approx(0.1), 1, None)


@pytest.mark.parametrize("table", [np.array([[0.5, 0.6]]), np.full((2, 2), NAN), np.empty((0, 3)), np.empty((2, 0))])
def test_a_table_with_nothing_to_compare_says_nothing(table):
    """A single method, no run, no method, no seed."""
    assert pairwise(table) is None
    assert rank_intervals(table) == (None,) * len(table)
    assert all(against(table, reference) == (None,) * len(table) for reference in range(len(table)))


def test_equal_runs_have_intervals_of_no_width_and_share_all_ranks():
    """Also where seeds differ, whatever rounding makes of it."""
    for table in (np.full((3, 2), 0.3), np.tile([0.1, 0.3, 0.7], (3, 1))):
        pairs = pairwise(table)
        assert pairs is not None
        assert not pairs.difference.any()
        assert not pairs.half.any()
        assert rank_intervals(table) == (RankInterval(1, 3),) * 3


def test_methods_that_differ_by_the_same_at_every_seed_are_surely_different():
    """No variance, and a gap: the better one is first, the equal two share the rest."""
    table = np.array([[0.3, 0.4], [0.3, 0.4], [0.31, 0.41]])

    assert rank_intervals(table) == (RankInterval(2, 3), RankInterval(2, 3), RankInterval(1, 1))


def test_ranks_are_what_the_intervals_of_all_pairs_leave():
    """Three groups, far apart: two at the bottom, one in the middle, two at the top."""
    table = random_table(5, 6, seed=1) - np.arange(5)[:, None] + np.array([[0], [100], [50], [0.1], [100.1]])

    low, top = RankInterval(4, 5), RankInterval(1, 2)
    assert rank_intervals(table) == (low, top, RankInterval(3, 3), low, top)


def test_neither_order_nor_shift_nor_unit_changes_what_is_told():
    """Methods and seeds shuffled, a constant added, per cent for fractions."""
    table, order = random_table(6, 4, missing=0.2, seed=5), np.array([3, 0, 5, 1, 4, 2])
    pairs, other = pairwise(table), pairwise(7 + 100 * table[order][:, ::-1])

    assert pairs is not None
    assert other is not None
    assert other.difference == pytest.approx(100 * pairs.difference[np.ix_(order, order)], nan_ok=True)
    assert other.half == pytest.approx(100 * pairs.half[np.ix_(order, order)], nan_ok=True)


def test_a_large_board_takes_milliseconds():
    """25 methods × 100 seeds, once its quantiles are known; twenty times what a quiet core needs."""
    table = random_table(25, 100)
    pairwise(table), against(table, 0)
    begun = time.process_time()
    pairwise(table), against(table, 0), rank_intervals(table)

    assert time.process_time() - begun < 0.05
