"""From runs to boards: one a track, a row a method, ranked by mean mIoU; the rest stands below a line."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from harness.ledger.about import about
from harness.ledger.budget import Budget
from harness.ledger.method import BASELINE
from harness.score.contrast import Entrant, Verdict, verdict
from harness.score.model import ROUNDING, Pairwise, RankInterval, against, pairwise, rank_intervals
from harness.score.reasons import Tally, beside, tally, why_below
from harness.score.runs import Run, current_versions, version_of
from harness.score.stats import Estimate, Floats, Interval, mean, run_variance

STANDINGS = ("benchmark", "smoke test", "demonstration")


@dataclass(frozen=True)
class Row:
    """A method on a board; numbers are means over its finished runs at the board's seeds."""

    rank: int | None
    """By mean mIoU among the rows above the line, equal means sharing one; None below it, and for a single seed."""
    ranks: RankInterval | None
    """The ranks that chance leaves it."""
    method: str
    digest: str
    title: str
    family: str
    sources: tuple[str, ...]
    variant_of: str | None
    planned: int
    """The board's seeds: of so many, `miou.n` are finished."""
    miou: Estimate | None
    gain: Estimate | None
    """Over the baseline, paired by seed, its interval for all rows together; None of the baseline."""
    share: float | None
    """Of the teacher's mIoU."""
    seed_mious: tuple[float, ...]
    iterations: float | None
    epochs: float | None
    images: float | None
    cost_ratio: float | None
    cost_interval: Interval | None
    device_hours: float | None
    energy_kwh: float | None
    endings: tuple[Tally, ...]
    marks: tuple[Tally, ...]
    why: tuple[str, ...]
    """Why the row stands below the line; empty above it."""
    notes: tuple[str, ...]
    runs: tuple[Run, ...]
    """All of them, by seed."""
    gain_images: Interval | None = None
    """Of the gain over images: the runs as they are, the images drawn again."""

    @property
    def above(self) -> bool:
        """Whether the row takes part in the ranking."""
        return not self.why

    @property
    def n(self) -> int:
        """Finished runs behind the mean."""
        return self.miou.n if self.miou else 0

    @property
    def scored(self) -> tuple[Run, ...]:
        """The runs behind the mean."""
        return tuple(run for run in self.runs if run.ending == "done" and run.miou is not None)


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
    pairs: Pairwise | None
    """Of the rows above the line, in their order."""
    verdict: Verdict
    """On the contrast of docs/rules.md."""
    reference: str | None
    """The digest of the baseline that the gains are over; None where there is none."""

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
        named = (row for row in self.rows if row.method == BASELINE and row.digest == self.reference)
        return next((row for row in named if row.miou), None)


def boards(runs: Iterable[Run]) -> tuple[Board, ...]:
    """A board a track: benchmarks first, demonstrations last; then by workload, device, pace and budget."""
    tracks: dict[str, list[Run]] = {}
    for run in runs:
        tracks.setdefault(run.track, []).append(run)
    return tuple(sorted(map(board, tracks.values()), key=_order))


def _order(board: Board) -> tuple[object, ...]:
    budget = Budget.parse(board.budget)
    place = (board.workload, board.workload_digest, board.device, board.device_class, board.pace, board.rules)
    size = board.budget_seconds if board.budget_seconds is not None else budget.amount
    return (STANDINGS.index(board.standing), *place, str(budget.unit), str(budget.anchor), size, board.track)


def board(runs: Sequence[Run]) -> Board:
    """The board of one track's runs."""
    first = runs[0]
    versions = _versions(runs)
    current = current_versions(runs)
    seeds = board_seeds([run for run in runs if version_of(run) in current])
    table = np.array([_mious(version, seeds) for version in versions])
    is_current = [version_of(version[0]) in current for version in versions]
    reference = _reference(versions, is_current)
    rows = _rows(versions, seeds, table, is_current, reference)
    placed = np.array(sorted(range(len(rows)), key=lambda at: _place(rows[at])), dtype=int)
    rows, table, in_play = [rows[at] for at in placed], table[placed], np.array(is_current)[placed]
    above = np.array([row.above for row in rows])
    entrants = [_entrant(row) for row, plays in zip(rows, in_play, strict=True) if plays]
    return Board(
        track=first.track,
        workload=first.workload,
        workload_digest=first.workload_digest,
        title=first.workload_title,
        standing=first.standing,
        caveat=first.caveat,
        budget=first.budget,
        budget_seconds=_mean(run.budget_seconds for run in runs),
        device=first.device,
        device_class=first.device_class,
        device_detail=first.device_detail,
        pace=first.pace,
        rules=first.rules,
        teacher_miou=first.teacher_miou,
        seeds=seeds,
        rows=_ranked(rows, table),
        pairs=pairwise(table[above]) if above.any() else None,
        verdict=verdict(entrants, table[in_play], first.standing, Budget.parse(first.budget).is_time),
        reference=None if reference is None else versions[reference][0].method_digest,
    )


def _versions(runs: Sequence[Run]) -> list[list[Run]]:
    found: dict[tuple[str, str, str], list[Run]] = {}
    for run in runs:
        found.setdefault(version_of(run), []).append(run)
    return [sorted(version, key=lambda run: (run.seed, run.key)) for _, version in sorted(found.items())]


