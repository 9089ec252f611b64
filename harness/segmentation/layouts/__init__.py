"""Data sets where they lie, in their published layouts: found and paired, not yet read.

torchvision's readers of Cityscapes, VOC and SBD are not used: they import torch, which reading data does without, and
tell neither a wrong count nor a missing partner; of ADE20K there is none.
"""

from pathlib import Path

from harness.ledger.datasets import (
    Ade20kData,
    CityscapesData,
    FiledData,
    FoldersData,
    FolderSplit,
    HeldOut,
    PublishedSplit,
    Split,
)
from harness.ledger.errors import BadInput
from harness.segmentation.layouts import ade20k, cityscapes, folders, voc
from harness.segmentation.sources import Listing, shown


def listing(data: FiledData, folder: Path | None, split: Split, dataset: str) -> Listing:
    """The pairs of one split and what is wrong with them; BadInput when there is no such data set at --data."""
    try:
        return _listing(data, folder, split, dataset)
    except OSError as error:
        where = shown(str(error.filename or folder))
        raise BadInput(f"--data {folder}: {where}: cannot be read: {error.strerror or error}") from error


def _listing(data: FiledData, folder: Path | None, split: Split, dataset: str) -> Listing:
    chosen: FolderSplit | PublishedSplit | HeldOut = getattr(data, split)
    if isinstance(chosen, HeldOut):
        return _held_out(chosen, _listing(data, folder, "train", dataset))
    if isinstance(data, FoldersData):
        return folders.listing(data, split, folder, dataset)
    if isinstance(data, CityscapesData):
        return cityscapes.listing(folder, split, chosen.count)
    if isinstance(data, Ade20kData):
        return ade20k.listing(folder, split, chosen.count)
    return voc.listing(folder, split, chosen.count)


def _held_out(split: HeldOut, train: Listing) -> Listing:
    """Every n-th pair of the training split."""
    pairs = train.pairs[split.every - 1 :: split.every]
    problems = []
    share = f"1 in {split.every} of the {len(train.pairs)} of train"
    if len(pairs) != split.count:
        problems.append(f"tune: found {len(pairs)} pairs, {share}, the workload expects {split.count}")
    elif train.problems:
        # A pair too few or too many shifts all that are held out after it.
        problems.append(f"tune: held out is {share}, which has problems itself: {train.problems[0]}")
    return Listing(pairs, len(pairs), len(pairs), tuple(problems))
