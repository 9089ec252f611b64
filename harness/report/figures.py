"""mIoU against device-hours: a point a method and budget, with its interval, its seeds and its name beside it."""

import io
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from scipy.optimize import isotonic_regression

from harness.score import numerals
from harness.score.leaderboard import Board, Row

INK, MUTED, RULE, BAND, PAPER = "#1b1f24", "#67707b", "#d3d7dc", "#f4f5f7", "#ffffff"
FAMILIES = {
    "baseline": (INK, "D"),
    "canonical": ("#0072b2", "o"),
    "general": ("#009e73", "s"),
    "segmentation": ("#d55e00", "^"),
}
"""Colours of Okabe and Ito, which the colour-blind can tell apart; the markers say the same without colour."""

SAME = 0.05
"""Points whose spent time is nearer than this, in powers of ten (12 %), are set side by side."""
MOST_TICKS = 6
MOST_LETTERS = 22
LABEL_POINTS = 12.0
SETTINGS = {
    "svg.fonttype": "none",  # text stays text: small files, searchable, the page's own fonts
    "svg.hashsalt": "segkd-bench",  # the same ids at every build
    "font.family": "DejaVu Sans",
    "font.size": 9,
    "text.color": INK,
    "axes.edgecolor": RULE,
    "axes.labelcolor": MUTED,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
}


@dataclass(frozen=True)
class Picture:
    """A figure as files."""

    name: str
    """Of its files, without ending."""
    svg: str
    png: bytes


@dataclass(frozen=True)
class Spot:
    """A row's place in the figure."""

    row: Row
    mean: float
    """mIoU in percent."""
    hours: float
    across: float = 0.0
    """Where it is drawn: the logarithm of its hours, moved aside where several spent the same."""

    @property
    def name(self) -> str:
        """Its label: of a stranger's record, as much as has room, in characters that every font has."""
        name = "".join(each if each.isascii() and each.isprintable() else "?" for each in self.row.method)
        return name if len(name) <= MOST_LETTERS else f"{name[: MOST_LETTERS - 1]}…"

    @property
    def colour(self) -> str:
        """Its family's."""
        return FAMILIES[self.row.family][0]


def draw(boards: Sequence[Board], name: str) -> Picture | None:
    """The figure of boards that differ in budget alone; None when no run is finished."""
    rows = [row for board in boards for row in board.rows if row.miou and row.device_hours]
    if not rows:
        return None
    with mpl.rc_context(SETTINGS):  # type: ignore[arg-type]  # its stubs list every key as a literal
        figure = _figure(boards, _side_by_side(rows))
        return Picture(name, _svg(figure), _png(figure))


def _svg(figure: Figure) -> str:
    text = io.StringIO()
    figure.savefig(text, format="svg", metadata={"Date": None, "Creator": None})
    return re.sub(r"[ \t]+\n", "\n", text.getvalue())


def _png(figure: Figure) -> bytes:
    content = io.BytesIO()
    figure.savefig(content, format="png", dpi=200, metadata={"Software": None})
    return content.getvalue()


def _side_by_side(rows: Iterable[Row]) -> tuple[Spot, ...]:
    """The rows' spots; those that spent the same stand in a rank, lowest mIoU left, around what they spent."""
    spots = [Spot(row, 100 * row.miou.mean, row.device_hours) for row in rows if row.miou and row.device_hours]
    ranks = _ranks(spots)
    middles = [_middle(rank) for rank in ranks]
    room = 0.8 * float(min(np.diff(middles), default=1.0)) / max(map(len, ranks))
    return tuple(
        replace(spot, across=middle + room * (place - (len(rank) - 1) / 2))
        for rank, middle in zip(ranks, middles, strict=True)
        for place, spot in enumerate(sorted(rank, key=lambda spot: spot.mean))
    )


def _ranks(spots: Iterable[Spot]) -> list[list[Spot]]:
    ranks: list[list[Spot]] = []
    for spot in sorted(spots, key=lambda spot: spot.hours):
        if ranks and np.log10(spot.hours / ranks[-1][-1].hours) < SAME:
            ranks[-1].append(spot)
        else:
            ranks.append([spot])
    return ranks


def _middle(rank: Iterable[Spot]) -> float:
    return float(np.median(np.log10([spot.hours for spot in rank])))


