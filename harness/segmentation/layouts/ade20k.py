"""ADE20K as the scene parsing benchmark of 2016 has it (Zhou et al., CVPR 2017): 150 classes, 0 for all else."""

from pathlib import Path

from harness.ledger.datasets import Split
from harness.segmentation.layouts.looking import top
from harness.segmentation.sources import IMAGE_SUFFIXES, LABEL_SUFFIXES, Listing, by_stem, files_in, paired

LAYOUT = (
    "ADEChallengeData2016/images/{training,validation}/*.jpg and ADEChallengeData2016/annotations/…/*.png: unpack "
    "ADEChallengeData2016.zip of http://sceneparsing.csail.mit.edu (from "
    "https://groups.csail.mit.edu/vision/datasets/ADE20K/); --data or SEGKD_DATA names the folder that holds it"
)
IMAGES, LABELS = "images", "annotations"
PARTS: dict[Split, str] = {"train": "training", "score": "validation"}


def listing(data: Path | None, split: Split, expected: int) -> Listing:
    """The pairs of training or validation."""
    home = top(data, [f"{kind}/{part}" for part in PARTS.values() for kind in (IMAGES, LABELS)], LAYOUT)
    images, labels = f"{IMAGES}/{PARTS[split]}", f"{LABELS}/{PARTS[split]}"
    return paired(
        by_stem(images, files_in(home / images, images, IMAGE_SUFFIXES)),
        by_stem(labels, files_in(home / labels, labels, LABEL_SUFFIXES)),
        expected,
    )
