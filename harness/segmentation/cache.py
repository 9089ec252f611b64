"""A split decoded once: its pixels lie in two files that are mapped into memory, so that no run decodes a picture.

The folder is made for one state of the files: another size, another date, another workload's sizes or classes are
another folder. Writing goes on where it was stopped; the index, written last, says that all is there.
"""

import errno
import mmap
import os
import sys
import zlib
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from typing import BinaryIO

import numpy as np
from filelock import FileLock, Timeout
from numpy.typing import NDArray
from pydantic import PositiveInt, ValidationError

from harness.ledger.datasets import Label
from harness.ledger.device import cores
from harness.ledger.errors import BadInput
from harness.ledger.files import Value, read, sha256, sha256_of, write
from harness.ledger.workload import Workload
from harness.segmentation.decoding import Decoded, claimed_pixels, decode
from harness.segmentation.room import Room, free_memory
from harness.segmentation.sources import Fault, Listing, SourcePair

FORMAT = 1
IMAGES, LABELS, INDEX, PARTIAL = "images.bin", "labels.bin", "index.json", "partial.jsonl"

Tell = Callable[[int], None]

LARGEST_INDEX = 2**29
"""Bytes: half a million images, each with pixels of twenty classes."""

AHEAD_SHARE = 4
"""Of the memory that is free, for pictures decoded before their turn; beyond it one waits for that."""
BYTES_A_PIXEL = 16
"""Of a picture while it is decoded, its label with it: Pillow's four twice, the arrays, and the label twice."""

LOCK_SECONDS = 2.0
"""After so long it is told how far the process is that is decoding the same files."""

# Python names it from 3.13 on. Without it Linux counts the whole mapping against its memory, as if it could be written.
NO_RESERVE = getattr(mmap, "MAP_NORESERVE", 0x4000 if sys.platform == "linux" else 0)


class Entry(Value):
    """One image and its label: sizes, where their bytes begin, and what they are held against."""

    image: tuple[PositiveInt, PositiveInt]
    label: tuple[PositiveInt, PositiveInt]
    image_offset: int
    label_offset: int
    image_crc: int
    label_crc: int
    pixels: tuple[tuple[Label, int], ...]
    """(value, how often) of the label's classes and of 255."""
    source_sha256: str
    """Of both files' names and bytes."""

    @property
    def image_bytes(self) -> int:
        """Of H×W×3."""
        return self.image[0] * self.image[1] * 3

    @property
    def label_bytes(self) -> int:
        """Of h×w."""
        return self.label[0] * self.label[1]


class Index(Value):
    """What a finished folder holds."""

    format: int = FORMAT
    sha256: str
    """Of the names and bytes of all files, in order."""
    entries: tuple[Entry, ...]

    @property
    def sizes(self) -> tuple[int, int]:
        """Bytes of images and of labels."""
        return sum(entry.image_bytes for entry in self.entries), sum(entry.label_bytes for entry in self.entries)

    @property
    def is_gapless(self) -> bool:
        """Whether each image and each label begins where the one before it ends."""
        images = accumulate((entry.image_bytes for entry in self.entries), initial=0)
        labels = accumulate((entry.label_bytes for entry in self.entries), initial=0)
        begins = ((entry.image_offset, entry.label_offset) for entry in self.entries)
        return all(begin == end for begin, end in zip(begins, zip(images, labels, strict=True), strict=False))


@dataclass(frozen=True)
class Folder:
    """Where a split's pixels lie, or will lie."""

    path: Path
    listing: Listing
    workload: Workload
    is_trained_on: bool
    """Then labels have the images' size, else label_size."""

    def index(self) -> Index | None:
        """The index of a whole folder; None for one that is not, or not yet."""
        try:
            found = read(self.path / INDEX, Index, LARGEST_INDEX)
            held = tuple((self.path / name).stat().st_size for name in (IMAGES, LABELS))
        except (BadInput, OSError):
            return None
        return found if (found.format, held) == (FORMAT, found.sizes) and found.is_gapless else None


def folder_of(cache: Path, workload: Workload, split: str, listing: Listing) -> Folder:
    """The split's folder, by everything that its pixels depend on."""
    sources = [source for pair in listing.pairs for source in (pair.image, pair.label)]
    files = "\n".join(f"{source.name!r} {source.size} {source.modified_ns}" for source in sources)
    meaning = workload.model_dump_json(include={"data": {"label_values", "unlabelled"}, "image_size": True})
    sizes = f"{workload.label_size} {len(workload.classes)} {split == 'train'} {FORMAT}"
    key = sha256(files, meaning, sizes)[:16]
    return Folder(cache / "decoded" / f"{workload.dataset}-{split}-{key}", listing, workload, split == "train")


# Writing


