"""Segmentation training as the field writes it, for comparison: nothing here is the harness's.

Files are decoded and transformed image by image in a loader's workers, tensors are channels first in float32 (TF32
where the device has it), the teacher runs under no_grad, and every iteration reads its loss back to print it.
"""

import random
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.data import DataLoader, Dataset

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


OFTEN = 1000
"""A set of few files is as long as a large one: a loader stops to begin again at the end of each epoch."""


class Files(Dataset[tuple[Tensor, Tensor]]):
    """Cityscapes' layout: each image is decoded, scaled whole, cut, normalised, padded, perhaps mirrored."""

    def __init__(self, folder: Path, crop: tuple[int, int], values: tuple[int, ...]) -> None:
        self.images = sorted(folder.glob("leftImg8bit/train/*/*.png"))
        self.crop = crop
        self.to = np.full(256, 255, np.uint8)
        for train_id, value in enumerate(values):
            self.to[value] = train_id

    def __len__(self) -> int:
        return OFTEN * len(self.images)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        path = self.images[index % len(self.images)]
        label_path = str(path).replace("leftImg8bit/", "gtFine/", 1).replace("_leftImg8bit.png", "_gtFine_labelIds.png")
        image, label = Image.open(path).convert("RGB"), Image.fromarray(self.to[np.asarray(Image.open(label_path))])
        scale = random.uniform(0.5, 2.0)
        size = (round(image.width * scale), round(image.height * scale))
        pixels = np.asarray(image.resize(size, Image.Resampling.BILINEAR))
        labels = np.asarray(label.resize(size, Image.Resampling.NEAREST))
        top, left = (
            random.randint(0, max(0, found - side)) for found, side in zip(labels.shape, self.crop, strict=True)
        )
        part = np.s_[top : top + self.crop[0], left : left + self.crop[1]]
        pixels, labels = pixels[part].astype(np.float32), labels[part]
        pixels = (pixels / 255 - np.array(MEAN, np.float32)) / np.array(STD, np.float32)
        missing = [side - found for side, found in zip(self.crop, labels.shape, strict=True)]
        if any(missing):
            pixels = np.pad(pixels, ((0, missing[0]), (0, missing[1]), (0, 0)))
            labels = np.pad(labels, ((0, missing[0]), (0, missing[1])), constant_values=255)
        if random.random() < 0.5:
            pixels, labels = pixels[:, ::-1], labels[:, ::-1]
        return torch.from_numpy(pixels.transpose(2, 0, 1).copy()), torch.from_numpy(labels.astype(np.int64))


def batches(files: Files, batch: int, workers: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Endlessly, in a new order every epoch."""
    loader = DataLoader(
        files, batch, shuffle=True, num_workers=workers, pin_memory=torch.cuda.is_available(), drop_last=True,
        persistent_workers=workers > 0,
    )  # fmt: skip
    while True:
        yield from loader


def distil(
    student: nn.Module, teacher: nn.Module | None, source: Iterator[tuple[Tensor, Tensor]], iterations: int, rate: float
) -> list[float]:
    """Trains by cross-entropy, 0.4 of the auxiliary head's, and Hinton's loss where there is a teacher; the losses."""
    device = next(student.parameters()).device
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = True
    optimizer = torch.optim.SGD(student.parameters(), rate, 0.9, weight_decay=5e-4)
    stages = frozenset({"logits", "aux_logits"}) & frozenset(student.stages)
    losses = []
    for iteration in range(iterations):
        images, labels = (part.to(device) for part in next(source))
        outputs = student(images, stages)
        loss = sum(
            weight * functional.cross_entropy(_enlarged(outputs[stage], labels), labels, ignore_index=255)
            for stage, weight in (("logits", 1.0), ("aux_logits", 0.4))
            if stage in stages
        )
        if teacher is not None:
            with torch.no_grad():
                taught = teacher(images)["logits"]
            divergence = functional.kl_div(
                functional.log_softmax(outputs["logits"], 1), functional.softmax(taught, 1), reduction="none"
            )
            loss = loss + divergence.sum(dim=1).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        for group in optimizer.param_groups:
            group["lr"] = rate * (1 - iteration / iterations) ** 0.9
        losses.append(loss.item())  # waits for the device, as logging does
    return losses


def _enlarged(logits: Tensor, labels: Tensor) -> Tensor:
    return functional.interpolate(logits, labels.shape[1:], mode="bilinear", align_corners=True)
