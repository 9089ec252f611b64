"""Counts per image what a network gets right at label size; every score is derived from the counts."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from harness.ledger.files import write_bytes
from harness.ledger.record import Scores
from harness.ledger.workload import Workload
from harness.segmentation.batches import Normalise
from harness.segmentation.data import Split
from harness.segmentation.staged import Staged

VALUES = 256  # of a label's byte

EVALUATION_BATCH = 8
"""Images scored at once: enough to keep a core busy, few enough for a large image's logits at label size."""


@dataclass(frozen=True)
class Counts:
    """Pixels an image and a class, N×C; ignored pixels are in none of them."""

    intersections: NDArray[np.int64]
    """Labelled and predicted as the class."""
    unions: NDArray[np.int64]
    """Labelled or predicted as the class."""
    labelled: NDArray[np.int64]
    """Labelled as the class, whatever was predicted."""


def evaluate(
    network: Staged,
    split: Split,
    workload: Workload,
    device: torch.device,
    batch: int,
    tell: Callable[[int], None] = lambda images: None,
) -> Counts:
    """The counts of the network in eval mode; its mode is as before afterwards. `tell` hears of images done."""
    was_training = network.training
    network.eval()
    confusions = []
    for found in _confusions(network, split, workload, device, batch):
        confusions.append(found)
        tell(len(confusions))
    network.train(was_training)
    return counted(torch.stack(confusions).cpu().numpy())


@torch.inference_mode()
def _confusions(
    network: Staged, split: Split, workload: Workload, device: torch.device, batch: int
) -> Iterator[Tensor]:
    """Image by image; the network alone sees batches, as label-sized logits of a batch would fit no cache."""
    normalise = Normalise(workload, device)
    for start in range(0, len(split.images), batch):
        images = torch.from_numpy(split.images[start : start + batch]).to(device)
        labels = torch.from_numpy(split.labels[start : start + batch]).to(device)
        logits = network(normalise(images), frozenset({"logits"}))["logits"]
        for image, label in zip(logits, labels, strict=True):
            yield confusion(predicted(image, label.shape), label, len(workload.classes))


def predicted(logits: Tensor, size: Sequence[int]) -> Tensor:
    """The class of the largest logit after enlarging: C×H×W → h×w, int64."""
    # With a pixel's logits side by side, enlarging is three times as fast on a CPU and argmax seven times.
    beside = logits[None].float().contiguous(memory_format=torch.channels_last)
    return functional.interpolate(beside, list(size), mode="bilinear", align_corners=True)[0].argmax(dim=0)


def confusion(prediction: Tensor, label: Tensor, classes: int) -> Tensor:
    """How many pixels of an image are labelled l and predicted p: C×C, int64."""
    # Ignored pixels are counted in rows of their own, which is quicker than picking them out.
    cells = label.int() * classes + prediction.int()
    return torch.bincount(cells.flatten(), minlength=VALUES * classes).view(VALUES, classes)[:classes]


def counted(confusions: NDArray[np.int64]) -> Counts:
    """From N×C×C (labelled, predicted) to what scores need."""
    intersections = np.diagonal(confusions, axis1=1, axis2=2).copy()
    labelled = confusions.sum(axis=2)
    return Counts(intersections, labelled + confusions.sum(axis=1) - intersections, labelled)


def scores(counts: Counts) -> Scores:
    """IoU of the pixels of all images together, averaged in the three ways in use."""
    intersections, unions, labelled = (
        part.sum(axis=0) for part in (counts.intersections, counts.unions, counts.labelled)
    )
    iou = intersections / np.maximum(unions, 1)
    in_labels = labelled > 0
    return Scores(
        miou=float(iou[in_labels].mean()),
        miou_absent_zero=float(iou.mean()),
        miou_predicted=float(iou[unions > 0].mean()),
        class_iou=tuple(float(value) if present else None for value, present in zip(iou, in_labels, strict=True)),
        pixel_accuracy=float(intersections.sum() / labelled.sum()),
        images=len(counts.labelled),
    )


def save(counts: Counts, path: Path) -> None:
    """A compressed .npz of the three arrays, written atomically."""
    content = BytesIO()
    np.savez_compressed(content, intersections=counts.intersections, unions=counts.unions, labelled=counts.labelled)
    write_bytes(path, content.getvalue())
