"""IoU by class: methods × classes as a grid of colours, best method on top."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from numpy.typing import NDArray

from harness.report.facts.classes import Classes
from harness.report.figures.sheet import Parts, as_png, as_svg, settings
from harness.report.names import shown, without_room
from harness.report.picture import MUTED, PAPER, Picture
from harness.report.style import Styles
from harness.score import numerals
from harness.score.stats import Floats

COLOURS = "cividis"
"""From dark blue to yellow; as good for the colour-blind, and in grey."""


DARK, LIGHT = "#000000", "#fefefe"
"""Numbers on cells: of the cells' colours, not of the page's light and dark."""


MOST_NUMBERS = 400
"""Cells that have their values in print; of more they would be too small to read."""


WIDTH, NAMES, RIGHT = 756.0, 140.0, 30.0
"""Points: of the figure, unless cells would be too narrow; of the methods' names; at the right, for the last class."""


NARROWEST, WIDEST = 6.2, 44.0
"""Points that a column takes."""


ROW, FOOT = 15.0, 40.0
"""Points that a row takes, and the colour scale below."""


LETTER = 0.56
"""Of its size: what a letter of a class name takes along it, on average."""


@dataclass(frozen=True)
class Grid:
    """Where everything stands, in points from the top left corner: units of the SVG."""

    rows: int
    columns: int
    longest: int
    """Letters of the longest class name."""

    @property
    def column(self) -> float:
        """The width of a column."""
        return float(np.clip((WIDTH - NAMES - RIGHT) / self.columns, NARROWEST, WIDEST))

    @property
    def slant(self) -> float:
        """Of the class names, in degrees: upright where columns are narrow."""
        return 90.0 if self.column < 20 else 45.0

    @property
    def letters(self) -> float:
        """The size of the class names."""
        return 9.0 if self.slant < 90 else min(8.0, 0.95 * self.column)

    @property
    def reach(self) -> float:
        """The length of the longest class name."""
        return LETTER * self.letters * self.longest

    @property
    def head(self) -> float:
        """The height of the class names."""
        return 16 + self.reach * float(np.sin(np.radians(self.slant)))

    @property
    def box(self) -> tuple[float, float, float, float]:
        """Left, top, width and height of the cells."""
        return (NAMES, self.head, self.columns * self.column, self.rows * ROW)

    @property
    def size(self) -> tuple[float, float]:
        """Of the figure."""
        _, _, width, height = self.box
        right = max(RIGHT, self.reach * float(np.cos(np.radians(self.slant))))
        return (NAMES + width + right, self.head + height + FOOT)

    def place(self, left: float, top: float, width: float, height: float) -> tuple[float, float, float, float]:
        """A box as matplotlib wants it: shares of the figure, from below."""
        across, down = self.size
        return (left / across, 1 - (top + height) / down, width / across, height / down)


def draw(classes: Classes, styles: Styles, name: str) -> Picture:
    """The grid.

    `live` is {"kind": "cells", "box": [left, top, width, height] of all cells in the SVG's units, "rows": methods from
    top to bottom, "columns": classes from left to right, "values": rows × columns, IoU as fractions of four digits,
    null for a class without pixels}. Each cell is as large as the next.
    """
    parts = Parts()
    grid = Grid(len(classes.methods), len(classes.names), max(len(shown(each)) for each in classes.names))
    table = np.array(classes.values, dtype=np.float64)
    norm = _norm(table)
    cells = list(_cells(table, norm)) if table.size <= MOST_NUMBERS else []
    with settings():
        figure = Figure(figsize=(grid.size[0] / 72, grid.size[1] / 72), facecolor=PAPER)
        axes = figure.add_axes(grid.place(*grid.box), facecolor="none")
        _image(axes, table, norm)
        _names(axes, classes, grid, parts)
        _scale(figure, grid, norm)
        svg = as_svg(figure).replace("</svg>", f"{_numbers(cells, grid)}</svg>")
        _print(axes, cells, grid)
        png = as_png(figure)
    return Picture(name, "IoU by class", _caption(classes), svg, png, tuple(parts.found), _live(classes, grid))


def _caption(classes: Classes) -> str:
    none = " A class without any pixel in the labels is blank." if any(None in row for row in classes.values) else ""
    return (
        f"Of {shown(classes.budget)}: means over seeds, in percent, best method on top. One scale of colours for all "
        f"classes, as light as the IoU is high.{none}{without_room(classes.without_room)}"
    )


def _live(classes: Classes, grid: Grid) -> dict[str, object]:
    return {
        "kind": "cells",
        "box": [round(value, 2) for value in grid.box],
        "rows": list(classes.methods),
        "columns": list(classes.names),
        "values": [[None if value is None else round(value, 4) for value in row] for row in classes.values],
    }


