"""Counts per image what a network gets right at label size; every score is derived from the counts."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from itertools import groupby

import numpy as np
import torch
from torch import Tensor
from torch.backends import cudnn

from harness.ledger.counts import Counts
from harness.ledger.workload import Sliding, Workload
from harness.segmentation.batches import Normalise, layout_of
from harness.segmentation.data import Pictures, Split
from harness.segmentation.staged import Staged
from harness.segmentation.windows import enlarged, slide

EVALUATION_BATCH = 8
"""Images scored at once: enough to keep a core busy, few enough for a large image's logits at label size."""

PIXELS = 1024 * 2048
"""Of the images scored at once, unless one alone has more: one of Cityscapes."""


def evaluate(
    network: Staged,
    split: Split,
    workload: Workload,
    device: torch.device,
    batch: int,
    tell: Callable[[int], None] = lambda images: None,
    see: Callable[[int, Tensor], None] = lambda number, prediction: None,
) -> Counts:
    """The counts of the network in eval mode; its mode is as before afterwards.

    `tell` hears of images done, `see` of each image's number and what is predicted at its label's size: h×w, int64.
    """
    was_training = network.training
    network.eval()
    found: list[Tensor] = []
    with as_scored(workload, device):
        for prediction, tally in _tallies(network, split, workload, device, batch):
            see(len(found), prediction)
            found.append(tally)
            tell(len(found))
    network.train(was_training)
    return Counts(*torch.stack(found, dim=1).cpu().numpy())


@contextmanager
def as_scored(workload: Workload, device: torch.device) -> Iterator[None]:
    """Inside, networks compute in float32, uncompiled and repeatably, however they were trained.

    So a score is of the weights alone: the same weights, scored again, score the same. Trying out convolutions would
    also cost more than it saves where every image has a size of its own.
    """
    matmul = torch.backends.cuda.matmul
    was_allowed = matmul.allow_tf32
    uncompiled = torch.compiler.set_stance("force_eager") if workload.engine.compile else nullcontext()
    exact = cudnn.flags(enabled=True, benchmark=False, deterministic=True, allow_tf32=False)
    matmul.allow_tf32 = False
    try:
        with torch.autocast(device.type, enabled=False), exact, uncompiled:
            yield
    finally:
        matmul.allow_tf32 = was_allowed


@torch.inference_mode()
def _tallies(
    network: Staged, split: Split, workload: Workload, device: torch.device, batch: int
) -> Iterator[tuple[Tensor, Tensor]]:
    """Predictions, h×w, and their tallies, 3×C, image by image.

    The network alone sees batches, as label-sized logits of a batch would fit no cache.
    """
    normalise, layout, classes = Normalise(workload, device), layout_of(workload), len(workload.classes)
    for numbers in batched(split.images, batch):
        pixels = torch.from_numpy(np.stack([split.images[number] for number in numbers])).to(device)
        images = normalise(pixels.permute(0, 3, 1, 2).contiguous(memory_format=layout))  # B×H×W×3 → B×3×H×W
        for image, number in zip(_logits(network, images, workload), numbers, strict=True):
            label = torch.from_numpy(split.labels[number]).to(device)
            prediction = predicted(image, label.shape)
            yield prediction, tallied(confusion(prediction, label, classes))


def _logits(network: Staged, images: Tensor, workload: Workload) -> Tensor:
    """Of whole images, as the network gives them; of windows, at the images' size."""

    def predict(seen: Tensor) -> Tensor:
        logits: Tensor = network(seen, frozenset({"logits"}))["logits"]
        return logits

    sliding = workload.evaluation
    return slide(predict, images, len(workload.classes), sliding) if isinstance(sliding, Sliding) else predict(images)


def batched(images: Pictures, most: int) -> Iterator[list[int]]:
    """The images' numbers in order; what goes together has one size and no more than PIXELS."""
    for (height, width, _), group in groupby(range(len(images)), lambda number: images[number].shape):
        numbers = list(group)
        count = max(1, min(most, PIXELS // (height * width)))
        yield from (numbers[start : start + count] for start in range(0, len(numbers), count))


def predicted(logits: Tensor, size: Sequence[int]) -> Tensor:
    """The class of the largest logit after enlarging: C×H×W → h×w, int64."""
    # With a pixel's logits side by side, enlarging is three times as fast on a CPU and argmax seven times.
    beside = logits[None].float().contiguous(memory_format=torch.channels_last)
    return enlarged(beside, (size[0], size[1]))[0].argmax(dim=0)


def confusion(prediction: Tensor, label: Tensor, classes: int) -> Tensor:
    """How many pixels of an image are labelled l and predicted p: C×C, int64; labels that are no class are ignored."""
    # Ignored pixels are counted in the first and the last row, which is quicker than picking them out.
    rows = label.long().clamp(-1, classes) + 1
    cells = (rows * classes + prediction).flatten()
    # Not bincount: on an accelerator it asks for the largest cell, and so waits for all that came before.
    counts = torch.zeros((classes + 2) * classes, dtype=torch.int64, device=cells.device)
    return counts.scatter_add_(0, cells, torch.ones_like(cells)).view(-1, classes)[1:-1]


def tallied(confusion: Tensor) -> Tensor:
    """Intersections, unions and labelled pixels of each class: C×C (labelled, predicted) → 3×C."""
    both, labelled = confusion.diagonal(), confusion.sum(dim=1)
    return torch.stack([both, labelled + confusion.sum(dim=0) - both, labelled])
