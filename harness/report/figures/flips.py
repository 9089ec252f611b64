"""Ranks at matched iterations against ranks at matched time: a line a method, which slopes where the order changes."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from harness.report.facts.flips import End, Slope, Slopes
from harness.report.figures.sheet import Parts, as_png, as_svg, settings
from harness.report.names import shown, without_room
from harness.report.picture import INK, MUTED, PAPER, RULE, Picture
from harness.report.style import Style, Styles
from harness.score import numerals

STEP = 13.0
"""Points between one rank and the next."""


ABOVE, BELOW = 44.0, 12.0
"""Points that the heads of both columns take, and the foot."""


WIDTH = 640.0


CLEAR = 11.0
"""Points between a column of markers and the first bar beside it."""


BARS = 90.0
"""Points that the intervals of a side may take."""


BAR = 5.0
"""Points from one of them to the next, where there is room for it."""


def draw(slopes: Slopes, styles: Styles, name: str) -> Picture:
    """The slope chart."""
    parts, height = Parts(), ABOVE + BELOW + STEP * slopes.ranks
    with settings():
        figure = Figure(figsize=(WIDTH / 72, height / 72), facecolor=PAPER)
        axes = figure.add_axes((0, BELOW / height, 1, 1 - (ABOVE + BELOW) / height), facecolor="none")
        axes.set(xlim=(0, 1), ylim=(slopes.ranks + 0.5, 0.5))
        axes.set_axis_off()
        _heads(axes, slopes)
        for side in SIDES:
            _side(axes, [(side.end_of(slope), slope.method) for slope in slopes.slopes], side, styles, parts)
        for slope in slopes.slopes:
            _line(axes, slope, styles[slope.method], parts)
        return Picture(name, _title(slopes), _caption(slopes), as_svg(figure), as_png(figure), tuple(parts.found))


@dataclass(frozen=True)
class Side:
    """A column of markers, with its bars and names on the outer side."""

    across: float
    outwards: int
    words: str

    @property
    def align(self) -> str:
        """Of texts, so that they end or begin at the column."""
        return "right" if self.outwards < 0 else "left"

    def end_of(self, slope: Slope) -> End:
        """The method's on this side."""
        return slope.iterations if self.outwards < 0 else slope.time

    def out(self, points: float) -> float:
        """So many points outwards from the column."""
        return self.across + self.outwards * points / WIDTH


SIDES = (Side(0.37, -1, "at matched iterations"), Side(0.63, 1, "at matched time"))


def _title(slopes: Slopes) -> str:
    return f"Rank at the iterations of {shown(slopes.anchor)} and in its time{_tau(slopes, ': Kendall’s tau ')}"


def _tau(slopes: Slopes, before: str) -> str:
    return "" if slopes.tau is None else f"{before}{slopes.tau:.2f}".replace("-", numerals.MINUS)


def _caption(slopes: Slopes) -> str:
    sure = sum(slope.is_sure for slope in slopes.slopes)
    alone = f" Left out: above the line of one of the two boards alone ({slopes.on_one})." if slopes.on_one else ""
    single = (
        " A method of one seed has no bar and no thick line: it shows the order only." if slopes.is_order_only else ""
    )
    return (
        f"Left every method has {shown(slopes.iterations)}, right the time that {shown(slopes.anchor)} takes for as "
        f"many ({shown(slopes.time)}). Numbers are mIoU in percent, bars the ranks that chance leaves a method, ranks "
        f"those among the methods on both boards. A thick line: no rank is in both of its bars ({sure} of "
        f"{len(slopes.slopes)} lines).{single}{alone}{without_room(slopes.without_room)}"
    )


def _heads(axes: Axes, slopes: Slopes) -> None:
    """What the columns are, above them."""
    for side, budget in zip(SIDES, (slopes.iterations, slopes.time), strict=True):
        _head(axes, side.across, 24, side.words, side.align, INK)
        _head(axes, side.across, 10, shown(budget), side.align, MUTED)
    _head(axes, 0.5, 10, _tau(slopes, "τ "), "center", MUTED)


def _head(axes: Axes, across: float, up: float, text: str, align: str, colour: str) -> None:
    at = (across, 1 + up / (STEP * axes.get_ylim()[0]))
    axes.text(*at, text, transform=axes.transAxes, ha=align, color=colour, parse_math=False)


def _side(axes: Axes, found: Sequence[tuple[End, str]], side: Side, styles: Styles, parts: Parts) -> None:
    """A board's bars, each in a lane of its own, and outside of them the names at their ranks."""
    present = sorted(found, key=lambda pair: pair[0].rank)
    lanes = lanes_of([(end.best or end.rank, end.worst or end.rank) for end, _ in present])
    apart = min(BAR, BARS / (max(lanes) + 1))
    names = side.out(CLEAR + apart * (max(lanes) + 1))
    guides = np.array([[(side.across, end.rank), (names, end.rank), (np.nan, np.nan)] for end, _ in present])
    axes.add_artist(Line2D(*guides.reshape(-1, 2).T, color=RULE, linewidth=0.6, zorder=1, clip_on=False))
    for (end, method), lane in zip(present, lanes, strict=True):
        _bar(axes, end, method, side, side.out(CLEAR + apart * lane), styles[method], parts)
        _name(axes, end, method, side, names)


def lanes_of(intervals: Sequence[tuple[int, int]]) -> list[int]:
    """For each a lane in which it meets no other, none wasted."""
    ends: list[int] = []
    lanes = []
    for first, last in intervals:
        lane = next((lane for lane, end in enumerate(ends) if end < first), len(ends))
        ends[lane : lane + 1] = [last]
        lanes.append(lane)
    return lanes


def _bar(axes: Axes, end: End, method: str, side: Side, across: float, style: Style, parts: Parts) -> None:
    if end.best is None or end.worst is None:
        return
    drawn = Line2D(
        (across, across, across),
        (end.best - 0.35, end.rank, end.worst + 0.35),
        color=style.colour,
        linewidth=1.0,
        marker=style.marker,
        markersize=3.5,
        markevery=[1],
        clip_on=False,
        zorder=3,
    )
    axes.add_artist(drawn)
    span = f"{end.best}–{end.worst}" if end.worst > end.best else f"{end.best}"
    parts.name(drawn, method, f"{method}: rank {end.rank} {side.words}, {span} by chance")


def _name(axes: Axes, end: End, method: str, side: Side, across: float) -> None:
    words = (shown(method), numerals.percent(end.miou, 1))
    text = "  ".join(words if side.outwards < 0 else reversed(words))
    at = across + side.outwards * 5 / WIDTH
    axes.text(at, end.rank, text, ha=side.align, va="center_baseline", parse_math=False)


def _line(axes: Axes, slope: Slope, style: Style, parts: Parts) -> None:
    ends = [(side, side.end_of(slope)) for side in SIDES]
    drawn = Line2D(
        [side.across for side, _ in ends],
        [end.rank for _, end in ends],
        color=style.colour,
        marker=style.marker,
        markersize=6,
        linewidth=2.6 if slope.is_sure else 1.0,
        clip_on=False,
        zorder=4,
    )
    axes.add_artist(drawn)
    told = ", ".join(f"rank {end.rank} {side.words} ({numerals.percent(end.miou, 1)} %)" for side, end in ends)
    parts.name(drawn, slope.method, f"{slope.method}: {told}")
