"""Validation pictures: image, label, what the teacher and some students predict, and where each is wrong."""

import base64
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from io import BytesIO

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle
from numpy.typing import NDArray
from PIL import Image

from harness.report.facts.scenes import IGNORED, Bytes, Scenes
from harness.report.figures.sheet import PNG_DPI, as_png, as_svg, settings
from harness.report.names import shown
from harness.report.picture import INK, MUTED, PAPER, RULE, Part, Picture
from harness.report.style import Styles
from harness.score import numerals

QUALITY = 80
"""Of a photograph in the SVG, a JPEG: as PNG it would be as large as all maps together, or of a few colours."""


RIGHT, WRONG, NO_LABEL = (232, 234, 237), (213, 94, 0), (154, 160, 166)
"""Of the maps that say where a prediction is wrong: they are pictures, and the same on light and dark pages."""


WIDTH, GAP, MARGIN, HEAD, LINE = 756.0, 6.0, 8.0, 26.0, 16.0
"""Points: of the figure, between pictures, around them, of the names above, of a line of text."""


SWATCH, LETTER = 10.0, 5.2
"""Points: of a class's colour in the legend, of a letter of its name."""


FLATTEST, TALLEST = 0.25, 1.5
"""Height over width of a picture in the figure; those beyond are stretched, so that no file makes a tower of it."""


MARKED: Bytes = np.array((RIGHT, WRONG, NO_LABEL), np.uint8)


MOST_CHROMA = 0.17
"""Of a class's colour, in Oklab: brighter ones hurt where they fill a street."""


DARKEST, LIGHTEST = 0.3, 0.92
"""Lightness in Oklab: black and white would be lost on the page."""


FIRST = (70, 90, 120)
"""About the colour of class 0; the others follow from it."""


MOST_NAMED = 30
"""Classes in the legend."""


@dataclass(frozen=True)
class Tile:
    """A picture in its place, in points from the top left corner."""

    left: float
    top: float
    width: float
    height: float
    pixels: Bytes
    """H×W×3, or H×W with a palette."""
    palette: Bytes | None
    """Colours×3."""
    method: str | None
    text: str
    """What it is."""
    below: str = ""
    """Said under it."""


def draw(scenes: Scenes, styles: Styles, name: str) -> Picture:
    """A row of pictures an image, under it where each prediction is wrong; the classes below."""
    colours = palette()
    tiles = list(_tiles(scenes, colours))
    foot = max(tile.top + tile.height for tile in tiles) + LINE
    named = list(_named(scenes, foot + LINE))
    height = max((each.top for each in named), default=foot) + LINE
    with settings():
        figure = Figure(figsize=(WIDTH / 72, height / 72), facecolor=PAPER)
        axes = figure.add_axes((0, 0, 1, 1), facecolor="none")
        axes.set(xlim=(0, WIDTH), ylim=(height, 0))
        axes.set_axis_off()
        _heads(axes, tiles, scenes, styles)
        _shares(axes, tiles)
        _legend(axes, named, colours)
        svg = as_svg(figure).replace("</svg>", "".join(map(_inlined, range(len(tiles)), tiles)) + "</svg>")
        figure.figimage(_sheet(tiles, height))
        png = as_png(figure)
    parts = tuple(Part(tile.method, tile.text) for tile in tiles)
    return Picture(name, "What they see", _caption(scenes), svg, png, parts)


def _caption(scenes: Scenes) -> str:
    count = len(scenes.images)
    which = "The first image that runs are" if count == 1 else f"The first {count} images that runs are"
    more = "" if len(_present(scenes)) <= MOST_NAMED else f" Only the first {MOST_NAMED} classes are named."
    seeds = ", ".join(map(str, scenes.seeds))
    whose = f" Students are of budget {shown(scenes.budget)}, seed {seeds}, the first scored:" if scenes.seeds else ""
    choice = f"{whose} the best method, the baseline, then the next in rank." if whose else ""
    return (
        f"{which} scored on, with its label below, and what teacher and students predict, with orange below where that "
        f"is wrong: so many of the labelled pixels. Grey: no label.{choice}{more}"
    )


