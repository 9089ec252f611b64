"""What the figure of phases shows: where an iteration of each method goes."""

from dataclasses import dataclass, replace

from harness.report.names import MOST_METHODS
from harness.score.leaderboard import Board, Row
from harness.score.runs import Run


@dataclass(frozen=True)
class Phase:
    """A phase of an iteration."""

    name: str
    seconds: float


@dataclass(frozen=True)
class Bar:
    """A method's iteration."""

    method: str
    seconds: float
    """Of an iteration without marks between phases."""
    phases: tuple[Phase, ...]
    ratio: float | None = None
    """Its cost: over the baseline's iteration, timed in pairs; the table's number. None where nobody timed it so."""

    @property
    def marked(self) -> float:
        """Seconds of an iteration with the marks: what the phases add up to."""
        return sum(phase.seconds for phase in self.phases)


@dataclass(frozen=True)
class Bars:
    """What the figure shows."""

    device: str
    baseline_seconds: float | None
    """Of its iteration, the unit of bars without a cost."""
    bars: tuple[Bar, ...]
    """The dearest last."""
    without: int
    """Methods whose phases nobody timed."""
    without_room: int = 0
    """Methods beyond the best MOST_METHODS."""

    @property
    def in_ratios(self) -> bool:
        """Whether lengths are over the baseline's iteration; else they are milliseconds."""
        return self.baseline_seconds is not None or all(bar.ratio for bar in self.bars)

    def length(self, bar: Bar) -> float:
        """How dear its iteration is."""
        if not self.in_ratios:
            return 1000 * bar.seconds
        return bar.ratio or bar.seconds / (self.baseline_seconds or bar.seconds)


def bars_of(board: Board) -> Bars | None:
    """The figure's numbers, of each method's version that stands highest; None when no phases are known."""
    rows: dict[str, Row] = {}
    for row in board.rows:
        rows.setdefault(row.method, row)
    timed = [bar for row in rows.values() if (bar := _bar_of(row))]
    if not timed:
        return None
    alone = board.baseline and _bar_of(board.baseline)
    more = max(0, len(timed) - MOST_METHODS)
    bars = Bars(
        board.device, alone.seconds if alone else None, tuple(timed[:MOST_METHODS]), len(rows) - len(timed), more
    )
    return replace(bars, bars=tuple(sorted(bars.bars, key=lambda bar: (bars.length(bar), bar.method))))


def _bar_of(row: Row) -> Bar | None:
    """Of its last run whose cost has phases: they are measured once and stand in all runs."""
    run: Run | None = next((run for run in reversed(row.runs) if run.phases and run.phases_of), None)
    if run is None or not run.phases_of:
        return None
    phases = tuple(Phase(name, seconds) for name, seconds in run.phases if seconds > 0)
    return Bar(row.method, run.phases_of, phases, row.cost_ratio) if phases else None
