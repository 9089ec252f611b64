"""Files of a data set, found but not yet read, and how images find their labels."""

import os
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

# What no file of such a data set comes near; beyond it a stranger's file is meant to fill the memory.
FILE_BYTES = 64 * 2**20
IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg")
LABEL_SUFFIXES = (".png",)


class Fault(Exception):
    """One line about one file: what is wrong with it."""


@dataclass(frozen=True)
class Source:
    """One file, not yet read."""

    name: str
    """Below the data set's own folder, parted by '/'; for messages and digests."""
    size: int
    """In bytes."""
    modified_ns: int
    read: Callable[[], bytes] = field(compare=False, repr=False)
    """Its content, or the Fault why there is none."""


@dataclass(frozen=True)
class SourcePair:
    """An image and its label."""

    image: Source
    label: Source


@dataclass(frozen=True)
class Listing:
    """One split as its folders hold it."""

    pairs: tuple[SourcePair, ...]
    """In the order of names."""
    image_files: int
    label_files: int
    problems: tuple[str, ...]
    """One line each: missing partners, doubles, wrong counts."""


@dataclass(frozen=True)
class Folder:
    """The images or the labels of one split, each by the key that an image and its label share."""

    name: str
    files: tuple[tuple[str, Source], ...]


# Files


def source(path: str, name: str) -> Source:
    """The file of a path under its name in the data set."""
    found = os.stat(path)
    return Source(name, found.st_size, found.st_mtime_ns, partial(_read, path, name))


def _read(path: str, name: str) -> bytes:
    try:
        with open(path, "rb") as file:
            content = file.read(FILE_BYTES + 1)
    except OSError as error:
        raise Fault(f"{shown(name)}: cannot be read: {error.strerror}") from error
    if len(content) > FILE_BYTES:
        raise too_large(name)
    return content


def too_large(name: str) -> Fault:
    """The fault of a file over FILE_BYTES."""
    return Fault(f"{shown(name)}: cannot be read: over {FILE_BYTES >> 20} MiB")


def files_in(folder: Path, name: str, suffixes: tuple[str, ...]) -> Iterator[Source]:
    """The picture files of a folder that is called so in the data set, by name; links to files count as files."""
    with os.scandir(folder) as entries:
        # is_file: a pipe or a device of a picture's name would block or never end.
        names = sorted(entry.name for entry in entries if is_picture(entry.name, suffixes) and entry.is_file())
    for each in names:
        yield source(os.path.join(folder, each), f"{name}/{each}")


def folders_in(folder: Path) -> list[str]:
    """The names of the folders in a folder, in order, but hidden ones."""
    with os.scandir(folder) as entries:
        return sorted(entry.name for entry in entries if entry.is_dir() and not entry.name.startswith("."))


def is_picture(name: str, suffixes: tuple[str, ...]) -> bool:
    """Whether a file's name ends as asked; names with a leading dot are what macOS leaves beside the files."""
    return name.lower().endswith(suffixes) and not name.startswith(".")


def by_stem(name: str, sources: Iterator[Source]) -> Folder:
    """A folder whose files are known by their names without suffix."""
    return Folder(name, tuple((each.name.rpartition("/")[2].rpartition(".")[0], each) for each in sources))


def shown(name: str) -> str:
    """A stranger's file name, fit for a terminal."""
    return name if name.isprintable() else ascii(name)


# Pairs


def paired(images: Folder, labels: Folder, expected: int) -> Listing:
    """Images and labels of the same key; one that stands alone or twice is a problem, and so is a wrong count."""
    keys = [{key for key, _ in folder.files} for folder in (images, labels)]
    problems = [
        *(problem for folder in (images, labels) for problem in _count_problem(folder, expected)),
        *(problem for folder in (images, labels) for problem in _doubles(folder)),
        *(f"{labels.name}/: no label for {images.name}/{shown(key)}" for key in sorted(keys[0] - keys[1])),
        *(f"{images.name}/: no image for {labels.name}/{shown(key)}" for key in sorted(keys[1] - keys[0])),
    ]
    image, label = _single(images), _single(labels)
    return Listing(
        pairs=tuple(SourcePair(image[key], label[key]) for key in sorted(image.keys() & label.keys())),
        image_files=len(images.files),
        label_files=len(labels.files),
        problems=tuple(problems),
    )


def _count_problem(folder: Folder, expected: int) -> Iterator[str]:
    if len(folder.files) != expected:
        yield f"{folder.name}/: found {len(folder.files)} files, the workload expects {expected}"


def _doubles(folder: Folder) -> Iterator[str]:
    often = Counter(key for key, _ in folder.files)
    return (f"{folder.name}/{shown(key)}: {n} files of this stem" for key, n in sorted(often.items()) if n > 1)


def _single(folder: Folder) -> dict[str, Source]:
    """The files whose key no other has."""
    often = Counter(key for key, _ in folder.files)
    return {key: each for key, each in folder.files if often[key] == 1}
