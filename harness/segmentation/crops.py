"""Which part of an image a crop shows, and where in the crop: scaling an image to cut from it is scaling that part."""

from dataclasses import dataclass

from torch import Tensor
from torchvision.transforms import InterpolationMode
from torchvision.transforms.v2 import functional as transforms

from harness.ledger.workload import Augmentation

Span = tuple[int, int]
"""(start, length) along one side."""


@dataclass(frozen=True)
class Window:
    """A part of an image, and the part of the crop that shows it: spans down and across."""

    source: tuple[Span, Span]
    target: tuple[Span, Span]

    @classmethod
    def of(cls, augmentation: Augmentation, size: tuple[int, int], scale: float, top: float, left: float) -> "Window":
        """The window that three draws of [0, 1) choose in an image of this size."""
        low, high = augmentation.scale
        factor = low + (high - low) * scale
        down = _span(size[0], augmentation.crop[0], factor, top)
        across = _span(size[1], augmentation.crop[1], factor, left)
        return cls((down[0], across[0]), (down[1], across[1]))

    def cut(self, image: Tensor) -> Tensor:
        """The image's part, a view: C×H×W."""
        return _cut(image, self.source)

    def fill(self, canvas: Tensor, part: Tensor, flip: bool, interpolation: InterpolationMode) -> None:
        """Writes the image's part, scaled and perhaps mirrored, into the canvas: both C×H×W."""
        target = _cut(canvas, self.target)
        if part.shape != target.shape:
            part = transforms.resize(part, list(target.shape[1:]), interpolation, antialias=True)
        target.copy_(part)
        if flip:
            canvas.copy_(canvas.flip(-1))

    def shown(self, canvas: Tensor, flip: bool) -> Tensor:
        """What of the filled canvas shows the image, without padding: a view of C×H×W."""
        down, (left, width) = self.target
        return _cut(canvas, (down, (canvas.shape[2] - left - width if flip else left, width)))


def _span(length: int, crop: int, factor: float, place: float) -> tuple[Span, Span]:
    """Along one side: in the image and in the crop.

    An enlarged image is cut at a random place, a reduced one is put at a random place between padding.
    """
    shown = min(length, max(1, round(crop / factor)))
    filled = crop if shown < length else min(crop, max(1, round(length * factor)))
    return (int(place * (length - shown + 1)), shown), (int(place * (crop - filled + 1)), filled)


def _cut(image: Tensor, window: tuple[Span, Span]) -> Tensor:
    (top, height), (left, width) = window
    return image[:, top : top + height, left : left + width]
