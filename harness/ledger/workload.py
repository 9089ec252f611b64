"""A workload: everything that is held fixed while methods are compared."""

from importlib import resources
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, PositiveFloat, PositiveInt

from harness.ledger.datasets import Data, HeldOut, StreetsData, values_of
from harness.ledger.device import Precision
from harness.ledger.errors import BadInput, nearest
from harness.ledger.files import Value, sha256
from harness.ledger.networks import Network, Share
from harness.ledger.reading import Document, parse, read_yaml

Positive = Annotated[float, Field(gt=0)]


class Training(Value):
    """An optimizer and its polynomial schedule, stretched over the run's own iterations."""

    optimizer: Literal["sgd", "adamw"] = "sgd"
    batch: PositiveInt
    learning_rate: Positive
    """At the beginning, the highest."""
    floor: Annotated[float, Field(ge=0)] = 0.0
    """The learning rate at the end."""
    momentum: Share
    """SGD's, or AdamW's β₁, whose β₂ is 0.999."""
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


class Checkpoint(Value):
    """A state dict that other code has trained: a .safetensors, or a .pth that is read without running code."""

    sha256: Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
    url: str | None = None
    """Where it is to be had."""
    keys: dict[str, str] = Field(default_factory=dict)
    """How its names begin → how this network's begin; the longest that fits is taken. Others stay as they are."""
    left_out: tuple[str, ...] = ()
    """Beginnings of names that this network has no place for."""


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
    checkpoint: Checkpoint | None = None
    """Someone else's weights, that `bench teacher --from FILE` takes instead of training; null: there are none."""


class Augmentation(Value):
    """Random scale, crop with ignored padding, horizontal flip, perhaps random colours: on the clock."""

    scale: tuple[Positive, Positive]
    crop: tuple[PositiveInt, PositiveInt]
    flip: Share
    photometric: bool = False
    """Random brightness, contrast, saturation and hue, as SSD has them (Liu et al., ECCV 2016)."""


class Whole(Value):
    """Each image at once, as large as it is."""

    mode: Literal["whole"]


class Sliding(Value):
    """Windows that overlap, their logits averaged where they do."""

    mode: Literal["sliding"]
    window: tuple[PositiveInt, PositiveInt]
    step: tuple[PositiveInt, PositiveInt]


class Engine(Value):
    """How the device computes, the same for all methods."""

    precision: Precision = "float32"
    """By autocast; weights and the optimizer's state are float32."""
    channels_last: bool = False
    """Whether a pixel's channels lie side by side in memory."""
    compile: bool = False
    """Whether torch.compile makes the stages of both networks; that takes no time from the budget."""


class Workload(Value):
    """One YAML of harness/workloads, or one of the user's own."""

    title: str
    standing: Literal["demonstration", "smoke test", "benchmark"]
    caveat: str
    """What a reader of its board must know; stands in the board's heading."""
    dataset: Annotated[str, Field(pattern="^[a-z0-9_]+$")]
    """The name under which methods give weights; folders of the cache are called by it."""
    classes: tuple[str, ...]
    pictures: Literal["public", "private"]
    data: Data
    image_size: tuple[PositiveInt, PositiveInt] | None
    """Height and width at which the networks see a whole image; null: as every file has it."""
    label_size: tuple[PositiveInt, PositiveInt] | None
    """Height and width of the labels, at which mIoU is taken; null: as every file has it."""
    mean: tuple[float, float, float]
    std: tuple[Positive, Positive, Positive]
    stride: PositiveInt
    """Image pixels per logit, both networks'."""
    augmentation: Augmentation
    evaluation: Annotated[Whole | Sliding, Field(discriminator="mode")] = Whole(mode="whole")
    engine: Engine = Engine()
    student: Network
    teacher: Teacher
    training: Training
    threads: PositiveInt
    """Threads of a run on a CPU."""
    measured: dict[str, str] = Field(default_factory=dict)
    """Facts measured on this workload, each with how; part of no digest."""
    teacher_seconds: PositiveFloat | None = None
    """What the training of a teacher that ships took, measured like those; part of no digest."""

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
        """What of the file decides results, as JSON: everything but its prose, and where a checkpoint is to be had."""
        prose = dict.fromkeys(("title", "standing", "caveat", "pictures", "measured", "teacher_seconds"), True)
        return self.model_dump_json(exclude={**prose, "teacher": {"checkpoint": {"url"}}})


def shown_size(size: tuple[int, ...]) -> str:
    """`360×480`, height and width."""
    return "×".join(map(str, size))


