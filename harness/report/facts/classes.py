"""What the figure of classes shows: IoU by method and class."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from harness.report.names import MOST_METHODS
from harness.score.leaderboard import Board, Row
from harness.score.stats import Floats


@dataclass(frozen=True)
class Classes:
    """What the figure shows."""

    budget: str
    names: tuple[str, ...]
    """Of the classes."""
    methods: tuple[str, ...]
    """Best first."""
    mious: tuple[float, ...]
    values: tuple[tuple[float | None, ...], ...]
    """Methods × classes: IoU as a fraction, means over seeds; None of a class without pixels."""
    without_room: int = 0
    """Methods beyond the best MOST_METHODS."""


def classes_of(board: Board) -> Classes | None:
    """The figure's numbers, of each method's version that stands highest; None when no run was scored by class."""
    names = next((run.class_names for row in board.rows for run in row.scored if run.class_iou), ())
    rows: dict[str, tuple[Row, Floats]] = {}
    for row in board.rows:
        if row.method not in rows and (table := _table(row, names)) is not None:
            rows[row.method] = row, table
    found = sorted(rows.items(), key=lambda item: (-_miou(item[1][0]), item[0]))
    if not names or not found:
        return None
    more, found = max(0, len(found) - MOST_METHODS), found[:MOST_METHODS]
    return Classes(
        budget=board.budget,
        names=names,
        methods=tuple(method for method, _ in found),
        mious=tuple(_miou(row) for _, (row, _) in found),
        values=tuple(_means(table) for _, (_, table) in found),
        without_room=more,
    )


def _miou(row: Row) -> float:
    return row.miou.mean if row.miou else 0.0


def _table(row: Row, names: Sequence[str]) -> Floats | None:
    """Runs × classes, NaN for None; None when no run names the same classes."""
    found = [run.class_iou for run in row.scored if run.class_names == names and len(run.class_iou) == len(names)]
    return np.array(found, dtype=np.float64) if found else None


def _means(table: Floats) -> tuple[float | None, ...]:
    """Over the runs in which a class has pixels."""
    present = ~np.isnan(table)
    counts, sums = present.sum(axis=0), np.where(present, table, 0.0).sum(axis=0)
    return tuple(float(total / count) if count else None for total, count in zip(sums, counts, strict=True))
