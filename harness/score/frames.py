"""Tidy frames of a results folder, for notebooks: the one room that knows pandas. docs/frames.md has their columns."""

import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from operator import attrgetter
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from harness.ledger.counts import Counts, read_counts
from harness.ledger.errors import BadInput, nearest, without_path
from harness.ledger.results import counts_path
from harness.score import Table
from harness.score.columns import RUN, RUNS, TABLES, Column
from harness.score.runs import Run, Version, baseline_mious, current_versions, version_of
from harness.score.store import Unreadable, read_results

Cells = Sequence[Any] | NDArray[Any]
"""A column's, top to bottom."""

FACTS = tuple(column.name for column in RUNS if column.name not in {"current", "baseline_miou", "gain"})
"""Columns that a run itself has."""
MEASURES = ("miou", "miou_absent_zero", "miou_predicted", "pixel_accuracy")
WHOLE_NUMBERS = attrgetter(*(column.name for column in RUNS if column.dtype in {"int64", "Int64"}))

MOST_ROWS = 2**26
"""Of the images' table, some 5 GB; records that speak of more are refused before anything is read."""


@dataclass(frozen=True)
class Found:
    """What a table is made of."""

    folder: Path
    runs: tuple[Run, ...]
    current: frozenset[Version]
    left_out: list[Unreadable]
    """Grows while a table is made: every file that could not be used, with why."""


def frame(results: Path, table: Table = "runs") -> pd.DataFrame:
    """The table of the results folder; what is left out of it is said in warnings, at the caller of `load`."""
    if table not in TABLES:
        raise BadInput(f"table: found {table!r}: expected one of {', '.join(TABLES)}{nearest(str(table), TABLES)}")
    found = _found(results)
    columns = TABLES[table].columns
    made = pd.DataFrame(
        {column.name: _series(column, cells) for column, cells in zip(columns, MAKERS[table](found), strict=True)}
    )
    for each in found.left_out:
        warnings.warn(f"{results / 'runs' / each.file}: left out: {each.why}", stacklevel=3)
    return made


def _found(results: Path) -> Found:
    stored = read_results(results)
    left_out = list(stored.unreadable)
    runs = tuple(run for run in stored.runs if _fits(run, left_out))
    return Found(results, runs, current_versions(runs), left_out)


def _fits(run: Run, left_out: list[Unreadable]) -> bool:
    """Whether 64 bits hold the record's whole numbers, which JSON bounds by nothing."""
    points = [point.iteration for point in run.curve] or [0]
    known = [0 if number is None else number for number in WHOLE_NUMBERS(run)]
    fits = max(*known, *points) < 2**63 and min(*known, *points) >= -(2**63)
    if not fits:
        left_out.append(Unreadable(f"{run.name}.json", "found a whole number beyond 64 bits"))
    return fits


def _series(column: Column, cells: Cells) -> "pd.Series[Any]":
    return pd.Series(cells, dtype=column.dtype)


def _columns(rows: Iterable[tuple[Any, ...]], width: int) -> list[Cells]:
    return list(zip(*rows, strict=True)) or [()] * width


def _runs(found: Found) -> list[Cells]:
    baselines = baseline_mious(found.runs)
    baseline = np.array([baselines.get((run.track, run.seed)) for run in found.runs], dtype=np.float64)
    miou = np.array([run.miou for run in found.runs], dtype=np.float64)
    facts = _columns(map(attrgetter(*FACTS), found.runs), len(FACTS))
    return [*facts, [version_of(run) in found.current for run in found.runs], baseline, miou - baseline]


def _each(found: Found, runs: Sequence[Run], lengths: Sequence[int] | NDArray[np.int64] | int) -> list[Cells]:
    """The columns that say which run a row is of, each run's cells repeated as often as it has rows."""
    rows = ((run.track, run.method, version_of(run) in found.current, run.seed, run.key, run.attempt) for run in runs)
    cells = zip(RUN, _columns(rows, len(RUN)), strict=True)
    return [np.repeat(_series(column, each).to_numpy(), lengths) for column, each in cells]


def _evaluations(found: Found) -> list[Cells]:
    runs = [run for run in found.runs if run.miou is not None]
    values = [value for run in runs for value in attrgetter(*MEASURES)(run)]
    images = np.repeat([run.scored_images or 0 for run in runs], len(MEASURES))
    return [*_each(found, runs, len(MEASURES)), images, np.tile(MEASURES, len(runs)), values]


@dataclass(frozen=True)
class Price:
    """What runs of a version were planned with."""

    version: Version
    figures: tuple[float | None, ...]
    """As the columns of the costs have them, from `seconds` on."""
    phases: tuple[tuple[str, float], ...]


