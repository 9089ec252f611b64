"""An image and its label, from a stranger's bytes to arrays, or to the one line that says what is wrong with them."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from io import BytesIO
from itertools import islice

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from PIL.JpegImagePlugin import JpegImageFile
from PIL.PngImagePlugin import PngImageFile

from harness.ledger.datasets import StreetsData, values_of
from harness.ledger.workload import Workload
from harness.segmentation.matlab import segmentation
from harness.segmentation.sources import Fault, Source, SourcePair, shown

IGNORED = 255
PIXELS = 64 * 2**20
"""What no picture comes near; beyond it a stranger's file is meant to fill the memory."""
COLOURS = ("1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "YCbCr")
"""Modes of eight bits; of deeper ones Pillow's RGB would cut all but the darkest values off."""
UNKNOWN = -1
SHOWN_VALUES = 5
BLOCK = 2**20
"""Pixels of a label map at a time: numpy counts and looks up with eight bytes for each."""


@dataclass(frozen=True)
class Kind:
    """A format, known by how a file begins, whatever its name says."""

    name: str
    magic: bytes
    opener: Callable[[BytesIO], Image.Image]
    """Image.open would do, but warns of large pictures on stderr."""


PNG = Kind("PNG", b"\x89PNG\r\n\x1a\n", PngImageFile)
JPEG = Kind("JPEG", b"\xff\xd8", JpegImageFile)

Size = tuple[int, int]
"""Height and width; Pillow has them the other way round."""
Bytes = NDArray[np.uint8]


@dataclass(frozen=True)
class Decoded:
    """One pair."""

    image: Bytes
    """H×W×3, at the workload's image_size, or as the file has it where that is null."""
    label: Bytes
    """h×w class indices, 255 ignored."""
    pixels: NDArray[np.int64]
    """How many pixels of the label map, as its file holds it, are of each of 256 classes, 255 counting the ignored."""


def decode(pair: SourcePair, image: bytes, label: bytes, workload: Workload, *, resize_label: bool) -> Decoded:
    """Both decoded; Fault for the first thing wrong with either.

    With resize_label, as in training, the label comes at image_size; otherwise it stays at label_size.
    """
    values = _label_values(pair.label, label, (workload.label_size,) if workload.label_size else ())
    picture = _picture(pair.image, image, _picture_sizes(workload))
    if workload.label_size is None and values.shape != size_of(picture):
        raise Fault(f"{shown(pair.label.name)}: {_size(values.shape)}, its image is {_size(size_of(picture))}")
    table = class_table(workload)
    pixels = _pixels(pair.label, values, table)
    classes = _classes(values, table)
    size = workload.image_size or size_of(picture)
    if resize_label and classes.shape != size:
        classes = _resized(Image.fromarray(classes), size, Image.Resampling.NEAREST)
    # Bilinear in Pillow looks at every pixel that it merges: it is antialiased.
    colours = _resized(picture.convert("RGB"), size, Image.Resampling.BILINEAR)
    return Decoded(colours, classes, pixels)


def claimed_pixels(image: bytes, label: bytes) -> int:
    """Of the larger of the two, by their headers; 0 where they tell of none."""
    return max(_claimed(image), _claimed(label))


def _claimed(content: bytes) -> int:
    try:
        kind = next(kind for kind in (PNG, JPEG) if content.startswith(kind.magic))
        image = kind.opener(BytesIO(content))
    except Exception:  # decode tells of it
        return 0
    return min(image.width * image.height, PIXELS)


# Label values


def class_table(workload: Workload) -> NDArray[np.int16]:
    """256 entries: the class that each label value stands for, 255 of the ignored ones, UNKNOWN of all others."""
    data = workload.data
    if isinstance(data, StreetsData):
        raise TypeError("scenes are drawn, not decoded")
    values = values_of(data, len(workload.classes))
    table = np.full(256, UNKNOWN, np.int16)
    table[[*data.unlabelled, IGNORED]] = IGNORED
    table[list(values)] = np.arange(len(values))
    return table


def _pixels(source: Source, values: Bytes, table: NDArray[np.int16]) -> NDArray[np.int64]:
    """The pixels of each class; Fault where a value is unknown."""
    found = np.zeros(256, np.int64)
    for block in _blocks(values):
        found += np.bincount(block, minlength=256)
    unknown = np.flatnonzero(found.astype(bool) & (table == UNKNOWN))
    if len(unknown):
        raise Fault(f"{shown(source.name)}: label value {_some(unknown)}, expected {_expected(table)}")
    pixels = np.zeros(256, np.int64)
    np.add.at(pixels, table[table != UNKNOWN], found[table != UNKNOWN])
    return pixels


def _classes(values: Bytes, table: NDArray[np.int16]) -> Bytes:
    """The class of every pixel."""
    known, found = table.astype(np.uint8), np.empty(values.shape, np.uint8)
    for block, classes in zip(_blocks(values), _blocks(found), strict=True):
        np.take(known, block, out=classes, mode="clip")  # every value is in the table; numpy copies to see to it
    return found


def _blocks(values: Bytes) -> Iterator[Bytes]:
    """Its pixels in order, BLOCK at a time."""
    flat = values.reshape(-1)
    return (flat[start : start + BLOCK] for start in range(0, flat.size, BLOCK))


def _some(values: NDArray[np.intp]) -> str:
    return ", ".join(map(str, islice(values, SHOWN_VALUES))) + (", …" if len(values) > SHOWN_VALUES else "")


def _expected(table: NDArray[np.int16]) -> str:
    ignored = ", ".join(map(str, np.flatnonzero(table == IGNORED)))
    return f"{_ranges(np.flatnonzero((table != IGNORED) & (table != UNKNOWN)))}, or {ignored} for unlabelled"


def _ranges(values: NDArray[np.intp]) -> str:
    """`7, 8, 11 to 13` of 7, 8, 11, 12, 13."""
    runs = np.split(values, np.flatnonzero(np.diff(values) > 1) + 1)
    return ", ".join(f"{run[0]} to {run[-1]}" if len(run) > 2 else ", ".join(map(str, run)) for run in runs if len(run))


# Pictures


def _picture(source: Source, content: bytes, sizes: Sequence[Size]) -> Image.Image:
    image = _opened(source, content, sizes, PNG, JPEG)
    if image.mode not in COLOURS:
        raise Fault(f"{shown(source.name)}: a picture of mode {image.mode}, expected 8-bit colours or greys")
    # What is transparent has a colour below, and Pillow warns of some such palettes.
    image.info.pop("transparency", None)
    return image


def _label_values(source: Source, content: bytes, sizes: Sequence[Size]) -> Bytes:
    """h×w values as the file has them."""
    if source.name.lower().endswith(".mat"):
        values = _matlab_values(source, content)
        _check_size(source, values.shape, sizes)
        return values
    image = _opened(source, content, sizes, PNG)
    if image.mode not in ("L", "P") or _is_stretched(content):
        mode = f"{content[24]}-bit grey" if _is_stretched(content) else f"mode {image.mode}"
        raise Fault(f"{shown(source.name)}: a label map of {mode}, expected 8-bit grey or palette: class indices")
    return np.asarray(image)


def _is_stretched(png: bytes) -> bool:
    """Whether it holds greys of under 8 bits, which Pillow stretches to 0…255, where they would be other classes."""
    depth, colour_type = png[24], png[25]
    return colour_type == 0 and depth < 8


def _matlab_values(source: Source, content: bytes) -> Bytes:
    try:
        values = segmentation(content)
    except Exception as error:  # On a stranger's bytes a reader fails in more ways than it knows.
        raise Fault(f"{shown(source.name)}: not a readable .mat with GTcls.Segmentation") from error
    return values


def _opened(source: Source, content: bytes, sizes: Sequence[Size], *kinds: Kind) -> Image.Image:
    """The picture, its pixels read: they take memory, so that its size is held against `sizes` before."""
    readable = " or ".join(kind.name for kind in kinds)
    try:
        opener = next(kind.opener for kind in kinds if content.startswith(kind.magic))
        image = opener(BytesIO(content))
        if image.width * image.height > PIXELS:
            raise Image.DecompressionBombError
        _check_size(source, size_of(image), sizes)
        image.load()
    except Fault:
        raise
    except Image.DecompressionBombError as error:
        raise Fault(f"{shown(source.name)}: over {PIXELS >> 20} million pixels") from error
    except Exception as error:  # On a stranger's bytes decoders fail in more ways than they document.
        kind = "truncated" if "truncated" in str(error) else f"not a readable {readable}"
        raise Fault(f"{shown(source.name)}: {kind}") from error
    return image


# Sizes


def _picture_sizes(workload: Workload) -> Sequence[Size]:
    """Those that an image may have; none where each has its own."""
    if workload.label_size is None:
        return ()
    return tuple(dict.fromkeys((workload.label_size, workload.image_size or workload.label_size)))


def _check_size(source: Source, found: tuple[int, ...], sizes: Sequence[Size]) -> None:
    """Fault unless it is one of the sizes, or there are none."""
    if sizes and found not in sizes:
        raise Fault(f"{shown(source.name)}: {_size(found)}, expected {' or '.join(map(_size, sizes))}")


def _resized(image: Image.Image, size: Size, resampling: Image.Resampling) -> Bytes:
    return np.array(image if size_of(image) == size else image.resize(size[::-1], resampling))


def size_of(image: Image.Image) -> Size:
    """Height and width."""
    return image.height, image.width


def _size(size: tuple[int, ...]) -> str:
    return "×".join(map(str, size))
