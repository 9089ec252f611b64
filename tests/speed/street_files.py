"""Files like those of Cityscapes, made here: PNGs of 1024×2048 that weigh about what the real ones weigh."""

from pathlib import Path

import numpy as np
from PIL import Image

from harness.segmentation.streets import CLASSES, draw

SIZE = (1024, 2048)
GRAIN = 3
"""Deviation of the noise, of 255: with it a PNG is about a third of its pixels, as Cityscapes' are."""
IDS = (23, 11, 17, 7, 8, 21, 20, 13, 26, 24, 25)
"""Cityscapes' own values of the classes of drawn streets."""


def write(folder: Path, train: int, score: int, seed: int = 0) -> None:
    """A data set in Cityscapes' layout; a scene is a drawn one, enlarged, with grain."""
    assert len(IDS) == len(CLASSES)
    chance = np.random.default_rng(seed)
    values = np.zeros(256, np.uint8)
    values[: len(IDS)] = IDS
    for split, count in (("train", train), ("val", score)):
        scenes = draw(count, seed)
        for kind in ("leftImg8bit", "gtFine"):
            (folder / kind / split / "town").mkdir(parents=True, exist_ok=True)
        for number in range(count):
            stem = f"town/town_{number:06d}_000019"
            grain = chance.normal(0, GRAIN, (*SIZE, 3))
            image = Image.fromarray(scenes.images[number].transpose(1, 2, 0)).resize(
                SIZE[::-1], Image.Resampling.BICUBIC
            )
            pixels = np.clip(np.asarray(image) + grain, 0, 255).astype(np.uint8)
            Image.fromarray(pixels).save(folder / f"leftImg8bit/{split}/{stem}_leftImg8bit.png", compress_level=1)
            label = Image.fromarray(values[scenes.labels[number]]).resize(SIZE[::-1], Image.Resampling.NEAREST)
            label.save(folder / f"gtFine/{split}/{stem}_gtFine_labelIds.png")
