"""The second interval of every gain: over images, from the counts beside the records."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from harness.ledger.counts import Counts, read_counts
from harness.ledger.errors import BadInput, without_path
from harness.ledger.results import counts_path
from harness.score.images import draws, percentiles, resampled_mious
from harness.score.leaderboard import Board
from harness.score.runs import Run
from harness.score.stats import Interval
from harness.score.store import Unreadable

MOST_SEEDS = 10
"""Of a row, from the first on: what images do to a difference shows in ten runs as well as in a hundred."""


@dataclass(frozen=True)
class Scored:
    """A run's counts, by what its record says of them."""

    name: str
    seed: int
    images: int
    classes: int


@dataclass(frozen=True)
class Question:
    """A board's runs with counts: those of the baseline, and those of each other row by its place."""

    baseline: tuple[Scored, ...]
    others: Mapping[int, tuple[Scored, ...]]


@dataclass(frozen=True)
class Answer:
    """Intervals by the row's place, and the counts that could not be used."""

    gains: Mapping[int, Interval]
    unusable: tuple[Unreadable, ...]


def question(board: Board) -> Question | None:
    """What to ask of a board's counts; None without a baseline."""
    if board.baseline is None:
        return None
    others = {
        at: scored
        for at, row in enumerate(board.rows)
        if row is not board.baseline and (scored := _scored(row.runs, board.seeds))
    }
    return Question(_scored(board.baseline.runs, board.seeds), others)


def _scored(runs: Sequence[Run], seeds: Sequence[int]) -> tuple[Scored, ...]:
    first = set(seeds[:MOST_SEEDS])
    return tuple(
        Scored(run.name, run.seed, run.scored_images, len(run.class_iou))
        for run in runs
        if run.seed in first and run.scored_images and run.class_iou
    )


def answer(asked: Question | None, folder: Path) -> Answer:
    """The intervals over images of the gains, the same images drawn for all rows."""
    if asked is None:
        return Answer({}, ())
    unusable: list[Unreadable] = []
    read = {
        scored.name: counts
        for scored in (*asked.baseline, *(each for row in asked.others.values() for each in row))
        if (counts := _counts(folder, scored, unusable)) is not None
    }
    mious = _resampled(_alike(read, unusable))
    baseline = {scored.seed: mious[scored.name] for scored in asked.baseline if scored.name in mious}
    gains = {}
    for at, row in asked.others.items():
        pairs = [
            (mious[each.name], baseline[each.seed]) for each in row if each.name in mious and each.seed in baseline
        ]
        if pairs:
            gains[at] = percentiles(np.mean([ours - theirs for ours, theirs in pairs], axis=0))
    return Answer(gains, tuple(unusable))


def _counts(folder: Path, scored: Scored, unusable: list[Unreadable]) -> Counts | None:
    path = counts_path(folder, scored.name)
    try:
        return read_counts(path, scored.images, scored.classes)
    except BadInput as error:
        unusable.append(Unreadable(path.name, without_path(path, error)))
        return None


def _alike(read: Mapping[str, Counts], unusable: list[Unreadable]) -> dict[str, Counts]:
    """Those that were scored on the same labels as the first, which is the baseline's."""
    if not read:
        return {}
    labelled = next(iter(read.values())).labelled
    alike = {name: counts for name, counts in read.items() if np.array_equal(counts.labelled, labelled)}
    odd = (name for name in read if name not in alike)
    unusable += [
        Unreadable(f"{name}.npz", "its labels differ from those of the other runs of its board") for name in odd
    ]
    return alike


def _resampled(read: Mapping[str, Counts]) -> dict[str, np.ndarray]:
    """Each run's mIoU, a resample each; nothing of a single image."""
    if not read:
        return {}
    images = len(next(iter(read.values())).labelled)
    if images < 2:
        return {}
    mious = resampled_mious(list(read.values()), draws(images))
    return dict(zip(read, mious.T, strict=True))


def with_gains(board: Board, found: Answer) -> Board:
    """The board whose rows have these intervals."""
    rows = tuple(replace(row, gain_images=found.gains.get(at)) for at, row in enumerate(board.rows))
    return replace(board, rows=rows)
