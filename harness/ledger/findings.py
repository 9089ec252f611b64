"""What comes out of the engine's smaller verbs: data, backbone, workload, teacher, evaluate, verify, check."""

from typing import Literal

from harness.ledger.datasets import Split
from harness.ledger.device import Conditions, DeviceClass
from harness.ledger.endings import Ending
from harness.ledger.files import Value
from harness.ledger.record import Scores


class Refusal(Value):
    """Stands in OUT when a verb could not be carried out."""

    format: Literal[1] = 1
    ending: Ending
    reason: str


class DeviceReport(Value):
    """A device, as it is seen from where jobs run."""

    format: Literal[1] = 1
    device_class: DeviceClass
    conditions: Conditions


class SplitCount(Value):
    """What was found of one split."""

    name: Split
    expected: int
    images: int
    labels: int
    sha256: str | None = None
    """Of the split's files; null where they are not whole, of a part of another split, and of what is drawn."""


class DataReport(Value):
    """What a data set holds and what is wrong with it."""

    format: Literal[1] = 1
    sha256: str
    """Of the content: every image's and label's bytes in order."""
    splits: tuple[SplitCount, ...]
    class_share: tuple[float, ...]
    """Of the labelled pixels of all splits, a class each."""
    ignored_share: float
    problems: tuple[str, ...]
    """One line each; empty when the data set can be used."""
    decoded_bytes: int = 0
    """Of its pixels as they lie in the cache, mapped into memory by runs; 0 for drawn scenes."""


class BackboneReport(Value):
    """What the student starts from."""

    format: Literal[1] = 1
    sha256: str


class Looked(Value):
    """One part of a workload that was looked at."""

    what: str
    found: str
    good: bool
    """False also for what could not be known."""
    remedy: str = ""
    """What is wrong and what to do, on one line; empty when nothing is."""


class WorkloadReport(Value):
    """What can be said of a workload before anything is read or spent."""

    format: Literal[1] = 1
    looked: tuple[Looked, ...]


class TeacherCard(Value):
    """Stands beside a teacher's weights in the cache."""

    format: Literal[1] = 1
    recipe: str
    """The digest of what it was made from: see ledger/teacher.py."""
    sha256: str
    miou: float
    class_iou: tuple[float | None, ...]
    iterations: int | None
    """Null where it was taken from a checkpoint."""
    taken_from: str | None = None
    """The SHA-256 of the checkpoint that it was taken from; null: it was trained here."""
    backbone_sha256: str | None = None
    """Of the file that its backbone started from; null: random weights, a checkpoint, or a card that does not say."""
    parameters: int
    device: str
    wall_seconds: float
    made: str
    """UTC, ISO 8601."""


class Evaluation(Value):
    """What a student's weights score."""

    format: Literal[1] = 1
    scores: Scores


class VectorResult(Value):
    """One file of golden vectors."""

    file: str
    objective: str
    values: int
    """Numbers compared."""
    worst_error: float
    """The largest error as a share of its tolerance's scale."""
    tolerance: float
    problem: str | None
    """What does not match; null when all does."""


class VerifyReport(Value):
    """Golden vectors against the shipped implementations."""

    format: Literal[1] = 1
    results: tuple[VectorResult, ...]
    unknown: tuple[str, ...]
    """Files whose name or content fits nothing known."""


class CheckResult(Value):
    """One clause of the contract of a method."""

    name: str
    passed: bool
    found: str
    """What was seen, on one line; where the clause is broken, the file and the line that break it."""


class CheckReport(Value):
    """A method against its contract, on small networks."""

    format: Literal[1] = 1
    method: str
    results: tuple[CheckResult, ...]
    unchecked: tuple[str, ...]
    """Clauses that could not be looked at, as the method cannot even be computed."""
    cost_ratio: float | None
    """An iteration's time over that of the student alone, on the small networks; null where there is none to tell."""
