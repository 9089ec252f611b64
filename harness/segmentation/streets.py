"""Procedural street scenes: a small data set that anyone can draw again from its seed.

A camera looks down a street: everything that stands on the ground shrinks towards one vanishing point. Grey may be
road, pavement, wall, pole or car, and a bright patch a sign or a poster on a wall: what tells the classes apart is
shape and place. Only arithmetic, comparisons and one kind of random draw are used, no sine and no logarithm, so that
every machine draws the same bytes.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.random import PCG64, Generator
from numpy.typing import NDArray

CLASSES: tuple[str, ...] = (
    "sky", "building", "pole", "road", "pavement", "tree", "sign", "fence", "car", "pedestrian", "bicyclist",
)  # fmt: skip
SKY, BUILDING, POLE, ROAD, PAVEMENT, TREE, SIGN, FENCE, CAR, PEDESTRIAN, BICYCLIST = range(len(CLASSES))
IGNORE = 255
HEIGHT, WIDTH = 64, 128

Floats = NDArray[np.float32]
Parts = NDArray[np.intp]  # 0 where an object is not, else the part of it that is there
Mask = NDArray[np.bool_]


def _palette(*colours: tuple[float, float, float]) -> Floats:
    """Sixty-four tones near the named ones, brighter or darker and a little off: to pick is quicker than to mix."""
    rng = Generator(PCG64(0))
    chosen = np.array(colours, dtype=np.float32)[np.arange(64) % len(colours)]
    shift = rng.random((64, 4), dtype=np.float32)
    tones: Floats = chosen * (0.7 + 0.5 * shift[:, 3:]) + 0.1 * shift[:, :3]
    return tones


# The palettes overlap on purpose; red, green, blue around 0 to 1.
SKIES = _palette((0.55, 0.70, 0.90), (0.80, 0.82, 0.85), (0.62, 0.64, 0.68), (0.90, 0.78, 0.65))
WALLS = _palette((0.55, 0.40, 0.33), (0.75, 0.70, 0.60), (0.50, 0.50, 0.52), (0.80, 0.80, 0.78), (0.40, 0.42, 0.34))
ASPHALTS = _palette((0.35, 0.35, 0.36), (0.50, 0.50, 0.50), (0.42, 0.40, 0.38))
SLABS = _palette((0.44, 0.43, 0.43), (0.56, 0.54, 0.51), (0.50, 0.45, 0.42))
LEAVES = _palette((0.20, 0.35, 0.15), (0.35, 0.42, 0.20), (0.45, 0.35, 0.18), (0.26, 0.28, 0.20))
BARS = _palette((0.40, 0.32, 0.25), (0.30, 0.36, 0.28), (0.50, 0.50, 0.50), (0.70, 0.68, 0.62))
METALS = _palette((0.35, 0.35, 0.37), (0.56, 0.56, 0.56), (0.30, 0.27, 0.22))
PAINTS = _palette(
    (0.75, 0.15, 0.15),
    (0.15, 0.25, 0.60),
    (0.85, 0.75, 0.20),
    (0.88, 0.88, 0.88),
    (0.50, 0.50, 0.52),
    (0.20, 0.20, 0.22),
    (0.25, 0.42, 0.30),
    (0.50, 0.38, 0.30),
)
SKINS = _palette((0.85, 0.65, 0.52), (0.45, 0.30, 0.22))
TYRES = _palette((0.10, 0.10, 0.11))
PANES = _palette((0.22, 0.24, 0.28), (0.40, 0.45, 0.50))
LAMPS = _palette((0.80, 0.15, 0.10))

ROWS = np.arange(HEIGHT, dtype=np.float32)[:, None]
COLUMNS = np.arange(WIDTH, dtype=np.float32)


@dataclass(frozen=True)
class Scenes:
    """Pictures and what they show."""

    images: NDArray[np.uint8]  # N×3×64×128
    labels: NDArray[np.uint8]  # N×64×128, an index into CLASSES or 255: not scored


def draw(count: int, seed: int) -> Scenes:
    """The first `count` scenes of a seed; a scene is the same however many are drawn."""
    images = np.empty((count, 3, HEIGHT, WIDTH), dtype=np.uint8)
    labels = np.empty((count, HEIGHT, WIDTH), dtype=np.uint8)
    for index in range(count):
        canvas = _scene(Generator(PCG64((seed, index))))
        images[index], labels[index] = canvas.colours, canvas.labels
    return Scenes(images, labels)


@dataclass(frozen=True)
class Street:
    """Where the camera stands: on the ground, `lean` pixels sideways are one pixel down from the vanishing point."""

    row: float  # the vanishing point, which is also the horizon
    column: float
    lanes: tuple[float, float]  # the lean of the road's left and right edge
    walls: tuple[float, float]  # and of the foot of the walls
    metre: float  # how many pixels a metre is for each pixel below the horizon

    def metres(self, row: float) -> float:
        """Pixels in one metre of what stands on the ground at this row."""
        return (row - self.row) * self.metre

    def at(self, row: float, lean: float) -> float:
        """The column where the line of this lean crosses the row."""
        return self.column + lean * (row - self.row)


@dataclass(frozen=True)
class Canvas:
    """A scene in the making."""

    colours: Floats  # 3×64×128
    labels: NDArray[np.uint8]  # 64×128
    grain: Floats  # 64×128, fine and coarse noise around 0, from which objects take their texture

    def paint(
        self, foot: float, centre: float, parts: Parts, colours: Floats, label: int, *, texture: float, outlined: bool
    ) -> None:
        """An object stands with its foot at a row and its middle at a column, before all that was painted so far.

        Args:
            foot: the row below its lowest.
            centre: the column of its middle.
            parts: which part of the object is where, 0 for none.
            colours: one colour a part, the first one for part 1.
            label: its class.
            texture: how much of the grain shows.
            outlined: whether the object's own outermost pixels are left out of the labels.

        """
        height, width = parts.shape
        top, left = round(foot) - height, round(centre - width / 2)
        rows = slice(min(max(top, 0), HEIGHT), min(max(top + height, 0), HEIGHT))
        columns = slice(min(max(left, 0), WIDTH), min(max(left + width, 0), WIDTH))
        parts = parts[rows.start - top : rows.stop - top, columns.start - left : columns.stop - left]
        if not parts.size:
            return
        there = parts > 0
        painted = colours.T.take(parts - 1, axis=1, mode="wrap")  # part 0 borrows a colour and is not copied
        painted += self.grain[rows, columns] * np.float32(texture)
        np.copyto(self.colours[:, rows, columns], painted, where=there)
        np.copyto(self.labels[rows, columns], np.uint8(label), where=there)
        if outlined:
            self.labels[rows, columns][there & ~_interior(there)] = IGNORE


def _interior(there: Mask) -> Mask:
    """Pixels whose four neighbours belong to the object too."""
    inside = np.zeros_like(there)
    inside[1:-1, 1:-1] = there[:-2, 1:-1] & there[2:, 1:-1] & there[1:-1, :-2] & there[1:-1, 2:]
    return inside


def _scene(rng: Generator) -> Canvas:
    street = _street(rng)
    canvas = _backdrop(rng, street)
    for _ in range(_whole(rng, 0, 2)):
        _fence(rng, street, canvas)
    kinds: list[Callable[[Generator, Street, Canvas, float], None]] = [
        *[_tree] * _whole(rng, 0, 4),
        *[_pole] * _whole(rng, 2, 5),
        *[_car] * _whole(rng, 1, 4),
        *[_pedestrian] * _whole(rng, 1, 4),
        *[_bicyclist] * _whole(rng, 0, 3),
    ]
    # Far things first, so that near ones hide them.
    feet = street.row + 5 + rng.random(len(kinds)) ** 2 * (HEIGHT - street.row)
    for foot, kind in sorted(zip(feet.tolist(), kinds, strict=True), key=lambda pair: pair[0]):
        kind(rng, street, canvas, foot)
    return _photograph(rng, canvas)


def _street(rng: Generator) -> Street:
    lanes = (_between(rng, -2.2, -0.6), _between(rng, 0.6, 2.2))
    walls = (lanes[0] - _between(rng, 0.3, 1.6), lanes[1] + _between(rng, 0.3, 1.6))
    return Street(_between(rng, 20, 32), _between(rng, 36, 92), lanes, walls, _between(rng, 0.5, 0.8))


def _backdrop(rng: Generator, street: Street) -> Canvas:
    """Sky, two rows of houses, road and pavement."""
    side = (street.column < COLUMNS).astype(np.intp)
    away = np.abs(COLUMNS - street.column)
    foot = street.row + np.maximum(away / np.abs(np.array(street.walls, dtype=np.float32))[side], 1.5)
    # Ten houses stand along the columns; a house's height above the horizon grows as it comes nearer.
    ends = np.cumsum(rng.random(9, dtype=np.float32) + 0.2)
    house = np.searchsorted(ends * (np.float32(WIDTH) / ends[-1]), COLUMNS)
    tall = 0.3 + 3.2 * rng.random(10, dtype=np.float32)
    top = street.row - (foot - street.row) * tall[house] - 2
    below = ROWS - street.row
    lane = below * np.array(street.lanes, dtype=np.float32)[side]
    on_road = np.abs(lane) > away
    regions = np.where(top > ROWS, 0, house + 3)
    regions = np.where(foot < ROWS, np.where(on_road, 1, 2), regions)
    ground_and_sky = [_tones(rng, palette, 1) for palette in (SKIES, ASPHALTS, SLABS)]
    table = np.concatenate([*ground_and_sky, _tones(rng, WALLS, 10)])
    labels = np.array([SKY, ROAD, PAVEMENT, *[BUILDING] * 10], dtype=np.uint8)[regions]
    # Windows: bright or dark where a pattern of rows and one of columns meet.
    period, pane = _whole(rng, 4, 8), _whole(rng, 3, 7)
    windows = ((ROWS + _whole(rng, 0, 7)) % period < period // 2) & ((COLUMNS + _whole(rng, 0, 7)) % pane < pane // 2)
    panes = np.append(np.zeros(3, dtype=np.float32), 0.6 * rng.random(10, dtype=np.float32) - 0.35)
    noise = rng.random((HEIGHT, WIDTH), dtype=np.float32) - 0.5
    grain = 0.5 * noise + _cloud(rng)
    coarse = 0.05 + 0.3 * rng.random(13, dtype=np.float32)
    light = coarse[regions] * grain + panes[regions] * windows
    middle = np.abs(COLUMNS - street.column - _between(rng, -0.3, 0.3) * below) < 0.04 * below
    dashes = on_road & middle & ((ROWS + _whole(rng, 0, 9)) % 10 < _whole(rng, 3, 10))
    light += 0.3 * (dashes & (regions == 1))
    canvas = Canvas(table.T[:, regions] + light, labels, grain)
    _shadow(rng, street, canvas)
    for _ in range(_whole(rng, 1, 5)):
        _poster(rng, canvas, labels == BUILDING)
    return canvas


def _cloud(rng: Generator) -> Floats:
    """Smooth noise around 0: a coarse grid of random numbers, interpolated."""
    grid = rng.random((HEIGHT // 8 + 1, WIDTH // 8 + 1), dtype=np.float32) - 0.5
    share = np.arange(8, dtype=np.float32) / np.float32(8)
    tall = grid[:-1, None] * (1 - share[:, None]) + grid[1:, None] * share[:, None]
    tall = tall.reshape(HEIGHT, -1)
    wide: Floats = tall[:, :-1, None] * (1 - share) + tall[:, 1:, None] * share
    return wide.reshape(HEIGHT, WIDTH)


def _shadow(rng: Generator, street: Street, canvas: Canvas) -> None:
    """Something out of sight darkens a strip of the ground."""
    first = _between(rng, street.row + 2, HEIGHT)
    rows = slice(round(first), round(first + _between(rng, 0, 14)))
    ground = (canvas.labels[rows] == ROAD) | (canvas.labels[rows] == PAVEMENT)
    canvas.colours[:, rows] *= np.where(ground, np.float32(_between(rng, 0.5, 0.9)), np.float32(1))


def _poster(rng: Generator, canvas: Canvas, walls: Mask) -> None:
    """A patch on a wall that looks like a sign but hangs on no pole."""
    top, left = _whole(rng, 2, HEIGHT // 2), _whole(rng, 0, WIDTH - 4)
    rows, columns = slice(top, top + _whole(rng, 2, 7)), slice(left, left + _whole(rng, 2, 8))
    colour = _tones(rng, PAINTS, 1)[0]
    np.copyto(canvas.colours[:, rows, columns], colour[:, None, None], where=walls[rows, columns])


def _fence(rng: Generator, street: Street, canvas: Canvas) -> None:
    """Bars along a line of depth on one side of the street; what shows between them counts as fence."""
    side = _whole(rng, 0, 1)
    lean = street.walls[side] * _between(rng, 0.8, 1.1)
    first, last = sorted((_between(rng, 4, 80), _between(rng, 4, 80)))
    ends = sorted(round(street.column + (away if side else -away)) for away in (first, last))
    part = slice(*(min(max(end, 0), WIDTH) for end in ends))
    away = np.abs(COLUMNS[part] - street.column)
    foot = street.row + away / abs(lean)
    top = foot - (foot - street.row) * (street.metre * _between(rng, 0.8, 1.5))
    there = (np.floor(top) <= ROWS) & (foot >= ROWS)
    period = _whole(rng, 2, 4)
    bars = COLUMNS[part] % period == 0
    rail = (top + 1 > ROWS) | (rng.random() < 0.3)  # nearly a third are boarded: no gaps
    colour = _tones(rng, BARS, 1)[0][:, None, None] + (0.2 * canvas.grain[:, part] - 0.1 * ~bars)
    np.copyto(canvas.colours[:, :, part], colour, where=there & (bars | rail))
    canvas.labels[:, part][there] = FENCE


def _tree(rng: Generator, street: Street, canvas: Canvas, foot: float) -> None:
    metre = street.metres(foot)
    height = _pixels(metre * _between(rng, 3.5, 7))
    width = _pixels(metre * _between(rng, 2, 4.5))
    down, across = _frame(height, width)
    crown = _between(rng, 0.3, 0.42)  # half its height
    ragged = canvas.grain[np.arange(height)[:, None] % HEIGHT, np.arange(width) % WIDTH]
    leaves = ((down - crown) / crown) ** 2 + across**2 + ragged < 0.9
    trunk = (np.abs(across) * width < max(1.0, 0.3 * metre)) & (down > crown)
    parts = np.where(leaves, 1, np.where(trunk, 2, 0))
    colours = np.concatenate([_tones(rng, LEAVES, 1), _tones(rng, BARS, 1) * 0.7])
    centre = street.at(foot, _pavement(rng, street))
    canvas.paint(foot, centre, parts, colours, TREE, texture=0.8, outlined=rng.random() < 0.3)


def _pole(rng: Generator, street: Street, canvas: Canvas, foot: float) -> None:
    """A pole at the kerb; two of three carry a sign."""
    metre = street.metres(foot)
    centre = street.at(foot, _pavement(rng, street))
    height = _pixels(metre * _between(rng, 3, 6.5))
    shaft = np.ones((height, _pixels(metre * _between(rng, 0.1, 0.28))), dtype=np.intp)
    canvas.paint(foot, centre, shaft, _tones(rng, METALS, 1), POLE, texture=0.1, outlined=False)
    if rng.random() < 0.67:
        size = max(_pixels(metre * _between(rng, 0.6, 1.1)), 2)
        down, across = _frame(size, size)
        shape = _whole(rng, 0, 2)
        if shape == 0:
            board = np.ones((size, size), dtype=np.bool_)
        elif shape == 1:
            board = (2 * down - 1) ** 2 + across**2 <= 1
        else:
            board = np.abs(across) <= down
        inner = (np.abs(across) < 0.5) & (np.abs(down - 0.55) < 0.25)
        hung = foot - min(metre * _between(rng, 2, 3), height - 1)
        colours = _tones(rng, PAINTS, 2)
        canvas.paint(hung, centre, np.where(inner, 2, 1) * board, colours, SIGN, texture=0.1, outlined=False)


def _car(rng: Generator, street: Street, canvas: Canvas, foot: float) -> None:
    """From behind on its lane or, less often, from the side."""
    metre = street.metres(foot)
    sideways = rng.random() < 0.35
    height = max(_pixels(metre * _between(rng, 1.35, 2)), 3)
    width = max(_pixels(metre * (_between(rng, 3.4, 4.6) if sideways else _between(rng, 1.6, 2))), 3)
    down, across = _frame(height, width)
    wide, shift = (0.55, _between(rng, -0.25, 0.25)) if sideways else (0.8, 0.0)
    roof = np.abs(across - shift) < wide - 0.25 * (0.5 - down)
    body = np.where(down < 0.45, roof, down < 0.88)
    glass = (np.abs(across - shift) < wide - 0.3) & (down > 0.1) & (down < 0.42)
    wheels = (np.abs(np.abs(across) - (0.6 if sideways else 0.75)) < 0.2) & (down > 0.7)
    lamps = (np.abs(across) > 0.75) & (np.abs(down - 0.58) < 0.08)
    parts = np.where(wheels, 3, np.where(glass, 2, np.where(body & lamps, 4, body)))
    colours = np.concatenate([_tones(rng, palette, 1) for palette in (PAINTS, PANES, TYRES, LAMPS)])
    lean = _between(rng, *street.lanes)
    outlined = height > 6 and rng.random() < 0.3
    canvas.paint(foot, street.at(foot, lean), parts, colours, CAR, texture=0.2, outlined=outlined)


def _person(rng: Generator, height: int, width: int, stride: float) -> Parts:
    """Head 1, trunk and arms 2, legs 3."""
    down, across = _frame(height, width)
    slant = across - _between(rng, -0.2, 0.2) * (0.5 - down)
    head = (np.abs(slant) < 0.45) & (down < 0.16)
    trunk = (np.abs(slant) < 0.85) & (down < 0.55)
    legs = np.abs(np.abs(across) - stride * (down - 0.4)) < 0.45
    return np.where(head, 1, np.where(down < 0.16, 0, np.where(trunk, 2, 3 * (legs & (down >= 0.55)))))


def _pedestrian(rng: Generator, street: Street, canvas: Canvas, foot: float) -> None:
    """Mostly on the pavement, now and then on the road."""
    metre = street.metres(foot)
    height = max(_pixels(metre * _between(rng, 1.4, 1.95)), 4)
    parts = _person(rng, height, max(round(height * _between(rng, 0.26, 0.4)), 2), _between(rng, 0, 1.2))
    colours = np.concatenate([_tones(rng, SKINS, 1), _tones(rng, PAINTS, 2)])
    lean = _between(rng, *street.lanes) if rng.random() < 0.3 else _pavement(rng, street)
    outlined = height > 14 and rng.random() < 0.3
    canvas.paint(foot, street.at(foot, lean), parts, colours, PEDESTRIAN, texture=0.2, outlined=outlined)


def _bicyclist(rng: Generator, street: Street, canvas: Canvas, foot: float) -> None:
    """A person above a wheel or two, mostly on the road; the gaps in the wheels count as bicyclist."""
    metre = street.metres(foot)
    height = max(_pixels(metre * _between(rng, 1.5, 1.9)), 5)
    sideways = rng.random() < 0.6
    width = max(round(height * (_between(rng, 0.7, 1) if sideways else _between(rng, 0.28, 0.4))), 2)
    down, across = _frame(height, width)
    rider = np.zeros((height, width), dtype=np.intp)
    seated = max(round(height * 0.8), 3)
    slim = max(round(height * 0.34), 2)
    left = (width - min(slim, width)) // 2
    rider[:seated, left : left + slim] = _person(rng, seated, min(slim, width), 0.4)
    if sideways:
        radius = (np.abs(across) - 0.55) ** 2 / 0.2 + (down - 0.79) ** 2 / 0.044
        wheels = (radius < 1) & ((radius > 0.35) | (height < 14))
        frame = (np.abs(down - 0.7) < 0.05) & (np.abs(across) < 0.6)
    else:
        wheels = (np.abs(across) < 0.3) & (down > 0.55)
        frame = (np.abs(down - 0.45) < 0.04) & (np.abs(across) < 0.95)
    parts = np.where(rider > 0, rider, np.where(wheels, 4, 5 * frame))
    colours = np.concatenate([_tones(rng, palette, 1) for palette in (SKINS, PAINTS, PAINTS, TYRES, PAINTS)])
    lean = _pavement(rng, street) if rng.random() < 0.25 else _between(rng, *street.lanes)
    canvas.paint(foot, street.at(foot, lean), parts, colours, BICYCLIST, texture=0.2, outlined=False)


def _photograph(rng: Generator, canvas: Canvas) -> Canvas:
    """The scene in its light, through a lens, on a noisy sensor, as bytes."""
    gain = _between(rng, 0.55, 1.25) * (1 + 0.3 * (rng.random(3, dtype=np.float32) - 0.5))
    slope = 1 + _between(rng, -0.4, 0.4) * (COLUMNS / WIDTH - 0.5) + _between(rng, -0.3, 0.3) * (ROWS / HEIGHT - 0.5)
    blur = _between(rng, 0, 0.35)
    haze = _between(rng, 0, 0.2)
    image = canvas.colours * slope.astype(np.float32)
    image[:, :, 1:] = (1 - blur) * image[:, :, 1:] + blur * image[:, :, :-1]
    image *= (255 * (1 - haze) * gain)[:, None, None]
    noise = rng.random((HEIGHT, WIDTH), dtype=np.float32) - 0.5
    image += 255 * haze * _between(rng, 0.4, 0.9) + 255 * _between(rng, 0.04, 0.2) * noise
    np.clip(image, 0, 255, out=image)
    return Canvas(image, canvas.labels, canvas.grain)


def _frame(height: int, width: int) -> tuple[Floats, Floats]:
    """The middles of a box's pixels: down from 0 to 1 as a column, across from -1 to 1 as a row."""
    down = (np.arange(height, dtype=np.float32) + np.float32(0.5)) / np.float32(height)
    across = (np.arange(width, dtype=np.float32) * 2 + 1) / np.float32(width) - 1
    return down[:, None], across


def _pavement(rng: Generator, street: Street) -> float:
    """A lean between the road's edge and the wall, on either side."""
    side = _whole(rng, 0, 1)
    return _between(rng, street.lanes[side], street.walls[side])


def _tones(rng: Generator, palette: Floats, count: int) -> Floats:
    return palette.take((rng.random(count) * len(palette)).astype(np.intp), axis=0)


def _between(rng: Generator, low: float, high: float) -> float:
    return low + (high - low) * rng.random()


def _whole(rng: Generator, low: int, high: int) -> int:
    """A whole number, both ends included."""
    return low + int(rng.random() * (high - low + 1))


def _pixels(length: float) -> int:
    return max(round(length), 1)
