"""Rounds: two sides timed in turns until the ratio of their costs is known well enough."""

import random
import statistics
import time
from collections.abc import Callable, Sequence
from typing import Protocol

from harness.ledger.cost import median_interval
from harness.ledger.rules import COST_TOLERANCE
from harness.train.heartbeat import Heartbeat

SEED = 0

STEADY_SECONDS = 0.5
"""A window of settling: allocators, caches, banks and device clocks change within it, or no more."""
STEADY_ITERATIONS = 2
"""In a window at least."""
STEADY_TOLERANCE = 0.03
"""Between the medians of two successive windows: the side is in its steady state."""
MOST_WINDOWS = 8

ROUND_SECONDS = 0.03
"""For how long the baseline is timed in a round, at least, so that the clock's grain does not show."""

FEWEST_ROUNDS = 5
"""Rounds that are timed whatever the time allows."""

FEWEST_TO_SETTLE = 30
"""Rounds before a narrow interval is believed: that of a handful of rounds is narrow by luck too often."""

MOST_ROUNDS = 2000
LOOK_AGAIN = 1.2
"""The interval is looked at ever more rarely: the more looks, the likelier one of them finds it narrow by luck."""


class Timed(Protocol):
    """What rounds ask of a side."""

    def seconds(self, iterations: int) -> float:
        """Seconds an iteration over some iterations."""
        ...


def window_seconds(seconds: float) -> float:
    """How long a window of settling is: a quarter of the time for measuring, where that is short."""
    return min(STEADY_SECONDS, seconds / 4)


def settle(side: Timed, window: float = STEADY_SECONDS, now: Callable[[], float] = time.perf_counter) -> float:
    """Runs window by window until two agree, or there were enough; returns seconds an iteration in the last one."""
    side.seconds(2)
    before, latest = _median(side, window, now), _median(side, window, now)
    for _ in range(MOST_WINDOWS - 2):
        if abs(latest / before - 1) <= STEADY_TOLERANCE:
            break
        before, latest = latest, _median(side, window, now)
    return latest


def _median(side: Timed, window: float, now: Callable[[], float]) -> float:
    """Of its iterations' seconds, over a window."""
    end = now() + window
    seen: list[float] = []
    while len(seen) < STEADY_ITERATIONS or now() < end:
        seen.append(side.seconds(1))
    return statistics.median(seen)


def compare(
    method: Timed,
    baseline: Timed,
    iterations: int,
    seconds: float,
    heartbeat: Heartbeat,
    now: Callable[[], float] = time.perf_counter,
) -> list[tuple[float, float]]:
    """Pairs of seconds an iteration, baseline's and method's, a round each, in an order that chance decides."""
    coin = random.Random(SEED)
    rounds: list[tuple[float, float]] = []
    look = FEWEST_TO_SETTLE
    heartbeat.enter("rounds", done=lambda: len(rounds))
    end = now() + seconds
    while len(rounds) < FEWEST_ROUNDS or (len(rounds) < MOST_ROUNDS and now() < end):
        if len(rounds) >= look:
            if is_settled(method is baseline, rounds):
                break
            look = round(LOOK_AGAIN * len(rounds))
        if method is baseline:
            alone = baseline.seconds(iterations)
            rounds.append((alone, alone))
        elif coin.random() < 0.5:
            rounds.append((baseline.seconds(iterations), method.seconds(iterations)))
        else:
            after = method.seconds(iterations)
            rounds.append((baseline.seconds(iterations), after))
    return rounds


def is_settled(alone: bool, rounds: Sequence[tuple[float, float]]) -> bool:
    """Whether the ratio's interval is narrow enough; for the baseline alone, whose ratio is 1, that of its seconds."""
    if len(rounds) < FEWEST_TO_SETTLE:
        return False
    middle, low, high = median_interval([own if alone else own / beside for beside, own in rounds])
    return high - low < 2 * COST_TOLERANCE * middle
