"""Tiny data sets, written in the layouts in which the real ones are published.

Label maps are tiles that show every value of the layout; an image's colours tell its label's values, more or less.
"""

import tarfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import scipy.io
from numpy.typing import NDArray
from PIL import Image

from harness.ledger.datasets import (
    Ade20kData,
    CityscapesData,
    FoldersData,
    FolderSplit,
    HeldOut,
    PublishedSplit,
    VocData,
)

Size = tuple[int, int]
"""Height and width."""

TILE = 4
CITYSCAPES_CLASSES = (7, 8, 11, 12, 13, 17, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 31, 32, 33)
CITYSCAPES_OTHERS = (0, 1, 2, 3, 4, 5, 6, 9, 10, 14, 15, 16, 18, 29, 30)
ADE20K_CLASSES = tuple(range(1, 151))
VOC_CLASSES = tuple(range(21))
FOLDERS_CLASSES = (0, 1, 2)
FOLDERS_OTHERS = (3,)


# What a workload says of them


def cityscapes_data(train: int = 3, score: int = 2, every: int = 2) -> CityscapesData:
    return CityscapesData(
        reader="cityscapes",
        train=PublishedSplit(count=train),
        tune=HeldOut(count=train // every, every=every),
        score=PublishedSplit(count=score),
        label_values=CITYSCAPES_CLASSES,
        unlabelled=CITYSCAPES_OTHERS,
    )


def ade20k_data(train: int = 3, score: int = 2, every: int = 2) -> Ade20kData:
    return Ade20kData(
        reader="ade20k",
        train=PublishedSplit(count=train),
        tune=HeldOut(count=train // every, every=every),
        score=PublishedSplit(count=score),
        label_values=ADE20K_CLASSES,
        unlabelled=(0,),
    )


def voc_data(train: int = 5, score: int = 2, every: int = 2) -> VocData:
    return VocData(
        reader="voc",
        train=PublishedSplit(count=train),
        tune=HeldOut(count=train // every, every=every),
        score=PublishedSplit(count=score),
        unlabelled=(),
    )


def folders_data(train: int = 3, tune: int = 1, score: int = 2) -> FoldersData:
    return FoldersData(
        reader="folders",
        train=FolderSplit(count=train, images="images/train", labels="masks/train"),
        tune=FolderSplit(count=tune, images="images/val", labels="masks/val"),
        score=FolderSplit(count=score, images="images/test", labels="masks/test"),
        unlabelled=FOLDERS_OTHERS,
    )


# The data sets


def cityscapes(folder: Path, train: int = 3, score: int = 2, size: Size = (64, 128)) -> Path:
    """leftImg8bit and gtFine below the folder, two cities a split, as the two zips unpack; gives back the folder."""
    values = (*CITYSCAPES_CLASSES, *CITYSCAPES_OTHERS, 255)
    for part, cities, count in (("train", ("aachen", "bochum"), train), ("val", ("frankfurt", "lindau"), score)):
        for number in range(count):
            city = cities[number % 2]
            frame = f"{part}/{city}/{city}_{number:06}_000019"
            label = tiles(values, size, number)
            _save(folder / f"leftImg8bit/{frame}_leftImg8bit.png", picture(label))
            _save(folder / f"gtFine/{frame}_gtFine_labelIds.png", Image.fromarray(label))
            _save(folder / f"gtFine/{frame}_gtFine_color.png", picture(label))
            (folder / f"gtFine/{frame}_gtFine_polygons.json").write_text("{}")
    return folder


def ade20k(folder: Path, train: int = 3, score: int = 2, size: Size = (64, 64)) -> Path:
    """ADEChallengeData2016 below the folder, its images of several sizes; gives back the folder."""
    home = folder / "ADEChallengeData2016"
    for part, short, count in (("training", "train", train), ("validation", "val", score)):
        for number in range(1, count + 1):
            name = f"{part}/ADE_{short}_{number:08}"
            label = tiles((0, *ADE20K_CLASSES), (size[0] + 3 * number, size[1] + 8 * (number % 3)), number)
            _save(home / f"images/{name}.jpg", picture(label))
            _save(home / f"annotations/{name}.png", Image.fromarray(label))
    (home / "objectInfo150.txt").write_text("Idx\tRatio\n")
    return folder


def voc(folder: Path, train: int = 5, score: int = 2, size: Size = (48, 64), *, sbd: bool = True) -> Path:
    """VOCdevkit/VOC2012 and benchmark_RELEASE below the folder; gives back the folder.

    Of the `train` images two are VOC's own, of the first of which SBD has another label; the others are SBD's, of its
    train and val. SBD also has labels of VOC's val. Without `sbd` there is VOC alone.
    """
    home = folder / "VOCdevkit/VOC2012"
    stems = [f"2007_{number:06}" for number in range(train + score)]
    own, more, val = stems[:2], stems[2:train], stems[train:]
    for number, stem in enumerate(stems):
        label = tiles((*VOC_CLASSES, 255), (size[0] + number, size[1] - 2 * number), number)
        _save(home / f"JPEGImages/{stem}.jpg", picture(label))
        if stem not in more:
            _save(home / f"SegmentationClass/{stem}.png", paletted(label))
    _lines(home / "ImageSets/Segmentation/train.txt", own)
    _lines(home / "ImageSets/Segmentation/val.txt", val)
    _lines(home / "ImageSets/Segmentation/trainval.txt", sorted(own + val))
    if sbd:
        _sbd(folder / "benchmark_RELEASE/dataset", home, own[:1] + more, val)
    return folder


def _sbd(home: Path, voc_home: Path, train: list[str], val: list[str]) -> None:
    """Half of train is in SBD's own val, as is VOC's: its split is another."""
    for number, stem in enumerate(train + val):
        with Image.open(voc_home / f"JPEGImages/{stem}.jpg") as image:
            label = tiles(VOC_CLASSES, (image.height, image.width), 100 + number)
            _save(home / f"img/{stem}.jpg", image)
        _save_sbd(home / f"cls/{stem}.mat", label)
    half = len(train) // 2
    _lines(home / "train.txt", train[:half])
    _lines(home / "val.txt", train[half:] + val)


def folders(folder: Path, train: int = 3, tune: int = 1, score: int = 2, size: Size = (64, 128)) -> Path:
    """images/ and masks/ of train, val and test, as a user's own data may lie; gives back the folder."""
    for part, count in (("train", train), ("val", tune), ("test", score)):
        for number in range(count):
            label = tiles((*FOLDERS_CLASSES, *FOLDERS_OTHERS, 255), size, number)
            _save(folder / f"images/{part}/{number}.jpg", picture(label))
            _save(folder / f"masks/{part}/{number}.png", Image.fromarray(label))
    return folder


def as_tar(path: Path, folder: Path, mode: str = "w") -> Path:
    """A tar of all that lies in a folder; gives back its path."""
    with tarfile.open(path, mode) as archive:
        archive.add(folder, arcname=".")
    return path


# Pictures


def tiles(values: tuple[int, ...], size: Size, seed: int) -> NDArray[np.uint8]:
    """A label map of square tiles that shows every value, where there is room."""
    down, across = -(-size[0] // TILE), -(-size[1] // TILE)
    places = np.random.default_rng(seed).permutation(down * across)
    chosen = np.array(values, np.uint8)[places % len(values)].reshape(down, across)
    return np.ascontiguousarray(chosen.repeat(TILE, axis=0).repeat(TILE, axis=1)[: size[0], : size[1]])


def picture(label: NDArray[np.uint8]) -> Image.Image:
    """Colours of the label's values, a little noisy."""
    rng = np.random.default_rng(0)
    colours = rng.integers(0, 240, (256, 3), np.uint8)[label]
    return Image.fromarray(colours + rng.integers(0, 16, colours.shape, np.uint8))


def paletted(label: NDArray[np.uint8]) -> Image.Image:
    """A palette image of the values, as VOC has its labels."""
    image = Image.fromarray(label).convert("P")
    image.putpalette(np.random.default_rng(0).integers(0, 256, 768, np.uint8).tobytes())
    image.putdata(label.reshape(-1).tolist())
    return image


def sbd_label(label: NDArray[np.uint8]) -> Mapping[str, object]:
    """What SBD's .mat files hold: boundaries, the label map, the classes that are in it."""
    present = np.setdiff1d(label, [0]).astype(np.float64)[:, None]
    boundaries = np.empty((20, 1), object)
    boundaries.fill(scipy.sparse.csc_matrix(np.eye(3, dtype=bool)))
    return {"GTcls": {"Boundaries": boundaries, "Segmentation": label, "CategoriesPresent": present}}


def _save_sbd(path: Path, label: NDArray[np.uint8]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    scipy.io.savemat(path, dict(sbd_label(label)), do_compression=True)


def _save(path: Path, image: Image.Image) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    image.save(path)


def _lines(path: Path, lines: list[str]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{line}\n" for line in lines))
