"""What the figure of shares shows: what a method's student reaches of its teacher's mIoU."""

from dataclasses import dataclass

from harness.report.names import MOST_METHODS
from harness.score.leaderboard import Board, Row
from harness.score.stats import Interval


@dataclass(frozen=True)
class Dot:
    """A method's share of its teacher's mIoU."""

    method: str
    share: float
    interval: Interval | None
    n: int
    why: str
    """Why it stands below the line; nothing above it."""


@dataclass(frozen=True)
class Shares:
    """What the figure shows."""

    budget: str
    teacher_miou: float
    dots: tuple[Dot, ...]
    """Above the line, best first; then below it, best first."""
    without_room: int = 0
    """Methods beyond the first MOST_METHODS."""


def share_of(board: Board) -> Shares | None:
    """The figure's numbers; None when no run is finished, or the teacher has no mIoU to share."""
    if board.teacher_miou <= 0:
        return None
    dots = tuple(dot for row in board.rows if (dot := _dot(row, board.teacher_miou)))
    more = max(0, len(dots) - MOST_METHODS)
    return Shares(board.budget, board.teacher_miou, dots[:MOST_METHODS], more) if dots else None


def _dot(row: Row, teacher: float) -> Dot | None:
    if row.miou is None:
        return None
    ends = row.miou.interval
    interval = Interval(ends.low / teacher, ends.high / teacher) if ends else None
    return Dot(row.method, row.miou.mean / teacher, interval, row.miou.n, "; ".join(row.why))