def prepare(folder: Folder, tell: Tell = lambda done: None) -> tuple[Index | None, tuple[str, ...]]:
    """The folder's index, decoded now where that was not done before; without one, what is wrong with the files.

    Of files that are not whole (`listing.problems`) each is looked at, and nothing is kept.
    """
    if index := folder.index():
        return index, ()
    if folder.listing.problems:
        return None, _faults(folder, tell)
    try:
        folder.path.mkdir(parents=True, exist_ok=True)
        with _locked(folder, tell):
            return _prepare(folder, tell)
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise BadInput(
                f"{folder.path}: the disk is full (an image takes 3 bytes a pixel, its label 1): free some space, or "
                "set SEGKD_CACHE to a folder on a larger disk; what is decoded stays"
            ) from error
        mend = "set SEGKD_CACHE to a folder that can"
        raise BadInput(f"{folder.path}: cannot be written: {error.strerror}: {mend}") from error


@contextmanager
def _locked(folder: Folder, tell: Tell) -> Iterator[None]:
    """Inside, no other process decodes into the folder; until then it is told how far that one is."""
    lock = FileLock(folder.path / "lock")
    while True:
        try:
            lock.acquire(timeout=LOCK_SECONDS)
            break
        except Timeout:
            partial = folder.path / PARTIAL
            tell(partial.read_bytes().count(b"\n") if partial.exists() else len(folder.listing.pairs))
    try:
        yield
    finally:
        lock.release()


def _faults(folder: Folder, tell: Tell) -> tuple[str, ...]:
    """What is wrong with single files."""
    problems = []
    for number, found in enumerate(_decoded(folder, folder.listing.pairs), start=1):
        if isinstance(found, Fault):
            problems.append(str(found))
        tell(number)
    return tuple(problems)


def _prepare(folder: Folder, tell: Tell) -> tuple[Index | None, tuple[str, ...]]:
    if index := folder.index():  # made by another process while this one waited
        return index, ()
    entries = _entries_so_far(folder.path)
    problems: list[str] = []
    with (
        (folder.path / IMAGES).open("ab") as images,
        (folder.path / LABELS).open("ab") as labels,
        (folder.path / PARTIAL).open("ab") as partial,
    ):
        _cut_off(images, labels, partial, entries)
        for number, found in enumerate(_decoded(folder, folder.listing.pairs[len(entries) :]), start=len(entries) + 1):
            if isinstance(found, Fault):
                problems.append(str(found))
            elif not problems:  # what follows a fault is only looked at
                entries.append(_append(found, images, labels, partial))
            tell(number)
        if not problems:
            for file in (images, labels):  # before the index says that they are there
                os.fsync(file.fileno())
    if problems:
        for name in (IMAGES, LABELS, PARTIAL):  # files that were mended have another folder
            (folder.path / name).unlink()
        return None, tuple(problems)
    index = Index(sha256=sha256(*(entry.source_sha256 for entry in entries)), entries=tuple(entries))
    write(folder.path / INDEX, index)
    (folder.path / PARTIAL).unlink()
    return index, ()


def _entries_so_far(path: Path) -> list[Entry]:
    """Those that an earlier start wrote whole: the line comes after the bytes, which are held against it."""
    entries: list[Entry] = []
    try:
        lines = (path / PARTIAL).read_bytes().splitlines()
        with (path / IMAGES).open("rb") as images, (path / LABELS).open("rb") as labels:
            sizes = tuple(os.fstat(file.fileno()).st_size for file in (images, labels))
            for line in lines:
                entry = Entry.model_validate_json(line)
                starts = entry.image_offset, entry.label_offset
                if starts != (images.tell(), labels.tell()):
                    break
                ends = starts[0] + entry.image_bytes, starts[1] + entry.label_bytes
                if any(end > size for end, size in zip(ends, sizes, strict=True)):
                    break
                found = zlib.crc32(images.read(entry.image_bytes)), zlib.crc32(labels.read(entry.label_bytes))
                if found != (entry.image_crc, entry.label_crc):
                    break
                entries.append(entry)
    except (OSError, ValidationError):  # nothing was begun, or the last line is torn
        pass
    return entries


def _cut_off(images: BinaryIO, labels: BinaryIO, partial: BinaryIO, entries: Sequence[Entry]) -> None:
    """What was begun after the last whole entry is gone afterwards."""
    images.truncate(sum(entry.image_bytes for entry in entries))
    labels.truncate(sum(entry.label_bytes for entry in entries))
    partial.truncate(sum(len(_line(entry)) for entry in entries))


def _line(entry: Entry) -> bytes:
    return entry.model_dump_json().encode() + b"\n"


@dataclass(frozen=True)
class _Found:
    decoded: Decoded
    source_sha256: str


