"""What a run leaves behind: written once, never edited."""

import re
from datetime import datetime
from typing import Annotated, Literal

from pydantic import Field, model_validator

from harness.ledger.device import Conditions
from harness.ledger.endings import Ending, Mark
from harness.ledger.files import FileName, Value
from harness.ledger.readings import Readings
from harness.ledger.spec import RunSpec

Fraction = Annotated[float, Field(ge=0, le=1)]

UTC = re.compile(r"^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]+)?(Z|\+00:00)$")


def is_utc(text: str) -> bool:
    """Whether it is a time as records have it, UTC by ISO 8601: of two such the later one sorts last."""
    try:
        return UTC.fullmatch(text) is not None and bool(datetime.fromisoformat(text))
    except ValueError:
        return False


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
    """Wall seconds of the process by what it did: the ledger of time, whose entries add up to `process`."""

    start_up: float
    """The interpreter and its imports."""
    loading: float
    """Reading data and weights, building networks."""
    warm_up: float
    preparation: float = 0.0
    data_wait: float = 0.0
    """Of the training, waiting for the next batch; where the process makes its own data, making it."""
    training: float
    evaluation: float
    checkpoint: float = 0.0
    logging: float = 0.0
    other: float
    process: float | None = None
    """From the process's start to the writing of this, by another clock than the entries; null in older records."""

    @model_validator(mode="before")
    @classmethod
    def _older(cls, found: object) -> object:
        """`loading` was `data` once."""
        if isinstance(found, dict) and "data" in found:
            return {("loading" if name == "data" else name): value for name, value in found.items()}
        return found

    @property
    def total(self) -> float:
        """The sum of the entries."""
        return float(sum(value for name, value in self if name != "process"))


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
    """The wall's seconds while that clock ran."""
    resumed_iterations: int = 0
    """Of `iterations`, those that earlier attempts had done when they left the checkpoint."""
    resumed_seconds: float = 0.0
    """Of `spent_seconds`, what those attempts had spent by then."""
    times: Times | None = None
    cpu_seconds: float | None = None
    """Of the whole process, by its own account."""
    readings: Readings | None = None
    scores: Scores | None = None
    curve: tuple[Point, ...] = ()
    warnings: tuple[str, ...] = ()
    """What went wrong beside and was mended, as a torn checkpoint for which the one before it was taken."""
    weights: dict[str, float] = Field(default_factory=dict)
    """Of each term here, those moved from another data set scaled."""
    left_out: tuple[str, ...] = ()
    """Optional terms for which a network has no stage."""
    initial_student_sha256: str | None = None
    first_batches_sha256: str | None = None
    student_sha256: FileName | None = None
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
    disagreements: tuple[str, ...] = ()
    """Where the run's own account and the sweep's do not tell the same, or the ledger of time does not add up."""
    log_tail: str | None
    """The end of the log, for endings other than done."""
    started: str
    """UTC, ISO 8601."""
    ended: str
