"""A sheet measured in points from its upper left corner, as an SVG is: what is drawn at (x, y) is found at (x, y)."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal, TypedDict, Unpack

from matplotlib.artist import Artist
from matplotlib.backend_bases import RendererBase
from matplotlib.colors import to_rgba
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import PathPatch
from matplotlib.path import Path
from matplotlib.text import Text
from matplotlib.transforms import Affine2D

from harness.report.names import shown
from harness.report.picture import BAND, INK, MUTED, PAPER, RULE
from harness.report.style import Style

Align = Literal["left", "center", "right"]
Point = tuple[float, float]
BREAK: Point = (float("nan"), float("nan"))
"""Between two points of a line: it is interrupted."""


class Look(TypedDict, total=False):
    """How a line is drawn: Line2D's settings."""

    linewidth: float
    linestyle: Literal[""] | tuple[float, Sequence[float]]
    marker: str
    markevery: list[int]
    markersize: float
    markerfacecolor: str
    markeredgecolor: str
    markeredgewidth: float


class Script(TypedDict, total=False):
    """How words are written: Text's settings."""

    fontsize: float
    fontstyle: Literal["normal", "italic"]


DOTTED, DASHED = (0, (1.2, 2)), (0, (6, 3))
HEAD = 20.0
"""Points from the top to what is written above the axes."""
SMALL = 8.5
LETTER = 0.6
"""Of the font's size: a letter's width, roughly."""


class Canvas:
    """A figure without axes: few artists and a short file."""

    def __init__(self, width: float, height: float) -> None:
        self.width, self.height = width, height
        self.figure = Figure(figsize=(width / 72, height / 72), facecolor=PAPER)
        inches = Affine2D().scale(1 / 72, -1 / 72).translate(0, height / 72)
        self.points = inches + self.figure.dpi_scale_trans

    def add(self, artist: Artist) -> Artist:
        """The artist is drawn, in points."""
        artist.set_transform(self.points)
        self.figure.add_artist(artist)
        return artist

    def line(
        self, points: Iterable[Point], colour: str, *, alpha: float = 1.0, order: float = 2, **look: Unpack[Look]
    ) -> Line2D:
        """A line through points, with markers where `look` (Line2D's settings) says so."""
        across, down = zip(*points, strict=True)
        line = Line2D(across, down, color=to_rgba(colour, alpha), zorder=order, **look)
        self.add(line)
        return line

    def boxes(self, spans: Iterable[tuple[float, float]], top: float, bottom: float) -> PathPatch:
        """Pale rectangles of one height, from left to right each: one artist."""
        corners = [((left, top), (right, top), (right, bottom), (left, bottom), (left, top)) for left, right in spans]
        codes = (Path.MOVETO, Path.LINETO, Path.LINETO, Path.LINETO, Path.CLOSEPOLY) * len(corners)
        path = Path([point for box in corners for point in box], codes)
        patch = PathPatch(path, facecolor=BAND, linewidth=0, zorder=0)
        self.add(patch)
        return patch

    def text(
        self, at: Point, words: str, colour: str = MUTED, *, align: Align = "left", **look: Unpack[Script]
    ) -> Text:
        """Words that begin, end or have their middle at a point of their baseline; never read as mathematics."""
        text = self.written(at, words, colour, align, **look)
        self.add(text)
        return text

    def name(self, at: Point, method: str, *, below: bool = False, align: Align = "left") -> Text:
        """A method's name, beside its marker, as its colour may be too pale for words; in italics below the line."""
        return self.text(at, shown(method), INK, align=align, fontstyle="italic" if below else "normal")

    def written(self, at: Point, words: str, colour: str, align: Align, **look: Unpack[Script]) -> Text:
        """The same, not yet added."""
        text = Text(*at, words, color=colour, horizontalalignment=align, parse_math=False, zorder=5, **look)
        text.set_figure(self.figure)
        text.set_transform(self.points)
        return text


def marked(style: Style, at: list[int], size: float, *, hollow: bool = False) -> Look:
    """A thin line with a method's markers at some of its points; hollow for a row below the line."""
    return {
        "linewidth": 1.0,
        "marker": style.marker,
        "markevery": at,
        "markersize": size,
        "markerfacecolor": PAPER if hollow else style.colour,
        "markeredgecolor": style.colour,
        "markeredgewidth": 1.1,
    }


class Bundle(Artist):
    """Texts that are one part of the figure: a group in its SVG."""

    def __init__(self, canvas: Canvas, texts: Sequence[Text]) -> None:
        super().__init__()
        self.texts = texts
        self.set_zorder(5)
        canvas.figure.add_artist(self)

    def draw(self, renderer: RendererBase) -> None:
        """All of them within the group."""
        renderer.open_group("bundle", self.get_gid())
        for text in self.texts:
            text.draw(renderer)
        renderer.close_group("bundle")


@dataclass(frozen=True)
class Sample:
    """An entry of a key: a piece of line or a marker, and what it means."""

    words: str
    colour: str
    look: Look
    """Line2D's settings."""

    @property
    def width(self) -> float:
        """Points that it takes."""
        return SAMPLE + 5 + LETTER * SMALL * len(self.words) + 12


SAMPLE = 20.0
"""Points of a piece of line."""
BELOW_LINE = Sample(
    "below the line",
    MUTED,
    {"linestyle": "", "marker": "o", "markersize": 5.5, "markerfacecolor": PAPER, "markevery": [1]},
)


def key(canvas: Canvas, right: float, down: float, samples: Iterable[Sample]) -> None:
    """A row of samples that ends at the right."""
    shown = list(samples)
    across = right - sum(sample.width for sample in shown) + 12
    for sample in shown:
        middle = down - 3
        points = [(across, middle), (across + SAMPLE / 2, middle), (across + SAMPLE, middle)]
        canvas.line(points, sample.colour, **sample.look)
        canvas.text((across + SAMPLE + 5, down), sample.words, fontsize=SMALL)
        across += sample.width


def upright(canvas: Canvas, left: float, right: float, ticks: Iterable[tuple[float, str]]) -> None:
    """The axis of mIoU: what it is, thin level lines, their percents at the left."""
    shown_ticks = list(ticks)
    canvas.text((left - 6, HEAD), "mIoU %")
    rule(canvas, [[(left, down), (right, down)] for down, _ in shown_ticks])
    for down, words in shown_ticks:
        canvas.text((left - 6, down + 3), words, align="right")


def rule(canvas: Canvas, lines: Iterable[Sequence[Point]]) -> None:
    """Thin lines of a grid: one artist."""
    points = [point for line in lines for point in (*line, BREAK)]
    if points:
        canvas.line(points, RULE, order=0.5, linewidth=0.6)
