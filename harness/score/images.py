"""How much a score hangs on the images: a bootstrap over those that a run was scored on.

The runs stand still here, and the images are drawn again: what else the same networks might have scored. How seeds
scatter is another matter, and another interval.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from harness.ledger.counts import Counts
from harness.ledger.errors import BadInput
from harness.score.stats import LEVEL, Floats, Interval

RESAMPLES = 1000

COLUMNS = 512
"""Of one product, runs by classes: enough to be quick, few enough for the memory."""


def draws(images: int, resamples: int = RESAMPLES, seed: int = 0) -> Floats:
    """How often each resample holds each image, resamples×N: as many images as there are, drawn with replacement."""
    drawn = np.random.default_rng(seed).integers(0, images, (resamples, images))
    drawn += images * np.arange(resamples)[:, None]
    return np.bincount(drawn.ravel(), minlength=drawn.size).reshape(drawn.shape).astype(np.float64)


def resampled_mious(runs: Sequence[Counts], weights: Floats) -> Floats:
    """Each run's mIoU with images counted as often as the weights say, resamples×runs; NaN without a labelled pixel.

    A class that a resample's labels do not hold is left out of its mean. Sums of counts are exact in doubles, in
    whatever order a library adds them, so that the same files give the same interval on every machine.
    """
    labelled = _shared_labels(runs)
    present = weights @ (labelled > 0).astype(np.float64) > 0  # R×C
    at_once = max(1, COLUMNS // labelled.shape[1])
    parts = [runs[first : first + at_once] for first in range(0, len(runs), at_once)]
    return np.concatenate([_mious(part, weights, present) for part in parts], axis=1)


def _mious(runs: Sequence[Counts], weights: Floats, present: NDArray[np.bool_]) -> Floats:
    """The same of a few runs, the classes that each resample's labels hold given."""
    intersections = _weighed([run.intersections for run in runs], weights)  # R×runs×C
    unions = _weighed([run.unions for run in runs], weights)
    np.divide(intersections, unions, out=intersections, where=unions > 0)
    classes = present.sum(axis=1)
    # Where no label holds a class nothing intersects, so that it adds nothing to the sum.
    mious: Floats = intersections.sum(axis=2) / np.where(classes > 0, classes, np.nan)[:, None]
    return mious


def _weighed(parts: Sequence[NDArray[np.int64]], weights: Floats) -> Floats:
    """The weighed sums over images of every run, in one product: R×N by N×(runs·C) → R×runs×C."""
    together = weights @ np.concatenate(parts, axis=1, dtype=np.float64)
    return together.reshape(len(weights), len(parts), -1)


def _shared_labels(runs: Sequence[Counts]) -> NDArray[np.int64]:
    """The labels of the images, which all the runs were scored on; BadInput where they were not."""
    first = runs[0].labelled
    if not all(np.array_equal(first, run.labelled) for run in runs[1:]):
        raise BadInput("counts: the runs' labels differ: expected runs that were scored on the same images")
    return first


def bootstrap_difference(
    ours: Sequence[Counts], theirs: Sequence[Counts], *, resamples: int = RESAMPLES, seed: int = 0
) -> Interval | None:
    """Of the difference of two methods' mIoU, averaged over the runs of the same seeds, over images.

    Every resample holds the same images for both methods and all seeds: what makes an image hard for both cancels.
    """
    if len(ours) != len(theirs):
        raise ValueError(f"{len(ours)} runs against {len(theirs)}: pairs of the same seeds are as many on both sides")
    images = len(ours[0].labelled)
    if images < 2:
        return None
    mious = resampled_mious([*ours, *theirs], draws(images, resamples, seed))
    return percentiles(mious[:, : len(ours)].mean(axis=1) - mious[:, len(ours) :].mean(axis=1))


def percentiles(values: Floats) -> Interval:
    """What the middle LEVEL of the resamples lie within, those without any labelled pixel aside; seldom symmetric."""
    low, high = np.quantile(values[~np.isnan(values)], [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Interval(float(low), float(high))
