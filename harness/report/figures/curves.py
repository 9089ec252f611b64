"""Learning curves: the task loss on the way of the largest budget, where each budget ended, and the mIoU it came to."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from harness.report.facts.curves import Curve, Curves
from harness.report.figures.sheet import Parts, as_png, as_svg, settings
from harness.report.names import shown, without_room
from harness.report.picture import INK, MUTED, PAPER, RULE, Picture
from harness.report.style import Style, Styles
from harness.score import numerals
from harness.score.stats import Estimate, Floats

MOST_MARKERS = 96
"""On the ways of all methods together; the lines go through every point."""


STEPS = (1, 2, 5, 10)
"""Of ticks."""


STEP, LEAST = 13.0, 230.0
"""Points from one name to the next, and the least height of the axes."""


ABOVE, BELOW = 26.0, 48.0


WIDTH, LEFT, NAMES, RIGHT = 756.0, 44.0, 140.0, 14.0
"""Points: of the figure, left of the curves, of the names' column between both axes, right of the mIoU."""


WAY = 380.0
"""Points that the curves' axes are wide."""


def draw(curves: Curves, styles: Styles, name: str) -> Picture:
    """The ways and ends at the left, at the right a name and an mIoU each, best on top."""
    parts, rows = Parts(), len(curves.curves)
    inner = max(LEAST, STEP * rows)
    height = ABOVE + BELOW + inner
    with settings():
        figure = Figure(figsize=(WIDTH / 72, height / 72), facecolor=PAPER)
        way = figure.add_axes((LEFT / WIDTH, BELOW / height, WAY / WIDTH, inner / height), facecolor="none")
        end = LEFT + WAY + NAMES
        high = STEP * rows / height
        place = (end / WIDTH, (BELOW + inner) / height - high, 1 - (end + RIGHT) / WIDTH, high)
        beside = figure.add_axes(place, facecolor="none")
        _ways(way, curves, styles, parts)
        _mious(beside, curves, styles, parts)
        svg, png = as_svg(figure), as_png(figure)
    return Picture(name, "Learning curves", _caption(curves), svg, png, tuple(parts.found))


def _caption(curves: Curves) -> str:
    without = f" Left out, as their runs kept no curve: {curves.without}." if curves.without else ""
    return (
        f"Lines and open points are the way of {shown(curves.budget)}, means over seeds at the same shares of what a "
        "run spends: its schedule is not over there, so they compare nothing. Filled points are ends, and compare: of "
        "every budget by task loss at the left, of the largest by mIoU at the right, with intervals. The loss is the "
        "task's on training batches, without the method's terms: what learns more from its teacher need not have less."
        + without
        + without_room(curves.without_room)
    )


def _ways(axes: Axes, curves: Curves, styles: Styles, parts: Parts) -> None:
    scale = Scale.of([loss for curve in curves.curves for loss in _losses(curve)])
    _limits(axes, curves, scale)
    every = max(1, round(sum(len(curve.hours) for curve in curves.curves) / MOST_MARKERS))
    for curve in curves.curves:
        style = styles[curve.method]
        _way_of(axes, curve, style, every, scale, parts)
        _ends_of(axes, curve, style, scale, parts)


@dataclass(frozen=True)
class Scale:
    """Of losses: logarithmic where all of them have a logarithm."""

    is_logarithmic: bool

    @staticmethod
    def of(losses: Sequence[float]) -> "Scale":
        """The scale that these losses can have."""
        return Scale(min(losses) > 0)

    def place(self, losses: Sequence[float]) -> Floats:
        """Where losses are drawn."""
        return np.log10(losses) if self.is_logarithmic else np.asarray(losses, dtype=np.float64)


def _losses(curve: Curve) -> tuple[float, ...]:
    return (*curve.losses, *(ending.loss for ending in curve.endings))


