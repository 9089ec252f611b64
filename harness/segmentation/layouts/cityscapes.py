"""Cityscapes (Cordts et al., CVPR 2016) as its site hands it out: two zips, unpacked into one folder."""

from pathlib import Path

from harness.ledger.datasets import Split
from harness.segmentation.layouts.looking import top
from harness.segmentation.sources import Folder, Listing, Source, files_in, folders_in, paired

LAYOUT = (
    "leftImg8bit/{train,val}/CITY/*_leftImg8bit.png and gtFine/{train,val}/CITY/*_gtFine_labelIds.png: unpack "
    "leftImg8bit_trainvaltest.zip and gtFine_trainvaltest.zip of https://www.cityscapes-dataset.com (registration) "
    "into one folder; --data or SEGKD_DATA names it"
)
IMAGES, LABELS = "leftImg8bit", "gtFine"
PARTS: dict[Split, str] = {"train": "train", "score": "val"}


def listing(data: Path | None, split: Split, expected: int) -> Listing:
    """The pairs of train or val, city by city."""
    home = top(data, [f"{kind}/{part}" for part in PARTS.values() for kind in (IMAGES, LABELS)], LAYOUT)
    part = PARTS[split]
    images = _of_all_cities(home, f"{IMAGES}/{part}", "_leftImg8bit.png")
    labels = _of_all_cities(home, f"{LABELS}/{part}", "_gtFine_labelIds.png")
    return paired(images, labels, expected)


def _of_all_cities(home: Path, name: str, ending: str) -> Folder:
    files: list[tuple[str, Source]] = []
    for city in folders_in(home / name):
        # Other files of the same frame lie beside it: instances, colours, polygons.
        sources = files_in(home / name / city, f"{name}/{city}", (ending.lower(),))
        files += ((each.name.removeprefix(f"{name}/")[: -len(ending)], each) for each in sources)
    return Folder(name, tuple(files))