def _tiles(scenes: Scenes, colours: Bytes) -> Iterator[Tile]:
    """Every picture in its place, image by image."""
    columns = 1 + len(scenes.guesses)
    width = (WIDTH - 2 * MARGIN - GAP * (columns - 1)) / columns
    lefts = [MARGIN + place * (width + GAP) for place in range(columns)]
    top = HEAD
    for number, (image, label) in enumerate(zip(scenes.images, scenes.labels, strict=True)):
        high = width * min(max(label.shape[0] / label.shape[1], FLATTEST), TALLEST)
        below, which = top + high + GAP / 2, f"image {number + 1}"
        yield Tile(lefts[0], top, width, high, image, None, None, which)
        yield Tile(lefts[0], below, width, high, label, colours, None, f"label of {which}")
        for left, guess in zip(lefts[1:], scenes.guesses, strict=True):
            prediction, told = guess.maps[number], f"{guess.who} on {which}"
            wrong = differing(prediction, label)
            said = f"{numerals.percent(wrong_share(wrong), 1)} % wrong"
            yield Tile(left, top, width, high, prediction, colours, guess.method, told)
            yield Tile(left, below, width, high, wrong, MARKED, guess.method, f"{told}: {said}", said)
        top = below + high + LINE


def differing(prediction: Bytes, label: Bytes) -> Bytes:
    """0 where a prediction is right, 1 where it is wrong, 2 where there is no label."""
    return np.where(label == IGNORED, 2, prediction != label).astype(np.uint8)


def wrong_share(wrong: Bytes) -> float | None:
    """Of the labelled pixels; None when there are none."""
    labelled = int((wrong < 2).sum())
    return int((wrong == 1).sum()) / labelled if labelled else None


@cache
def palette() -> Bytes:
    """256×3: a colour for each of 255 classes, each as far from those before it as can be, then grey.

    Distances are of Oklab (Ottosson 2020), lightness counted half as much again: it tells colours apart for everybody.
    """
    levels = np.linspace(20, 245, 12).round().astype(np.uint8)
    candidates = np.stack(np.meshgrid(levels, levels, levels, indexing="ij"), axis=-1).reshape(-1, 3)
    lab = _oklab(candidates)
    is_mild, lightness = np.linalg.norm(lab[:, 1:], axis=1) < MOST_CHROMA, lab[:, 0]
    candidates = candidates[is_mild & (lightness > DARKEST) & (lightness < LIGHTEST)]
    places, grey = (_oklab(colours) * (1.5, 1.0, 1.0) for colours in (candidates, np.array([NO_LABEL], np.uint8)))
    chosen = [int(((candidates.astype(int) - FIRST) ** 2).sum(axis=1).argmin())]
    nearest = np.minimum(*(((places - each) ** 2).sum(axis=1) for each in (places[chosen[0]], grey[0])))
    while len(chosen) < IGNORED:
        chosen.append(int(nearest.argmax()))
        nearest = np.minimum(nearest, ((places - places[chosen[-1]]) ** 2).sum(axis=1))
    return np.concatenate([candidates[chosen], np.array([NO_LABEL], np.uint8)])


def _oklab(colours: Bytes) -> NDArray[np.float64]:
    """Lightness, green to red, blue to yellow of sRGB colours, …×3."""
    shares = colours / 255
    linear = np.where(shares <= 0.04045, shares / 12.92, ((shares + 0.055) / 1.055) ** 2.4)
    to_cones = ((0.4122214708, 0.5363325363, 0.0514459929), (0.2119034982, 0.6806995451, 0.1073969566),
                (0.0883024619, 0.2817188376, 0.6299787005))  # fmt: skip
    to_lab = ((0.2104542553, 0.7936177850, -0.0040720468), (1.9779984951, -2.4285922050, 0.4505937099),
              (0.0259040371, 0.7827717662, -0.8086757660))  # fmt: skip
    return np.asarray(np.cbrt(linear @ np.transpose(to_cones)) @ np.transpose(to_lab))


def _inlined(number: int, tile: Tile) -> str:
    """The tile as SVG; matplotlib would write four bytes a pixel."""
    kind, content = _file(tile)
    return (
        f'<g id="part-{number}"><image x="{tile.left:.2f}" y="{tile.top:.2f}" width="{tile.width:.2f}" '
        f'height="{tile.height:.2f}" preserveAspectRatio="none" style="image-rendering:pixelated" '
        f'xlink:href="data:image/{kind};base64,{base64.b64encode(content).decode()}"/></g>\n'
    )


