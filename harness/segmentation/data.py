"""A workload's data as bytes: drawn, or decoded into the cache; checked and fingerprinted without torch."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, get_args

import numpy as np
from numpy.typing import NDArray

from harness.ledger import places
from harness.ledger.datasets import DrawnSplit, FiledData, HeldOut, StreetsData
from harness.ledger.datasets import Split as SplitName
from harness.ledger.errors import BadInput
from harness.ledger.files import sha256
from harness.ledger.findings import DataReport, SplitCount
from harness.ledger.workload import Workload
from harness.segmentation import cache, streets
from harness.segmentation.layouts import listing

SPLITS: tuple[SplitName, ...] = get_args(SplitName)
IGNORED = 255

Tell = Callable[[str, int, int], None]
"""Hears what is read, how much of it is done, and of how much."""


class Pictures(Protocol):
    """Pictures by number, as uint8."""

    def __len__(self) -> int:
        """How many there are."""
        ...

    def __getitem__(self, index: int, /) -> NDArray[np.uint8]:
        """One of them, a view."""
        ...


@dataclass(frozen=True)
class Some:
    """Some of the pictures, renumbered."""

    pictures: Pictures
    numbers: Sequence[int]

    def __len__(self) -> int:
        return len(self.numbers)

    def __getitem__(self, index: int, /) -> NDArray[np.uint8]:
        return self.pictures[self.numbers[index]]


@dataclass(frozen=True)
class Split:
    """Images and labels of one split, in a fixed order."""

    images: Pictures
    """H×W×3 each, at the workload's image_size or each at its own."""
    labels: Pictures
    """h×w each: at its image's size for training, at label_size otherwise; 255 is ignored."""
    sha256: str | None = None
    """Of the files; None of what is drawn."""

    def only(self, numbers: Sequence[int]) -> "Split":
        """The images of these numbers."""
        return Split(Some(self.images, numbers), Some(self.labels, numbers), self.sha256)


def load(workload: Workload, data: Path | None, split: SplitName, scored_on: SplitName = "score") -> Split:
    """The split, or BadInput for the first thing that is wrong with it.

    Args:
        workload: whose split it is.
        data: the folder or tar that holds the data set; None for drawn scenes.
        split: its name.
        scored_on: where the run will be scored: what is held out of `train` for tuning is then left out.

    """
    layout = workload.data
    if isinstance(layout, StreetsData):
        return _drawn(layout, split)
    if not isinstance(layout.tune, HeldOut) or split == "score":
        return _filed(workload, layout, data, split)
    whole = _filed(workload, layout, data, "train")
    if split == "train" and scored_on != "tune":
        return whole
    every, numbers = layout.tune.every, range(len(whole.images))
    return whole.only([number for number in numbers if ((number + 1) % every == 0) == (split == "tune")])


def _drawn(layout: StreetsData, name: SplitName) -> Split:
    split: DrawnSplit = getattr(layout, name)
    scenes = streets.draw(split.count, split.seed)
    return Split(np.ascontiguousarray(scenes.images.transpose(0, 2, 3, 1)), scenes.labels)


def _filed(workload: Workload, layout: FiledData, data: Path | None, name: SplitName) -> Split:
    folder = _folder(workload, layout, data, name)
    index, problems = cache.prepare(folder)
    problems = (*folder.listing.problems, *problems)
    if index is None or problems:
        more = f" (and {len(problems) - 1} more; `bench data check` lists them)" if len(problems) > 1 else ""
        raise BadInput(f"--data {data}: {problems[0]}{more}")
    images, labels = cache.pictures(folder, index)
    if name == "train":
        images.read_ahead()
        labels.read_ahead()
    return Split(images, labels, index.sha256)


def _folder(workload: Workload, layout: FiledData, data: Path | None, name: SplitName) -> cache.Folder:
    return cache.folder_of(places.cache(), workload, name, listing(layout, data, name, workload.dataset))


# What a data set holds


@dataclass(frozen=True)
class Found:
    """One split as it was found."""

    count: SplitCount
    sha256: str
    pixels: NDArray[np.int64]
    """How many pixels of the labels hold each of the 256 values, 255 counting the ignored."""
    problems: tuple[str, ...]
    bytes: int = 0
    """Of the decoded pixels on the disk."""