def _limits(axes: Axes, curves: Curves, scale: Scale) -> None:
    losses = [loss for curve in curves.curves for loss in _losses(curve)]
    low, high = (float(each) for each in scale.place([min(losses), max(losses)]))
    aside = max(0.05 * (high - low), 1e-6)
    most = max(ending.hours for curve in curves.curves for ending in curve.endings)
    axes.set(xlim=(0, 1.03 * most), ylim=(low - aside, high + aside))
    ticks = [
        tick
        for tick in MaxNLocator(6, steps=STEPS).tick_values(min(losses), max(losses))
        if min(losses) <= tick <= max(losses)
    ]
    axes.set_yticks(scale.place(ticks), [f"{tick:g}" for tick in ticks])
    across = [tick for tick in MaxNLocator(6, steps=STEPS).tick_values(0, most) if tick <= 1.03 * most]
    axes.set_xticks(across, [f"{tick:g}\n{numerals.duration(3600 * tick)}" if tick else "0" for tick in across])
    axes.set_xlabel("device-hours a run")
    words = "task loss, logarithmic" if scale.is_logarithmic else "task loss"
    axes.set_title(words, loc="left", fontsize=9, color=MUTED, pad=8)
    axes.grid(axis="y", color=RULE, linewidth=0.6)
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.tick_params(length=0)


def _way_of(axes: Axes, curve: Curve, style: Style, every: int, scale: Scale, parts: Parts) -> None:
    drawn = Line2D(
        curve.hours,
        scale.place(curve.losses),
        color=style.colour,
        linewidth=0.9,
        alpha=0.75,
        marker=style.marker,
        markersize=3.2,
        markerfacecolor=PAPER,
        markeredgewidth=0.7,
        markevery=slice(every // 2, max(1, len(curve.hours) - 1), every),
        clip_on=False,
        zorder=2,
    )
    axes.add_artist(drawn)
    parts.name(drawn, curve.method, f"{curve.method}: on the way, schedule not over")


def _ends_of(axes: Axes, curve: Curve, style: Style, scale: Scale, parts: Parts) -> None:
    drawn = Line2D(
        [ending.hours for ending in curve.endings],
        scale.place([ending.loss for ending in curve.endings]),
        color=style.colour,
        linestyle="",
        marker=style.marker,
        markersize=6,
        markeredgecolor=PAPER,
        markeredgewidth=0.6,
        clip_on=False,
        zorder=3,
    )
    axes.add_artist(drawn)
    told = ", ".join(
        f"{ending.loss:.3g} after {numerals.hours(ending.hours)} device-hours ({ending.budget})"
        for ending in curve.endings
    )
    parts.name(drawn, curve.method, f"{curve.method}: task loss {told}")


def _mious(axes: Axes, curves: Curves, styles: Styles, parts: Parts) -> None:
    ends = [100 * value for curve in curves.curves for value in _span(curve.miou)]
    aside = max(0.04 * (max(ends) - min(ends)), 0.05)
    axes.set(xlim=(min(ends) - aside, max(ends) + aside), ylim=(len(curves.curves) - 0.5, -0.5), yticks=())
    axes.grid(axis="x", color=RULE, linewidth=0.6)
    axes.spines[["top", "right", "left"]].set_visible(False)
    ticks = [
        tick for tick in MaxNLocator(4, steps=STEPS).tick_values(min(ends), max(ends)) if min(ends) <= tick <= max(ends)
    ]
    axes.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
    axes.tick_params(length=0)
    axes.set_title(f"mIoU %, {shown(curves.budget)}", loc="left", fontsize=9, color=MUTED, pad=8, parse_math=False)
    for row, curve in enumerate(curves.curves):
        _miou(axes, curve, row, styles[curve.method], parts)


def _miou(axes: Axes, curve: Curve, row: int, style: Style, parts: Parts) -> None:
    """The name with its number, and in its line the point with its interval."""
    drawn = Line2D(
        [100 * value for value in _span(curve.miou)],
        (row, row, row),
        color=style.colour,
        linewidth=1.4,
        marker=style.marker,
        markersize=6,
        markeredgecolor=PAPER,
        markeredgewidth=0.6,
        markevery=[1],
        clip_on=False,
        zorder=3,
    )
    axes.add_artist(drawn)
    number = numerals.percent(curve.miou.mean, 1)
    told = f"{number} {numerals.half_width(curve.miou, 1)}".strip()
    parts.name(drawn, curve.method, f"{curve.method}: mIoU {told}, n = {curve.miou.n}")
    text = f"{shown(curve.method)}  {number}"
    beside = axes.get_xlim()[0] - 8 * float(np.ptp(axes.get_xlim())) / (WIDTH - LEFT - WAY - NAMES - RIGHT)
    axes.text(beside, row, text, color=INK, ha="right", va="center_baseline", parse_math=False)


def _span(miou: Estimate) -> tuple[float, float, float]:
    """Low, mean, high; the mean thrice where it has no interval."""
    interval = miou.interval
    return (interval.low, miou.mean, interval.high) if interval else (miou.mean,) * 3
