"""The model of a track: mIoU = method + seed + residual, and what it says of methods together.

Tables are of mIoU, methods × seeds, with NaN where there is no run. A fit by least squares separates methods and seeds,
so that ranks also compare methods through those that share seeds with both; a difference that is told with its seeds is
the mean over these alone. With no run missing the two are the same. The residual variance is pooled over methods, and
raised for one whose own residuals show that it scatters more than the rest.
"""

from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray
from scipy.special import betaincinv, stdtrit

from harness.score.simultaneous import joint_quantile, tukey_quantile
from harness.score.stats import LEVEL, Estimate, Floats, Interval

OWN_LEVEL = 0.8
"""How often, if all methods scatter alike, a method's own residuals are not large enough to raise its variance.

Higher finds true gaps more often, lower withstands unequal variances better. On simulated boards of 12 methods with
residual sds up to 3 × apart, 0.8 calls a pair different in 9 % at most (the pool's variance for all: 15 %), and at
three seeds and residual sd 0.4 finds 76 % of the gaps of 1.5 (81 %): tests/score/test_simulated_boards.py.
"""

REFERENCE_LEVEL = 0.5
"""The same of a reference, which takes part in every comparison: one that scatters 3 × as much as 11 others is called
different in 9 % of such boards, with OWN_LEVEL in 16 %, with the pool's variance in 26 %."""

ROUNDING = 1e-12
"""Of an mIoU: a smaller difference or residual is none."""

Bools = NDArray[np.bool_]


@dataclass(frozen=True)
class Pairwise:
    """Every method less every other, row minus column: methods × methods, NaN where it cannot be told."""

    difference: Floats
    half: Floats
    """Half the width of intervals that hold for all pairs together (Tukey–Kramer)."""


@dataclass(frozen=True)
class Paired:
    """A method less another: the mean of their differences at the seeds that both have."""

    mean: float
    n: int
    """So many seeds."""
    alone: Interval | None
    """For this pair, looked at alone; None for one seed."""
    together: Interval | None
    """Holds for all pairs of the table's methods at once (Tukey)."""
    pairs: int
    """So many, this one among them."""


@dataclass(frozen=True)
class RankInterval:
    """The best and the worst rank that chance leaves a method; 1 is the best."""

    best: int
    worst: int


@dataclass(frozen=True)
class _Fit:
    """Of method + seed, by least squares."""

    present: Bools
    """Methods × seeds."""
    covariance: Floats
    """Of the methods' effects, in units of the residual variance: methods × methods, up to what moves all alike."""
    difference: Floats
    """Row minus column; NaN between methods that no chain of shared seeds connects."""
    squares: Floats
    """Of the residuals, summed by method."""
    shares: Floats
    """By method, the residual variances that its squares are expected to sum to."""

    @property
    def repeated(self) -> Bools:
        """Which methods have two runs or more."""
        repeated: Bools = self.present.sum(axis=1) > 1
        return repeated

    @property
    def in_company(self) -> NDArray[np.int_]:
        """By method, its runs at seeds that others have too; the rest say nothing of the residual."""
        shared: NDArray[np.int_] = self.present[:, self.present.sum(axis=0) > 1].sum(axis=1)
        return shared

    @property
    def freedom(self) -> int:
        """Degrees of freedom of the residual."""
        return round(float(self.shares.sum()))

    @property
    def factor(self) -> Floats:
        """The variance of a difference, in units of the residual variance; 2 / n where no seed is missing."""
        own = np.diagonal(self.covariance)
        return np.maximum(own[:, None] + own - 2 * self.covariance, 0)


def pairwise(table: Floats) -> Pairwise | None:
    """All differences, with intervals for all pairs of methods with at least two runs; None without any variance."""
    fit = _fit(table)
    variances = _variances(fit, np.full(len(table), OWN_LEVEL))
    if variances is None:
        return None
    error = np.where(fit.repeated[:, None] & fit.repeated, _errors(fit, variances), np.nan)
    together = tukey_quantile(max(int(fit.repeated.sum()), 2), fit.freedom) / 2**0.5
    return Pairwise(fit.difference, together * error)


def against(table: Floats, reference: int) -> tuple[Estimate | None, ...]:
    """Every method less the reference, with intervals that hold for all of them together (Dunnett).

    The mean of the differences at the `n` seeds that both have. None for the reference, and where they share no seed;
    no interval for one seed.
    """
    fit = _fit(table)
    shared = fit.present & fit.present[reference]
    shared[reference] = False
    halves = _halves_against(fit, reference, shared)
    return tuple(
        _estimate(_mean_difference(table, row, reference), int(seeds.sum()), float(half)) if seeds.any() else None
        for row, (seeds, half) in enumerate(zip(shared, halves, strict=True))
    )


def paired(table: Floats, ours: int, theirs: int) -> Paired | None:
    """A method less another, its variance that of the table's model; None where they share no seed."""
    fit = _fit(table)
    n = int((fit.present[ours] & fit.present[theirs]).sum())
    if not n:
        return None
    mean, variances = _mean_difference(table, ours, theirs), _variances(fit, np.full(len(table), OWN_LEVEL))
    methods = int(fit.repeated.sum())
    pairs = methods * (methods - 1) // 2
    if variances is None or n < 2:
        return Paired(mean, n, None, None, pairs)
    error = float(variances[ours] + variances[theirs]) ** 0.5 / n**0.5
    alone, together = _alone(fit.freedom) * error, tukey_quantile(methods, fit.freedom) / 2**0.5 * error
    return Paired(mean, n, Interval(mean - alone, mean + alone), Interval(mean - together, mean + together), pairs)