def workload_digest(
    workload: Workload, data_sha256: str, teacher_sha256: str | None, backbone_sha256: str | None = None
) -> str:
    """What holds a track together: the workload's content, its data, its teacher's weights, and the student's first."""
    weights = (teacher_sha256 or "no teacher", *([backbone_sha256] if backbone_sha256 else []))
    return sha256(workload.content, data_sha256, *weights)[:16]


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
    _check_data(document, workload)
    low, high = workload.augmentation.scale
    if low > high:
        where = document.at(("augmentation", "scale"))
        raise BadInput(f"{where}: found [{low:g}, {high:g}]: expected the smaller factor first")
    _check_windows(document, workload)
    _check_rates(document, workload)
    _check_teacher(document, workload.teacher)
    return workload


def _check_data(document: Document, workload: Workload) -> None:
    """BadInput unless labels and sizes fit the classes and each other."""
    data = workload.data
    sizes = workload.image_size, workload.label_size
    if (None in sizes) and (sizes != (None, None) or isinstance(data, StreetsData)):
        where = document.at(("label_size" if workload.label_size is None else "image_size",))
        raise BadInput(f"{where}: found null: expected a height and a width, or null for both, of files that differ")
    if isinstance(data, StreetsData):
        return
    if isinstance(data.tune, HeldOut):
        if sizes[0] != sizes[1]:
            where = document.at(("data", "tune"))
            raise BadInput(f"{where}: images that are trained on are not scored at another size: make both sizes equal")
        _check_held_out(document, data.tune, data.train.count)
    classes, values = len(workload.classes), data.label_values
    if values is not None and (len(values) != classes or len(set(values)) != classes):
        where = document.at(("data", "label_values"))
        raise BadInput(f"{where}: found {len(set(values))} values: expected {classes}, one a class")
    if both := sorted(set(values_of(data, classes)) & set(data.unlabelled)):
        where = document.at(("data", "unlabelled"))
        raise BadInput(f"{where}: found {both[0]}, which stands for class {values_of(data, classes).index(both[0])}")


def _check_held_out(document: Document, tune: HeldOut, train: int) -> None:
    """BadInput unless as many images are said to be held out as are, and that is at least one."""
    if tune.every > train:
        where = document.at(("data", "tune", "every"))
        raise BadInput(f"{where}: found {tune.every}: expected at most {train}, the images of train")
    if tune.count != (expected := train // tune.every):
        where = document.at(("data", "tune", "count"))
        raise BadInput(f"{where}: found {tune.count}: expected {expected}, 1 in {tune.every} of the {train} of train")


def _check_windows(document: Document, workload: Workload) -> None:
    """BadInput unless windows leave nothing out and, where images have one size, are no larger than they."""
    found, image = workload.evaluation, workload.image_size
    if not isinstance(found, Sliding):
        return
    if _exceeds(found.step, found.window):
        where = document.at(("evaluation", "step"))
        raise BadInput(f"{where}: found {list(found.step)}: expected no more than the window, {list(found.window)}")
    if image is not None and _exceeds(found.window, image):
        where = document.at(("evaluation", "window"))
        raise BadInput(f"{where}: found {list(found.window)}: expected no more than image_size, {list(image)}")


def _exceeds(size: tuple[int, int], limit: tuple[int, int]) -> bool:
    return size[0] > limit[0] or size[1] > limit[1]


def _check_rates(document: Document, workload: Workload) -> None:
    """BadInput unless the learning rates of both networks fall: the floor is the teacher's too."""
    training, teacher = workload.training, workload.teacher.training
    highest = {"training": training.learning_rate, "teacher.training": teacher.learning_rate}
    for whose, rate in highest.items():
        if training.floor > rate:
            where = document.at(("training", "floor"))
            raise BadInput(f"{where}: found {training.floor:g}: expected at most {whose}.learning_rate, {rate:g}")


def _check_teacher(document: Document, teacher: Teacher) -> None:
    """BadInput for two sources of its weights: nobody knows which of them it would be."""
    if teacher.weights is not None and teacher.checkpoint is not None:
        where = document.at(("teacher", "checkpoint"))
        raise BadInput(f"{where}: found one beside teacher.weights, {teacher.weights!r}: expected one of the two")


def _check_classes(document: Document, classes: tuple[str, ...]) -> None:
    """BadInput unless there are 2 to 255 classes with a name each: a label is one byte, and 255 means ignore."""
    if not 2 <= len(classes) <= 255:
        where = document.at(("classes",))
        raise BadInput(f"{where}: found {len(classes)} classes: expected 2 to 255, as label 255 means ignore")
    for index, name in enumerate(classes):
        if name in classes[:index]:
            raise BadInput(f"{document.at(('classes', index))}: {name!r} is named twice")
