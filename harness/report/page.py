"""`bench report`: reads RESULTS, writes the page, the tables and the figures."""

import base64
import hashlib
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import jinja2
from markupsafe import Markup

from harness import __version__
from harness.ledger import rules
from harness.ledger.about import about
from harness.ledger.errors import BadInput
from harness.ledger.files import write_bytes
from harness.report import runs_data
from harness.report.facts import facts_of, named
from harness.report.inlining import Inliner
from harness.report.picture import Picture
from harness.report.studio import Studio, picture
from harness.report.style import THEME, Style, styles_of
from harness.report.views import View, scaled_of, sections, students, teacher_hours
from harness.score import numerals
from harness.score.groups import Flip, Group, flips, grouped
from harness.score.leaderboard import Board, Row, boards
from harness.score.over_images import Answer, answer, question, with_gains
from harness.score.store import Results, Unreadable, read_results
from harness.score.tables import tallied, to_csv, to_markdown


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


@dataclass(frozen=True)
class Report:
    """Everything that a report says."""

    results: Results
    boards: tuple[Board, ...]
    views: tuple[View, ...]
    styles: Mapping[str, Style]
    unreadable: tuple[Unreadable, ...]
    without_counts: Mapping[str, int]
    """Runs of each track that left no counts of their images."""

    @property
    def pictures(self) -> tuple[Picture, ...]:
        """All of its figures."""
        return tuple(picture for view in self.views for picture in view.pictures)


def build(results: str | Path, out: str | Path, studio: Studio | None = None) -> Report:
    """Writes the report on RESULTS into OUT; nothing is written unless all of it could be made."""
    studio = studio or Studio(processes=1)
    report = make(read_results(results, studio.pool), studio)
    for sheet in tuple(sheets(report)):
        _write(Path(out) / sheet.name, sheet.content)
    return report


def _write(path: Path, content: bytes) -> None:
    try:
        write_bytes(path, content)
    except OSError as error:
        raise BadInput(
            f"--out: {path}: cannot be written: {error.strerror}: name a folder that you may write to"
        ) from error


def make(results: Results, studio: Studio) -> Report:
    """The report on results; BadInput where there is nothing to report on."""
    if not results.runs:
        raise BadInput(_nothing(results))
    found = boards(results.runs)
    groups = grouped(found)
    styles = styles_of(run.method for run in results.runs)
    joined = flips(found)
    unusable: list[Unreadable] = []
    shown = {group.name: facts_of(group, _flips_of(group, joined), results.folder, unusable) for group in groups}
    drawn = [
        [studio.do(picture, facts, styles, f"{group}-{name}") for name, facts in named(found)]
        for group, found in shown.items()
    ]
    asked = _asked(found, results.folder, studio)
    _template()  # compiled while others draw
    answers = {track: future.result() for track, future in asked.items()}
    told = {board.track: with_gains(board, answers[board.track]) for board in found}
    views = _views(groups, told, joined, drawn, styles)
    unusable += [each for found in answers.values() for each in found.unusable if not _is_missing(each)]
    return Report(
        results=results,
        boards=tuple(told[board.track] for board in found),
        views=views,
        styles=styles,
        unreadable=(*results.unreadable, *unusable),
        without_counts={track: sum(map(_is_missing, found.unusable)) for track, found in answers.items()},
    )


def _is_missing(counts: Unreadable) -> bool:
    """Whether there is no such file: nothing to mend in it."""
    return counts.why.startswith("cannot be read: No such file")


def _nothing(results: Results) -> str:
    runs = results.folder / "runs"
    if results.unreadable:
        first, more = results.unreadable[0], len(results.unreadable) - 1
        also = f", and {more} more files that are no records" if more else ""
        return f"{runs / first.file}: {first.why}{also}"
    return (
        f"{runs}: no record to report on: `bench run --methods all --budget 90s --results {results.folder}` makes some"
    )


def _flips_of(group: Group, joined: Sequence[Flip]) -> tuple[Flip, ...]:
    tracks = {board.track for board in group.boards}
    return tuple(flip for flip in joined if flip.time.track in tracks)


