"""What a run leaves behind: written once, never edited."""

from typing import Annotated, Literal

from pydantic import Field

from harness.ledger.device import Conditions
from harness.ledger.endings import Ending, Mark
from harness.ledger.files import Value
from harness.ledger.spec import RunSpec

Fraction = Annotated[float, Field(ge=0, le=1)]


class Scores(Value):
    """mIoU of the final weights on the score split, at label size."""

    miou: Fraction
    """Over the classes that the split's labels hold."""
    miou_absent_zero: Fraction
    """Over all classes, one without any pixel counting 0."""
    miou_predicted: Fraction
    """Over the classes that labels or predictions hold."""
    class_iou: tuple[Fraction | None, ...]
    pixel_accuracy: Fraction
    images: int


class Point(Value):
    """One point of a learning curve: means since the point before."""

    iteration: int
    spent_seconds: float
    task_loss: float
    term_losses: tuple[float, ...]
    learning_rate: float


class Times(Value):
    """Wall seconds of the process by what it did."""

    start_up: float
    data: float
    warm_up: float
    training: float
    evaluation: float
    other: float


class Outcome(Value):
    """What an engine says of its run."""

    format: Literal[1] = 1
    ending: Ending
    reason: str | None = None
    iterations: int = 0
    replanned_iterations: int | None = None
    preparation_iterations: int = 0
    """Updates of what the method learned before it distilled, paid for like the others."""
    spent_seconds: float = 0.0
    """By the budget clock."""
    wall_seconds: float = 0.0
    """Of training alone, between the clock's first start and its last stop."""
    times: Times | None = None
    scores: Scores | None = None
    curve: tuple[Point, ...] = ()
    weights: dict[str, float] = Field(default_factory=dict)
    """Of each term here, those moved from another data set scaled."""
    left_out: tuple[str, ...] = ()
    """Optional terms for which a network has no stage."""
    initial_student_sha256: str | None = None
    first_batches_sha256: str | None = None
    student_sha256: str | None = None
    student_parameters: int | None = None
    conditions: Conditions | None = None


class Witness(Value):
    """The same run as the sweep saw it from outside."""

    cpu_seconds: float
    wall_seconds: float
    exit_code: int | None


class Record(Value):
    """RESULTS/runs/KEY.ATTEMPT.json."""

    format: Literal[1] = 1
    spec: RunSpec
    outcome: Outcome
    witness: Witness | None
    marks: tuple[Mark, ...]
    log_tail: str | None
    """The end of the log, for endings other than done."""
    started: str
    """UTC, ISO 8601."""
    ended: str
