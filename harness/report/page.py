"""`bench report`: reads RESULTS, writes the page, the tables and the figures."""

import base64
import hashlib
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

import jinja2
import pandas as pd
from markupsafe import Markup

from harness import __version__
from harness.ledger import rules
from harness.ledger.errors import BadInput
from harness.ledger.files import sha256, write_bytes
from harness.report.figures import BAND, FAMILIES, INK, MUTED, PAPER, RULE, Picture, draw
from harness.score import load, numerals
from harness.score.leaderboard import Board, Row, boards
from harness.score.tables import tallied, to_csv, to_markdown

THEME = {INK: "ink", MUTED: "muted", RULE: "rule", BAND: "band", PAPER: "paper"} | {
    colour: family for family, (colour, _) in FAMILIES.items() if colour != INK
}
"""The page's name for each colour of a figure, so that it follows the reader's light or dark."""


@dataclass(frozen=True)
class Group:
    """Boards that differ in budget alone, with the figure that joins them."""

    boards: tuple[Board, ...]
    picture: Picture | None

    @property
    def first(self) -> Board:
        """What all of them share can be read from it."""
        return self.boards[0]


@dataclass(frozen=True)
class Whisker:
    """A gain and its interval on the board's common scale, in percent of the plot's width."""

    zero: float
    mean: float
    low: float
    high: float


@dataclass(frozen=True)
class Sheet:
    """A file of the report."""

    name: str
    content: bytes


def build(results: Path, out: Path) -> Path:
    """Writes the report on RESULTS into OUT and returns its page; nothing is written unless all of it could be made."""
    frame = load(results)
    if frame.empty:
        make = f"bench run --methods all --budget 90s --results {results}"
        raise BadInput(f"{Path(results) / 'runs'}: no record to report on: `{make}` makes some")
    for sheet in sheets(frame):
        _write(out / sheet.name, sheet.content)
    return out / "index.html"


def _write(path: Path, content: bytes) -> None:
    try:
        write_bytes(path, content)
    except OSError as error:
        raise BadInput(
            f"--out: {path}: cannot be written: {error.strerror}: name a folder that you may write to"
        ) from error


def sheets(frame: pd.DataFrame) -> tuple[Sheet, ...]:
    """Every file of the report on a frame, the page last."""
    found = boards(frame)
    groups = grouped(found)
    pictures = [group.picture for group in groups if group.picture]
    return (
        Sheet("leaderboard.csv", to_csv(found).encode()),
        Sheet("leaderboard.md", to_markdown(found).encode()),
        *(Sheet(f"figures/{picture.name}.svg", picture.svg.encode()) for picture in pictures),
        *(Sheet(f"figures/{picture.name}.png", picture.png) for picture in pictures),
        Sheet("index.html", render(frame, groups).encode()),
    )


def grouped(found: Iterable[Board]) -> tuple[Group, ...]:
    """Neighbouring boards of one workload, device class, pace and rules version; each budget unit drawn together."""
    groups = []
    for place, members in groupby(found, key=_place):
        same = tuple(members)
        words = (place[0], same[0].device, same[0].pace)
        name = "-".join(re.sub(r"[^a-z0-9]+", "-", word.lower()).strip("-")[:40] for word in words)
        groups.append(Group(same, draw(same, f"{name}-{sha256(*place)[:6]}")))
    return tuple(groups)


def _place(board: Board) -> tuple[str, ...]:
    return (board.workload, board.workload_digest, board.device_class, board.pace, str(board.rules))


def render(frame: pd.DataFrame, groups: Sequence[Group]) -> str:
    """The page: everything it needs is in it."""
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("harness.report"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals.update(numerals=numerals, tallied=tallied, whisker=whisker, inline=inline)
    script = environment.loader.get_source(environment, "sort.js")[0] if environment.loader else ""
    return environment.get_template("index.html.j2").render(
        groups=groups,
        runs=_runs_by_track(frame),
        methods=frame["method"].nunique(),
        latest=frame["ended"].max(),
        script=Markup(script),
        script_hash=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
        rules=rules,
        version=__version__,
    )


def _runs_by_track(frame: pd.DataFrame) -> dict[str, list[object]]:
    """The frame's rows as tuples with names, None for what is missing."""
    plain = frame.astype(object).where(frame.notna(), None)
    return {str(track): list(runs.itertuples(index=False)) for track, runs in plain.groupby("track", sort=False)}


def whisker(row: Row, board: Board) -> Whisker | None:
    """Where a row's gain lies between the board's lowest and highest."""
    if row.gain is None:
        return None
    ends = [end for other in board.rows for end in _gain_ends(other)]
    low, high = min(0.0, *ends), max(0.0, *ends)
    width = max(high - low, 1e-9)
    first, last = min(_gain_ends(row)), max(_gain_ends(row))
    return Whisker(*(round(4 + 92 * (at - low) / width, 2) for at in (0.0, row.gain.mean, first, last)))


def _gain_ends(row: Row) -> tuple[float, ...]:
    if row.gain is None:
        return ()
    return (row.gain.mean, *((row.gain.interval.low, row.gain.interval.high) if row.gain.interval else ()))


def inline(picture: Picture) -> Markup:
    """The figure for the page: its colours become the page's, its ids its own. matplotlib has escaped its text."""
    svg = picture.svg[picture.svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    svg = re.sub(r'(\bid="|url\(#|href="#)', rf"\g<1>{picture.name}-", svg)
    for colour, name in THEME.items():
        svg = svg.replace(colour, f"var(--{name})")
    return Markup(svg.replace("<svg ", '<svg aria-hidden="true" ', 1))
