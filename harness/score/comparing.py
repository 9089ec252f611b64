"""Two methods on every board where both have runs: the difference, how sure it is, and a sentence that says so."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from harness.ledger.budget import Budget
from harness.ledger.counts import read_counts
from harness.ledger.errors import BadInput, nearest
from harness.ledger.results import counts_path
from harness.ledger.rules import RULES_VERSION
from harness.ledger.stored import must_be_results
from harness.score import numerals
from harness.score.images import bootstrap_difference
from harness.score.leaderboard import Board, Row, boards
from harness.score.model import paired
from harness.score.over_images import MOST_SEEDS
from harness.score.runs import Run, current_versions, version_of
from harness.score.stats import Estimate, Floats, Interval
from harness.score.store import Results

SMALL = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")


@dataclass(frozen=True)
class Difference:
    """One method less another on a board, in fractions of mIoU; intervals at LEVEL."""

    board: Board
    first: Row
    second: Row
    where: str
    """`streets at 20s, AMD EPYC, 1 thread`, and more where that says another board found beside it too."""
    mean: float | None
    """Over the seeds of the board's on which both finished; None where there is none."""
    n: int
    """So many seeds."""
    alone: Interval | None
    """For this pair, looked at alone; None for one seed."""
    together: Interval | None
    """Holds for all pairs of the board's methods at once (Tukey)."""
    pairs: int
    """So many, this one among them."""
    over_images: Interval | None
    """The runs as they are, the images drawn again; None without the counts of both."""
    notes: tuple[str, ...]
    """What else is to be known, a line each."""


def compare(results: Results, first: str, second: str, workload: str | None, budget: str | None) -> list[Difference]:
    """A difference a board; BadInput for names that nothing ran under, and where no board has both."""
    if first == second:
        raise BadInput(f"A B: found {first!r} twice: expected two methods")
    chosen = _chosen(results, workload, budget)
    _must_have_run(chosen, first)
    _must_have_run(chosen, second)
    found = []
    for board in chosen:
        one, other = _current(board, first), _current(board, second)
        if one is not None and other is not None:
            found.append((board, one, other))
    if not found:
        places = "; ".join(f"{name} ran on {_boards_of(chosen, name)}" for name in (first, second))
        raise BadInput(f"A B: no board has runs of both: {places}")
    wheres = _wheres([board for board, _, _ in found])
    return [_difference(results.folder, *each, where) for each, where in zip(found, wheres, strict=True)]


def _wheres(found: Sequence[Board]) -> list[str]:
    """What tells the boards apart, in as few words as do."""
    short = [_where(board) for board in found]
    return [
        f"{where}, {board.pace} pace, {board.device_detail}, workload {board.workload_digest[:6]}"
        if short.count(where) > 1
        else where
        for board, where in zip(found, short, strict=True)
    ]


def _where(board: Board) -> str:
    rules = "" if board.rules == RULES_VERSION else f", version {board.rules} of the rules"
    return f"{board.workload} at {board.budget}, {board.device}{rules}"


def _chosen(results: Results, workload: str | None, budget: str | None) -> list[Board]:
    """The boards that were asked for."""
    found = list(boards(results.runs))
    if not found:
        must_be_results(results.folder, "--results: ")
        raise BadInput(f"--results: {results.folder}: found no records: expected those of `bench run`")
    if workload is not None:
        known = sorted({board.workload for board in found})
        found = [board for board in found if board.workload == workload]
        if not found:
            raise BadInput(f"--workload: no runs on {workload!r}{nearest(workload, known)}: found {', '.join(known)}")
    if budget is not None:
        asked = Budget.parse(budget).canonical
        known = list(dict.fromkeys(board.budget for board in found))
        found = [board for board in found if Budget.parse(board.budget).canonical == asked]
        if not found:
            raise BadInput(f"--budget: no runs at {budget!r}: found {', '.join(known)}")
    return found


def _must_have_run(chosen: Sequence[Board], name: str) -> None:
    known = sorted({row.method for board in chosen for row in board.rows})
    if name not in known:
        raise BadInput(f"A B: no runs of {name!r}{nearest(name, known)}: found {', '.join(known)}")


def _boards_of(chosen: Sequence[Board], name: str) -> str:
    """Where a method ran."""
    places = (f"{board.workload} at {board.budget}" for board in chosen if _current(board, name) is not None)
    return ", ".join(dict.fromkeys(places))


def _current(board: Board, name: str) -> Row | None:
    """A method's row, of its versions the one that ended last."""
    rows = [row for row in board.rows if row.method == name]
    current = current_versions([run for row in rows for run in row.runs])
    return next((row for row in rows if version_of(row.runs[0]) in current), None)


