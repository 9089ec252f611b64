"""What the figure of the Pareto front shows: what runs spent and what they reached, a spot a method and budget."""

from dataclasses import dataclass

from harness.report.names import MOST_METHODS
from harness.score.groups import Group
from harness.score.leaderboard import Board, Row
from harness.score.stats import Interval

MOST_SEEDS = 10
"""That are shown one by one."""


@dataclass(frozen=True)
class Axis:
    """What may be spent."""

    name: str
    label: str
    unit: str


AXES = (
    Axis("hours", "device time of a run (hours × devices), logarithmic", "device-hours"),
    Axis("images", "training images that a run saw, repetitions counted, logarithmic", "images"),
    Axis("iterations", "iterations of a run (optimizer updates), logarithmic", "iterations"),
    Axis("kwh", "measured energy of a run in kWh, logarithmic", "kWh"),
)
"""The first is known of every run."""


@dataclass(frozen=True)
class Spot:
    """A method at a budget: means over its finished runs, fractions."""

    method: str
    digest: str
    budget: str
    miou: float
    interval: Interval | None
    seeds: tuple[float, ...]
    """The mIoU of each; empty where there are too many to show."""
    n: int
    spent: tuple[float | None, ...]
    """In the order of AXES."""
    why: str
    """Why it stands below the line; nothing above it."""
    is_reference: bool
    """Whether it is the baseline that others are compared with."""

    @property
    def line(self) -> tuple[str, str]:
        """Shared by the spots of one version of a method."""
        return self.method, self.digest


@dataclass(frozen=True)
class Frontier:
    """What the figure shows."""

    teacher_miou: float
    spots: tuple[Spot, ...]
    """A version's together, by what they spent; versions by the mIoU of their last, lowest first."""
    without_room: int = 0
    """Versions of methods beyond the best MOST_METHODS."""


def frontier_of(group: Group) -> Frontier | None:
    """The figure's numbers; None when no run is finished."""
    found = [_spot(row, board) for board in group.boards for row in board.rows if row.miou and row.device_hours]
    if not found:
        return None
    lines: dict[tuple[str, str], list[Spot]] = {}
    for spot in sorted(found, key=lambda spot: spot.spent[0] or 0.0):
        lines.setdefault(spot.line, []).append(spot)
    ordered = sorted(lines.values(), key=lambda line: (line[-1].miou, line[-1].line))
    shown = [line for line in ordered if line in ordered[-MOST_METHODS:] or line[-1].is_reference]
    return Frontier(group.first.teacher_miou, tuple(spot for line in shown for spot in line), len(ordered) - len(shown))


def _spot(row: Row, board: Board) -> Spot:
    assert row.miou is not None  # the caller's choice of rows
    return Spot(
        method=row.method,
        digest=row.digest,
        budget=board.budget,
        miou=row.miou.mean,
        interval=row.miou.interval,
        seeds=row.seed_mious if 1 < len(row.seed_mious) <= MOST_SEEDS else (),
        n=row.miou.n,
        spent=(row.device_hours, row.images, row.iterations, row.energy_kwh),
        why="; ".join(row.why),
        is_reference=row is board.baseline,
    )