def _figure(boards: Sequence[Board], spots: Sequence[Spot]) -> Figure:
    labelled = _rightmost(spots)
    height = max(4.6, 1.5 + len(labelled) * LABEL_POINTS / 72)
    figure = Figure(figsize=(10.5, height), facecolor=PAPER)
    axes = figure.add_axes((0.06, 0.85 / height, 0.785, 1 - 1.35 / height), facecolor="none")
    _limits(axes, boards, spots)
    _ground(axes, spots)
    _references(axes, boards, spots)
    _paths(axes, spots)
    size = float(np.clip(90 / len(labelled), 4.2, 6.5))
    for spot in spots:
        _point(axes, spot, size)
    _labels(axes, labelled)
    _legend(figure, spots)
    return figure


def _limits(axes: Axes, boards: Sequence[Board], spots: Sequence[Spot]) -> None:
    """Room for every interval and seed, and for a teacher that leaves the students half of the height."""
    ends = [value for spot in spots for value in _extent(spot)]
    low, high = min(ends), max(ends)
    span = max(high - low, 0.5)
    teacher = 100 * boards[0].teacher_miou
    top = teacher if high < teacher < low + 2 * span else high
    axes.set_ylim(low - 0.08 * span, max(top, high) + 0.1 * span)
    across = [spot.across for spot in spots]
    pad = max(0.06 * (max(across) - min(across)), 0.08)
    axes.set_xlim(min(across) - pad, max(across) + pad)


def _extent(spot: Spot) -> tuple[float, ...]:
    interval = spot.row.miou.interval if spot.row.miou else None
    ends = (100 * interval.low, 100 * interval.high) if interval else ()
    return (spot.mean, *ends, *(100 * miou for miou in spot.row.seed_mious))


def _ground(axes: Axes, spots: Sequence[Spot]) -> None:
    """Grid, ticks at what was spent, a band behind the points that share it."""
    ranks = _ranks(spots)
    for rank in ranks:
        if len(rank) > 1:
            across = sorted(spot.across for spot in rank)
            aside = 0.6 * (across[1] - across[0])
            axes.axvspan(across[0] - aside, across[-1] + aside, color=BAND, linewidth=0, zorder=0)
    axes.grid(axis="y", color=RULE, linewidth=0.6)
    axes.set_axisbelow(True)
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.tick_params(length=0, pad=6)
    ticks = [_middle(rank) for rank in ranks]
    if len(ticks) > MOST_TICKS:
        ticks = _round_ticks(*axes.get_xlim())
    axes.set_xticks(ticks, [f"{10**tick:.3g}\n{numerals.duration(3600 * 10**tick)}" for tick in ticks])
    axes.set_xlabel("device-hours a run, logarithmic", labelpad=6)
    axes.set_title("mIoU %", loc="left", fontsize=9, color=MUTED, pad=8)


def _round_ticks(low: float, high: float) -> list[float]:
    """Logarithms of 1, 2, 5, 10 … within the limits."""
    powers = range(int(np.floor(low)), int(np.ceil(high)) + 1)
    ticks = [float(np.log10(step) + power) for power in powers for step in (1, 2, 5)]
    return [tick for tick in ticks if low <= tick <= high]


def _references(axes: Axes, boards: Sequence[Board], spots: Sequence[Spot]) -> None:
    """The teacher's line over the whole width, the baseline's beside the points of its own budget."""
    teacher = 100 * boards[0].teacher_miou
    _, top = axes.get_ylim()
    text = f"teacher {numerals.percent(boards[0].teacher_miou, 1)}"
    beside = axes.get_yaxis_transform()
    if teacher < top:
        axes.axhline(teacher, color=MUTED, linewidth=1, linestyle=(0, (6, 3)), zorder=1)
        axes.text(0.005, teacher, text, transform=beside, va="bottom", color=MUTED, fontsize=8.5)
    else:
        axes.text(0.005, top, f"{text}, above this figure ↑", transform=beside, va="top", color=MUTED, fontsize=8.5)
    for board in boards:
        across = [spot.across for spot in spots if spot.row in board.rows]
        if board.baseline and board.baseline.miou and across:
            mean, aside = 100 * board.baseline.miou.mean, 0.01 * float(np.ptp(axes.get_xlim()))
            ends = (min(across) - aside, max(across) + aside)
            axes.plot(ends, (mean, mean), color=INK, linewidth=1, linestyle=(0, (1.5, 2)), zorder=1)


