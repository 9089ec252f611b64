"""How far intervals reach that hold for several differences together, at LEVEL.

All pairs of methods (Tukey), every method against one (Dunnett), or differences whose correlations are known. All are
quantiles of normals over s, the pooled standard deviation over its true value: √(χ² / freedom). The integrals are
Gauss–Legendre sums over one normal and over log s. scipy.stats has them too, and takes a second to import.
"""

from collections.abc import Callable
from functools import cache

import numpy as np
from scipy.special import chdtri, ndtr, stdtrit

from harness.score.stats import LEVEL, Floats

NODES = 64
"""Of each sum: for up to 25 methods four digits are right from one degree of freedom to ten thousand."""

TAIL = 1e-7
"""What is left out of the distribution of s at either end."""


@cache
def tukey_quantile(groups: int, freedom: float, level: float = LEVEL) -> float:
    """Of the studentized range: the largest difference of so many means, over the standard error of one mean."""
    normals, weights = _normal()
    deviations, chances = _deviation(freedom)

    def held(reach: float) -> float:
        within = ndtr(normals) - ndtr(normals - reach * deviations[:, None])  # s × z: a mean at most so far below z
        return groups * float(chances @ within ** (groups - 1) @ weights)

    return _root(held, level, groups * (groups - 1) // 2, freedom, 2**0.5)


@cache
def dunnett_quantile(loadings: tuple[float, ...], freedom: float, level: float = LEVEL) -> float:
    """Of the largest |t| among differences that correlate as the product of their loadings, two-sided.

    Differences of means over n runs to one over n0 have loadings √(n / (n + n0)).
    """
    normals, weights = _normal()
    deviations, chances = _deviation(freedom)
    counts = {loading: loadings.count(loading) for loading in loadings}

    def held(reach: float) -> float:
        together = np.ones((NODES, NODES))  # s × z: every difference within reach, given the part z that they share
        for loading, count in counts.items():
            own, shared, ends = (1 - loading**2) ** 0.5, loading * normals, reach * deviations[:, None]
            together *= (ndtr((ends + shared) / own) - ndtr((shared - ends) / own)) ** count
        return float(chances @ together @ weights)

    return _root(held, level, len(loadings), freedom)


def joint_quantile(correlation: Floats, freedom: float, level: float = LEVEL) -> float:
    """Of the largest |t| among differences with this correlation matrix, two-sided; exact where all correlate alike.

    Otherwise all are taken to correlate as the two that do so least, and not at all where some do negatively: the less
    they have in common, the further the intervals reach. At zero that is Šidák's inequality (1967), which holds for
    every correlation; it is a little too wide, never too narrow, and unlike a simulation the same everywhere.
    """
    least = float(correlation.min()) if len(correlation) > 1 else 0.0  # the diagonal is the largest
    rounded = np.floor(1000 * max(least, 0) + 1e-6) / 1000  # few values, so that one quantile serves many boards
    return dunnett_quantile((float(rounded**0.5),) * len(correlation), freedom, level)


@cache
def _legendre() -> tuple[Floats, Floats]:
    nodes, weights = np.polynomial.legendre.leggauss(NODES)
    return nodes, weights


def _normal() -> tuple[Floats, Floats]:
    """Nodes of a standard normal and their weights, which sum to one."""
    nodes, weights = _legendre()
    return 7 * nodes, _normalised(weights * np.exp(-((7 * nodes) ** 2) / 2))


def _deviation(freedom: float) -> tuple[Floats, Floats]:
    """Nodes of s and their weights, which sum to one; even in log s, which spans decades for few degrees of freedom."""
    nodes, weights = _legendre()
    low, high = (np.log(chdtri(freedom, tail) / freedom) / 2 for tail in (1 - TAIL, TAIL))
    logarithms = low + (high - low) * (nodes + 1) / 2
    density = freedom * (logarithms - np.expm1(2 * logarithms) / 2)  # its logarithm, 0 at s = 1, where it is largest
    return np.exp(logarithms), _normalised(weights * np.exp(density))


def _normalised(weights: Floats) -> Floats:
    normalised: Floats = weights / weights.sum()
    return normalised


def _root(held: Callable[[float], float], level: float, differences: int, freedom: float, scale: float = 1.0) -> float:
    """The reach within which all differences lie with chance `level`, by false position (Illinois), to six digits.

    It lies between that of one difference alone and that by Bonferroni's bound; `scale` is how much of the reach's unit
    one standard error of a difference is.
    """
    low, high = (scale * float(stdtrit(freedom, 1 - (1 - level) / 2 / count)) for count in (1, differences))

    def excess(reach: float) -> float:
        return float(np.log1p(-min(held(reach), 1 - 1e-12)) - np.log1p(-level))  # nearly straight in log reach

    if differences == 1:
        return low
    above, below = excess(low), excess(high)
    while high - low > 1e-6 * high:
        middle: float = low * (high / low) ** (above / (above - below))
        found = excess(middle)
        if abs(found) < 1e-8:
            return middle
        low, high, above, below = (middle, high, found, below / 2) if found > 0 else (low, middle, above / 2, found)
    return (low + high) / 2