def check(
    workload: Workload, data: Path | None, tell: Tell = lambda what, done, total: None, is_thorough: bool = False
) -> DataReport:
    """What the whole data set holds and everything that is wrong with it; BadInput when there is none.

    Args:
        workload: whose data set it is.
        data: the folder or tar that holds it; None for drawn scenes.
        tell: hears how far it is.
        is_thorough: also hold what was decoded earlier against its checksums.

    """
    found = list(_found(workload, data, tell, is_thorough))
    pixels = np.sum([split.pixels for split in found], axis=0)
    labelled = pixels[: len(workload.classes)]
    return DataReport(
        sha256=sha256(*(split.sha256 for split in found)),
        splits=tuple(split.count for split in found),
        class_share=tuple((labelled / max(labelled.sum(), 1)).tolist()),
        ignored_share=float(pixels[IGNORED] / max(pixels.sum(), 1)),
        problems=tuple(problem for split in found for problem in split.problems),
        decoded_bytes=sum(split.bytes for split in found),
    )


def content_sha256(workload: Workload, data: Path | None) -> str:
    """The `sha256` that check() reports; quick where the data set is decoded already."""
    return check(workload, data).sha256


def _found(workload: Workload, data: Path | None, tell: Tell, is_thorough: bool) -> Iterator[Found]:
    for name in SPLITS:
        if isinstance(workload.data, StreetsData):
            yield _found_drawn(workload, workload.data, name)
        elif isinstance(workload.data.tune, HeldOut) and name == "tune":
            yield _found_held_out(workload, workload.data, data, workload.data.tune)
        else:
            yield _found_filed(workload, workload.data, data, name, tell, is_thorough)


def _found_filed(
    workload: Workload, layout: FiledData, data: Path | None, name: SplitName, tell: Tell, is_thorough: bool
) -> Found:
    folder = _folder(workload, layout, data, name)
    held = folder.listing
    was_decoded = folder.index() is not None
    index, problems = cache.prepare(folder, lambda done: tell(f"decoding {name}", done, len(held.pairs)))
    pixels = np.zeros(256, np.int64)
    if index is not None:
        for entry in index.entries:
            for value, count in entry.pixels:
                pixels[value] += count
        if not pixels[: len(workload.classes)].any():
            problems = (f"{name}: found no labelled pixel in {len(index.entries)} labels: all are ignored",)
        elif is_thorough and was_decoded:
            problems = cache.verify(folder, index, lambda done: tell(f"checking {name}", done, len(held.pairs)))
    expected = getattr(layout, name).count
    return Found(
        count=SplitCount(
            name=name,
            expected=expected,
            images=held.image_files,
            labels=held.label_files,
            sha256=index.sha256 if index is not None else None,
        ),
        sha256=index.sha256 if index is not None else "",
        pixels=pixels,
        problems=(*held.problems, *problems),
        bytes=sum(index.sizes) if index is not None else 0,
    )


def _found_held_out(workload: Workload, layout: FiledData, data: Path | None, tune: HeldOut) -> Found:
    """A part of the training split, whose pixels and problems are counted there."""
    held = listing(layout, data, "tune", workload.dataset)
    return Found(
        count=SplitCount(name="tune", expected=tune.count, images=held.image_files, labels=held.label_files),
        sha256=sha256(str(tune.every)),
        pixels=np.zeros(256, np.int64),
        problems=held.problems,
    )


def _found_drawn(workload: Workload, layout: StreetsData, name: SplitName) -> Found:
    """Scenes are drawn at one size, so that training labels and scored labels are alike."""
    split = _drawn(layout, name)
    images, labels = np.asarray(split.images), np.asarray(split.labels)
    return Found(
        count=SplitCount(name=name, expected=len(images), images=len(images), labels=len(labels)),
        sha256=sha256(images.tobytes(), labels.tobytes()),
        pixels=np.bincount(labels.reshape(-1), minlength=256),
        problems=tuple(_size_problems(workload, images, labels)),
    )


def _size_problems(workload: Workload, images: NDArray[np.uint8], labels: NDArray[np.uint8]) -> Iterator[str]:
    """What of a workload's sizes and classes does not fit the scenes as they are drawn."""
    for key, size, drawn in (
        ("image_size", workload.image_size, images.shape[1:3]),
        ("label_size", workload.label_size, labels.shape[1:]),
    ):
        if size != drawn:
            yield f"{key}: found {list(size or ())}, streets are drawn at {list(drawn)}"
    unknown = np.setdiff1d(labels, [*range(len(workload.classes)), IGNORED])
    if len(unknown):
        yield f"classes: found {len(workload.classes)}, streets hold a class {unknown[-1]}"
