"""mIoU over the budget: a line a method through its end points, and when it has what the baseline ends with."""

from dataclasses import dataclass
from itertools import pairwise
from math import log10

from harness.ledger.method import BASELINE
from harness.report.facts.scaling import Curve, Curves
from harness.report.figures.canvas import BREAK, DASHED, HEAD, Canvas, Point, Sample, key, marked, rule, upright
from harness.report.figures.placing import Heights, heights, spread_out
from harness.report.figures.sheet import Parts, as_png, as_svg, settings
from harness.report.names import shown, without_room
from harness.report.picture import INK, Picture
from harness.report.style import Styles
from harness.score import numerals

WIDTH, LEFT, TOP, BOTTOM = 756.0, 40.0, 34.0, 44.0
"""Points: of the figure, and around the axes."""
RATIO, NAME, LETTER = 66.0, 84.0, 5.8
"""Points from the axes to the end of a ratio and to a name, and of a letter of it."""
LOWEST, LABEL = 270.0, 12.0
"""Points: the least height of the axes, and what a name needs."""
MARGIN, ASIDE, SPREAD = 44.0, 2.4, 0.4
"""Points beside the first and the last budget, and from one method's bars to the next one's; those of a budget take
this part of the way to the nearest other at most."""
NEAREST_TICKS = 44.0


@dataclass(frozen=True)
class Scene:
    """Everything that a part of the figure is drawn from."""

    canvas: Canvas
    heights: Heights
    right: float
    """Of the axes; then come ratios and names."""
    curves: Curves
    styles: Styles
    parts: Parts

    def x(self, size: float) -> float:
        """Where a budget stands."""
        low, high = (log10(self.curves.sizes[end][0]) for end in (0, -1))
        return LEFT + MARGIN + (self.right - LEFT - 2 * MARGIN) * (log10(size) - low) / (high - low)

    def beside(self, place: int) -> float:
        """How far a curve is moved to one side, so that its bars stand beside the others' at every budget."""
        nearest = min(after - before for before, after in pairwise(self.x(size) for size, _ in self.curves.sizes))
        count = len(self.curves.curves)
        return min(ASIDE, SPREAD * nearest / count) * (place - (count - 1) / 2)

    def points(self, place: int) -> list[Point]:
        """Of a curve's end points."""
        ends = self.curves.curves[place].ends
        return [(self.x(end.size) + self.beside(place), self.heights.y(end.miou)) for end in ends]


def draw(curves: Curves, styles: Styles, name: str) -> Picture:
    """The figure."""
    parts, names = Parts(), [shown(curve.method) for curve in curves.curves]
    ends = [end for curve in curves.curves for end in curve.ends]
    bottom = TOP + max(LOWEST, LABEL * len(names))
    placed = heights(TOP, bottom, [end.miou for end in ends], [end.interval for end in ends])
    right = WIDTH - NAME - 6 - LETTER * max(map(len, names))
    with settings():
        scene = Scene(Canvas(WIDTH, bottom + BOTTOM), placed, right, curves, styles, parts)
        _ground(scene)
        for place in range(len(curves.curves)):
            _curve(scene, place)
        _level(scene)
        _names(scene)
        svg, png = as_svg(scene.canvas.figure), as_png(scene.canvas.figure)
    return Picture(name, f"mIoU over the budget of {curves.unit}", _caption(curves), svg, png, tuple(parts.found))


def _ground(scene: Scene) -> None:
    """Both axes."""
    canvas, bottom = scene.canvas, scene.heights.bottom
    upright(canvas, LEFT, scene.right, scene.heights.ticks)
    places = [(scene.x(size), shown(budget)) for size, budget in scene.curves.sizes]
    rule(canvas, [[(across, TOP), (across, bottom)] for across, _ in places])
    last = -NEAREST_TICKS
    for across, words in places:
        if across - last >= NEAREST_TICKS:
            canvas.text((across, bottom + 16), words, align="center")
            last = across
    words = f"budget of a run ({scene.curves.unit}), logarithmic"
    canvas.text(((LEFT + scene.right) / 2, bottom + 34), words, align="center")


def _curve(scene: Scene, place: int) -> None:
    """A line, its markers and its bars: one artist; the baseline's is the heaviest and above the others."""
    curve, points, y = scene.curves.curves[place], scene.points(place), scene.heights.y
    bars: list[Point] = []
    for end, (across, _) in zip(curve.ends, points, strict=True):
        if end.interval:
            bars += [BREAK, (across, y(end.interval.low)), (across, y(end.interval.high))]
    alone = curve.method == BASELINE
    look = marked(scene.styles[curve.method], list(range(len(points))), 7.0 if alone else 4.5)
    look["linewidth"] = 2.4 if alone else 0.9
    drawn = scene.canvas.line([*points, *bars], scene.styles[curve.method].colour, order=4 if alone else 2, **look)
    scene.parts.name(drawn, curve.method, _says(curve, scene.curves.unit))