def _file(tile: Tile) -> tuple[str, bytes]:
    """The kind of a small file, and the file: a map has a byte a pixel or less, in the colours that it holds."""
    content = BytesIO()
    if tile.palette is None:
        Image.fromarray(tile.pixels).save(content, format="jpeg", quality=QUALITY, optimize=True)
        return "jpeg", content.getvalue()
    used, indices = np.unique(tile.pixels, return_inverse=True)
    small = Image.fromarray(indices.reshape(tile.pixels.shape).astype(np.uint8)).convert("P")
    small.putpalette(tile.palette[used].tobytes())
    small.save(content, format="png", optimize=True)
    return "png", content.getvalue()


def _sheet(tiles: Sequence[Tile], height: float) -> Bytes:
    """The same for the PNG, a pixel of its own each: H×W×4, nothing beside the tiles."""
    scale = PNG_DPI / 72
    sheet = np.zeros((int(height * scale), int(WIDTH * scale), 4), np.uint8)
    for tile in tiles:
        colours = tile.pixels if tile.palette is None else tile.palette[tile.pixels]
        rows, columns = (
            slice(round(start * scale), round((start + length) * scale))
            for start, length in ((tile.top, tile.height), (tile.left, tile.width))
        )
        sheet[rows, columns, :3] = colours[np.ix_(*map(_nearest, (rows, columns), colours.shape[:2]))]
        sheet[rows, columns, 3] = 255
    return sheet


def _nearest(place: slice, count: int) -> NDArray[np.intp]:
    """Of so many rows or columns the one that each in a place shows."""
    length = place.stop - place.start
    return np.asarray(np.arange(length) * count // length, dtype=np.intp)


def _heads(axes: Axes, tiles: Sequence[Tile], scenes: Scenes, styles: Styles) -> None:
    """What the columns are, above the first row."""
    first = [tile for tile in tiles if tile.top == HEAD]
    names = ("image, label", *(guess.who for guess in scenes.guesses))
    for tile, who in zip(first, names, strict=True):
        words, middle = shown(who, 18), tile.left + tile.width / 2
        axes.text(middle, HEAD - 8, words, ha="center", va="baseline", color=INK, parse_math=False)
        if tile.method is not None and tile.method in styles:
            style, left = styles[tile.method], middle - LETTER * len(words) / 2 - 8
            axes.add_artist(
                Line2D([left], [HEAD - 11], color=style.colour, marker=style.marker, markersize=5.5, linestyle="")
            )


def _shares(axes: Axes, tiles: Sequence[Tile]) -> None:
    """What is wrong, in numbers."""
    for tile in tiles:
        if tile.below:
            across, down = tile.left + tile.width / 2, tile.top + tile.height + 10
            axes.text(across, down, tile.below, ha="center", va="baseline", color=MUTED, fontsize=8, parse_math=False)


@dataclass(frozen=True)
class Named:
    """A class in the legend."""

    index: int
    name: str
    left: float
    top: float


def _present(scenes: Scenes) -> list[int]:
    """The classes that labels or predictions hold."""
    maps = (*scenes.labels, *(each for guess in scenes.guesses for each in guess.maps))
    found = np.unique(np.concatenate([each.ravel() for each in maps]))
    return [int(index) for index in found if index < len(scenes.classes)]


def _named(scenes: Scenes, top: float) -> Iterator[Named]:
    """The legend, set in lines like words."""
    left = MARGIN
    for index in _present(scenes)[:MOST_NAMED]:
        name = shown(scenes.classes[index])
        width = SWATCH + 6 + LETTER * len(name) + 12
        if left + width > WIDTH - MARGIN:
            left, top = MARGIN, top + LINE
        yield Named(index, name, left, top)
        left += width


def _legend(axes: Axes, named: Sequence[Named], colours: Bytes) -> None:
    for each in named:
        colour = "#{:02x}{:02x}{:02x}".format(*colours[each.index])
        place = (each.left, each.top - SWATCH / 2)
        axes.add_artist(Rectangle(place, SWATCH, SWATCH, facecolor=colour, edgecolor=RULE, linewidth=0.5))
        axes.text(each.left + SWATCH + 5, each.top, each.name, color=MUTED, va="center_baseline", parse_math=False)
