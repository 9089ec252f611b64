"""Means, variances and intervals as short functions of arrays.

A track is a table of mIoU, methods × seeds, with NaN where there is no run. The model is mIoU = method + seed +
residual: a seed moves every method alike (it draws the same student and the same batches for all), the rest is noise.
So the difference of two methods is as uncertain as the residual; one method's mean also as the seeds are.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtrit  # the quantile of t; scipy.stats takes a second to import

Floats = NDArray[np.float64]
LEVEL = 0.95


@dataclass(frozen=True)
class Variance:
    """Of one run, with the degrees of freedom behind the estimate."""

    value: float
    freedom: float


@dataclass(frozen=True)
class Interval:
    """Two-sided, at LEVEL; symmetric about its mean where it comes from a variance."""

    low: float
    high: float

    @property
    def half(self) -> float:
        """Half its width."""
        return (self.high - self.low) / 2


@dataclass(frozen=True)
class Estimate:
    """A mean, over how many runs, with its interval where it can have one."""

    mean: float
    n: int
    interval: Interval | None


def mean(values: Floats, variance: Variance | None) -> Estimate | None:
    """The mean of one method's runs, with a t interval from the variance of a run; None without any run."""
    present = values[~np.isnan(values)]
    if present.size == 0:
        return None
    centre = float(present.mean())
    return Estimate(centre, present.size, _interval(centre, present.size, variance))


def _interval(centre: float, n: int, variance: Variance | None) -> Interval | None:
    if n < 2 or variance is None:
        return None
    half = float(stdtrit(variance.freedom, (1 + LEVEL) / 2)) * (variance.value / n) ** 0.5
    return Interval(centre - half, centre + half)


def residual_variance(table: Floats) -> Variance | None:
    """What method and seed leave over, pooled over methods; with one method alone, the spread of its seeds."""
    if len(table) < 2:
        return run_variance(table)
    squares, freedom = _residual(table)
    return Variance(squares / freedom, freedom) if freedom > 0 else None


def run_variance(table: Floats) -> Variance | None:
    """Of a run around its method's mean, seed and residual together, pooled over methods.

    Methods share their seeds, so their spreads are not independent: the degrees of freedom are Satterthwaite's, from
    the seeds' part and the residual's.
    """
    present = ~np.isnan(table)
    counts = present.sum(axis=1)
    freedom = int(np.maximum(counts - 1, 0).sum())
    if freedom == 0:
        return None
    squares = float(
        sum(((row[here] - row[here].mean()) ** 2).sum() for row, here in zip(table, present, strict=True) if here.any())
    )
    left_over, residual_freedom = _residual(table)
    residual = min(left_over, squares)  # rounding can leave more than there was
    parts = ((residual, residual_freedom), (squares - residual, freedom - residual_freedom))
    weighed = sum(part**2 / degrees for part, degrees in parts if degrees > 0)
    return Variance(squares / freedom, squares**2 / weighed if weighed > 0 else float(freedom))


def _residual(table: Floats) -> tuple[float, int]:
    """Sum of squares and degrees of freedom that a least-squares fit of method + seed leaves over."""
    method, seed = np.nonzero(~np.isnan(table))
    if method.size == 0:
        return 0.0, 0
    observed = table[method, seed]
    design = np.zeros((method.size, sum(table.shape)))
    design[np.arange(method.size), method] = 1
    design[np.arange(method.size), len(table) + seed] = 1
    fit, _, rank, _ = np.linalg.lstsq(design, observed, rcond=None)
    return float(((observed - design @ fit) ** 2).sum()), int(method.size - rank)