def _difference(folder: Path, board: Board, first: Row, second: Row, where: str) -> Difference:
    """The difference by the board's model, of rows below the line beside those above it."""
    others = [row for row in board.ranked if row is not first and row is not second]
    found = paired(np.array([_mious(row, board.seeds) for row in (first, second, *others)]), 0, 1)
    over_images, missing = _over_images(folder, board, _shared(board, first, second))
    return Difference(
        board=board,
        first=first,
        second=second,
        where=where,
        mean=found.mean if found else None,
        n=found.n if found else 0,
        alone=found.alone if found else None,
        together=found.together if found else None,
        pairs=found.pairs if found else 0,
        over_images=over_images,
        notes=(*_beside(first), *_beside(second), *missing),
    )


def _mious(row: Row, seeds: Sequence[int]) -> Floats:
    """By seed, NaN where no run is done."""
    done = {run.seed: run.miou for run in row.scored}
    return np.array([done.get(seed, np.nan) for seed in seeds], dtype=np.float64)


def _shared(board: Board, first: Row, second: Row) -> list[tuple[Run, Run]]:
    """The finished runs of both, in pairs of one seed of the board's."""
    theirs = {run.seed: run for run in second.scored}
    return [(run, theirs[run.seed]) for run in first.scored if run.seed in theirs and run.seed in board.seeds]


def _over_images(
    folder: Path, board: Board, finished: Sequence[tuple[Run, Run]]
) -> tuple[Interval | None, tuple[str, ...]]:
    """The interval over images, of as many seeds as on the page, and why there is none."""
    shared = [pair for pair in finished if pair[0].seed in board.seeds[:MOST_SEEDS]]
    if not shared:
        return None, (f"no interval over images: it is of the board's first {MOST_SEEDS} seeds",) if finished else ()
    try:
        ours, theirs = (
            [read_counts(counts_path(folder, run.name), run.scored_images or 0, len(run.class_iou)) for run in side]
            for side in zip(*shared, strict=True)
        )
        return bootstrap_difference(ours, theirs), ()
    except BadInput as error:
        return None, (f"no interval over images: {error}",)


def _beside(row: Row) -> Iterator[str]:
    """Why a row stands below the line, and what else is to be said of it."""
    if row.why:
        yield f"{row.method} stands below the line: {'; '.join(row.why)}"
    yield from (f"{row.method}: {note}" for note in row.notes)


def sentence(found: Difference) -> str:
    """What the numbers come to, in plain English; points are percentage points of mIoU."""
    names = f"{found.first.method} and {found.second.method}"
    if found.mean is None:
        return f"On {found.where}: {names} share no seed{_of_board(found)} on which both finished: nothing to compare."
    digits = numerals.decimals([Estimate(found.mean, found.n, found.together)])
    images = f"; over images {_range(found.over_images, digits)}" if found.over_images else ""
    return f"On {found.where}: {_stated(found, digits)}: {_judged(found)}{images}."


def _of_board(found: Difference) -> str:
    """` of the board's (0, 1)` where they share another one."""
    both = {run.seed for run in found.first.scored} & {run.seed for run in found.second.scored}
    return f" of the board's ({', '.join(map(str, found.board.seeds))})" if both else ""


def _stated(found: Difference, digits: int) -> str:
    """`cwd is 1.3 points above kd (95 % +0.2 to +2.4, n = 3)`."""
    mean = found.mean or 0.0
    sides = "above" if mean > 0 else "below"
    size = numerals.points(abs(mean), digits).lstrip("+")
    apart = f"{size} points {sides}" if float(size) else f"within {10**-digits / 2:g} points of"
    interval = f"95 % {_range(found.alone, digits)}, " if found.alone else ""
    return f"{found.first.method} is {apart} {found.second.method} ({interval}n = {found.n})"


def _judged(found: Difference) -> str:
    """Whether seeds alone could have made the difference."""
    seeds = SMALL[found.n] if found.n < len(SMALL) else str(found.n)
    if found.alone is None:
        return "one seed, and so no interval" if found.n == 1 else f"{seeds} seeds, and no scatter to judge them by"
    if not _excludes_zero(found.alone):
        return f"no difference that {seeds} seeds could tell"
    if found.pairs > 1 and not _excludes_zero(found.together):
        return f"more than seeds explain for this pair alone, not for one picked from the board's {found.pairs}"
    return "more than seeds explain"


def _excludes_zero(interval: Interval | None) -> bool:
    return interval is not None and (interval.low > 0 or interval.high < 0)


def _range(interval: Interval | None, digits: int) -> str:
    """`+0.2 to +2.4`."""
    if interval is None:
        return numerals.NONE
    return f"{numerals.points(interval.low, digits)} to {numerals.points(interval.high, digits)}"
