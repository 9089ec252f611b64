"""A workload's data: read whole before the clock starts, kept as bytes; checked and fingerprinted without torch."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

import numpy as np
from numpy.typing import NDArray

from harness.ledger.errors import BadInput
from harness.ledger.files import sha256
from harness.ledger.findings import DataReport, SplitCount
from harness.ledger.workload import DrawnSplit, SegnetData, StreetsData, Workload
from harness.ledger.workload import Split as SplitName
from harness.segmentation import segnet, streets

SPLITS: tuple[SplitName, ...] = get_args(SplitName)


@dataclass(frozen=True)
class Split:
    """Images and labels of one split, in a fixed order."""

    images: NDArray[np.uint8]
    """N×3×H×W at the workload's image_size."""
    labels: NDArray[np.uint8]
    """N×h×w: at image_size for training, at label_size otherwise; 255 is ignored."""


def load(workload: Workload, data: Path | None, split: SplitName) -> Split:
    """The split, or BadInput for the first thing that is wrong with it."""
    found = _find(workload, data, split)
    if found.problems:
        more = (
            f" (and {len(found.problems) - 1} more; `bench data check` lists them)" if len(found.problems) > 1 else ""
        )
        raise BadInput(f"--data {data}: {found.problems[0]}{more}")
    return Split(found.images, found.labels)


def check(workload: Workload, data: Path | None) -> DataReport:
    """What the whole data set holds and everything that is wrong with it; BadInput when there is none."""
    counts: list[SplitCount] = []
    digests: list[str] = []
    problems: list[str] = []
    pixels = np.zeros(256, np.int64)
    for name in SPLITS:
        found = _find(workload, data, name)
        expected = getattr(workload.data, name).count
        counts.append(SplitCount(name=name, expected=expected, images=found.image_files, labels=found.label_files))
        digests.append(found.sha256)
        problems.extend(found.problems)
        pixels += found.pixels
    labelled = pixels[: len(workload.classes)]
    return DataReport(
        sha256=sha256(*digests),
        splits=tuple(counts),
        class_share=tuple((labelled / max(labelled.sum(), 1)).tolist()),
        ignored_share=float(pixels[segnet.IGNORED] / max(pixels.sum(), 1)),
        problems=tuple(problems),
    )


def content_sha256(workload: Workload, data: Path | None) -> str:
    """The `sha256` that check() reports, without decoding what is read from files."""
    if isinstance(workload.data, SegnetData):
        return sha256(*(segnet.split_sha256(workload.data, data, name) for name in SPLITS))
    return sha256(*(_drawn(workload, workload.data, name).sha256 for name in SPLITS))


def _find(workload: Workload, data: Path | None, name: SplitName) -> segnet.Found:
    if isinstance(workload.data, SegnetData):
        return segnet.find(workload, workload.data, data, name)
    return _drawn(workload, workload.data, name)


def _drawn(workload: Workload, layout: StreetsData, name: SplitName) -> segnet.Found:
    """Scenes are drawn at one size, so that training labels and scored labels are alike."""
    split: DrawnSplit = getattr(layout, name)
    scenes = streets.draw(split.count, split.seed)
    images = np.ascontiguousarray(scenes.images)
    labels = np.ascontiguousarray(scenes.labels)
    return segnet.Found(
        images=images,
        labels=labels,
        pixels=np.bincount(labels.reshape(-1), minlength=256),
        image_files=len(images),
        label_files=len(labels),
        sha256=sha256(images.tobytes(), labels.tobytes()),
        problems=tuple(_size_problems(workload, images, labels)),
    )


def _size_problems(workload: Workload, images: NDArray[np.uint8], labels: NDArray[np.uint8]) -> Iterator[str]:
    """What of a workload's sizes and classes does not fit the scenes as they are drawn."""
    for key, size, drawn in (
        ("image_size", workload.image_size, images.shape[2:]),
        ("label_size", workload.label_size, labels.shape[1:]),
    ):
        if size != drawn:
            yield f"{key}: found {list(size)}, streets are drawn at {list(drawn)}"
    unknown = np.setdiff1d(labels, [*range(len(workload.classes)), segnet.IGNORED])
    if len(unknown):
        yield f"classes: found {len(workload.classes)}, streets hold a class {unknown[-1]}"
