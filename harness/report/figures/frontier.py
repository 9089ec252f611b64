"""mIoU against what a run spent: a spot a method and budget, the Pareto front, and a name a method at the right.

`Picture.live` lets the page change the axis. Coordinates are those of the SVG; a part's number is that of its element:

    right      where the axes end
    spots      of each spot its `part` and its height `y`
    lines      of each version of a method the `part` of its line, its `spots` and the points `end` after the last of
               them, [x, y] each; the baseline's has no spots, as its line is the reference
    ticks      the part that holds the ticks' texts, the first of which is a pattern for others
    label      the part that holds the axis's label
    front      the part of the Pareto front, or null
    reference  the part of the baseline's dotted line, or null
    bands      the part of the bands, or null
    top, bottom  of the bands
    views      the axes; the first is drawn. Of each:
               name and label; ticks: [x, text] each; x: of each spot, null where its amount is not known;
               ranks: spots above the line of one amount each, lowest mIoU first, from left to right;
               front: its spots from left to right; reference: [x, y] each; bands: [left, right] each

In a view a spot's element is moved by its x less its x in the first view, or hidden where that is null. A line's path
is `M` and `L` through its spots that are not null, then through its `end`. The front's is `M` x y of its first spot, of
each further one `H` x `V` y, and at last `H` right. The reference's is `M` and `L` through its points.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from harness.ledger.method import BASELINE
from harness.report.facts.frontier import AXES, MOST_SEEDS, Frontier, Spot
from harness.report.figures.canvas import (
    BELOW_LINE,
    BREAK,
    DASHED,
    DOTTED,
    HEAD,
    SMALL,
    Bundle,
    Canvas,
    Point,
    Sample,
    key,
    marked,
    upright,
)
from harness.report.figures.placing import Heights, heights, spread_out
from harness.report.figures.sheet import Parts, as_png, as_svg, settings
from harness.report.figures.spending import View, views
from harness.report.names import letters, shown, without_room
from harness.report.picture import INK, MUTED, Picture
from harness.report.style import Styles
from harness.score import numerals
from harness.score.stats import Interval

WIDTH, LEFT, TOP, BOTTOM = 756.0, 40.0, 34.0, 44.0
"""Points: of the figure, and around the axes."""
LEADER, LETTER = 34.0, 5.8
"""Points from the axes to a name, and of a letter of it."""
LOWEST, LABEL = 250.0, 12.0
"""Points: the least height of the axes, and what a name needs."""
SEED = 2.2
"""Half of a seed's stroke."""
MANY = 60
"""Spots, from which on they are smaller."""


@dataclass(frozen=True)
class Scene:
    """Everything that a part of the figure is drawn from."""

    canvas: Canvas
    heights: Heights
    right: float
    """Of the axes; then come the names."""
    frontier: Frontier
    views: tuple[View, ...]
    styles: Styles
    parts: Parts

    @property
    def view(self) -> View:
        """The one that is drawn."""
        return self.views[0]

    @property
    def size(self) -> float:
        """Of markers."""
        return 5.5 if len(self.frontier.spots) < MANY else 4.5

    @property
    def bottom(self) -> float:
        """Of the axes."""
        return self.heights.bottom

    def x(self, view: View, across: float | None) -> float:
        """Where a place on a view's axis is drawn."""
        return LEFT + (self.right - LEFT) * ((across or 0.0) - view.low) / (view.high - view.low)

    def at(self, place: int) -> Point:
        """Where a spot is drawn."""
        return self.x(self.view, self.view.across[place]), self.heights.y(self.frontier.spots[place].miou)


def draw(frontier: Frontier, styles: Styles, name: str) -> Picture:
    """The figure on its first axis, with what the page needs for the others."""
    lines, parts = _lines(frontier.spots), Parts()
    placed = _heights(frontier, len(lines))
    right = WIDTH - LEADER - 6 - LETTER * max(letters(shown(spot.method)) for spot in frontier.spots)
    with settings():
        canvas = Canvas(WIDTH, placed.bottom + BOTTOM)
        scene = Scene(canvas, placed, right, frontier, views(frontier.spots), styles, parts)
        live = _ground(scene) | _references(scene)
        live["lines"] = _named(scene, lines)
        live["spots"] = [_spot(scene, place) for place in range(len(frontier.spots))]
        live["views"] = [_live(scene, view) for view in scene.views]
        _key(scene)
        svg, png = as_svg(scene.canvas.figure), as_png(scene.canvas.figure)
    return Picture(name, "mIoU against device-hours", _caption(frontier), svg, png, tuple(parts.found), live)


def _lines(spots: Sequence[Spot]) -> list[list[int]]:
    """The spots of each version of a method."""
    found: dict[tuple[str, str], list[int]] = {}
    for at, spot in enumerate(spots):
        found.setdefault(spot.line, []).append(at)
    return list(found.values())


