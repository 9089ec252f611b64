"""Boards side by side: those that differ in budget alone, and those that match iterations and time of one anchor."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby

from harness.ledger.budget import Budget, Unit
from harness.ledger.files import sha256
from harness.score.leaderboard import Board, Row
from harness.score.scaling import kendall_tau


@dataclass(frozen=True)
class Group:
    """Boards of one workload, device class, pace and version of the rules; the smallest budget first."""

    boards: tuple[Board, ...]

    @property
    def first(self) -> Board:
        """What all of them share can be read from it."""
        return self.boards[0]

    @property
    def largest(self) -> Board:
        """The board of the largest budget that anybody finished; the last, where nobody did."""
        finished = [board for board in self.boards if any(row.miou for row in board.rows)]
        return (finished or self.boards)[-1]

    @property
    def name(self) -> str:
        """Names its files and its place on the page."""
        place = _place(self.first)
        words = (place[0], self.first.device, self.first.pace)
        return "-".join((*(_slug(word) for word in words), sha256(*place)[:6]))

    def rows(self, method: str, digest: str) -> tuple[tuple[Board, Row], ...]:
        """A method's rows, a board each."""
        return tuple(
            (board, row) for board in self.boards for row in board.rows if (row.method, row.digest) == (method, digest)
        )


@dataclass(frozen=True)
class Flip:
    """Two boards of one anchor: its iterations given to every method, and the time that they take it."""

    anchor: str
    iterations: Board
    time: Board
    tau: float | None
    """Kendall's, between the two orders of the methods that stand above the line on both."""

    @property
    def pairs(self) -> tuple[tuple[Row, Row], ...]:
        """The methods above the line on both boards, in the order of the first."""
        there = {(row.method, row.digest): row for row in self.time.ranked}
        return tuple(
            (row, there[row.method, row.digest]) for row in self.iterations.ranked if (row.method, row.digest) in there
        )


def board_hours(board: Board) -> float | None:
    """Device-hours that a run of a board by time may spend; None of a board without a time or a spent second."""
    run = next((run for row in board.rows for run in row.runs if run.spent_seconds), None)
    if run is None or board.budget_seconds is None:
        return None
    return board.budget_seconds * run.device_hours / run.spent_seconds


def grouped(boards: Iterable[Board]) -> tuple[Group, ...]:
    """Boards in the order of `leaderboard.boards`, neighbours that differ in budget alone together."""
    return tuple(Group(tuple(members)) for _, members in groupby(boards, key=_place))


def _place(board: Board) -> tuple[str, ...]:
    return (board.workload, board.workload_digest, board.device_class, board.pace, str(board.rules))


def _slug(word: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", word.lower()).strip("-")[:40]


def flips(boards: Sequence[Board]) -> tuple[Flip, ...]:
    """Every pair of a board `N it` and a board `N it of ANCHOR` that share all but budget and pace."""
    matched = [board for board in boards if Budget.parse(board.budget).unit is Unit.ITERATIONS]
    anchored = [board for board in matched if Budget.parse(board.budget).anchor is not None]
    plain = [board for board in matched if Budget.parse(board.budget).anchor is None]
    return tuple(
        _flip(iterations, time) for time in anchored for iterations in plain if _amount(iterations) == _amount(time)
    )


def _amount(board: Board) -> tuple[object, ...]:
    return (board.workload_digest, board.device_class, board.rules, Budget.parse(board.budget).amount)


def _flip(iterations: Board, time: Board) -> Flip:
    anchor = Budget.parse(time.budget).anchor or ""
    unranked = Flip(anchor, iterations, time, None)
    means = {
        f"{one.method} {one.digest}": (one.miou.mean, other.miou.mean)
        for one, other in unranked.pairs
        if one.miou and other.miou
    }
    first, second = ({name: pair[side] for name, pair in means.items()} for side in (0, 1))
    return Flip(anchor, iterations, time, kendall_tau(first, second))
