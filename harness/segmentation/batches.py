"""The data's share of the clock: from the bytes of a split to augmented batches on the device.

A split stays in memory as uint8; they become floats, four times as large, per batch and on the device.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import torch
from torch import Generator, Tensor
from torchvision.transforms import InterpolationMode
from torchvision.transforms.v2 import functional as transforms

from harness.ledger.files import sha256
from harness.ledger.workload import Augmentation, Workload
from harness.segmentation.data import Split
from harness.segmentation.segnet import IGNORED

DRAWS = 4  # scale, top, left, flip: as many for every image, whatever becomes of them


@dataclass(frozen=True)
class Draws:
    """What chance decides about one batch; no pixel has a say in it."""

    indices: Tensor
    """B, int64: images of the split."""
    uniform: Tensor
    """B×4, float32 in [0, 1): scale, top, left, flip."""


class Normalise:
    """Bytes to floats of mean 0 and deviation 1 by a workload's statistics, on a device."""

    def __init__(self, workload: Workload, device: torch.device) -> None:
        mean = torch.tensor(workload.mean, device=device)[:, None, None]
        std = torch.tensor(workload.std, device=device)[:, None, None]
        self.scale = 1 / (255 * std)
        self.shift = -mean / std

    def __call__(self, images: Tensor) -> Tensor:
        """B×3×H×W, uint8 → float32."""
        return torch.addcmul(self.shift, images.float(), self.scale)


class Batches:
    """An endless iterator over (images B×3×h×w float32, labels B×h×w int64) at crop size, on the device.

    Every batch is full: what the end of an epoch lacks comes from the next one's permutation.

    Args:
        order: decides which images, epoch by epoch.
        augment: decides all else.

    """

    def __init__(
        self, split: Split, workload: Workload, *, order: Generator, augment: Generator, device: torch.device
    ) -> None:
        self.images = torch.from_numpy(split.images)
        self.labels = torch.from_numpy(split.labels)
        self.batch = workload.training.batch
        self.augmentation = workload.augmentation
        self.padding = torch.tensor(workload.mean).mul(255).round().to(torch.uint8)[:, None, None].to(device)
        self.normalise = Normalise(workload, device)
        self.order = order
        self.augment = augment
        self.device = device
        self.remaining = torch.empty(0, dtype=torch.int64)

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        return self

    def __next__(self) -> tuple[Tensor, Tensor]:
        return self.make(self.draw())

    def state(self) -> dict[str, Tensor]:
        """What the next batches depend on."""
        order, augment = self.order.get_state(), self.augment.get_state()
        return {"order": order, "augment": augment, "remaining": self.remaining.clone()}

    def go_on_from(self, state: Mapping[str, Tensor]) -> None:
        """The next batch is the one that was next when the state was taken."""
        self.order.set_state(state["order"])
        self.augment.set_state(state["augment"])
        self.remaining = state["remaining"].clone()

    def draw(self) -> Draws:
        """The next batch's draws; both generators move on."""
        while len(self.remaining) < self.batch:
            permutation = torch.randperm(len(self.images), generator=self.order)
            self.remaining = torch.cat([self.remaining, permutation])
        indices, self.remaining = self.remaining[: self.batch], self.remaining[self.batch :]
        return Draws(indices, torch.rand(self.batch, DRAWS, generator=self.augment))

    def make(self, draws: Draws) -> tuple[Tensor, Tensor]:
        """The batch that the draws describe."""
        crop = self.augmentation.crop
        images = self.padding.expand(3, *crop).repeat(self.batch, 1, 1, 1)
        labels = torch.full((self.batch, 1, *crop), IGNORED, dtype=torch.uint8, device=self.device)
        size = (self.images.shape[2], self.images.shape[3])
        indices, uniform = draws.indices.tolist(), draws.uniform.tolist()
        windows = [Window.of(self.augmentation, size, *each[:3]) for each in uniform]
        parts = self.copy([window.cut(self.images[index]) for window, index in zip(windows, indices, strict=True)])
        maps = self.copy([window.cut(self.labels[index, None]) for window, index in zip(windows, indices, strict=True)])
        for place, (window, each) in enumerate(zip(windows, uniform, strict=True)):
            flip = each[3] < self.augmentation.flip
            window.fill(images[place], parts[place], flip, InterpolationMode.BILINEAR)
            window.fill(labels[place], maps[place], flip, InterpolationMode.NEAREST_EXACT)
        return self.normalise(images), labels.squeeze(1).long()

    def copy(self, parts: list[Tensor]) -> list[Tensor]:
        """The same on the device: all of a batch's bytes that cross over to it."""
        return [part.to(self.device, non_blocking=True) for part in parts]


@dataclass(frozen=True)
class Window:
    """A part of an image, and the part of the crop that shows it: (start, length) down and across.

    To scale an image and cut a crop from it is to scale only what the crop will show.
    """

    source: tuple[tuple[int, int], tuple[int, int]]
    target: tuple[tuple[int, int], tuple[int, int]]

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


def _span(length: int, crop: int, factor: float, place: float) -> tuple[tuple[int, int], tuple[int, int]]:
    """Along one side: (start, length) in the image and in the crop.

    An enlarged image is cut at a random place, a reduced one is put at a random place between padding.
    """
    shown = min(length, max(1, round(crop / factor)))
    filled = crop if shown < length else min(crop, max(1, round(length * factor)))
    return (int(place * (length - shown + 1)), shown), (int(place * (crop - filled + 1)), filled)


def _cut(image: Tensor, window: tuple[tuple[int, int], tuple[int, int]]) -> Tensor:
    (top, height), (left, width) = window
    return image[:, top : top + height, left : left + width]


def first_batches_sha256(batches: Batches) -> str:
    """What the next ten batches are made from: indices and draws. Afterwards they are still the next."""
    state = batches.state()
    draws = [batches.draw() for _ in range(10)]
    batches.go_on_from(state)
    return sha256(*(part.numpy().tobytes() for draw in draws for part in (draw.indices, draw.uniform)))
