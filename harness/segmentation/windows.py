"""Images through a network, whole or window by window."""

from collections.abc import Callable

from torch import Tensor
from torch.nn import functional

from harness.ledger.workload import Sliding

Predict = Callable[[Tensor], Tensor]
"""From normalised images, B×3×H×W, to their logits, B×C×h×w."""


def slide(predict: Predict, images: Tensor, classes: int, sliding: Sliding) -> Tensor:
    """Each pixel's mean over the windows that see it of their logits enlarged to its size: B×3×H×W → B×C×H×W.

    What an image lacks to a window is added at the bottom and to the right, as the mean of the data: 0, normalised.
    """
    height, width = images.shape[2:]
    low, wide = (max(0, window - side) for window, side in zip(sliding.window, (height, width), strict=True))
    padded = functional.pad(images, (0, wide, 0, low))
    total = padded.new_zeros(len(padded), classes, *padded.shape[2:])
    seen = padded.new_zeros(padded.shape[2:])
    for rows in spans(padded.shape[2], sliding.window[0], sliding.step[0]):
        for columns in spans(padded.shape[3], sliding.window[1], sliding.step[1]):
            logits = predict(padded[:, :, rows, columns]).float()
            total[:, :, rows, columns] += enlarged(logits, sliding.window)
            seen[rows, columns] += 1
    return (total / seen)[:, :, :height, :width]


def spans(size: int, window: int, step: int) -> list[slice]:
    """The windows along a side that is no shorter than one: a step apart, the last one moved back to the border.

    mmsegmentation lays them so (`EncoderDecoder.slide_inference`).
    """
    steps = -(-(size - window) // step)
    tops = (min(index * step, size - window) for index in range(steps + 1))
    return [slice(top, top + window) for top in tops]


def enlarged(logits: Tensor, size: tuple[int, int]) -> Tensor:
    """B×C×h×w → B×C×H×W, the corners' pixels on one another."""
    return functional.interpolate(logits, size, mode="bilinear", align_corners=True)
