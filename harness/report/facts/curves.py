"""What the figure of learning curves shows: ways, and where they ended."""

from dataclasses import dataclass

import numpy as np

from harness.report.names import MOST_METHODS
from harness.score.groups import Group
from harness.score.leaderboard import Row
from harness.score.runs import Run
from harness.score.stats import Estimate, Floats

MOST_POINTS = 40
"""Of a curve; one that has more is thinned."""


@dataclass(frozen=True)
class Ending:
    """Where a method's runs of a budget ended, means over its seeds."""

    budget: str
    hours: float
    loss: float
    """Of the task, over the last stretch of the training."""


@dataclass(frozen=True)
class Curve:
    """A method's way with the largest budget, and its ends with all of them."""

    method: str
    hours: tuple[float, ...]
    """Device-hours spent, the end included."""
    losses: tuple[float, ...]
    """The task's, means over seeds since the point before."""
    endings: tuple[Ending, ...]
    """From the smallest to the largest budget."""
    miou: Estimate
    """Of the largest budget, a fraction."""


@dataclass(frozen=True)
class Curves:
    """What the figure shows."""

    budget: str
    """The largest."""
    curves: tuple[Curve, ...]
    """Best first."""
    without: int
    """Methods with an mIoU whose runs kept no curve."""
    without_room: int = 0
    """Methods beyond the best MOST_METHODS."""


def curves_of(group: Group) -> Curves | None:
    """The figure's numbers, of each method's version that stands highest; None when no run kept a curve."""
    board = group.largest
    rows: dict[str, Row] = {}
    for row in board.rows:
        if row.miou:
            rows.setdefault(row.method, row)
    found = [curve for row in rows.values() if (curve := _curve(group, row))]
    if not found:
        return None
    ordered = sorted(found, key=lambda curve: (-curve.miou.mean, curve.method))
    more = max(0, len(found) - MOST_METHODS)
    return Curves(board.budget, tuple(ordered[:MOST_METHODS]), len(rows) - len(found), more)


def _curve(group: Group, row: Row) -> Curve | None:
    way = _way(row)
    if way is None or row.miou is None:
        return None
    endings = []
    for board, each in group.rows(row.method, row.digest):
        if (ended := _way(each)) is not None:
            endings.append(Ending(board.budget, float(ended[0, -1]), float(ended[1, -1])))
    hours, losses = (tuple(float(value) for value in values) for values in way)
    return Curve(row.method, hours, losses, tuple(endings), row.miou)


def _way(row: Row) -> Floats | None:
    """Device-hours and task loss, 2×points: means over the row's runs at the same shares of what each spent."""
    runs = [run for run in row.scored if run.curve and run.spent_seconds > 0]
    if not runs:
        return None
    tracks = [_track(run) for run in runs]
    longest = min(MOST_POINTS, max(track.shape[1] for track in tracks))
    first = min(1.0, max(float(track[0, 0]) for track in tracks))
    shares = np.linspace(first, 1.0, longest) if longest > 1 else np.ones(1)
    losses = np.mean([np.interp(shares, *track) for track in tracks], axis=0)
    return np.array([shares * np.mean([run.device_hours for run in runs]), losses])


def _track(run: Run) -> Floats:
    """Shares of what a run spent and its task loss there, 2×points."""
    return np.array([(point.spent_seconds / run.spent_seconds, point.task_loss) for point in run.curve]).T
