"""Pascal VOC 2012 (Everingham et al., IJCV 2015) joined by SBD, the labels of Hariharan et al. (ICCV 2011).

Training: VOC's train and all of SBD, less VOC's val: 10,582 images of the published data. VOC's own label is taken
where there is one, as SBD's are coarser. SBD also lies about as PNGs, `SegmentationClassAug` inside VOC2012, with the
names in `trainaug.txt`: these are read where SBD itself is not at hand.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from harness.ledger.datasets import Split
from harness.ledger.errors import BadInput, nearest
from harness.ledger.files import read_bytes
from harness.segmentation.layouts.looking import folders_below, top
from harness.segmentation.sources import (
    LABEL_SUFFIXES,
    Listing,
    Source,
    SourcePair,
    by_stem,
    files_in,
    shown,
)

VOC = (
    "VOCdevkit/VOC2012/{JPEGImages,SegmentationClass,ImageSets/Segmentation}: unpack VOCtrainval_11-May-2012.tar of "
    "http://host.robots.ox.ac.uk/pascal/VOC/voc2012/; --data or SEGKD_DATA names the folder that holds it"
)
SBD = (
    "benchmark_RELEASE/dataset/{cls,train.txt,val.txt}: unpack benchmark.tgz of "
    "http://home.bharathh.info/pubs/codes/SBD/download.html beside VOCdevkit or into it (or put "
    "SegmentationClassAug/*.png and ImageSets/Segmentation/trainaug.txt into VOC2012)"
)
# By their published names, wherever they lie: a digest does not depend on that.
VOC_NAME, SBD_NAME = "VOCdevkit/VOC2012", "benchmark_RELEASE/dataset"
IMAGES, LABELS, LISTS, MORE_LABELS = "JPEGImages", "SegmentationClass", "ImageSets/Segmentation", "SegmentationClassAug"
IMAGE_SUFFIXES = (".jpg",)

LIST_BYTES = 2**21
"""Of a list of names: ten times what the longest has, and each of its lines becomes a name in memory."""


@dataclass(frozen=True)
class More:
    """What SBD adds: names, their labels, and images that VOC may lack."""

    folder: str
    """Where the labels lie."""
    stems: frozenset[str]
    labels: Mapping[str, Source]
    images: Mapping[str, Source]


def listing(data: Path | None, split: Split, expected: int) -> Listing:
    """The pairs of val, or those that are trained on."""
    home = top(data, (IMAGES, LABELS, LISTS), VOC)
    images = _files(home / IMAGES, f"{VOC_NAME}/{IMAGES}", IMAGE_SUFFIXES)
    labels = _files(home / LABELS, f"{VOC_NAME}/{LABELS}", LABEL_SUFFIXES)
    own = f"{VOC_NAME}/{LABELS}"
    val = _stems(home / LISTS / "val.txt", f"{VOC_NAME}/{LISTS}/val.txt", VOC)
    if split == "score":
        return _listed(val, images, labels, own, expected)
    train = _stems(home / LISTS / "train.txt", f"{VOC_NAME}/{LISTS}/train.txt", VOC)
    more = _more(data or home, home)
    # A label of VOC's own that has gone is a problem, not a reason to take SBD's.
    added = {stem: label for stem, label in more.labels.items() if stem not in train}
    listed = (train | more.stems) - val
    return _listed(listed, {**more.images, **images}, {**added, **labels}, f"{own} and {more.folder}", expected)


def _listed(
    stems: frozenset[str], images: Mapping[str, Source], labels: Mapping[str, Source], labelled: str, expected: int
) -> Listing:
    """The pairs of the listed names; one without an image or a label is a problem."""
    problems = []
    if len(stems) != expected:
        problems.append(f"{VOC_NAME}/{LISTS}/: found {len(stems)} names, the workload expects {expected}")
    names = sorted(stems)
    problems += [
        f"{VOC_NAME}/{IMAGES}: no image of {shown(stem)}, which is listed" for stem in names if stem not in images
    ]
    problems += [f"{labelled}: no label of {shown(stem)}, which is listed" for stem in names if stem not in labels]
    return Listing(
        pairs=tuple(SourcePair(images[stem], labels[stem]) for stem in names if stem in images and stem in labels),
        image_files=sum(stem in images for stem in names),
        label_files=sum(stem in labels for stem in names),
        problems=tuple(problems),
    )


def _files(folder: Path, name: str, suffixes: tuple[str, ...]) -> dict[str, Source]:
    """The files of a folder by stem."""
    return dict(by_stem(name, files_in(folder, name, suffixes)).files)


def _stems(path: Path, name: str, layout: str) -> frozenset[str]:
    """The names that a list holds, one a line, be it `2007_000032` or `/JPEGImages/2007_000032.jpg …`."""
    if not path.is_file():
        raise BadInput(f"--data {path.parent}: no file '{path.name}'; looked for {layout}")
    lines = read_bytes(path, LIST_BYTES).decode("utf-8", "replace").splitlines()
    return frozenset(PurePosixPath(line.split()[0]).stem for line in lines if line.strip())


# SBD


def _more(data: Path, home: Path) -> More:
    """SBD's own files, else its labels as PNGs inside VOC2012."""
    if sbd := _sbd_home(data, home):
        lists = [_stems(sbd / name, f"{SBD_NAME}/{name}", SBD) for name in ("train.txt", "val.txt")]
        return More(
            folder=f"{SBD_NAME}/cls",
            stems=lists[0] | lists[1],
            labels=_files(sbd / "cls", f"{SBD_NAME}/cls", (".mat",)),
            images=_files(sbd / "img", f"{SBD_NAME}/img", IMAGE_SUFFIXES) if (sbd / "img").is_dir() else {},
        )
    if (home / MORE_LABELS).is_dir():
        folder = f"{VOC_NAME}/{MORE_LABELS}"
        stems = _stems(home / LISTS / "trainaug.txt", f"{VOC_NAME}/{LISTS}/trainaug.txt", SBD)
        return More(folder, stems, _files(home / MORE_LABELS, folder, LABEL_SUFFIXES), {})
    names = [name.rpartition("/")[2] for name in folders_below(data, [SBD_NAME])]
    raise BadInput(f"--data {data}: no folder '{SBD_NAME}'{nearest('benchmark_RELEASE', names)}; looked for {SBD}")


def _sbd_home(data: Path, home: Path) -> Path | None:
    """The folder that holds `cls`: below --data, else beside VOCdevkit or VOC2012."""
    below = [data / name for name in folders_below(data, [f"{SBD_NAME}/cls"]) if name.rpartition("/")[2] == "cls"]
    beside = [above / SBD_NAME / "cls" for above in home.absolute().parents[:2]]
    return next((labels.parent for labels in (*below, *beside) if labels.is_dir()), None)
