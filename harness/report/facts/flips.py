"""What the figure of ranks shows: a method's rank at matched iterations and at matched time."""

from dataclasses import dataclass

from harness.report.names import MOST_METHODS
from harness.score.groups import Flip
from harness.score.leaderboard import Board


@dataclass(frozen=True)
class End:
    """Where a method stands on one of the two boards."""

    rank: int
    best: int
    worst: int
    """The ranks that chance leaves it; its own where there is no telling."""
    miou: float


@dataclass(frozen=True)
class Slope:
    """A method on both boards; None where it does not stand above the line."""

    method: str
    iterations: End | None
    time: End | None

    @property
    def is_sure(self) -> bool:
        """Whether its ranks differ by more than chance moves them: the two intervals have no rank in common."""
        one, other = self.iterations, self.time
        return one is not None and other is not None and (one.worst < other.best or other.worst < one.best)


@dataclass(frozen=True)
class Slopes:
    """What the figure shows."""

    anchor: str
    iterations: str
    """The budgets, as they are written."""
    time: str
    tau: float | None
    slopes: tuple[Slope, ...]
    """In the order of matched iterations; those that stand on the other board alone at the end."""
    without_room: int = 0
    """Methods beyond the best MOST_METHODS."""

    @property
    def ranks(self) -> int:
        """The last rank of either side."""
        return max(end.rank for slope in self.slopes for end in (slope.iterations, slope.time) if end)


def slopes_of(flip: Flip) -> Slopes | None:
    """The figure's numbers; None unless two methods stand above the line on both boards."""
    before, after = _ends(flip.iterations), _ends(flip.time)
    if len(before.keys() & after.keys()) < 2:
        return None
    slopes = (Slope(key[0], before.get(key), after.get(key)) for key in before | after)
    more = max(0, len(flip.iterations.ranked) - MOST_METHODS, len(flip.time.ranked) - MOST_METHODS)
    return Slopes(flip.anchor, flip.iterations.budget, flip.time.budget, flip.tau, tuple(slopes), more)


def _ends(board: Board) -> dict[tuple[str, str], End]:
    """Of each version above the line, best first; a single seed leaves ranks without intervals."""
    return {
        (row.method, row.digest): End(
            rank, row.ranks.best if row.ranks else rank, row.ranks.worst if row.ranks else rank, row.miou.mean
        )
        for rank, row in enumerate(board.ranked[:MOST_METHODS], start=1)
        if row.miou
    }
