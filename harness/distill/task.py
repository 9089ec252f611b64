"""The cross-entropy of the labels, which the trainer and some preparations minimise."""

import torch
from torch import Tensor
from torch.nn import functional

from harness.distill.shapes import IGNORED


def labelled_cross_entropy(logits: Tensor, labels: Tensor) -> Tensor:
    """The mean over labelled pixels of −log p(label), logits enlarged to the labels' size; 0 where nothing is labelled.

    Bilinear with aligned corners, as winycg/CIRKD and irfanICMLL/TorchDistiller have it.
    """
    enlarged = functional.interpolate(logits, size=labels.shape[-2:], mode="bilinear", align_corners=True)
    total = functional.cross_entropy(enlarged, labels, ignore_index=IGNORED, reduction="sum")
    # Not reduction="mean": a crop that holds only ignored pixels would be 0/0 and end the run as diverged.
    return total / torch.count_nonzero(labels != IGNORED).clamp(min=1)
