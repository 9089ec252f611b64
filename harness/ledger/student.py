"""What a run's student is, to those who have nothing of the run but its weights."""

from typing import Literal

from harness.ledger.datasets import Split
from harness.ledger.endings import Ending, Mark
from harness.ledger.errors import BadInput
from harness.ledger.files import Value
from harness.ledger.networks import Network, untrained
from harness.ledger.record import Record, Scores


class StudentCard(Value):
    """`card.json`, beside weights that `bench export` wrote; names no place of the machine that trained them."""

    format: Literal[1] = 1
    run: str
    """KEY.ATTEMPT."""
    ending: Ending
    marks: tuple[Mark, ...]
    method: str
    method_digest: str
    workload: str
    workload_digest: str
    data_sha256: str
    teacher_sha256: str
    seed: int
    budget: str
    iterations: int
    spent_seconds: float
    device: str
    scored_on: Split
    scores: Scores | None
    """Null where the run ended before it was scored."""
    student_sha256: str
    """Of student.safetensors."""
    network: Network
    """Without its backbone's published weights, which the student's own replace."""
    classes: tuple[str, ...]
    stride: int
    image_size: tuple[int, int]
    """Height and width at which the workload scores it; those of its crops where images differ."""
    mean: tuple[float, float, float]
    """Of an image's channels, 0 to 1; taken off before they are divided by `std`."""
    std: tuple[float, float, float]


def card_of(record: Record) -> StudentCard:
    """The card of a run's student; BadInput when it left none."""
    spec, outcome = record.spec, record.outcome
    ground, workload = spec.ground, spec.ground.workload
    return StudentCard(
        run=spec.name,
        ending=outcome.ending,
        marks=record.marks,
        method=spec.method.name,
        method_digest=spec.method.digest,
        workload=ground.workload_name,
        workload_digest=ground.workload_digest,
        data_sha256=ground.data_sha256,
        teacher_sha256=ground.teacher.sha256,
        seed=spec.seed,
        budget=spec.budget,
        iterations=outcome.iterations,
        spent_seconds=outcome.spent_seconds,
        device=ground.device_class.label,
        scored_on=spec.scored_on,
        scores=outcome.scores,
        student_sha256=student_sha256(record),
        network=untrained(workload.student),
        classes=workload.classes,
        stride=workload.stride,
        image_size=workload.image_size or workload.augmentation.crop,
        mean=workload.mean,
        std=workload.std,
    )


def student_sha256(record: Record) -> str:
    """The digest of the weights that a run left; BadInput when it left none."""
    if record.outcome.student_sha256 is None:
        raise BadInput(f"{record.spec.name}: left no student: it ended as {record.outcome.ending}")
    return record.outcome.student_sha256