def _prices(found: Found) -> dict[Price, int]:
    """How many runs were planned with each price, in the order of the runs."""
    prices: dict[Price, int] = {}
    for run in found.runs:
        if run.cost_seconds is not None:
            figures = (run.cost_seconds, run.cost_ratio, run.cost_ratio_low, run.cost_ratio_high, run.flops)
            price = Price(version_of(run), (*figures, run.phases_of), run.phases)
            prices[price] = prices.get(price, 0) + 1
    return prices


def _costs(found: Found) -> list[Cells]:
    prices = enumerate(_prices(found).items())
    rows = ((at, *price.version, price.version in found.current, runs, *price.figures) for at, (price, runs) in prices)
    return _columns(rows, len(TABLES["costs"].columns))


def _phases(found: Found) -> list[Cells]:
    prices = enumerate(_prices(found))
    rows = (
        (at, *price.version, price.version in found.current, *phase) for at, price in prices for phase in price.phases
    )
    return _columns(rows, len(TABLES["phases"].columns))


def _time(found: Found) -> list[Cells]:
    runs = found.runs
    entries = _columns((entry for run in runs for entry in run.times), 2)
    return [*_each(found, runs, [len(run.times) for run in runs]), *entries]


def _curves(found: Found) -> list[Cells]:
    runs = found.runs
    points = _columns((point for run in runs for point in run.curve), 3)
    return [*_each(found, runs, [len(run.curve) for run in runs]), *points]


def _scored(found: Found) -> list[Run]:
    return [run for run in found.runs if run.miou is not None]


def _counts(found: Found, run: Run) -> Counts | None:
    """What lies beside the record; None where nothing does, or nothing that can be used, which is said."""
    path = counts_path(found.folder, run.name)
    if not path.exists():
        return None
    try:
        return read_counts(path, run.scored_images or 0, len(run.class_iou))
    except BadInput as error:
        found.left_out.append(Unreadable(path.name, without_path(path, error)))
        return None


def _arrays(counts: Counts) -> NDArray[np.int64]:
    return np.stack((counts.intersections, counts.unions, counts.labelled))  # 3×N×C


def _classes(found: Found) -> list[Cells]:
    runs = _scored(found)
    lengths = np.array([len(run.class_names) for run in runs], dtype=np.int64)
    sums: tuple[list[Any], ...] = ([], [], [])
    for run in runs:
        counts = _counts(found, run)
        none = np.full((3, len(run.class_names)), None)
        for cells, summed in zip(sums, none if counts is None else _arrays(counts).sum(axis=1), strict=True):
            cells.extend(summed)
    names = [name for run in runs for name in run.class_names]
    iou = [value for run in runs for value in run.class_iou]
    return [*_each(found, runs, lengths), _within(lengths), names, iou, *sums]


def _within(lengths: NDArray[np.int64]) -> NDArray[np.int64]:
    """0, 1, … as far as each length goes."""
    starts = np.cumsum(lengths) - lengths
    return np.arange(lengths.sum()) - np.repeat(starts, lengths)


def _images(found: Found) -> list[Cells]:
    runs = _scored(found)
    _must_be_few(runs)
    read = [(run, counts) for run in runs if (counts := _counts(found, run)) is not None]
    _say_uncounted(found, runs)
    blocks = [_block(run, counts) for run, counts in read]
    lengths = [counts.labelled.size for _, counts in read]
    cells: list[Cells] = [np.concatenate(parts) for parts in zip(*blocks, strict=True)]
    return [*_each(found, [run for run, _ in read], lengths), *(cells or [()] * 6)]


def _block(run: Run, counts: Counts) -> list[NDArray[Any]]:
    """A run's own columns: image by image, class by class."""
    images, classes = counts.labelled.shape
    names = np.array(run.class_names, dtype=object)
    place = (np.repeat(np.arange(images, dtype=np.int32), classes), np.tile(np.arange(classes, dtype=np.int32), images))
    return [*place, np.tile(names, images), *_arrays(counts).reshape(3, -1)]


def _must_be_few(runs: Sequence[Run]) -> None:
    rows = sum((run.scored_images or 0) * len(run.class_names) for run in runs)
    if rows > MOST_ROWS:
        raise BadInput(
            f"table: images: found {rows} rows by the records: expected at most {MOST_ROWS}; read fewer runs"
        )


def _say_uncounted(found: Found, runs: Sequence[Run]) -> None:
    """In one line, as these may be thousands."""
    missing = [path for run in runs if not (path := counts_path(found.folder, run.name)).exists()]
    if missing:
        others = f", nor are those of {len(missing) - 1} more" if missing[1:] else ""
        found.left_out.append(Unreadable(missing[0].name, f"a scored run's counts are not there{others}"))


MAKERS: Mapping[Table, Callable[[Found], list[Cells]]] = {
    "runs": _runs,
    "evaluations": _evaluations,
    "costs": _costs,
    "phases": _phases,
    "time": _time,
    "curves": _curves,
    "classes": _classes,
    "images": _images,
}
