"""From the frame to boards: one a track, a row a method, ranked by mean mIoU; the rest stands below a line."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from harness.ledger.budget import Budget
from harness.ledger.method import BASELINE
from harness.score.stats import Estimate, Floats, Interval, Spread, mean, paired_difference, spread

HARMLESS = frozenset({"cost_uncertain"})
"""Marks that are shown and leave a row above the line."""

STANDINGS = ("benchmark", "smoke test", "demonstration")


@dataclass(frozen=True)
class Tally:
    """An ending or a mark, and on how many runs of a row it stands."""

    word: str
    count: int


@dataclass(frozen=True)
class Row:
    """A method on a board; numbers are means over its finished runs at the board's seeds."""

    rank: int | None
    """By mean mIoU among the rows above the line; None below it, and for a single seed."""
    method: str
    digest: str
    title: str
    family: str
    sources: tuple[str, ...]
    planned: int
    """The board's seeds: of so many, `miou.n` are finished."""
    miou: Estimate | None
    gain: Estimate | None
    """Over the baseline, paired by seed; None for the baseline itself."""
    share: float | None
    """Of the teacher's mIoU."""
    seed_mious: tuple[float, ...]
    iterations: float | None
    epochs: float | None
    cost_ratio: float | None
    cost_interval: Interval | None
    device_hours: float | None
    endings: tuple[Tally, ...]
    marks: tuple[Tally, ...]
    why: tuple[str, ...]
    """Why the row stands below the line; empty above it."""
    notes: tuple[str, ...] = ()

    @property
    def above(self) -> bool:
        """Whether the row takes part in the ranking."""
        return not self.why

    @property
    def n(self) -> int:
        """Finished runs behind the mean."""
        return self.miou.n if self.miou else 0


@dataclass(frozen=True)
class Board:
    """One track: everything that is held fixed, and the methods that were compared under it."""

    track: str
    workload: str
    workload_digest: str
    title: str
    standing: str
    caveat: str
    budget: str
    budget_seconds: float | None
    device: str
    device_class: str
    device_detail: str
    pace: str
    rules: int
    teacher_miou: float
    seeds: tuple[int, ...]
    rows: tuple[Row, ...]

    @property
    def ranked(self) -> tuple[Row, ...]:
        """Above the line, best first."""
        return tuple(row for row in self.rows if row.above)

    @property
    def unranked(self) -> tuple[Row, ...]:
        """Below the line, each with its reason."""
        return tuple(row for row in self.rows if not row.above)

    @property
    def baseline(self) -> Row | None:
        """The student alone, in the version that the gains are taken over."""
        return next((row for row in self.rows if row.method == BASELINE and row.miou), None)


def boards(frame: pd.DataFrame) -> tuple[Board, ...]:
    """A board a track: benchmarks first, demonstrations last; then by workload, device, pace and budget."""
    found = (board(runs) for _, runs in frame.groupby("track", sort=False))
    return tuple(sorted(found, key=_order))


def _order(board: Board) -> tuple[object, ...]:
    budget = Budget.parse(board.budget)
    place = (board.workload, board.workload_digest, board.device, board.device_class, board.pace, board.rules)
    size = board.budget_seconds if board.budget_seconds is not None else budget.amount
    return (STANDINGS.index(board.standing), *place, str(budget.unit), str(budget.anchor), size, board.track)


def board(runs: pd.DataFrame) -> Board:
    """The board of one track's runs."""
    first = runs.iloc[0]
    seeds = board_seeds(runs)
    return Board(
        track=first.track,
        workload=first.workload,
        workload_digest=first.workload_digest,
        title=first.workload_title,
        standing=first.standing,
        caveat=first.caveat,
        budget=first.budget,
        budget_seconds=_mean(runs.budget_seconds),
        device=first.device,
        device_class=first.device_class,
        device_detail=first.device_detail,
        pace=first.pace,
        rules=int(first.rules),
        teacher_miou=float(first.teacher_miou),
        seeds=seeds,
        rows=_rows(runs, seeds),
    )


def board_seeds(runs: pd.DataFrame) -> tuple[int, ...]:
    """The seeds that at least half of the track's methods were to run.

    So nobody gains by running more seeds than the others, and a sweep that was cut short keeps a balanced table.
    """
    current = runs[runs.current]
    methods = current.groupby("seed")["method"].nunique()
    shared = methods.index[2 * methods >= current["method"].nunique()]
    return tuple(int(seed) for seed in (shared if len(shared) else methods.index))


def _rows(runs: pd.DataFrame, seeds: tuple[int, ...]) -> tuple[Row, ...]:
    versions = [version for _, version in runs.groupby(["method", "method_digest"])]
    table = np.array([_mious(version, seeds) for version in versions])
    whys = [_why(version, seeds) for version in versions]
    pooled = table[[not why for why in whys]] if not all(whys) else table
    scatter = spread(pooled)
    baseline = next((at for at, version in enumerate(versions) if _is_baseline(version)), None)
    rows = [
        _row(version, seeds, mious, None if baseline in (None, at) else table[baseline], scatter, why)
        for at, (version, mious, why) in enumerate(zip(versions, table, whys, strict=True))
    ]
    return _ranked(rows)


