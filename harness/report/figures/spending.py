"""Where a frontier's spots stand on each axis, and which of them nobody beats."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import log10
from statistics import median

from harness.report.facts.frontier import AXES, Axis, Spot
from harness.report.figures.placing import logarithmic_ticks
from harness.score import numerals

SAME = 0.02
"""Amounts that are nearer than this, in powers of ten (5 %), count as equal: their spots are set side by side."""
TERRITORY = 0.85
"""Of the distance between two ranks: what their spots may take together."""
WIDEST = 0.025
"""Of an axis with several ranks: the most from one spot to the next."""
MOST_TICKS = 8
NEAREST_TICKS = 0.09
"""Of the axis: ticks at ranks that are nearer to one another would touch."""


@dataclass(frozen=True)
class Rank:
    """Spots that spent the same, and the room that they have on a logarithmic axis."""

    members: tuple[int, ...]
    """By mIoU, the lowest first."""
    middle: float
    step: float
    """From one of them to the next."""

    @property
    def edges(self) -> tuple[float, float]:
        """Where it begins and ends, half a step beyond its members."""
        half = self.step * len(self.members) / 2
        return self.middle - half, self.middle + half

    @property
    def misleads(self) -> bool:
        """Whether places within it differ by much more than what was spent."""
        first, last = self.edges
        return len(self.members) > 1 and last - first > 3 * SAME

    def across(self, place: int) -> float:
        """Where the member at that place stands."""
        return self.middle + self.step * (place - (len(self.members) - 1) / 2)


@dataclass(frozen=True)
class View:
    """The spots on one axis; places are logarithms."""

    axis: Axis
    low: float
    high: float
    across: tuple[float | None, ...]
    """Of each spot; None where nobody knows what it spent."""
    ranks: tuple[Rank, ...]
    ticks: tuple[tuple[float, str], ...]
    front: tuple[int, ...]
    """Spots above the line to which no other has as high an mIoU for as little."""
    reference: tuple[tuple[float, float], ...]
    """The baseline's mIoU: level where spots spent what it did, straight between its budgets, nothing beyond them."""


def views(spots: Sequence[Spot]) -> tuple[View, ...]:
    """The spots on every axis of which anything is known."""
    found = (_view(spots, place) for place in range(len(AXES)))
    return tuple(view for view in found if view is not None)


def _view(spots: Sequence[Spot], place: int) -> View | None:
    logs = {at: log10(spent) for at, spot in enumerate(spots) if (spent := spot.spent[place])}
    if not logs:
        return None
    ranks = _ranks(logs, spots)
    across = {at: rank.across(number) for rank in ranks for number, at in enumerate(rank.members)}
    first, last = ranks[0].edges[0], ranks[-1].edges[1]
    pad = max(0.02 * (last - first), 0.02)
    low, high = first - pad, last + pad
    return View(
        axis=AXES[place],
        low=low,
        high=high,
        across=tuple(across.get(at) for at in range(len(spots))),
        ranks=ranks,
        ticks=_ticks(ranks, low, high, place),
        front=_front(ranks, spots),
        reference=_reference(ranks, spots),
    )


def _ranks(logs: dict[int, float], spots: Sequence[Spot]) -> tuple[Rank, ...]:
    """Spots by what they spent, those of equal amounts together, side by side in room that meets no other rank's."""
    members: list[list[int]] = []
    for at in sorted(logs, key=lambda at: logs[at]):
        if members and logs[at] - logs[members[-1][0]] < SAME:
            members[-1].append(at)
        else:
            members.append([at])
    middles = [median(logs[at] for at in rank) for rank in members]
    steps = _steps(middles, [len(rank) for rank in members])
    return tuple(
        Rank(tuple(sorted(rank, key=lambda at: (spots[at].miou, spots[at].line))), middle, step)
        for rank, middle, step in zip(members, middles, steps, strict=True)
    )


def _steps(middles: Sequence[float], counts: Sequence[int]) -> list[float]:
    """Two ranks share the room between them as they have spots: a lone neighbour leaves the other nearly all."""
    shared = [
        2 * TERRITORY * (after - before) / (count + other)
        for before, after, count, other in zip(middles, middles[1:], counts, counts[1:], strict=False)
    ]
    widest = WIDEST * (middles[-1] - middles[0]) if shared else 1.0
    return [min(*near, widest) for near in zip([*shared, widest], [widest, *shared], strict=True)]


def _ticks(ranks: Sequence[Rank], low: float, high: float, place: int) -> tuple[tuple[float, str], ...]:
    """At the ranks where they are few and apart, else at round amounts."""
    middles = [rank.middle for rank in ranks]
    apart = all(after - before > NEAREST_TICKS * (high - low) for before, after in pairwise(middles))
    unit = _unit(10**high) if place == 0 else 1.0
    if not (apart and len(middles) <= MOST_TICKS):
        middles = [log10(tick * unit) for tick in logarithmic_ticks(10**low / unit, 10**high / unit, MOST_TICKS)]
    return tuple((middle, _amount(10**middle, place)) for middle in middles)


def _unit(hours: float) -> float:
    """In hours: an hour, a minute or a second, of which round numbers make round ticks."""
    return 1.0 if hours >= 4 else 1 / 60 if hours >= 0.1 else 1 / 3600


def _amount(value: float, place: int) -> str:
    if place == 0:
        return numerals.duration(_rounded(3600 * value))
    return numerals.count(_rounded(value)) if value >= 1000 else f"{_rounded(value):.3g}"


def _rounded(value: float) -> float:
    """Two figures where they are all but the value, as a run of a six-minute budget takes 6.01 minutes; else three."""
    short = float(f"{value:.2g}")
    return short if abs(short / value - 1) < 0.005 else float(f"{value:.3g}")


def _front(ranks: Iterable[Rank], spots: Sequence[Spot]) -> tuple[int, ...]:
    front: list[int] = []
    for rank in ranks:
        above = [at for at in rank.members if not spots[at].why]
        if above and (not front or spots[above[-1]].miou > spots[front[-1]].miou):
            front.append(above[-1])
    return tuple(front)


def _reference(ranks: Iterable[Rank], spots: Sequence[Spot]) -> tuple[tuple[float, float], ...]:
    known = {rank.edges: spots[at].miou for rank in ranks for at in rank.members if spots[at].is_reference}
    return tuple((edge, miou) for edges, miou in known.items() for edge in edges)