def _says(curve: Curve, unit: str) -> str:
    ends = ", ".join(
        f"{numerals.percent(end.miou, 1)} % at {end.budget} ({end.n} seed{'s' if end.n > 1 else ''})"
        for end in curve.ends
    )
    if curve.method == BASELINE:
        return f"{curve.method}: {ends}"
    reached = f"after {_ratio(curve)} of its {unit}" if curve.reached else "never"
    return f"{curve.method}: {ends}; has the baseline's last mIoU {reached}"


def _ratio(curve: Curve) -> str:
    """Of the baseline's largest budget, what the method needs for the same mIoU."""
    if curve.reached is None:
        return numerals.NONE
    return f"{'≤ ' if curve.reached.at_most else ''}{numerals.ratio(curve.reached.ratio)} ×"


def _level(scene: Scene) -> None:
    """The baseline's last mIoU, and on it a marker where a method's line crosses it between two budgets."""
    level = scene.curves.level
    if level is None:
        return
    down = scene.heights.y(level)
    scene.canvas.line([(LEFT, down), (scene.right, down)], INK, order=1.8, linewidth=1, linestyle=DASHED)
    for place, curve in enumerate(scene.curves.curves):
        if curve.reached and curve.reached.interpolated:
            at = (scene.x(curve.reached.hours) + scene.beside(place), down)
            style = scene.styles[curve.method]
            crossing = scene.canvas.line([at], style.colour, order=3.5, **marked(style, [0], 5.0, hollow=True))
            scene.parts.name(crossing, curve.method, f"{curve.method}: the baseline's last mIoU, {_ratio(curve)}")
    key(
        scene.canvas,
        scene.right,
        HEAD,
        [Sample("the baseline's last mIoU", INK, {"linestyle": DASHED, "linewidth": 1})],
    )
    scene.canvas.text((scene.right + RATIO, HEAD), "reached after", align="right")


def _names(scene: Scene) -> None:
    """Ratios and names in the order of the last end points, as near to their heights as they can stand."""
    bottom, curves = scene.heights.bottom, scene.curves.curves
    targets = [bottom - scene.heights.y(curve.ends[-1].miou) for curve in curves]
    places = spread_out(targets, LABEL, 4.0, bottom - TOP - 4.0)
    for place, (curve, up) in enumerate(zip(curves, places, strict=True)):
        _name(scene, curve, scene.points(place)[-1], bottom - up)


def _name(scene: Scene, curve: Curve, last: Point, down: float) -> None:
    style, right, canvas = scene.styles[curve.method], scene.right, scene.canvas
    path = [last, (right, last[1]), (right + 14, down), BREAK, (right + NAME - 8, down)]
    leader = canvas.line(path, style.colour, alpha=0.35, order=1.5, **marked(style, [4], 4.5))
    scene.parts.name(leader, curve.method, curve.method)
    name = canvas.name((right + NAME, down + 3.2), curve.method)
    scene.parts.name(name, curve.method, _says(curve, scene.curves.unit))
    if curve.method != BASELINE and scene.curves.level is not None:
        ratio = canvas.text((right + RATIO, down + 3.2), _ratio(curve), align="right")
        scene.parts.name(ratio, curve.method, _says(curve, scene.curves.unit))


def _caption(curves: Curves) -> str:
    counts = sorted({end.n for curve in curves.curves for end in curve.ends})
    n = f"n = {counts[0]}" if len(counts) == 1 else f"n = {counts[0]} to {counts[-1]}"
    level = (
        " The dashed level is the baseline's mIoU at its largest budget; a hollow marker on it shows where a method's "
        "line crosses it, the number beside its name after what part of the baseline's "
        f"{curves.unit}: read between two budgets on the logarithmic axis, ≤ where the smallest was enough, – where "
        "none was. It has no interval."
    )
    return (
        "End points only: a marker is a method's mean over complete runs of that very budget, each with a schedule of "
        f"its own; nothing is taken from the way of a longer run ({n}). Bars are 95 % intervals of a mean (t, the "
        "variance of a run pooled over the methods of a board; cut off where they leave the figure); curves are moved "
        "aside so that a budget's bars stand beside one another. Lines between markers only guide the eye. Methods "
        "below the line are left out; a method with one budget is a marker alone."
        f"{level if curves.level is not None else ''}{without_room(curves.without_room)}"
    )