def _mean_difference(table: Floats, ours: int, theirs: int) -> float:
    """Over the seeds that both have, of which there is one at least."""
    mean = float(np.nanmean(table[ours] - table[theirs]))
    return 0.0 if abs(mean) < ROUNDING else mean


def rank_intervals(table: Floats) -> tuple[RankInterval | None, ...]:
    """For every method the ranks that the intervals of all pairs leave it; None with fewer than two runs.

    One more than the methods that are surely better, to all that are compared less those that are surely worse.
    """
    pairs = pairwise(table)
    if pairs is None:
        return (None,) * len(table)
    repeated = np.count_nonzero(~np.isnan(table), axis=1) > 1
    worse = (pairs.difference > pairs.half).sum(axis=1)  # NaN is never greater
    better = (pairs.difference < -pairs.half).sum(axis=1)
    total = int(repeated.sum())
    return tuple(
        RankInterval(1 + int(above), total - int(below)) if ranked else None
        for above, below, ranked in zip(better, worse, repeated, strict=True)
    )


def _estimate(difference: float, n: int, half: float) -> Estimate:
    return Estimate(difference, n, None if np.isnan(half) else Interval(difference - half, difference + half))


def _halves_against(fit: _Fit, reference: int, shared: Bools) -> Floats:
    """Half-widths of the differences to the reference, simultaneous over the methods that share two seeds with it.

    `shared` says which, methods × seeds; NaN for the other methods.
    """
    seeds = shared.sum(axis=1)
    compared = seeds > 1
    halves = np.full(len(compared), np.nan)
    levels = np.full(len(compared), OWN_LEVEL)
    levels[reference] = REFERENCE_LEVEL
    variances = _variances(fit, levels)
    if variances is None or not compared.any():
        return halves
    weights = shared[compared] / seeds[compared, None]  # of the reference's runs in each mean: compared × seeds
    covariance = weights @ weights.T  # what two differences have in common is the reference; twice that is their own
    covariance[np.diag_indices_from(covariance)] *= 2
    errors = np.sqrt(np.diagonal(covariance))
    quantile = joint_quantile(covariance / errors[:, None] / errors, fit.freedom)
    halves[compared] = quantile * np.sqrt((variances[compared] + variances[reference]) / seeds[compared])
    return halves


@cache
def _alone(freedom: int) -> float:
    """The quantile of t, for one difference."""
    return float(stdtrit(freedom, (1 + LEVEL) / 2))


def _errors(fit: _Fit, variances: Floats) -> Floats:
    """Standard errors of all differences: a pair has the mean of its methods' variances."""
    errors: Floats = np.sqrt(fit.factor * (variances[:, None] + variances) / 2)
    return np.where(np.isnan(fit.difference), np.nan, errors)


def _variances(fit: _Fit, levels: Floats) -> Floats | None:
    """By method, the residual variance of a run; None where none can be told, as with one seed or one method.

    It is the pool's, times what the method's own over the pool's exceeds its usual size by: a method that scatters
    more than the others is not lent their calm. The usual size is the quantile at `levels`, one a method, if all
    scatter alike: a method's part of all squares is then a Beta variable, exactly so where no run is missing.
    """
    if fit.freedom < 1:
        return None
    pool = fit.squares.sum() / fit.shares.sum()
    if pool < ROUNDING**2:
        return np.zeros(len(levels))
    freedom = fit.in_company - 1
    told = (fit.shares > 1e-6) & (freedom < fit.freedom)  # of two methods the residuals are one another's
    variances = np.full(len(levels), pool)
    own, rest = freedom[told], fit.freedom - freedom[told]
    usual = betaincinv(own / 2, rest / 2, levels[told]) * fit.freedom / own
    variances[told] = np.maximum(pool, fit.squares[told] / fit.shares[told] / usual)
    return variances


def _fit(table: Floats) -> _Fit:
    """Solved for methods alone, which leaves the Laplacian of the graph of shared seeds: methods × methods at most."""
    present = ~np.isnan(table)
    runs = present.sum(axis=0)
    weight = present / np.maximum(runs, 1)  # methods × seeds: what a run counts for in its seed's mean
    values = np.where(present, table - (table[present][0] if present.any() else 0.0), 0.0)  # equal runs are exactly 0
    laplacian = np.diag(present.sum(axis=1).astype(np.float64)) - weight @ present.T
    connected = _connected(present)
    absent = np.diag(~connected.diagonal())
    covariance = np.linalg.inv(laplacian + connected + absent)  # what is added moves connected methods all alike
    effects = covariance @ (values.sum(axis=1) - weight @ values.sum(axis=0))
    residuals = np.where(present, values - effects[:, None] - (weight * (values - effects[:, None])).sum(axis=0), 0.0)
    difference = effects[:, None] - effects
    difference[np.abs(difference) < ROUNDING] = 0
    difference[~connected] = np.nan
    shares = (present * (1 - _leverages(present, weight, covariance))).sum(axis=1)
    return _Fit(present, covariance, difference, (residuals**2).sum(axis=1), shares)


def _leverages(present: Bools, weight: Floats, covariance: Floats) -> Floats:
    """How much of each run the fit takes up, methods × seeds: by its seed, and by its method as against the seed's."""
    beside = covariance @ weight
    spread = np.diagonal(covariance)[:, None] - 2 * beside + (weight * beside).sum(axis=0)
    leverages: Floats = 1 / np.maximum(present.sum(axis=0), 1) + spread
    return leverages


def _connected(present: Bools) -> Bools:
    """Which methods a chain of shared seeds leads between, methods × methods; each with itself, where it has a run."""
    reached = present @ present.T
    while (further := reached @ reached).sum() > reached.sum():
        reached = further
    return reached
