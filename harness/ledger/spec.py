"""What goes into an engine: one frozen value a verb."""

from typing import Literal

from harness.ledger.cost import Cost
from harness.ledger.device import DeviceClass
from harness.ledger.endings import Mark
from harness.ledger.files import Value
from harness.ledger.method import ResolvedMethod
from harness.ledger.workload import Workload

Pace = Literal["iterations", "clock"]
Verb = Literal["profile", "run", "verify", "teacher", "data"]


class TeacherFile(Value):
    """Weights on this machine, and what they are known to score."""

    path: str
    sha256: str
    miou: float


class Ground(Value):
    """What every run of a sweep stands on."""

    workload_name: str
    workload: Workload
    workload_digest: str
    data: str | None
    """The folder or tar that holds the data set; null for drawn scenes."""
    data_sha256: str
    teacher: TeacherFile
    device_class: DeviceClass
    concurrency: int


class DataSpec(Value):
    """Read the whole data set, say what it holds and what is wrong with it."""

    format: Literal[1] = 1
    workload: Workload
    data: str | None


class TeacherSpec(Value):
    """Train the workload's teacher into the cache."""

    format: Literal[1] = 1
    workload: Workload
    data: str | None
    device: str


class ProfileSpec(Value):
    """Measure a method's cost beside the baseline's."""

    format: Literal[1] = 1
    ground: Ground
    method: ResolvedMethod
    device: str
    seconds: float
    """Wall time that the rounds may take together."""


class VerifySpec(Value):
    """Hold shipped implementations against golden vectors."""

    format: Literal[1] = 1
    folder: str


class PlannedRun(Value):
    """A method, a budget, a seed, and what the budget buys."""

    key: str
    method: ResolvedMethod
    seed: int
    budget: str
    budget_seconds: float | None
    """Null when the budget is no time, or has no price."""
    pace: Pace
    iterations: int
    """As planned; in clock pace an estimate; 0 when the method cannot run here."""
    epochs: float
    cost: Cost | None
    """Null when it could not be measured."""
    marks: tuple[Mark, ...]
    """What the plan already knows against the run."""


class RunSpec(PlannedRun):
    """One attempt at a planned run, on a device."""

    format: Literal[1] = 1
    attempt: int
    ground: Ground
    device: str
    students: str
    """The folder that keeps student.safetensors files."""
    rules: int

    @property
    def name(self) -> str:
        """KEY.ATTEMPT."""
        return f"{self.key}.{self.attempt}"
