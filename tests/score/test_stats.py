"""Intervals, against numbers worked out by hand."""

import numpy as np
import pytest

from harness.score.stats import Variance, mean, residual_variance, run_variance

NAN = float("nan")
TABLE = np.array([[1.0, 2.0, 3.0], [2.0, 3.0, 7.0]])
"""Method means 2 and 4, seed means 1.5, 2.5 and 5: residuals ± (0.5, 0.5, −1), squares 3, 2 degrees of freedom."""


def test_residual_variance_is_what_method_and_seed_leave_over():
    """3 over 2 degrees of freedom."""
    residual = residual_variance(TABLE)

    assert residual is not None
    assert (residual.value, residual.freedom) == (pytest.approx(1.5), 2)


def test_run_variance_holds_seed_and_residual():
    """Squares around the methods' means: 2 + 14 over 4; 13 of them are the seeds' (2), 3 the residual's (2)."""
    run = run_variance(TABLE)

    assert run is not None
    assert run.value == pytest.approx(4.0)
    assert run.freedom == pytest.approx(16**2 / (13**2 / 2 + 3**2 / 2))


def test_a_lone_method_has_the_ordinary_t_interval():
    """1, 2, 3: mean 2, variance 1, half-width 4.30265 / √3."""
    alone = mean(TABLE[0], run_variance(TABLE[:1]))

    assert alone is not None
    assert alone.interval is not None
    assert alone.interval.low == pytest.approx(2 - 4.30265 / 3**0.5, abs=1e-5)


def test_one_seed_has_a_mean_and_no_interval():
    """Neither its own nor one borrowed from other methods."""
    estimate = mean(np.array([0.5, NAN, NAN]), Variance(1.0, 4))

    assert estimate is not None
    assert (estimate.mean, estimate.n, estimate.interval) == (0.5, 1, None)
    assert [run_variance(table) for table in (np.array([[0.5], [0.6]]), np.empty((0, 0)))] == [None, None]


def test_no_run_has_no_mean():
    """A method whose runs all failed."""
    assert mean(np.array([NAN, NAN]), None) is None


def test_a_seed_that_one_method_alone_has_says_nothing_of_the_residual():
    """The rest of the table, 1 2 over 2 3, is additive: variance 0 with one degree of freedom."""
    residual = residual_variance(np.array([[1.0, 2.0, NAN], [2.0, 3.0, 7.0]]))

    assert residual is not None
    assert (residual.value, residual.freedom) == (pytest.approx(0, abs=1e-12), 1)


def test_equal_runs_have_an_interval_of_no_width():
    """Zero spread is a fact about the runs, not a division by zero."""
    same = np.full((2, 3), 0.25)
    estimate = mean(same[0], run_variance(same))

    assert estimate is not None
    assert estimate.interval is not None
    assert estimate.interval.half == 0


def test_the_interval_of_a_mean_covers_as_often_as_it_says():
    """400 tracks drawn from the model: 95 % of the intervals hold the truth, within the error of such a count."""
    random = np.random.default_rng(0)
    held = 0
    for _ in range(400):
        table = random.normal(0, 1, (5, 3)) + random.normal(0, 1.5, (1, 3))
        estimate = mean(table[1], run_variance(table))
        held += estimate.interval.low <= 0 <= estimate.interval.high

    assert held / 400 == pytest.approx(0.95, abs=0.035)