def _is_baseline(version: pd.DataFrame) -> bool:
    return bool(version.iloc[0].method == BASELINE and version.iloc[0].current)


def _mious(version: pd.DataFrame, seeds: tuple[int, ...]) -> Floats:
    """MIoU by seed, NaN where no run is done."""
    done = version[version.ending == "done"]
    return done.groupby("seed")["miou"].mean().reindex(list(seeds)).to_numpy(dtype=np.float64)


def _row(
    version: pd.DataFrame,
    seeds: tuple[int, ...],
    mious: Floats,
    baseline: Floats | None,
    scatter: Spread,
    why: tuple[str, ...],
) -> Row:
    first, planned = version.iloc[0], version[version.seed.isin(seeds)]
    done = planned[planned.ending == "done"]
    miou = mean(mious, scatter.run)
    return Row(
        rank=None,
        method=first.method,
        digest=first.method_digest,
        title=first.title,
        family=first.family,
        sources=tuple(first.sources.split()),
        planned=len(seeds),
        miou=miou,
        gain=None if baseline is None else paired_difference(mious, baseline, scatter.residual),
        share=miou.mean / float(first.teacher_miou) if miou and first.teacher_miou > 0 else None,
        seed_mious=tuple(float(value) for value in mious[~np.isnan(mious)]),
        iterations=_mean(done.iterations),
        epochs=_mean(done.epochs),
        cost_ratio=_mean(version.cost_ratio),
        cost_interval=_cost_interval(version),
        device_hours=_mean(done.device_hours),
        endings=_tally(planned.ending),
        marks=_tally(word for marks in planned.marks for word in marks.split()),
        why=why,
        notes=_notes(version, seeds),
    )


def _cost_interval(version: pd.DataFrame) -> Interval | None:
    """Wide enough for every measurement that the runs were planned with; usually it is one."""
    low, high = version.cost_ratio_low.min(), version.cost_ratio_high.max()
    return None if np.isnan(low) else Interval(float(low), float(high))


def _mean(values: pd.Series) -> float | None:
    present = values.dropna()
    return float(present.mean()) if len(present) else None


def _tally(words: Iterable[str]) -> tuple[Tally, ...]:
    return tuple(Tally(word, count) for word, count in Counter(words).most_common())


def _why(version: pd.DataFrame, seeds: tuple[int, ...]) -> tuple[str, ...]:
    """What keeps a method below the line, in words; empty when nothing does."""
    first, planned = version.iloc[0], version[version.seed.isin(seeds)]
    earlier = () if first.current else (f"an earlier version of the method ({first.method_digest[:6]})",)
    missing = [seed for seed in seeds if seed not in set(planned.seed)]
    absent = (f"no run of {_named(missing)}",) if missing else ()
    return (*earlier, *_stopped(planned), *_marked(planned), *absent)


def _stopped(planned: pd.DataFrame) -> tuple[str, ...]:
    """A line an ending other than done, with its seeds and its reason."""
    scoreless = planned.ending.where(planned.miou.notna() | (planned.ending != "done"), "done without an mIoU")
    groups = planned.assign(ending=scoreless)[scoreless != "done"].groupby(["ending", "reason"], sort=False)
    return tuple(
        f"{ending}: {_named(runs.seed)}" + (f" ({reason})" if reason else "") for (ending, reason), runs in groups
    )


def _marked(planned: pd.DataFrame) -> tuple[str, ...]:
    """A line a mark that is held against the row, with its seeds."""
    pairs = [(mark, seed) for marks, seed in zip(planned.marks, planned.seed, strict=True) for mark in marks.split()]
    words = dict.fromkeys(mark for mark, _ in pairs if mark not in HARMLESS)
    return tuple(f"{word}: {_named(seed for mark, seed in pairs if mark == word)}" for word in words)


def _notes(version: pd.DataFrame, seeds: tuple[int, ...]) -> tuple[str, ...]:
    further = version[~version.seed.isin(seeds)]
    return (f"{_named(further.seed)} not in the mean: most methods have none",) if len(further) else ()


def _named(seeds: Iterable[int]) -> str:
    """`seed 1`, `seeds 0, 2`."""
    numbers = sorted({int(seed) for seed in seeds})
    return f"seed{'s' * (len(numbers) > 1)} {', '.join(map(str, numbers))}"


def _ranked(rows: Sequence[Row]) -> tuple[Row, ...]:
    """Above the line first, each part by mean; a rank needs an interval, so a single seed has none."""
    ordered = sorted(rows, key=lambda row: (not row.above, -row.miou.mean if row.miou else 1.0, row.method, row.digest))
    ranks = {id(row): rank for rank, row in enumerate((row for row in ordered if row.above), start=1)}
    return tuple(
        replace(row, rank=ranks[id(row)]) if row.above and row.miou and row.miou.interval else row for row in ordered
    )