def board_seeds(current: Sequence[Run]) -> tuple[int, ...]:
    """The seeds that at least half of the track's methods were to run, in their current versions.

    So nobody gains by running more seeds than the others, and a sweep that was cut short keeps a balanced table.
    """
    methods: dict[int, set[str]] = {}
    for run in current:
        methods.setdefault(run.seed, set()).add(run.method)
    total = len({run.method for run in current})
    shared = sorted(seed for seed, found in methods.items() if 2 * len(found) >= total)
    return tuple(shared or sorted(methods))


def _mious(version: Sequence[Run], seeds: Sequence[int]) -> Floats:
    """MIoU by seed, NaN where no run is done."""
    done = {run.seed: run.miou for run in version if run.ending == "done" and run.miou is not None}
    return np.array([done.get(seed, np.nan) for seed in seeds], dtype=np.float64)


def _reference(versions: Sequence[Sequence[Run]], is_current: Sequence[bool]) -> int | None:
    """Which version the gains are over: the current baseline."""
    named = (at for at, version in enumerate(versions) if version[0].method == BASELINE and is_current[at])
    return next(named, None)


def _rows(
    versions: Sequence[Sequence[Run]],
    seeds: Sequence[int],
    table: Floats,
    is_current: Sequence[bool],
    reference: int | None,
) -> list[Row]:
    """The rows in the order of versions, not yet ranked."""
    whys = [why_below(version, seeds, current) for version, current in zip(versions, is_current, strict=True)]
    pooled = np.array([not why for why in whys])
    variance = run_variance(table[pooled] if pooled.any() else table)
    gains = _gains(table, reference, pooled)
    return [
        _row(version, seeds, mean(mious, variance), gain, why)
        for version, mious, gain, why in zip(versions, table, gains, whys, strict=True)
    ]


def _gains(table: Floats, reference: int | None, pooled: np.ndarray) -> list[Estimate | None]:
    """Over the reference: of the rows above the line together, of each below it by itself beside them."""
    gains: list[Estimate | None] = [None] * len(table)
    if reference is None:
        return gains
    together = [at for at in range(len(table)) if pooled[at] or at == reference]
    for at, gain in zip(together, against(table[together], together.index(reference)), strict=True):
        gains[at] = gain
    for at in set(range(len(table))) - set(together):
        beside_it = [*together, at]
        gains[at] = against(table[beside_it], beside_it.index(reference))[-1]
    gains[reference] = None
    return gains


def _row(
    version: Sequence[Run], seeds: Sequence[int], miou: Estimate | None, gain: Estimate | None, why: tuple[str, ...]
) -> Row:
    first, planned = version[0], [run for run in version if run.seed in seeds]
    done = [run for run in planned if run.ending == "done"]
    return Row(
        rank=None,
        ranks=None,
        method=first.method,
        digest=first.method_digest,
        title=first.title,
        family=first.family,
        sources=tuple(first.sources.split()),
        variant_of=first.variant_of,
        planned=len(seeds),
        miou=miou,
        gain=gain,
        share=miou.mean / first.teacher_miou if miou and first.teacher_miou > 0 else None,
        seed_mious=tuple(run.miou for run in done if run.miou is not None),
        iterations=_mean(run.iterations for run in done),
        epochs=_mean(run.epochs for run in done),
        images=_mean(run.images for run in done),
        cost_ratio=_mean(run.cost_ratio for run in version),
        cost_interval=_cost_interval(version),
        device_hours=_mean(run.device_hours for run in done),
        energy_kwh=_mean(run.energy_kwh for run in done),
        endings=tally(run.ending for run in planned),
        marks=tally(word for run in planned for word in run.marks.split()),
        why=why,
        notes=beside(version, seeds),
        runs=tuple(version),
    )


def _cost_interval(version: Sequence[Run]) -> Interval | None:
    """Wide enough for every measurement that the runs were planned with; usually it is one."""
    lows = [run.cost_ratio_low for run in version if run.cost_ratio_low is not None]
    highs = [run.cost_ratio_high for run in version if run.cost_ratio_high is not None]
    return Interval(min(lows), max(highs)) if lows and highs else None


def _mean(values: Iterable[float | None]) -> float | None:
    present = [value for value in values if value is not None]
    return sum(present) / len(present) if present else None


def _place(row: Row) -> tuple[object, ...]:
    """Above the line first, each part by mean."""
    return (not row.above, -row.miou.mean if row.miou else 1.0, row.method, row.digest)


def _ranked(rows: Sequence[Row], table: Floats) -> tuple[Row, ...]:
    """The placed rows with their ranks; a rank needs an interval, so a single seed has none."""
    above = [at for at, row in enumerate(rows) if row.above]
    intervals = dict(zip(above, rank_intervals(table[above]), strict=True)) if above else {}
    means = [miou.mean for at in above if (miou := rows[at].miou)]
    return tuple(
        replace(row, rank=1 + sum(mean > row.miou.mean + ROUNDING for mean in means), ranks=intervals[at])
        if row.above and row.miou and row.miou.interval
        else row
        for at, row in enumerate(rows)
    )


def _entrant(row: Row) -> Entrant:
    """Older records do not say whether they are of a variant: what ships under the name does."""
    shipped = about(frozenset({row.method})).get(row.method) if row.family == "segmentation" else None
    is_variant = row.variant_of is not None or (shipped is not None and shipped.variant_of is not None)
    return Entrant(row.method, row.family, is_variant, row.sources, row.above)
