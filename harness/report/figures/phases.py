"""Where an iteration's time goes: a bar a method, its phases side by side, as long as the iteration is dear."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import PolyCollection
from matplotlib.colors import to_rgba
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from harness.report.facts.phases import Bar, Bars, Phase
from harness.report.figures.sheet import Parts, as_png, as_svg, settings
from harness.report.names import shown, without_room
from harness.report.picture import INK, MUTED, PAPER, RULE, Picture
from harness.report.style import COLOURS, Styles

BLUE, ORANGE, GREEN, _, OLIVE, VIOLET, _ = COLOURS


FILLS = {
    "data": MUTED,
    "teacher": BLUE,
    "student": GREEN,
    "task loss": OLIVE,
    "terms": ORANGE,
    "backward": VIOLET,
    "optimizer": RULE,
}
"""The phases that are shown, in the order of an iteration."""


SHOWN_AS = {"copy": "data", "after step": "optimizer"}
"""Short phases that have no fill of their own; every phase that has no other is one of the method's terms."""


STRIPED = ("terms", "teacher")
"""With a line along their middle, for whom colours say nothing: what a student alone has not."""


PALEST = 0.4
"""Of a method's last term; its first has the whole colour."""


STEP, BAR = 15.0, 10.0
"""Points from one bar to the next, and of its thickness."""


STRIPE = 0.06
"""Half the thickness of the line in a striped phase, in bars' steps."""


ABOVE, BELOW = 34.0, 40.0


WIDTH, NAMES, RATIOS = 756.0, 150.0, 56.0
"""Points: of the figure, of the column of names at the left, of the room for numbers at the right."""


def draw(bars: Bars, styles: Styles, name: str) -> Picture:
    """The bars, a part each."""
    parts, height = Parts(), ABOVE + BELOW + STEP * len(bars.bars)
    with settings():
        figure = Figure(figsize=(WIDTH / 72, height / 72), facecolor=PAPER)
        place = (NAMES / WIDTH, BELOW / height, 1 - (NAMES + RATIOS) / WIDTH, 1 - (ABOVE + BELOW) / height)
        axes = figure.add_axes(place, facecolor="none")
        _ground(axes, bars)
        for row, bar in enumerate(bars.bars):
            parts.name(_add(axes, boxes_of(bar, row, bars.length(bar))), bar.method, _told(bar, bars))
            _beside(axes, bar, row, bars, styles)
        _legend(axes, {fill for bar in bars.bars for fill, _ in _parted(bar)})
        svg, png = as_svg(figure), as_png(figure)
    return Picture(name, "Where an iteration's time goes", _caption(bars), svg, png, tuple(parts.found))


def _caption(bars: Bars) -> str:
    unit = "in multiples of the baseline's" if bars.in_ratios else "in milliseconds"
    paired = any(bar.ratio for bar in bars.bars)
    length = (
        "its cost, timed in pairs with the baseline's: the table's cost ×" if paired else "the iteration without marks"
    )
    without = f" Left out, as nobody timed their phases: {bars.without}." if bars.without else ""
    return (
        f"An iteration of each method on {shown(bars.device, 60)}, {unit}, the dearest last. With a line along the "
        "middle: what a student alone has not, the teacher's pass and the method's terms, each in a shade of its own. "
        f"Phases are timed apart, with marks between them, and drawn as shares of a bar; its length is {length}."
        + without
        + without_room(bars.without_room)
    )


def _ground(axes: Axes, bars: Bars) -> None:
    most = max(map(bars.length, bars.bars))
    axes.set(xlim=(0, most), ylim=(len(bars.bars) - 0.5, -0.5), yticks=())
    axes.spines[["top", "right", "left"]].set_visible(False)
    ticks = [tick for tick in MaxNLocator(8, steps=(1, 2, 5, 10)).tick_values(0, most) if tick <= most]
    axes.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
    axes.tick_params(length=3, color=RULE)
    axes.set_xlabel("times the baseline's iteration" if bars.in_ratios else "milliseconds an iteration")
    if bars.in_ratios:
        axes.axvline(1, color=INK, linewidth=0.8, linestyle=(0, (2, 2)), zorder=3)


