"""Where mIoU stands between top and bottom, ticks on an axis, and names beside one."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import ceil, floor, log10

from harness.score.stats import Interval

FURTHEST = 0.5
"""Of the height between lowest and highest: an interval that goes further beyond them is cut off."""
LEAST, MOST_HEIGHTS = 1.0, 7
"""Percent that an axis of mIoU shows, and its ticks."""

ROUND = ((1, 2, 5), (1,), (1, 1.5, 2, 3, 5, 7), tuple(place / 10 for place in range(10, 100)))
"""Where a logarithmic axis may have ticks within a power of ten, the most readable first."""


@dataclass(frozen=True)
class Heights:
    """An upright axis of mIoU, in points from the top of the figure."""

    top: float
    bottom: float
    low: float
    """Percent at the bottom."""
    high: float

    def y(self, miou: float) -> float:
        """The height of an mIoU, a fraction; at the edge where it is beyond."""
        share = (100 * miou - self.low) / (self.high - self.low)
        return self.bottom - (self.bottom - self.top) * min(max(share, 0.0), 1.0)

    @property
    def ticks(self) -> list[tuple[float, str]]:
        """Heights and their percents."""
        found = linear_ticks(self.low, self.high, MOST_HEIGHTS)
        return [(self.y(percent / 100), f"{percent:g}") for percent in found]


def heights(top: float, bottom: float, mious: Iterable[float], intervals: Iterable[Interval | None]) -> Heights:
    """Room for every mIoU, and for the intervals that do not go far beyond them."""
    sure = [100 * miou for miou in mious]
    ends = [100 * end for interval in intervals if interval for end in (interval.low, interval.high)]
    further = FURTHEST * max(max(sure) - min(sure), 0.5)
    low, high = max(min([*sure, *ends]), min(sure) - further), min(max([*sure, *ends]), max(sure) + further)
    lacking = max(LEAST - (high - low), 0.0) / 2
    span = high - low + 2 * lacking
    return Heights(top, bottom, low - lacking - 0.06 * span, high + lacking + 0.1 * span)


def spread_out(targets: Sequence[float], gap: float, low: float, high: float) -> list[float]:
    """Ascending targets moved as little as possible (least squares) until neighbours are a gap apart, within limits.

    Less their gaps the places may not fall: isotonic regression, by pooling neighbours that do.
    """
    pools: list[tuple[float, int]] = []
    for place, target in enumerate(targets):
        pool = (target - gap * place, 1)
        while pools and pools[-1][0] >= pool[0]:
            mean, count = pools.pop()
            pool = ((mean * count + pool[0] * pool[1]) / (count + pool[1]), count + pool[1])
        pools.append(pool)
    free = [mean for mean, count in pools for _ in range(count)]
    most = max(low, high - gap * (len(free) - 1))
    return [min(max(mean, low), most) + gap * place for place, mean in enumerate(free)]


def linear_ticks(low: float, high: float, most: int) -> list[float]:
    """Multiples of 1, 2 or 5 times a power of ten within the limits, at most so many, which are three or more."""
    power = floor(log10((high - low) / most))
    steps = (step * 10.0**more for more in (power, power + 1, power + 2) for step in (1, 2, 5))
    step = next(step for step in steps if floor(high / step) - ceil(low / step) < most)
    return [round(step * place, 9) for place in range(ceil(low / step), floor(high / step) + 1)]


def logarithmic_ticks(low: float, high: float, most: int) -> list[float]:
    """Round numbers between two positive ones: 1, 2, 5 where that is neither too few nor too many."""
    found = [_within(low, high, steps) for steps in ROUND]
    fitting = next((ticks for ticks in found if 3 <= len(ticks) <= most), None)
    if fitting is not None:
        return fitting
    ticks = found[1] if len(found[1]) > most else found[-1]
    return ticks[:: ceil(len(ticks) / most)] if ticks else []


def _within(low: float, high: float, steps: Sequence[float]) -> list[float]:
    powers = range(floor(log10(low)), ceil(log10(high)) + 1)
    return [tick for power in powers for step in steps if low <= (tick := step * 10.0**power) <= high]
