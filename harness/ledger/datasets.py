"""Where a workload's images and labels are, and which label value is which class."""

from typing import Annotated, Literal

from pydantic import Field, NonNegativeInt, PositiveInt

from harness.ledger.files import Value

Split = Literal["train", "tune", "score"]

Label = Annotated[int, Field(ge=0, le=255)]


class DrawnSplit(Value):
    """Scenes of one seed."""

    count: PositiveInt
    seed: int


class FolderSplit(Value):
    """Images of one folder and labels of another, paired by file name."""

    count: PositiveInt
    images: str
    labels: str


class PublishedSplit(Value):
    """As many images as the data set's own split of that name has."""

    count: PositiveInt


class HeldOut(Value):
    """Every n-th image of the training split, in the order of names.

    A run that is scored on it trains on the others; one that is scored on `score` trains on all.
    """

    count: PositiveInt
    every: Annotated[int, Field(ge=2)]


class StreetsData(Value):
    """Procedural street scenes, drawn before the clock starts."""

    reader: Literal["streets"]
    train: DrawnSplit
    tune: DrawnSplit
    score: DrawnSplit


class Labelled(Value):
    """What the values of a label map mean."""

    label_values: tuple[Label, ...] | None = None
    """The value that stands for each class, in the order of the classes; null: 0, 1, 2, …"""
    unlabelled: tuple[Label, ...]
    """Values that are read as 255, the ignored one."""


class FoldersData(Labelled):
    """Folders of images and of label maps, below one folder or in one tar: CamVid as SegNet has it, or one's own."""

    reader: Literal["folders", "segnet"]
    """`segnet` is what older records call it."""
    train: FolderSplit
    tune: FolderSplit | HeldOut
    score: FolderSplit


class CityscapesData(Labelled):
    """`leftImg8bit/{train,val}/CITY/*_leftImg8bit.png` and `gtFine/…_gtFine_labelIds.png`."""

    reader: Literal["cityscapes"]
    train: PublishedSplit
    tune: HeldOut
    score: PublishedSplit


class Ade20kData(Labelled):
    """The scene parsing benchmark: `images/{training,validation}/*.jpg` and `annotations/…/*.png`."""

    reader: Literal["ade20k"]
    train: PublishedSplit
    tune: HeldOut
    score: PublishedSplit


class VocData(Labelled):
    """Pascal VOC 2012, its training images joined by SBD's that are not in its val (Hariharan et al., ICCV 2011)."""

    reader: Literal["voc"]
    train: PublishedSplit
    tune: HeldOut
    score: PublishedSplit


FiledData = FoldersData | CityscapesData | Ade20kData | VocData
"""What lies in files."""

Data = Annotated[
    StreetsData | FoldersData | CityscapesData | Ade20kData | VocData,
    Field(discriminator="reader"),
]


def values_of(data: Labelled, classes: int) -> tuple[NonNegativeInt, ...]:
    """The label value of each class."""
    return data.label_values if data.label_values is not None else tuple(range(classes))
