"""bench report."""

from pathlib import Path
from typing import Annotated

import typer

from harness.cli import options

OUT = Path("reports")


def report(
    results: options.Results = Path("results"),
    out: Annotated[Path, typer.Option(help="Folder for the page, tables and figures.")] = OUT,
) -> None:
    """Make the page, the leaderboard and the figures from the records."""
    from harness.cli.console import print_line
    from harness.report import build
    from harness.score import load
    from harness.score.leaderboard import boards
    from harness.score.tables import to_markdown

    page = build(results, out)
    print_line(to_markdown(boards(load(results))))
    print_line(f"page: {page.resolve().as_uri()}")
