"""bench report."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from harness.cli import options

if TYPE_CHECKING:
    from harness.score.leaderboard import Board

OUT = Path("reports")


def report(
    results: options.Results = Path("results"),
    out: Annotated[Path, typer.Option(help="Folder for the page, tables and figures.")] = OUT,
) -> None:
    """Make the page, the leaderboard and the figures from the records."""
    from harness.report.studio import Studio

    with Studio(processes=2) as studio:  # loads matplotlib, while what follows loads the rest
        from harness.cli.console import print_line
        from harness.report.page import build

        made = build(results, out, studio)
    for board in made.boards:
        show_board(board)
    for file in made.unreadable:
        print_line(f"not counted: {file.file}: {file.why}")
    print_line(f"page: {(out / 'index.html').resolve().as_uri()}")


def show_board(board: "Board") -> None:
    """A board on the terminal: who won, and below the line why somebody is not ranked."""
    from harness.cli.console import print_line, show_table
    from harness.score.tables import HEADER, table

    shown = [index for index, name in enumerate(HEADER) if name not in {"title", "family", "weights"}]
    rows = [tuple(cells[index] for index in shown) for cells in table(board, board.rows)]
    title = f"{board.title}, {board.budget} a run, {board.device} ({board.standing}: {board.caveat})"
    show_table(title, tuple(HEADER[index] for index in shown), rows)
    for row in board.unranked:
        print_line(f"{row.method} stands below the line: {'; '.join(row.why)}")