def _heights(frontier: Frontier, names: int) -> Heights:
    """Room for every name, seed and interval, and for a teacher that takes a third of it at most."""
    mious = [miou for spot in frontier.spots for miou in (spot.miou, *spot.seeds)]
    tight = heights(TOP, TOP + max(LOWEST, LABEL * names), mious, [spot.interval for spot in frontier.spots])
    teacher = 100 * frontier.teacher_miou
    if not tight.high < teacher + 1 < tight.low + 1.5 * (tight.high - tight.low):
        return tight
    return replace(tight, high=teacher + 0.08 * (teacher - tight.low))


def _ground(scene: Scene) -> dict[str, object]:
    """Grid, bands, ticks and the teacher; the parts of them that change with the axis."""
    canvas, parts = scene.canvas, scene.parts
    bands = _bands(scene, scene.view)
    ticks = [
        canvas.written((scene.x(scene.view, at), scene.bottom + 16), words, MUTED, "center")
        for at, words in scene.view.ticks
    ]
    label = canvas.text(((LEFT + scene.right) / 2, scene.bottom + 34), scene.view.axis.label, align="center")
    live: dict[str, object] = {
        "right": round(scene.right, 2),
        "top": TOP,
        "bottom": scene.bottom,
        "bands": parts.name(canvas.boxes(bands, TOP, scene.bottom), None, "") if bands else None,
        "ticks": parts.name(Bundle(canvas, ticks), None, ""),
        "label": parts.name(label, None, ""),
    }
    upright(canvas, LEFT, scene.right, scene.heights.ticks)
    _teacher(scene)
    return live


def _bands(scene: Scene, view: View) -> list[tuple[float, float]]:
    """Behind spots that spent the same and stand side by side, so that nobody reads a difference from their places."""
    shared = [rank.edges for rank in view.ranks if rank.misleads]
    return [(scene.x(view, first), scene.x(view, last)) for first, last in shared]


def _teacher(scene: Scene) -> None:
    canvas, miou = scene.canvas, scene.frontier.teacher_miou
    words = f"teacher {numerals.percent(miou, 1)}"
    if 100 * miou < scene.heights.high:
        ends = [(LEFT, scene.heights.y(miou)), (scene.right, scene.heights.y(miou))]
        canvas.line(ends, MUTED, order=1, linestyle=DASHED, linewidth=0.8)
        canvas.text((LEFT + 3, scene.heights.y(miou) - 3), words, fontsize=SMALL)
    else:
        canvas.text((LEFT + 48, HEAD), f"{words}, above this figure ↑", fontsize=SMALL)


def _references(scene: Scene) -> dict[str, object]:
    """The baseline's line and the Pareto front."""
    live: dict[str, object] = {"reference": None, "front": None}
    if scene.view.reference:
        line = scene.canvas.line(_reference(scene, scene.view), INK, order=1, linewidth=1.2, linestyle=DOTTED)
        live["reference"] = scene.parts.name(line, BASELINE, "the baseline: the student alone")
    if scene.view.front:
        spots = [scene.frontier.spots[at] for at in scene.view.front]
        named = ", ".join(f"{spot.method} at {spot.budget}" for spot in spots)
        line = scene.canvas.line(_front(scene), INK, order=2.5, linewidth=1)
        live["front"] = scene.parts.name(line, None, f"Pareto front: {named}")
    return live


def _reference(scene: Scene, view: View) -> list[Point]:
    return [(scene.x(view, across), scene.heights.y(miou)) for across, miou in view.reference]


def _front(scene: Scene) -> list[Point]:
    """Steps: what a front's spot reached holds until the next one's amount."""
    corners: list[Point] = []
    for across, down in map(scene.at, scene.view.front):
        corners += [(across, corners[-1][1]), (across, down)] if corners else [(across, down)]
    return [*corners, (scene.right, corners[-1][1])]


def _named(scene: Scene, lines: Sequence[Sequence[int]]) -> list[dict[str, object]]:
    """A thin line through each method's spots that leads to its name, as near to its height as names can stand.

    Names are spread from the bottom, so that their heights ascend with the lines' order.
    """
    bottom = scene.bottom
    targets = [bottom - scene.at(line[-1])[1] for line in lines]
    places = spread_out(targets, LABEL, 4.0, bottom - TOP - 4.0)
    faint = min(0.4, max(0.2, 4 / len(lines)))
    return [_line(scene, line, bottom - place, faint) for line, place in zip(lines, places, strict=True)]


