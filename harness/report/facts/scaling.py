"""What the figure of scaling shows: end points over the budget, and when a method has what the baseline ends with."""

from collections.abc import Sequence
from dataclasses import dataclass

from harness.ledger.budget import Budget, Unit
from harness.ledger.method import BASELINE
from harness.report.names import MOST_METHODS
from harness.score.groups import Group, board_hours
from harness.score.leaderboard import Board
from harness.score.scaling import Reached, Scaling, time_to
from harness.score.stats import Interval

UNITS = {Unit.SECONDS: "time", Unit.ITERATIONS: "iterations", Unit.FLOPS: "floating-point operations"}


@dataclass(frozen=True)
class End:
    """The end point of a budget: a mean over runs that spent all of that budget, as a fraction."""

    size: float
    """Of the budget, in the figure's unit."""
    budget: str
    miou: float
    interval: Interval | None
    n: int


@dataclass(frozen=True)
class Curve:
    """A method's end points, from the smallest budget to the largest."""

    method: str
    ends: tuple[End, ...]
    reached: Reached | None
    """When it has what the baseline ends with, its `hours` in the figure's unit; None when never, or nobody knows."""


@dataclass(frozen=True)
class Curves:
    """What the figure shows."""

    unit: str
    """What a budget is made of: time (sizes are device-hours), iterations or floating-point operations."""
    sizes: tuple[tuple[float, str], ...]
    """The budgets: their sizes, and how they are written."""
    curves: tuple[Curve, ...]
    """By their last end points, lowest first."""
    without_room: int = 0
    """Methods beyond the best MOST_METHODS."""

    @property
    def level(self) -> float | None:
        """The baseline's mIoU at its largest budget."""
        return next((curve.ends[-1].miou for curve in self.curves if curve.method == BASELINE), None)


def scaling_of(group: Group) -> Curves | None:
    """The figure's numbers, of the rows above the line; None unless they have two budgets of one unit."""
    unit, sized = _sized(group)
    if len(sized) < 2:
        return None
    ends = _ends(sized)
    alone = next((found for (method, _), found in ends.items() if method == BASELINE), None)
    curves = [Curve(method, tuple(found), _reached(found, alone)) for (method, _), found in ends.items()]
    ordered = sorted(curves, key=lambda curve: (curve.ends[-1].miou, curve.method))
    shown = tuple(curve for curve in ordered if curve in ordered[-MOST_METHODS:] or curve.method == BASELINE)
    return Curves(
        UNITS[unit], tuple((size, sized[size].budget) for size in sorted(sized)), shown, len(ordered) - len(shown)
    )


def _sized(group: Group) -> tuple[Unit, dict[float, Board]]:
    """The boards with rows above the line by size, of the first unit of which there are two."""
    found: dict[Unit, dict[float, Board]] = {unit: {} for unit in Unit}
    for board in group.boards:
        budget = Budget.parse(board.budget)
        size = board_hours(board) if budget.is_time else budget.amount
        if board.ranked and size:
            found[Unit.SECONDS if budget.is_time else budget.unit].setdefault(size, board)
    return max(found.items(), key=lambda unit: len(unit[1]) > 1)


def _ends(sized: dict[float, Board]) -> dict[tuple[str, str], list[End]]:
    """Of each version of a method, the smallest budget first."""
    found: dict[tuple[str, str], list[End]] = {}
    for size, board in sorted(sized.items()):
        for row in board.ranked:
            if row.miou:
                end = End(size, board.budget, row.miou.mean, row.miou.interval, row.miou.n)
                found.setdefault((row.method, row.digest), []).append(end)
    return found


def _reached(ends: Sequence[End], alone: Sequence[End] | None) -> Reached | None:
    return None if alone is None else time_to(_scaling(ends), _scaling(alone))


def _scaling(ends: Sequence[End]) -> Scaling:
    return Scaling(tuple(end.size for end in ends), tuple(end.miou for end in ends))
