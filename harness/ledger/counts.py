"""What a network gets right, counted by image and class: every score is derived from these, here and nowhere else."""

import struct
import zlib
from dataclasses import dataclass
from io import BytesIO
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from harness.ledger.errors import BadInput
from harness.ledger.files import read_bytes, shown, write_bytes
from harness.ledger.record import Scores
from harness.ledger.stored import must_be_plain

NAMES = ("intersections", "unions", "labelled")

MOST_NUMBERS = 2**23
"""In one array: fifty thousand images of 150 classes, 64 MiB."""

MOST_PIXELS = 2**32
"""Of one class in one image: sums over two million images stay exact in a double."""

SLACK_BYTES = 4096
"""What a file may be larger than its numbers: zip's headers and numpy's."""

MOST_BYTES = 3 * 8 * MOST_NUMBERS + SLACK_BYTES
"""Of a whole file, were nothing in it packed."""

LONGEST_HEADER = 256
"""Bytes before the numbers of a .npy; numpy writes 128."""

# ZIP (PKWARE's APPNOTE.TXT, 4.3.7, 4.3.12 and 4.3.16) and .npy (numpy.lib.format), as far as numpy writes them.
END = struct.Struct("<4s4H2LH")
ENTRY = struct.Struct("<4s6H3L5H2L")
LOCAL = struct.Struct("<4s5H3L2H")
STORED, DEFLATED = 0, 8
NPY = struct.Struct("<8sH")
NPY_MAGIC = b"\x93NUMPY\x01\x00"


@dataclass(frozen=True)
class Counts:
    """Pixels an image and a class, N×C; ignored pixels are in none of them."""

    intersections: NDArray[np.int64]
    """Labelled and predicted as the class."""
    unions: NDArray[np.int64]
    """Labelled or predicted as the class."""
    labelled: NDArray[np.int64]
    """Labelled as the class, whatever was predicted."""


def scores_of(counts: Counts) -> Scores:
    """IoU of the pixels of all images together, averaged in the three ways in use; BadInput without any label.

    A mean over no class is no number, and a run whose scores said so would pass for one that is done.
    """
    intersections, unions, labelled = (
        part.sum(axis=0) for part in (counts.intersections, counts.unions, counts.labelled)
    )
    in_labels = labelled > 0
    if not in_labels.any():
        raise BadInput(f"labels: none of the pixels of {len(counts.labelled)} images has a class: nothing to score")
    iou = intersections / np.maximum(unions, 1)
    return Scores(
        miou=float(iou[in_labels].mean()),
        miou_absent_zero=float(iou.mean()),
        miou_predicted=float(iou[unions > 0].mean()),
        class_iou=tuple(float(value) if present else None for value, present in zip(iou, in_labels, strict=True)),
        pixel_accuracy=float(intersections.sum() / labelled.sum()),
        images=len(counts.labelled),
    )


def save(counts: Counts, path: Path, *, durable: bool = False) -> None:
    """A compressed .npz of the three arrays, written atomically."""
    content = BytesIO()
    np.savez_compressed(content, intersections=counts.intersections, unions=counts.unions, labelled=counts.labelled)
    write_bytes(path, content.getvalue(), durable=durable)


class Member(NamedTuple):
    """A file inside of an archive, as the archive's table of contents declares it."""

    method: int
    crc: int
    packed: int
    """Bytes in the archive."""
    size: int
    """Bytes once unpacked."""
    offset: int


def read_counts(path: Path, images: int, classes: int) -> Counts:
    """The counts of a run whose record speaks of so many images and classes, or BadInput that names the file.

    The file may be a stranger's: nothing in it is run, and what it declares is looked at before anything is unpacked.
    numpy's own reader takes more than twice as long.
    """
    if not 0 < images * classes <= MOST_NUMBERS:
        raise BadInput(f"{path}: its record tells of {images} images × {classes} classes: expected 1 to {MOST_NUMBERS}")
    content = _content(path, 3 * 8 * images * classes + SLACK_BYTES)
    try:
        members = _members(content)
    except struct.error as error:
        raise BadInput(f"{path}: cut off: expected a whole .npz") from error
    if members is None:
        raise BadInput(f"{path}: no .npz as `bench run` writes it: expected {', '.join(NAMES)}")
    counts = Counts(*(_array(content, members, name, (images, classes), path) for name in NAMES))
    _check(counts, path)
    return counts


