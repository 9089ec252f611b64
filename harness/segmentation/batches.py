"""The data's share of the clock: from the bytes of a split to augmented batches on the device.

A split's bytes stay uint8 until they are on the device: floats are four times as large.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import torch
from torch import Generator, Tensor
from torchvision.transforms import InterpolationMode

from harness.ledger.files import sha256
from harness.ledger.workload import Workload
from harness.segmentation import photometric
from harness.segmentation.crops import Window
from harness.segmentation.data import IGNORED, Split

DRAWS = 4  # scale, top, left, flip: as many for every image, whatever becomes of them


@dataclass(frozen=True)
class Draws:
    """What chance decides about one batch; no pixel has a say in it."""

    indices: Tensor
    """B, int64: images of the split."""
    uniform: Tensor
    """B×4, float32 in [0, 1): scale, top, left, flip; nine more where colours are distorted."""


@dataclass(frozen=True)
class Parts:
    """What the crops of a batch show of their images, not yet scaled."""

    windows: list[Window]
    images: list[Tensor]
    """3×h×w each, uint8."""
    labels: list[Tensor]
    """1×h×w each, uint8."""


@dataclass(frozen=True)
class Fetched:
    """A batch's bytes on its device, and what chance decided about it."""

    draws: Draws
    parts: Parts


class Normalise:
    """Bytes to floats of mean 0 and deviation 1 by a workload's statistics, on a device."""

    def __init__(self, workload: Workload, device: torch.device) -> None:
        mean = torch.tensor(workload.mean, device=device)[:, None, None]
        std = torch.tensor(workload.std, device=device)[:, None, None]
        self.scale = 1 / (255 * std)
        self.shift = -mean / std

    def __call__(self, images: Tensor) -> Tensor:
        """B×3×H×W, uint8 or float32 up to 255 → float32."""
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
        self.split = split
        self.batch = workload.training.batch
        self.augmentation = workload.augmentation
        self.padding = torch.tensor(workload.mean).mul(255).round().to(torch.uint8)[:, None, None].to(device)
        self.normalise = Normalise(workload, device)
        self.layout = layout_of(workload)
        self.order = order
        self.augment = augment
        self.device = device
        self.remaining = torch.empty(0, dtype=torch.int64)

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        return self

    def __next__(self) -> tuple[Tensor, Tensor]:
        return self.compose(self.fetch())

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
            permutation = torch.randperm(len(self.split.images), generator=self.order)
            self.remaining = torch.cat([self.remaining, permutation])
        indices, self.remaining = self.remaining[: self.batch], self.remaining[self.batch :]
        draws = DRAWS + photometric.DRAWS * self.augmentation.photometric
        return Draws(indices, torch.rand(self.batch, draws, generator=self.augment))

    def fetch(self) -> Fetched:
        """The next batch's bytes, on the device."""
        draws = self.draw()
        parts = self.cut(draws)
        images, labels = ([part.to(self.device) for part in all_of] for all_of in (parts.images, parts.labels))
        return Fetched(draws, Parts(parts.windows, images, labels))

    def cut(self, draws: Draws) -> Parts:
        """What the batch's crops show of their images: views of the split's own bytes."""
        windows, images, labels = [], [], []
        for index, each in zip(draws.indices.tolist(), draws.uniform.tolist(), strict=True):
            image = torch.from_numpy(self.split.images[index]).permute(2, 0, 1)
            window = Window.of(self.augmentation, (image.shape[1], image.shape[2]), *each[:3])
            windows.append(window)
            images.append(window.cut(image))
            labels.append(window.cut(torch.from_numpy(self.split.labels[index])[None]))
        return Parts(windows, images, labels)

    def compose(self, fetched: Fetched) -> tuple[Tensor, Tensor]:
        """The batch: its parts scaled, padded, mirrored and normalised."""
        crop, parts = self.augmentation.crop, fetched.parts
        images = torch.empty((self.batch, 3, *crop), dtype=torch.uint8, device=self.device, memory_format=self.layout)
        images.copy_(self.padding.expand(self.batch, 3, *crop))
        labels = torch.full((self.batch, 1, *crop), IGNORED, dtype=torch.uint8, device=self.device)
        uniform = fetched.draws.uniform.tolist()
        for place, (window, each) in enumerate(zip(parts.windows, uniform, strict=True)):
            flip = each[3] < self.augmentation.flip
            window.fill(images[place], parts.images[place], flip, InterpolationMode.BILINEAR)
            window.fill(labels[place], parts.labels[place], flip, InterpolationMode.NEAREST_EXACT)
        if self.augmentation.photometric:
            images = images.float()
            for image, window, each in zip(images, parts.windows, uniform, strict=True):
                shown = window.shown(image, flip=each[3] < self.augmentation.flip)
                shown.copy_(photometric.distort(shown, each[DRAWS:]))
        return self.normalise(images), labels.squeeze(1).long()


def layout_of(workload: Workload) -> torch.memory_format:
    """How the workload lays out images, features and weights in memory."""
    return torch.channels_last if workload.engine.channels_last else torch.contiguous_format


def first_batches_sha256(batches: Batches) -> str:
    """What the next ten batches are made from: indices and draws. Afterwards they are still the next."""
    state = batches.state()
    batches.go_on_from(state)  # what is on its way already is drawn again
    draws = [batches.draw() for _ in range(10)]
    batches.go_on_from(state)
    return sha256(*(part.numpy().tobytes() for draw in draws for part in (draw.indices, draw.uniform)))