def _parted(bar: Bar) -> list[tuple[str, list[Phase]]]:
    """Its phases by their fills, in the order of the fills."""
    found: dict[str, list[Phase]] = {}
    for phase in bar.phases:
        fill = SHOWN_AS.get(phase.name, phase.name if phase.name in FILLS else "terms")
        found.setdefault(fill, []).append(phase)
    return [(fill, found[fill]) for fill in FILLS if fill in found]


@dataclass(frozen=True)
class Box:
    """A filled rectangle."""

    corners: tuple[tuple[float, float], ...]
    fill: str
    shade: float

    @property
    def width(self) -> float:
        """From its left to its right."""
        return self.corners[1][0] - self.corners[0][0]


def boxes_of(bar: Bar, row: float, length: float) -> list[Box]:
    """A bar's phases end to end, so long together; down in rows."""
    scale, left = length / bar.marked, 0.0
    boxes: list[Box] = []
    for fill, phases in _parted(bar):
        widths = [scale * phase.seconds for phase in phases]
        boxes += _boxes(left, widths if fill == "terms" else [sum(widths)], row, fill)
        left += sum(widths)
    return boxes


def _boxes(left: float, widths: Sequence[float], row: float, fill: str) -> list[Box]:
    """One beside the other, each paler than the one before, with one line through all of them where the fill has it."""
    half, ends = BAR / STEP / 2, list(accumulate(widths, initial=left))
    shades = np.linspace(1, PALEST, max(2, len(widths)))
    boxes = [
        _box(start, end, row, half, FILLS[fill], float(shade))
        for start, end, shade in zip(ends[:-1], ends[1:], shades[: len(widths)], strict=True)
    ]
    return [*boxes, _box(left, ends[-1], row, STRIPE, PAPER, 1.0)] if fill in STRIPED else boxes


def _box(left: float, right: float, row: float, half: float, fill: str, shade: float) -> Box:
    top, bottom = row - half, row + half
    return Box(((left, top), (right, top), (right, bottom), (left, bottom)), fill, shade)


def _add(axes: Axes, boxes: Sequence[Box]) -> PolyCollection:
    colours = [to_rgba(box.fill, box.shade) for box in boxes]
    drawn = PolyCollection([box.corners for box in boxes], facecolors=colours, linewidths=0, zorder=2, clip_on=False)
    axes.add_collection(drawn, autolim=False)
    return drawn


def _told(bar: Bar, bars: Bars) -> str:
    whole = f"{bars.length(bar):.2f} × the baseline's iteration" if bars.in_ratios else "an iteration"
    phases = ", ".join(f"{phase.name} {phase.seconds / bar.marked:.1%}" for phase in bar.phases)
    return f"{bar.method}: {whole} ({1000 * bar.seconds:.3g} ms when its phases were timed): {phases}"


def _beside(axes: Axes, bar: Bar, row: int, bars: Bars, styles: Styles) -> None:
    """Left of a bar its method's marker and name, right of it how dear it is."""
    style, most = styles[bar.method], axes.get_xlim()[1]
    point = most / (WIDTH - NAMES - RATIOS)
    axes.add_artist(
        Line2D(
            [-8 * point], [row], color=style.colour, marker=style.marker, markersize=5.5, linestyle="", clip_on=False
        )
    )
    axes.text(-16 * point, row, shown(bar.method), ha="right", va="center_baseline", parse_math=False)
    dear = bars.length(bar)
    text = f"{dear:.2f} ×" if bars.in_ratios else f"{dear:.3g} ms"
    axes.text(dear + 5 * point, row, text, color=MUTED, va="center_baseline", parse_math=False)


def _legend(axes: Axes, present: set[str]) -> None:
    """A swatch and a word a phase, in the order of the bars, above them."""
    point, across, row = axes.get_xlim()[1] / (WIDTH - NAMES - RATIOS), 0.0, -0.5 - 16 / STEP
    boxes: list[Box] = []
    for fill in FILLS:
        if fill in present:
            boxes += _boxes(across, [16 * point], row, fill)
            text = "the method's terms" if fill == "terms" else fill
            axes.text(across + 21 * point, row, text, color=MUTED, va="center_baseline", parse_math=False)
            across += (36 + 5.4 * len(text)) * point
    _add(axes, boxes)
