"""Boards as files: CSV for programs, Markdown for people."""

import csv
import io
import re
from collections.abc import Sequence

from harness.score import numerals
from harness.score.leaderboard import Board, Row
from harness.score.reasons import Tally
from harness.score.stats import Estimate, Interval

CSV_HEADER = (
    *("track", "workload", "standing", "budget", "budget_seconds", "device", "pace", "rules", "teacher_miou"),
    *(
        "rank",
        "rank_best",
        "rank_worst",
        "above_the_line",
        "method",
        "method_digest",
        "title",
        "family",
        "sources",
        "n",
        "planned",
    ),
    *("miou", "miou_low", "miou_high", "gain", "gain_n", "gain_low", "gain_high"),
    *("gain_images_low", "gain_images_high", "teacher_share"),
    *(
        "iterations",
        "epochs",
        "images",
        "cost_ratio",
        "cost_ratio_low",
        "cost_ratio_high",
        "device_hours",
        "energy_kwh",
    ),
    *("endings", "marks", "why", "notes"),
)
HEADER = (
    *("#", "method", "title", "family", "n", "mIoU %", "gain", "of teacher %", "iterations", "epochs"),
    *("cost ×", "device-hours", "ending", "marks", "weights"),
)
RIGHT = frozenset({"#", "n", "mIoU %", "gain", "of teacher %", "iterations", "epochs", "cost ×", "device-hours"})


def to_csv(boards: Sequence[Board]) -> str:
    """All boards in one table: fractions as fractions, empty cells where there is no value."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(CSV_HEADER)
    writer.writerows(_csv_row(board, row) for board in boards for row in board.rows)
    return text.getvalue()


def _csv_row(board: Board, row: Row) -> tuple[object, ...]:
    place = (board.track, board.workload, board.standing, board.budget, board.budget_seconds, board.device, board.pace)
    miou_mean, _, *miou_ends = _parts(row.miou)
    return (
        *(*place, board.rules, board.teacher_miou, row.rank, *_ranks(row), row.above),
        *(row.method, row.digest, row.title, row.family, " ".join(row.sources), row.n, row.planned),
        *(miou_mean, *miou_ends, *_parts(row.gain), *_ends(row.gain_images), row.share),
        *(row.iterations, row.epochs, row.images, row.cost_ratio, *_ends(row.cost_interval)),
        *(row.device_hours, row.energy_kwh),
        *(tallied(row.endings, row.planned), tallied(row.marks, row.planned), "; ".join(row.why), "; ".join(row.notes)),
    )


def _parts(estimate: Estimate | None) -> tuple[float | None, int | None, float | None, float | None]:
    return (estimate.mean, estimate.n, *_ends(estimate.interval)) if estimate else (None, None, None, None)


def _ranks(row: Row) -> tuple[int | None, int | None]:
    return (row.ranks.best, row.ranks.worst) if row.ranks else (None, None)


def ranked(row: Row) -> str:
    """`2 (1–4)`: its rank, and those that chance leaves it."""
    if row.rank is None:
        return numerals.NONE
    chance = row.ranks and row.ranks.best < row.ranks.worst
    return f"{row.rank} ({row.ranks.best}–{row.ranks.worst})" if row.ranks and chance else f"{row.rank}"


def _ends(interval: Interval | None) -> tuple[float | None, float | None]:
    return (interval.low, interval.high) if interval else (None, None)


def tallied(tallies: Sequence[Tally], planned: int) -> str:
    """`done`, or `done 2 of 3, diverged 1 of 3` when not all runs agree."""
    return ", ".join(
        each.word if each.count == planned else f"{each.word} {each.count} of {planned}" for each in tallies
    )


def to_markdown(boards: Sequence[Board]) -> str:
    """A section a board: heading facts, the ranked table, and below the line each row with its reason."""
    return "\n".join(_section(board) for board in boards)


def _section(board: Board) -> str:
    lines = [f"## {_escaped(board.title)} · {_escaped(board.budget)} · {_escaped(board.device)}", ""]
    lines += [f"**{board.standing}** {_escaped(board.caveat)}", "", _facts(board), ""]
    lines += _table(board, board.ranked) if board.ranked else ["No row stands above the line."]
    if board.unranked:
        lines += ["", "Below the line:", "", *_table(board, board.unranked), ""]
        lines += [f"- `{_code(row.method)}`: {_escaped('; '.join(row.why))}" for row in board.unranked]
    notes = [f"- `{_code(row.method)}`: {_escaped(note)}" for row in board.rows for note in row.notes]
    return "\n".join([*lines, *(["", *notes] if notes else []), ""])


def _facts(board: Board) -> str:
    facts = (
        f"workload {board.workload} ({board.workload_digest[:8]})",
        f"device {board.device} ({board.device_detail})",
        f"pace {board.pace}",
        f"rules {board.rules}",
        f"teacher {numerals.percent(board.teacher_miou, 1)} % mIoU",
        f"seeds {', '.join(map(str, board.seeds))}",
        f"track {board.track}",
    )
    return _escaped(" · ".join(facts))


def _table(board: Board, rows: Sequence[Row]) -> list[str]:
    rule = " | ".join("--:" if title in RIGHT else ":--" for title in HEADER)
    body = [f"| {' | '.join(map(_escaped, cells))} |" for cells in table(board, rows)]
    return [f"| {' | '.join(HEADER)} |", f"| {rule} |", *body]


def table(board: Board, rows: Sequence[Row]) -> list[tuple[str, ...]]:
    """The rows' cells as people read them, under HEADER."""
    digits = numerals.decimals(row.miou for row in board.rows)
    return [_cells(row, digits) for row in rows]


def _cells(row: Row, digits: int) -> tuple[str, ...]:
    return (
        *(ranked(row), row.method, row.title, row.family),
        f"{row.n}" if row.n == row.planned else f"{row.n} of {row.planned}",
        _joined(numerals.percent(row.miou.mean if row.miou else None, digits), numerals.half_width(row.miou, digits)),
        _joined(numerals.points(row.gain.mean if row.gain else None, digits), numerals.half_width(row.gain, digits)),
        *(numerals.percent(row.share, 1), numerals.count(row.iterations), numerals.epochs(row.epochs)),
        _joined(numerals.ratio(row.cost_ratio), numerals.ratio_range(row.cost_interval)),
        *(numerals.hours(row.device_hours), tallied(row.endings, row.planned), tallied(row.marks, row.planned)),
        ", ".join(row.sources),
    )


def _joined(*words: str) -> str:
    return " ".join(word for word in words if word)


def _escaped(text: str) -> str:
    """Text that Markdown and HTML leave as it is."""
    flat = " ".join(text.split()).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return re.sub(r"([\\`*_\[\]|#~])", r"\\\1", flat)


def _code(text: str) -> str:
    """Text for a code span."""
    return re.sub(r"[`\s|]+", " ", text)
