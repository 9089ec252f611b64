"""What a student reaches of its teacher: a dot a method, best first, and the share that the claim is about."""

from collections.abc import Sequence
from dataclasses import dataclass

from harness.report.facts.share import Dot, Shares
from harness.report.figures.canvas import BELOW_LINE, DASHED, HEAD, SMALL, Canvas, Point, key, marked, rule
from harness.report.figures.placing import linear_ticks
from harness.report.figures.sheet import Parts, as_png, as_svg, settings
from harness.report.names import shown, without_room
from harness.report.picture import INK, MUTED, Picture
from harness.report.style import Styles
from harness.score import numerals

CLAIM = 0.99
"""arXiv 2604.25530: a PSPNet ResNet-18 reaches 79.0 of its ResNet-101 teacher's 79.8 mIoU on Cityscapes."""
FURTHEST = 1.0
"""Of the distance from the lowest mean to the teacher: an interval that goes further beyond them is cut off."""

WIDTH, TOP, BOTTOM = 640.0, 46.0, 42.0
NUMBERS, LETTER = 96.0, 5.8
"""Points at the right for shares in numbers, and of a letter of a name at the left."""
STEP, GAP = 14.0, 8.0
"""Points from one method to the next, and more between those above and below the line."""
MOST_TICKS = 8


@dataclass(frozen=True)
class Scene:
    """Everything that a part of the figure is drawn from."""

    canvas: Canvas
    left: float
    right: float
    """Of the axis; names stand before it, numbers behind it."""
    low: float
    high: float
    """Shares at its ends."""
    bottom: float

    def x(self, share: float) -> float:
        """Where a share stands; at the edge where it is beyond."""
        along = (share - self.low) / (self.high - self.low)
        return self.left + (self.right - self.left) * min(max(along, 0.0), 1.0)


def draw(shares: Shares, styles: Styles, name: str) -> Picture:
    """The figure."""
    parts, downs = Parts(), _downs(shares.dots)
    bottom = downs[-1] + STEP / 2
    low, high = _limits(shares.dots)
    left = 14 + LETTER * max(len(shown(dot.method)) for dot in shares.dots)
    with settings():
        scene = Scene(Canvas(WIDTH, bottom + BOTTOM), left, WIDTH - NUMBERS, low, high, bottom)
        _ground(scene, shares, downs)
        for dot, down in zip(shares.dots, downs, strict=True):
            _dot_of(scene, dot, down, styles, parts)
        svg, png = as_svg(scene.canvas.figure), as_png(scene.canvas.figure)
    title = f"Share of the teacher's mIoU at {shown(shares.budget)}"
    return Picture(name, title, _caption(shares), svg, png, tuple(parts.found))


def _downs(dots: Sequence[Dot]) -> list[float]:
    """The height of each, with a gap where the line is."""
    above = sum(not dot.why for dot in dots)
    return [TOP + STEP * (place + 0.5) + (GAP if 0 < above <= place else 0.0) for place in range(len(dots))]


def _limits(dots: Sequence[Dot]) -> tuple[float, float]:
    """Room for every mean, the claim and the teacher, and for intervals that do not go far beyond them."""
    means = [*(dot.share for dot in dots), 1.0]
    ends = [end for dot in dots if dot.interval for end in (dot.interval.low, dot.interval.high)]
    further = FURTHEST * max(max(means) - min(means), 0.02)
    low, high = max(min([*means, *ends]), min(means) - further), min(max([*means, *ends]), max(means) + further)
    pad = 0.03 * max(high - low, 0.02)
    return low - pad, high + pad


def _ground(scene: Scene, shares: Shares, downs: Sequence[float]) -> None:
    """The axis, the claim and the teacher."""
    canvas, bottom = scene.canvas, scene.bottom
    rule(canvas, [[(scene.left, down), (scene.right, down)] for down in downs])
    for percent in linear_ticks(100 * scene.low, 100 * scene.high, MOST_TICKS):
        canvas.text((scene.x(percent / 100), bottom + 15), f"{percent:g}", align="center")
    canvas.text(((scene.left + scene.right) / 2, bottom + 32), "% of the teacher's mIoU", align="center")
    for share, colour in ((CLAIM, INK), (1.0, MUTED)):
        line = [(scene.x(share), TOP - 4), (scene.x(share), bottom)]
        canvas.line(line, colour, order=1, linewidth=1, linestyle=DASHED)
    canvas.text((scene.x(CLAIM) - 3, TOP - 8), "99 %, the claim", INK, align="right", fontsize=SMALL)
    words = f"teacher {numerals.percent(shares.teacher_miou, 1)}"
    canvas.text((scene.x(1.0) + 3, TOP - 8), words, fontsize=SMALL)
    if any(dot.why for dot in shares.dots):
        key(canvas, WIDTH - 4, HEAD - 2, [BELOW_LINE])


def _dot_of(scene: Scene, dot: Dot, down: float, styles: Styles, parts: Parts) -> None:
    """The mean and its interval, the name before and the numbers behind."""
    style, at = styles[dot.method], (scene.x(dot.share), down)
    bar: list[Point] = [at]
    if dot.interval:
        bar = [(scene.x(dot.interval.low), down), at, (scene.x(dot.interval.high), down)]
    look = marked(style, [len(bar) // 2], 6.0, hollow=bool(dot.why))
    look["linewidth"] = 1.6
    parts.name(scene.canvas.line(bar, style.colour, order=3, **look), dot.method, _says(dot))
    name = scene.canvas.name((scene.left - 8, down + 3.2), dot.method, below=bool(dot.why), align="right")
    parts.name(name, dot.method, _says(dot))
    half = f" ± {100 * dot.interval.half:.1f}" if dot.interval else ""
    number = scene.canvas.text((scene.right + 8, down + 3.2), f"{numerals.percent(dot.share, 1)}{half}")
    parts.name(number, dot.method, _says(dot))


def _says(dot: Dot) -> str:
    """Everything that is known of it."""
    ends = [numerals.percent(end, 1) for end in (dot.interval.low, dot.interval.high)] if dot.interval else []
    interval = f" ({' to '.join(ends)})" if ends else ""
    why = f"; below the line: {dot.why}" if dot.why else ""
    runs = "1 seed" if dot.n == 1 else f"{dot.n} seeds"
    return f"{dot.method}: {numerals.percent(dot.share, 1)} % of the teacher's mIoU{interval}, {runs}{why}"


def _caption(shares: Shares) -> str:
    counts = sorted({dot.n for dot in shares.dots})
    n = f"n = {counts[0]}" if len(counts) == 1 else f"n = {counts[0]} to {counts[-1]}"
    hollow = " Hollow: below the line, for the reason it says." if any(dot.why for dot in shares.dots) else ""
    return (
        f"A marker is a method's mean mIoU over its finished runs ({n}) as a share of the teacher's, "
        f"{numerals.percent(shares.teacher_miou, 1)} %, which is taken as exact. Bars are 95 % intervals (t, the "
        "variance of a run pooled over the board; cut off where they leave the figure), of each method by itself: "
        "whether two differ is told by the table's paired intervals. At 99 % stands the claim under test (arXiv "
        "2604.25530: 79.0 of 79.8 mIoU on Cityscapes); shares of another workload, student or teacher do not compare "
        f"with it or with one another.{hollow}{without_room(shares.without_room)}"
    )
