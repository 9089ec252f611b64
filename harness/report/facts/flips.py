"""What the figure of ranks shows: a method's rank at matched iterations and at matched time."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from harness.report.names import MOST_METHODS
from harness.score.groups import Flip
from harness.score.leaderboard import Row
from harness.score.model import rank_intervals


@dataclass(frozen=True)
class End:
    """Where a method stands on one of the two boards, among the methods above the line on both."""

    rank: int
    best: int | None
    worst: int | None
    """The ranks that chance leaves it; None of a single seed, of which nobody can tell."""
    miou: float


@dataclass(frozen=True)
class Slope:
    """A method on both boards."""

    method: str
    iterations: End
    time: End

    @property
    def is_sure(self) -> bool:
        """Whether its ranks differ by more than chance moves them: the two intervals have no rank in common."""
        one, other = self.iterations, self.time
        if one.best is None or one.worst is None or other.best is None or other.worst is None:
            return False
        return one.worst < other.best or other.worst < one.best


@dataclass(frozen=True)
class Slopes:
    """What the figure shows."""

    anchor: str
    iterations: str
    """The budgets, as they are written."""
    time: str
    tau: float | None
    slopes: tuple[Slope, ...]
    """In the order of matched iterations."""
    on_one: int = 0
    """Methods above the line on one of the two boards alone, which have no rank among the others."""
    without_room: int = 0
    """Methods beyond the best MOST_METHODS at matched iterations."""

    @property
    def ranks(self) -> int:
        """The last rank of either side."""
        return max(end.rank for slope in self.slopes for end in (slope.iterations, slope.time))

    @property
    def is_order_only(self) -> bool:
        """Whether some method has a single seed on a side."""
        return any(end.best is None for slope in self.slopes for end in (slope.iterations, slope.time))


def slopes_of(flip: Flip) -> Slopes | None:
    """The figure's numbers; None unless two methods stand above the line on both boards."""
    if len(flip.pairs) < 2:
        return None
    before = _ends([row for row, _ in flip.pairs], flip.iterations.seeds)
    shared = {(row.method, row.digest) for row, _ in flip.pairs}
    after = _ends([row for row in flip.time.ranked if (row.method, row.digest) in shared], flip.time.seeds)
    slopes = [Slope(key[0], end, after[key]) for key, end in before.items()]
    alone = len(flip.iterations.ranked) + len(flip.time.ranked) - 2 * len(slopes)
    return Slopes(
        anchor=flip.anchor,
        iterations=flip.iterations.budget,
        time=flip.time.budget,
        tau=flip.tau,
        slopes=tuple(slopes[:MOST_METHODS]),
        on_one=alone,
        without_room=max(0, len(slopes) - MOST_METHODS),
    )


def _ends(rows: Sequence[Row], seeds: Sequence[int]) -> dict[tuple[str, str], End]:
    """Of each version, best first: ranks and what chance leaves of them are of these rows alone."""
    table = np.full((len(rows), len(seeds)), np.nan)
    for at, row in enumerate(rows):
        done = {run.seed: run.miou for run in row.scored}
        table[at] = [np.nan if done.get(seed) is None else done[seed] for seed in seeds]
    return {
        (row.method, row.digest): End(
            rank, found.best if found else None, found.worst if found else None, row.miou.mean
        )
        for rank, (row, found) in enumerate(zip(rows, rank_intervals(table), strict=True), start=1)
        if row.miou
    }