def _asked(found: Sequence[Board], folder: Path, studio: Studio) -> dict[str, Future[Answer]]:
    """What the counts say of each board, as it comes out of the studio."""
    asked = {board.track: question(board) for board in found}
    return {track: studio.do(answer, each, folder) for track, each in asked.items()}


def _views(
    groups: Sequence[Group],
    told: Mapping[str, Board],
    joined: Sequence[Flip],
    drawn: Sequence[Sequence[Future[Picture]]],
    styles: Mapping[str, Style],
) -> tuple[View, ...]:
    known = about(frozenset(styles))
    shown: dict[str, str] = {}
    views = []
    for place, (group, pictures) in enumerate(zip(groups, drawn, strict=True), start=1):
        whole = Group(tuple(told[board.track] for board in group.boards))
        methods = sections(whole, known, styles, shown)
        for section in methods:
            shown.setdefault(section.name, f"m{place}-{section.digest[:8]}")
        views.append(
            View(
                group=whole,
                pictures=tuple(future.result() for future in pictures),
                flips=_flips_of(group, joined),
                scaled=scaled_of(whole),
                teacher_hours=teacher_hours(whole),
                students=students(whole),
                methods=methods,
            )
        )
    return tuple(views)


def sheets(report: Report) -> Iterator[Sheet]:
    """Every file of the report, the page last."""
    yield Sheet("leaderboard.csv", to_csv(report.boards).encode())
    yield Sheet("leaderboard.md", to_markdown(report.boards).encode())
    yield Sheet("runs.csv", runs_data.to_csv(report.results.runs).encode())
    for each in report.pictures:
        yield Sheet(f"figures/{each.name}.svg", each.svg.encode())
        yield Sheet(f"figures/{each.name}.png", each.png)
    yield Sheet("index.html", render(report).encode())


def render(report: Report) -> str:
    """The page: everything it needs is in it."""
    figures = Inliner(report.pictures)
    page, script = _template()
    runs = report.results.runs
    return page.render(
        inline=figures.markup,
        groups=report.views,
        runs_count=len(runs),
        runs_json=runs_data.to_json(runs),
        live_json=runs_data.as_json({each.name: each.live for each in report.pictures if each.live}),
        unreadable=report.unreadable,
        without_counts=report.without_counts,
        superseded=report.results.superseded,
        styles=report.styles,
        figure_styles=figures.style_sheet,
        figure_markers=figures.markers,
        methods=len({run.method for run in runs}),
        latest=max(run.ended for run in runs),
        script=Markup(script),
        script_hash=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
        rules=rules,
        version=__version__,
    )


WORDED = {"start_up": "start-up", "warm_up": "warm-up"}
"""Entries of a run's account that read otherwise than with a space for `_`."""

SCRIPTS = ("state", "tables", "figures", "runs", "page")
"""The page's script, in order: each builds on those before."""


@cache
def _template() -> tuple[jinja2.Template, str]:
    """The page's template, compiled, and its script."""
    loader = jinja2.PackageLoader("harness.report")
    environment = jinja2.Environment(
        loader=loader,
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals.update(numerals=numerals, tallied=tallied, whisker=whisker, colour=colour, WORDED=WORDED)
    script = "\n".join(loader.get_source(environment, f"script/{name}.js")[0] for name in SCRIPTS)
    return environment.get_template("index.html.j2"), script


def colour(style: Style) -> str:
    """The page's name for a style's colour."""
    return THEME[style.colour]


def whisker(row: Row, board: Board) -> Whisker | None:
    """Where a row's gain lies between the board's lowest and highest."""
    if row.gain is None:
        return None
    ends = [end for other in board.rows for end in _gain_ends(other)]
    low, high = min(0.0, *ends), max(0.0, *ends)
    width = max(high - low, 1e-9)
    first, last = min(_gain_ends(row)), max(_gain_ends(row))
    return Whisker(*(round(4 + 92 * (at - low) / width, 1) for at in (0.0, row.gain.mean, first, last)))


def _gain_ends(row: Row) -> tuple[float, ...]:
    if row.gain is None:
        return ()
    return (row.gain.mean, *((row.gain.interval.low, row.gain.interval.high) if row.gain.interval else ()))