def _norm(table: Floats) -> Normalize:
    """From the lowest to the highest value, to tenths: what all of them share is no news."""
    known = table[~np.isnan(table)]
    if known.size == 0:
        return Normalize(0.0, 1.0)
    low, high = np.floor(10 * known.min()) / 10, np.ceil(10 * known.max()) / 10
    return Normalize(float(low), float(max(high, low + 0.1)))


def _colours(table: Floats, norm: Normalize) -> NDArray[np.uint8]:
    """Of values, ...×4; nothing where there is no value."""
    colours = mpl.colormaps[COLOURS](norm(np.nan_to_num(table)), bytes=True)
    colours[np.isnan(table)] = 0
    return np.asarray(colours, dtype=np.uint8)


def _image(axes: Axes, table: Floats, norm: Normalize) -> None:
    """A pixel a cell, drawn as large as cells are without smoothing."""
    axes.imshow(_colours(table, norm), interpolation="none", aspect="auto")
    axes.spines[:].set_visible(False)
    axes.set(xticks=(), yticks=())


@dataclass(frozen=True)
class Cell:
    """A number in its place."""

    row: int
    column: int
    text: str
    colour: str


def _cells(table: Floats, norm: Normalize) -> Iterator[Cell]:
    """The numbers, dark on light cells and light on dark ones."""
    brightness = _colours(table, norm)[..., :3] @ (0.299, 0.587, 0.114)
    for row, column in np.ndindex(*table.shape):
        if np.isnan(table[row, column]):
            yield Cell(row, column, numerals.NONE, MUTED)
        else:
            text = numerals.percent(float(table[row, column]), 0)
            yield Cell(row, column, text, DARK if brightness[row, column] > 110 else LIGHT)


def _size(grid: Grid) -> float:
    """Of the numbers' letters."""
    return min(8.0, 0.42 * grid.column)


def _numbers(cells: Sequence[Cell], grid: Grid) -> str:
    """As SVG: matplotlib would write four times as much for each."""
    left, top, _, _ = grid.box
    groups = []
    for colour in sorted({cell.colour for cell in cells}):
        texts = "".join(
            f'<text x="{left + (cell.column + 0.5) * grid.column:.1f}" y="{top + cell.row * ROW + 10.3:.1f}">'
            f"{cell.text.replace('<', '&lt;').replace('>', '&gt;')}</text>\n"
            for cell in cells
            if cell.colour == colour
        )
        style = f"font-size:{_size(grid):.1f}px;text-anchor:middle;fill:{colour}"
        groups.append(f'<g style="{style}">\n{texts}</g>\n')
    return "".join(groups)


def _print(axes: Axes, cells: Sequence[Cell], grid: Grid) -> None:
    """The same for the PNG."""
    for cell in cells:
        text = axes.text(cell.column, cell.row, cell.text, ha="center", va="center_baseline", parse_math=False)
        text.set(color=cell.colour, fontsize=_size(grid))


def _names(axes: Axes, classes: Classes, grid: Grid, parts: Parts) -> None:
    """Of methods at the left with their mIoU, of classes above."""
    for row, (method, miou) in enumerate(zip(classes.methods, classes.mious, strict=True)):
        number = numerals.percent(miou, 1)
        at = -0.5 - 6 / grid.column
        text = axes.text(at, row, f"{shown(method)}  {number}", ha="right", va="center_baseline", parse_math=False)
        parts.name(text, method, f"{method}: mIoU {number} %{_extremes(classes, row)}")
    upright = grid.slant == 90
    for column, name in enumerate(classes.names):
        axes.text(
            column if upright else column - 0.2,
            -0.5 - 4 / ROW,
            shown(name),
            rotation=grid.slant,
            rotation_mode="default" if upright else "anchor",
            ha="center" if upright else "left",
            va="bottom",
            fontsize=grid.letters,
            color=MUTED,
            parse_math=False,
        )


def _extremes(classes: Classes, row: int) -> str:
    """The classes that it knows worst and best."""
    known = sorted(
        (value, name) for value, name in zip(classes.values[row], classes.names, strict=True) if value is not None
    )
    if not known:
        return ""
    (worst, least), (best, most) = known[0], known[-1]
    return f", from {least} {numerals.percent(worst, 1)} to {most} {numerals.percent(best, 1)}"


def _scale(figure: Figure, grid: Grid, norm: Normalize) -> None:
    """What the colours stand for, below the cells."""
    left, top, width, height = grid.box
    axes = figure.add_axes(grid.place(left, top + height + 12, min(width, 160.0), 8), facecolor="none")
    low, high = float(norm.vmin or 0.0), float(norm.vmax or 1.0)
    axes.imshow(
        _colours(np.linspace(low, high, 64)[None], norm), interpolation="none", aspect="auto", extent=(low, high, 0, 1)
    )
    axes.spines[:].set_visible(False)
    axes.set(yticks=())
    axes.set_xticks((low, high), (numerals.percent(low, 0), f"{numerals.percent(high, 0)} % IoU"))
    axes.tick_params(length=0, pad=3)