def _content(path: Path, most: int) -> bytes:
    """The file's bytes; BadInput unless it is a plain file of at most so many: as of records, no link is followed."""
    size = must_be_plain(path)
    if size > most:
        raise BadInput(f"{path}: found {size} bytes: expected at most {most}, by its record")
    return read_bytes(path, most)


def _members(content: bytes) -> dict[str, Member] | None:
    """The archive's table of contents, or None where it is no archive of the arrays; struct.error where it ends early.

    An archive that numpy wrote has no comment, so that its last bytes are the end record.
    """
    magic, *_, count, _size, place, _comment = END.unpack_from(content, max(0, len(content) - END.size))
    if magic != b"PK\5\6" or count != len(NAMES):
        return None
    found = {}
    for _ in NAMES:
        entry = ENTRY.unpack_from(content, place)
        _, _, _, _, method, _, _, crc, packed, size, name_length, extra, comment, _, _, _, offset = entry
        name = content[place + ENTRY.size : place + ENTRY.size + name_length]
        found[name.decode("ascii", "replace").removesuffix(".npy")] = Member(method, crc, packed, size, offset)
        place += ENTRY.size + name_length + extra + comment
    return found if found.keys() == set(NAMES) else None


def _array(
    content: bytes, members: dict[str, Member], name: str, shape: tuple[int, int], path: Path
) -> NDArray[np.int64]:
    """One of the arrays, or BadInput where it is not what its name and its record say."""
    wanted = 8 * shape[0] * shape[1]
    unpacked = _unpacked(content, members[name], wanted + LONGEST_HEADER)
    if unpacked is None:
        raise BadInput(f"{path}: {name}: damaged, or packed as no run packs it: expected {wanted} bytes of numbers")
    magic, length = NPY.unpack_from(unpacked.ljust(NPY.size))
    header = unpacked[NPY.size : NPY.size + length].rstrip()
    expected = f"{{'descr': '<i8', 'fortran_order': False, 'shape': {shape}, }}"
    if magic != NPY_MAGIC or header != expected.encode() or len(unpacked) != NPY.size + length + wanted:
        found = shown(header.decode("ascii", "replace"))
        raise BadInput(f"{path}: {name}: found {found}: expected int64, {shape[0]} images × {shape[1]} classes")
    return np.frombuffer(unpacked, np.int64, offset=NPY.size + length).reshape(shape)


def _unpacked(content: bytes, member: Member, most: int) -> bytes | None:
    """The member's bytes; None where it is damaged, larger than `most`, or packed in another way than numpy's two."""
    if member.size > most:
        return None
    try:
        magic, *_, name_length, extra = LOCAL.unpack_from(content, member.offset)
        start = member.offset + LOCAL.size + name_length + extra
        unpacked = _inflated(content[start : start + member.packed], member)
    except (struct.error, zlib.error):
        return None
    intact = magic == b"PK\3\4" and len(unpacked) == member.size and zlib.crc32(unpacked) == member.crc
    return unpacked if intact else None


def _inflated(packed: bytes, member: Member) -> bytes:
    """At most a byte more than declared; nothing where the way of packing is unknown."""
    if member.method == DEFLATED:
        return zlib.decompressobj(-zlib.MAX_WBITS).decompress(packed, member.size + 1)
    return packed if member.method == STORED else b""


def _check(counts: Counts, path: Path) -> None:
    """BadInput for numbers that are no counts of pixels."""
    parts = (np.zeros(1, np.int64), counts.intersections, counts.labelled, counts.unions, np.array([MOST_PIXELS]))
    if any((low > high).any() for low, high in pairwise(parts)):
        raise BadInput(f"{path}: no counts of pixels: expected 0 ≤ intersections ≤ labelled ≤ unions ≤ {MOST_PIXELS}")
    if not counts.labelled.any():
        raise BadInput(f"{path}: labelled: found no labelled pixel: expected some, as nothing else can be scored")