def _line(scene: Scene, line: Sequence[int], height: float, faint: float) -> dict[str, object]:
    last, right = scene.frontier.spots[line[-1]], scene.right
    style, passed = scene.styles[last.method], [] if last.is_reference else line  # the baseline's own line is dotted
    end = [(right, scene.at(line[-1])[1]), (right + LEADER - 8, height)]
    path = [*map(scene.at, passed), *end]
    look = marked(style, [len(path) - 1], scene.size, hollow=bool(last.why))
    drawn = scene.canvas.line(path, style.colour, alpha=faint, order=1.5, **look)
    part = scene.parts.name(drawn, last.method, last.method)
    name = scene.canvas.name((right + LEADER, height + 3.2), last.method, below=bool(last.why))
    scene.parts.name(name, last.method, _says(last))
    return {"part": part, "spots": list(passed), "end": _short(end)}


def _spot(scene: Scene, place: int) -> dict[str, object]:
    """The mean; its interval as a bar, the seeds as strokes across it: one artist."""
    spot, (across, down) = scene.frontier.spots[place], scene.at(place)
    style, y = scene.styles[spot.method], scene.heights.y
    bar = [(across, y(spot.interval.low)), (across, down), (across, y(spot.interval.high))] if spot.interval else []
    strokes = [point for miou in spot.seeds for point in (BREAK, (across - SEED, y(miou)), (across + SEED, y(miou)))]
    look = marked(style, [1 if bar else 0], scene.size, hollow=bool(spot.why))
    drawn = scene.canvas.line([*(bar or [(across, down)]), *strokes], style.colour, order=3, **look)
    return {"part": scene.parts.name(drawn, spot.method, _says(spot)), "y": round(down, 2)}


def _says(spot: Spot) -> str:
    """Everything that is known of it."""
    interval = f" ({_range(spot.interval)})" if spot.interval else ""
    spent = [f"{_amount(amount)} {axis.unit}" for amount, axis in zip(spot.spent, AXES, strict=True) if amount]
    why = f"; below the line: {spot.why}" if spot.why else ""
    runs = "1 seed" if spot.n == 1 else f"{spot.n} seeds"
    return (
        f"{spot.method}, {spot.budget}: {numerals.percent(spot.miou, 1)} %{interval}, {runs}; {', '.join(spent)}{why}"
    )


def _range(interval: Interval) -> str:
    return f"{numerals.percent(interval.low, 1)} to {numerals.percent(interval.high, 1)}"


def _amount(value: float) -> str:
    return numerals.count(value) if value >= 1000 else f"{value:.3g}"


def _live(scene: Scene, view: View) -> dict[str, object]:
    """A view as the page's script needs it."""
    x = scene.x
    return {
        "name": view.axis.name,
        "label": view.axis.label,
        "ticks": [[round(x(view, at), 2), words] for at, words in view.ticks],
        "x": [None if across is None else round(x(view, across), 2) for across in view.across],
        "ranks": [above for rank in view.ranks if (above := _above(scene, rank.members))],
        "front": list(view.front),
        "reference": _short(_reference(scene, view)),
        "bands": _short(_bands(scene, view)),
    }


def _above(scene: Scene, members: Sequence[int]) -> list[int]:
    """Those above the line, of whom the page makes the front of the methods that it shows."""
    return [at for at in members if not scene.frontier.spots[at].why]


def _short(points: Iterable[Point]) -> list[list[float]]:
    return [[round(first, 2), round(second, 2)] for first, second in points]


def _key(scene: Scene) -> None:
    samples = (
        (scene.view.front, Sample("Pareto front", INK, {"linewidth": 1})),
        (scene.view.reference, Sample("baseline", INK, {"linewidth": 1.2, "linestyle": DOTTED})),
        (_any_below(scene.frontier), BELOW_LINE),
    )
    key(scene.canvas, scene.right, HEAD, [sample for there, sample in samples if there])


def _caption(frontier: Frontier) -> str:
    hollow = " Hollow, its name in italics: below the line, for the reason it says." if _any_below(frontier) else ""
    return (
        f"A marker is a method's mean over its finished runs at one budget ({_counted(frontier)}), a bar its 95 % "
        "interval (t, the variance of a run pooled over the methods of a board; cut off where it leaves the figure), "
        f"strokes across it the seeds where they are {MOST_SEEDS} or fewer. A seed moves all methods alike: whether "
        "two differ is told by the table's paired intervals, not by bars that overlap. Markers that spent the same "
        "within 5 % are set side by side, by mIoU; a shaded band holds what counts as one amount. Pareto front: above "
        "the line, and no other that is shown reached as much with as little; it has no interval of its own. The "
        "baseline's dotted line is level across each of its budgets and straight between them: nobody measured what "
        "lies beyond. What the teacher's own training took is not counted."
        f"{hollow}{without_room(frontier.without_room)}"
    )


def _any_below(frontier: Frontier) -> bool:
    return any(spot.why for spot in frontier.spots)


def _counted(frontier: Frontier) -> str:
    counts = sorted({spot.n for spot in frontier.spots})
    return f"n = {counts[0]}" if len(counts) == 1 else f"n = {counts[0]} to {counts[-1]}"
