"""What goes into an engine: one frozen value a verb."""

from pathlib import Path
from typing import Literal, Self

from pydantic import Field, model_validator

from harness.ledger.cost import Cost
from harness.ledger.datasets import Split
from harness.ledger.device import DeviceClass, Precision
from harness.ledger.endings import Mark
from harness.ledger.files import FileName, FilePath, Value
from harness.ledger.method import ResolvedMethod
from harness.ledger.workload import Workload

Pace = Literal["iterations", "clock"]
Tracker = Literal["tensorboard"]
Verb = Literal["profile", "run", "check", "verify", "teacher", "data", "backbone", "device", "evaluate", "workload"]


class TeacherFile(Value):
    """Weights on this machine, and what they are known to score."""

    path: FilePath
    sha256: str
    miou: float
    training_seconds: float | None = None
    """What its own training took, which no run is charged for; null where nobody knows, and in older records."""


class Ground(Value):
    """What every run of a sweep stands on."""

    workload_name: FileName
    workload: Workload
    workload_digest: FileName
    data: FilePath | None
    """The folder or tar that holds the data set; null for drawn scenes."""
    data_sha256: str
    split_sha256: dict[Split, str] = Field(default_factory=dict)
    """Of the splits that lie in files; none in older records."""
    teacher: TeacherFile
    device_class: DeviceClass
    concurrency: int
    backbone_sha256: str | None = None
    """Of the file that the student's backbone starts from; null from random weights, and in older records."""


class DataSpec(Value):
    """Decode the whole data set into the cache, say what it holds and what is wrong with it."""

    format: Literal[1] = 1
    workload: Workload
    data: str | None
    is_thorough: bool = False
    """Hold what is decoded already against its checksums."""


class BackboneSpec(Value):
    """Find, or download, the weights that the student starts from."""

    format: Literal[1] = 1
    workload: Workload


class DeviceSpec(Value):
    """Say what device jobs find where they run."""

    format: Literal[1] = 1
    device: str
    threads: int
    precision: Precision


class WorkloadSpec(Value):
    """Build a workload's networks without their weights, and look at what lies where, reading and spending nothing."""

    format: Literal[1] = 1
    workload: Workload
    data: str | None


class TeacherSpec(Value):
    """Train the workload's teacher into the cache, or take it from a checkpoint."""

    format: Literal[1] = 1
    workload: Workload
    data: str | None
    device: str
    checkpoint: str | None = None
    """The file that it is taken from; null: it is trained."""


class EvaluateSpec(Value):
    """Score a student's weights again."""

    format: Literal[1] = 1
    workload: Workload
    data: str | None
    device: str
    weights: str
    sha256: str
    split: Split


class ProfileSpec(Value):
    """Measure a method's cost beside the baseline's."""

    format: Literal[1] = 1
    ground: Ground
    method: ResolvedMethod
    device: str
    seconds: float
    """Wall time that the rounds may take together."""
    is_company: bool = False
    """Measure nothing, but keep the slot as busy as a run does, until killed."""


class VerifySpec(Value):
    """Hold shipped implementations against golden vectors."""

    format: Literal[1] = 1
    folder: str


class CheckSpec(Value):
    """Hold a method against its contract."""

    format: Literal[1] = 1
    descriptor: str
    dataset: str
    """Whose weights are taken."""


class Replay(Value):
    """A run that is done again in iterations pace, as its record tells it: nothing is compared with the plan anew."""

    run: str
    """KEY.ATTEMPT of the run that is repeated."""
    replanned_after: int | None
    """The iteration after which that run changed its plan; null when it kept to it."""
    replanned_iterations: int | None
    """What it changed it to."""

    @model_validator(mode="after")
    def _both_or_neither(self) -> Self:
        if (self.replanned_after is None) != (self.replanned_iterations is None):
            raise ValueError("replanned_after and replanned_iterations: expected both, or null for both")
        return self


class PlannedRun(Value):
    """A method, a budget, a seed, and what the budget buys."""

    key: FileName
    method: ResolvedMethod
    seed: int
    scored_on: Split = "score"
    """`tune` for the trials that choose settings."""
    budget: str
    budget_seconds: float | None
    """Null when the budget is no time, or has no price."""
    pace: Pace
    iterations: int
    """As planned; in clock pace an estimate; 0 when the method cannot run here."""
    preparation_iterations: int = 0
    """Updates of what the method learns before it distils, as planned."""
    epochs: float
    cost: Cost | None
    """Null when it could not be measured."""
    marks: tuple[Mark, ...]
    """What the plan already knows against the run."""
    replay: Replay | None = None
    """Set where the run repeats another, as `bench results show --plan` writes it."""


class Extras(Value):
    """What a run keeps for a person to look at; it changes nothing of what is trained, and is in no key."""

    keeps_pictures: bool = False
    """Also those of a workload whose pictures are private."""
    track: Tracker | None = None
    """Who is told of the learning curve while the run works."""


NO_EXTRAS = Extras()


class RunSpec(PlannedRun):
    """One attempt at a planned run, on a device."""

    format: Literal[1] = 1
    attempt: int
    ground: Ground
    device: str
    students: str
    """The folder that keeps student.safetensors files."""
    rules: int
    extras: Extras = NO_EXTRAS

    @property
    def name(self) -> str:
        """KEY.ATTEMPT."""
        return f"{self.key}.{self.attempt}"

    def without_places(self) -> "RunSpec":
        """The same without the folders of this machine: what a record keeps, and its owner may publish."""
        ground, method = self.ground, self.method
        teacher = ground.teacher.model_copy(update={"path": Path(ground.teacher.path).name})
        terms = tuple(term.model_copy(update={"file": Path(term.file).name}) for term in method.terms)
        data = Path(ground.data).name if ground.data is not None else None
        return self.model_copy(
            update={
                "ground": ground.model_copy(update={"teacher": teacher, "data": data}),
                "method": method.model_copy(update={"terms": terms}),
                "students": Path(self.students).name,
            }
        )
