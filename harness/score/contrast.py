"""The contrast of docs/rules.md, word by word: whether canonical distillation beats objectives made for segmentation.

The claim and its opposite clear the same bar: with every mIoU negated, supported and contradicted change places.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from harness.score.simultaneous import joint_quantile
from harness.score.stats import Estimate, Floats, Interval, Variance, residual_variance

CANONICAL = ("kd", "featmse")
"""For logits and for features, whatever any other canonical method scores."""

FEWEST_SEEDS = 3
"""That both methods of a pair have finished above the line."""

Word = Literal["supported", "contradicted", "mixed", "undecided"]
Side = Literal["ahead", "behind", "open"]

Quantile = Callable[[Floats, float], float]
"""Of the largest |t| among differences with these correlations and degrees of freedom, at LEVEL."""


@dataclass(frozen=True)
class Entrant:
    """A method on a track, as far as the contrast asks."""

    name: str
    family: str
    is_variant: bool
    """Of another method: `x_only`, `x_fixed`."""
    sources: tuple[str, ...]
    """Where the weights of its terms come from, on the track's data set."""
    above: bool
    """Whether it stands above the line."""

    @property
    def is_opponent(self) -> bool:
        """Whether it is on the other side: made for segmentation, as its authors set it on this data set."""
        return self.family == "segmentation" and not self.is_variant and set(self.sources) == {"authors"}


@dataclass(frozen=True)
class Pair:
    """A canonical method against one of the other side."""

    canonical: str
    other: str
    side: Side
    difference: Estimate | None = None
    """The canonical one's mIoU minus the other's over the seeds that both have, its interval for all pairs together."""
    why: str = ""
    """Why it could not be formed; empty where it could."""


@dataclass(frozen=True)
class Verdict:
    """Of one track."""

    word: Word | None
    """None where a track has no verdict."""
    why: str = ""
    """Why it has none."""
    pairs: tuple[Pair, ...] = ()

    @property
    def ahead(self) -> int:
        """Pairs whose whole interval lies above zero."""
        return self._count("ahead")

    @property
    def behind(self) -> int:
        """Pairs whose whole interval lies below zero."""
        return self._count("behind")

    @property
    def open(self) -> int:
        """All other pairs."""
        return self._count("open")

    def _count(self, side: Side) -> int:
        return sum(pair.side == side for pair in self.pairs)


def verdict(
    entrants: Sequence[Entrant], table: Floats, standing: str, is_time: bool, quantile: Quantile = joint_quantile
) -> Verdict:
    """The verdict of a track, whose table of mIoU (methods × seeds) has the entrants' rows in their order.

    The entrants are current versions. `standing` is the workload's; `is_time` says whether the budget is a time, plain
    or anchored; `quantile` is how many standard errors intervals reach that hold for all pairs together.
    """
    if standing != "benchmark":
        return Verdict(None, f"a {standing} never enters the contrast")
    if not is_time:
        return Verdict(None, "the contrast is at matched time: this budget is none")
    opponents = dict.fromkeys(entrant.name for entrant in entrants if entrant.is_opponent)
    if not opponents:
        return Verdict(None, "no method made for segmentation has its authors' settings for this data set")
    pairs = _pairs(list(product(CANONICAL, opponents)), entrants, table, quantile)
    return Verdict(_word({pair.side for pair in pairs}), pairs=pairs)


def _word(sides: set[Side]) -> Word:
    """What the pairs, of which there is at least one, say together."""
    if sides == {"ahead"}:
        return "supported"
    if sides == {"behind"}:
        return "contradicted"
    return "mixed" if sides >= {"ahead", "behind"} else "undecided"


def _pairs(
    names: Sequence[tuple[str, str]], entrants: Sequence[Entrant], table: Floats, quantile: Quantile
) -> tuple[Pair, ...]:
    """Every pair with its side, those that can be formed with intervals that hold for all of them together."""
    rows = {entrant.name: row for row, entrant in enumerate(entrants) if entrant.above}
    above = [row for row, entrant in enumerate(entrants) if entrant.above]
    whys = {pair: _why_not(pair, entrants, rows, table) for pair in names}
    formed = [pair for pair in names if not whys[pair]]
    variance = residual_variance(table[above])
    estimates = _estimates([(rows[ours], rows[theirs]) for ours, theirs in formed], table, variance, quantile)
    known = dict(zip(formed, estimates, strict=True))
    return tuple(
        Pair(*pair, _side(known[pair]), known[pair]) if pair in known else Pair(*pair, "open", why=whys[pair])
        for pair in names
    )


def _why_not(pair: tuple[str, str], entrants: Sequence[Entrant], rows: Mapping[str, int], table: Floats) -> str:
    """Why the pair cannot be formed; empty where it can."""
    known = Counter(entrant.name for entrant in entrants)
    for name in pair:
        if name not in known:
            return f"{name} has no run on this track"
        if known[name] > 1:
            return f"{name} has {known[name]} versions that ended together: none of them is the current one"
        if name not in rows:
            return f"{name} stands below the line"
    seeds = int(_shared(table, *(rows[name] for name in pair)).sum())
    if seeds < FEWEST_SEEDS:
        return f"both have finished {seeds} seed{'s' * (seeds != 1)} in common: it needs at least {FEWEST_SEEDS}"
    return ""


def _shared(table: Floats, ours: int, theirs: int) -> NDArray[np.bool_]:
    """The seeds that both rows have."""
    shared: NDArray[np.bool_] = ~np.isnan(table[ours] + table[theirs])
    return shared


def _estimates(
    pairs: Sequence[tuple[int, int]], table: Floats, variance: Variance | None, quantile: Quantile
) -> list[Estimate]:
    """The differences of pairs of rows, with two-sided intervals at LEVEL for all of them together."""
    if not pairs or variance is None:  # two rows with three seeds in common always have a variance
        return []
    weights = np.array([_weights(table, *pair) for pair in pairs])  # pairs × (methods·seeds)
    differences = weights @ np.nan_to_num(table).ravel()
    covariance = weights @ weights.T  # in units of the residual variance
    errors = np.sqrt(np.diagonal(covariance))
    reach = quantile(covariance / np.outer(errors, errors), variance.freedom) * variance.value**0.5
    seeds = [int(_shared(table, *pair).sum()) for pair in pairs]
    return [
        Estimate(float(difference), n, Interval(float(difference - half), float(difference + half)))
        for difference, n, half in zip(differences, seeds, reach * errors, strict=True)
    ]


def _weights(table: Floats, ours: int, theirs: int) -> Floats:
    """What each run counts for in the difference of two rows: methods·seeds; the seeds' own effects cancel."""
    weights, shared = np.zeros(table.shape), _shared(table, ours, theirs)
    weights[ours, shared] = 1 / shared.sum()
    weights[theirs, shared] = -1 / shared.sum()
    return weights.ravel()


def _side(difference: Estimate) -> Side:
    """Where its whole interval lies."""
    if difference.interval is None:
        return "open"
    if difference.interval.low > 0:
        return "ahead"
    return "behind" if difference.interval.high < 0 else "open"