def _paths(axes: Axes, spots: Sequence[Spot]) -> None:
    """A thin line through a method's budgets, the fainter the more there are."""
    names = dict.fromkeys((spot.row.method, spot.row.digest) for spot in spots)
    for name in names:
        path = [spot for spot in spots if (spot.row.method, spot.row.digest) == name]
        across, means = [spot.across for spot in path], [spot.mean for spot in path]
        axes.plot(across, means, color=path[0].colour, linewidth=0.9, alpha=min(0.35, 3 / len(names)), zorder=2)


def _point(axes: Axes, spot: Spot, size: float) -> None:
    """The mean, its interval as a bar, the seeds as small dots; hollow when the row stands below the line."""
    colour, marker = FAMILIES[spot.row.family]
    seeds = [100 * miou for miou in spot.row.seed_mious]
    if spot.row.miou and (interval := spot.row.miou.interval):
        ends = (100 * interval.low, 100 * interval.high)
        axes.plot(
            (spot.across, spot.across), ends, color=colour, linewidth=1.4, alpha=0.8, solid_capstyle="round", zorder=3
        )
    if len(seeds) > 1:
        axes.scatter([spot.across] * len(seeds), seeds, s=9, color=colour, alpha=0.45, linewidth=0, zorder=3)
    face = colour if spot.row.above else PAPER
    axes.plot(
        spot.across,
        spot.mean,
        marker,
        markersize=size,
        color=face,
        markeredgecolor=colour,
        markeredgewidth=1.3,
        zorder=4,
    )


def _rightmost(spots: Iterable[Spot]) -> tuple[Spot, ...]:
    """Where each method is labelled: at its largest budget; lowest mIoU first."""
    last = {(spot.row.method, spot.row.digest): spot for spot in sorted(spots, key=lambda spot: spot.across)}
    return tuple(sorted(last.values(), key=lambda spot: (spot.mean, spot.row.method)))


def _labels(axes: Axes, spots: Sequence[Spot]) -> None:
    """Names in a column at the right, as near to their points' height as names can stand without touching."""
    low, high = axes.get_ylim()
    _, edge = axes.get_xlim()
    beside = 0.025 * float(np.ptp(axes.get_xlim()))
    points_high = axes.get_window_extent().height * 72 / mpl.rcParams["figure.dpi"]
    heights = spread_out([spot.mean for spot in spots], LABEL_POINTS * (high - low) / points_high, low, high)
    for spot, height in zip(spots, heights, strict=True):
        across, up = (spot.across, edge, edge + beside), (spot.mean, spot.mean, height)
        axes.plot(across, up, color=RULE, linewidth=0.7, clip_on=False, zorder=1)
        style = "normal" if spot.row.above else "italic"
        axes.text(
            edge + 1.3 * beside,
            height,
            spot.name,
            color=spot.colour,
            va="center_baseline",
            style=style,
            parse_math=False,
        )


def spread_out(targets: Sequence[float], gap: float, low: float, high: float) -> list[float]:
    """Ascending targets moved as little as possible (least squares) until neighbours are a gap apart, within limits."""
    steps = gap * np.arange(len(targets))
    free = isotonic_regression(np.asarray(targets) - steps).x
    return [float(height) for height in np.clip(free, low, max(low, high - steps[-1])) + steps]


def _legend(figure: Figure, spots: Sequence[Spot]) -> None:
    present = [family for family in FAMILIES if any(spot.row.family == family for spot in spots)]
    handles = [_handle(FAMILIES[family][0], FAMILIES[family][1], FAMILIES[family][0], family) for family in present]
    if not all(spot.row.above for spot in spots):
        handles.append(_handle(PAPER, "o", MUTED, "below the line"))
    figure.legend(
        handles=handles,
        loc="upper right",
        ncols=len(handles),
        frameon=False,
        fontsize=8.5,
        handletextpad=0.1,
        columnspacing=1.2,
    )


def _handle(face: str, marker: str, edge: str, label: str) -> Line2D:
    return Line2D([], [], linestyle="", marker=marker, color=face, markeredgecolor=edge, markersize=6, label=label)