def _decoded(folder: Folder, pairs: Sequence[SourcePair]) -> Iterator[_Found | Fault]:
    """The pairs' pixels in order, decoded on all cores, no more of them at once than there is work and room for."""
    workers, room = cores(), Room(free_memory() // AHEAD_SHARE)
    with ThreadPoolExecutor(workers, "decode") as pool:  # the decoders leave the interpreter's lock
        under_way: deque[tuple[SourcePair, Future[tuple[_Found | Fault | None, int]]]] = deque()
        try:
            for pair in pairs:
                under_way.append((pair, pool.submit(_ahead, folder, pair, room)))
                if len(under_way) > 2 * workers:
                    yield from _turn(folder, *under_way.popleft(), room)
            while under_way:
                yield from _turn(folder, *under_way.popleft(), room)
        finally:
            pool.shutdown(cancel_futures=True)


def _turn(
    folder: Folder, pair: SourcePair, ahead: Future[tuple[_Found | Fault | None, int]], room: Room
) -> Iterator[_Found | Fault]:
    """What was found ahead, or where there was no room for it is found now; afterwards its room is free."""
    found, took = ahead.result()
    yield found if found is not None else _at_last(folder, pair)
    room.give(took)


def _ahead(folder: Folder, pair: SourcePair, room: Room) -> tuple[_Found | Fault | None, int]:
    """A pair's pixels and how much room they took; None where there was too little."""
    try:
        image, label = pair.image.read(), pair.label.read()
    except Fault as fault:
        return fault, 0
    took = BYTES_A_PIXEL * claimed_pixels(image, label)
    return (_found(folder, pair, image, label), took) if room.take(took) else (None, 0)


def _at_last(folder: Folder, pair: SourcePair) -> _Found | Fault:
    """A pair's pixels, whatever room they take: no other is kept or decoded that did not fit beside it."""
    try:
        return _found(folder, pair, pair.image.read(), pair.label.read())
    except Fault as fault:
        return fault


def _found(folder: Folder, pair: SourcePair, image: bytes, label: bytes) -> _Found | Fault:
    try:
        found = decode(pair, image, label, folder.workload, resize_label=folder.is_trained_on)
    except Fault as fault:
        return fault
    names = (source.name.encode(errors="surrogateescape") for source in (pair.image, pair.label))
    return _Found(found, sha256(*names, sha256_of(image), sha256_of(label)))


def _append(found: _Found, images: BinaryIO, labels: BinaryIO, partial: BinaryIO) -> Entry:
    """The pixels, then the line that says so."""
    image, label = (np.ascontiguousarray(part).tobytes() for part in (found.decoded.image, found.decoded.label))
    entry = Entry(
        image=(found.decoded.image.shape[0], found.decoded.image.shape[1]),
        label=(found.decoded.label.shape[0], found.decoded.label.shape[1]),
        image_offset=images.seek(0, os.SEEK_END),
        label_offset=labels.seek(0, os.SEEK_END),
        image_crc=zlib.crc32(image),
        label_crc=zlib.crc32(label),
        pixels=tuple((int(value), int(found.decoded.pixels[value])) for value in np.flatnonzero(found.decoded.pixels)),
        source_sha256=found.source_sha256,
    )
    for file, content in ((images, image), (labels, label), (partial, _line(entry))):
        file.write(content)
        file.flush()
    return entry


# Reading


class Pictures:
    """Pictures in a file that is mapped into memory: `pictures[i]` is a view of uint8, H×W×3 or h×w."""

    def __init__(self, path: Path, shapes: Sequence[tuple[int, ...]], offsets: Sequence[int]) -> None:
        self._bytes = np.frombuffer(_mapped(path), np.uint8) if path.stat().st_size else np.zeros(0, np.uint8)
        self._shapes = shapes
        self._offsets = offsets

    def __len__(self) -> int:
        return len(self._shapes)

    def __getitem__(self, index: int) -> NDArray[np.uint8]:
        shape, start = self._shapes[index], self._offsets[index]
        return self._bytes[start : start + int(np.prod(shape))].reshape(shape)

    def read_ahead(self) -> None:
        """The whole file is in memory afterwards, where there is room for it, so that no run waits for a disk."""
        if len(self._bytes) < free_memory():
            self._bytes[:: mmap.PAGESIZE].max(initial=0)


def _mapped(path: Path) -> mmap.mmap:
    """A file's bytes, of which what is written stays with the writer: torch takes no memory that is only to be read."""
    with path.open("rb") as file:
        flags, access = mmap.MAP_PRIVATE | NO_RESERVE, mmap.PROT_READ | mmap.PROT_WRITE
        return mmap.mmap(file.fileno(), 0, flags=flags, prot=access)


def pictures(folder: Folder, index: Index) -> tuple[Pictures, Pictures]:
    """A whole folder's images and labels."""
    entries = index.entries
    return (
        Pictures(folder.path / IMAGES, [(*one.image, 3) for one in entries], [one.image_offset for one in entries]),
        Pictures(folder.path / LABELS, [one.label for one in entries], [one.label_offset for one in entries]),
    )


def verify(folder: Folder, index: Index, tell: Tell = lambda done: None) -> tuple[str, ...]:
    """What of the folder's bytes is not as it was written: a line for the first one; every byte is read."""
    images, labels = pictures(folder, index)
    for number, entry in enumerate(index.entries):
        found = zlib.crc32(images[number].data), zlib.crc32(labels[number].data)
        if found != (entry.image_crc, entry.label_crc):
            name = folder.listing.pairs[number].image.name
            return (f"{folder.path}: the decoded pixels of {name} are damaged: remove the folder, it is made anew",)
        tell(number + 1)
    return ()
