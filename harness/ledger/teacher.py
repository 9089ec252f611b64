"""Which file holds a workload's teacher, and whether it is the one that is meant."""

import json
from pathlib import Path

from harness.ledger import places
from harness.ledger.datasets import Data, StreetsData, values_of
from harness.ledger.errors import BadInput
from harness.ledger.files import file_sha256, read, sha256
from harness.ledger.findings import TeacherCard
from harness.ledger.spec import TeacherFile
from harness.ledger.workload import Workload

ROUNDING = 1e-9
"""0.73 is within 0.72 ± 0.01, whatever the difference of the two is in binary."""


def teacher_recipe(workload: Workload, data_sha256: str) -> str:
    """A digest of everything that `bench teacher` makes the teacher from."""
    made = _taken(workload) if workload.teacher.checkpoint is not None else _trained(workload)
    return sha256(*made, data_sha256, *_labels(workload.data, len(workload.classes)))[:16]


SCORED = {"dataset", "classes", "image_size", "label_size", "mean", "std", "stride", "evaluation"}
"""What the mIoU depends on, which is kept with the weights."""


def _trained(workload: Workload) -> tuple[str, ...]:
    """What decides the weights of a teacher that is trained here."""
    teacher = workload.teacher.model_dump_json(include={"network", "training", "checkpoint"})
    shared = workload.training.model_dump_json(exclude={"batch", "learning_rate", "recipe_epochs"})
    rest = workload.model_dump_json(include=SCORED | {"augmentation"})
    return rest, workload.engine.precision, shared, teacher


def _taken(workload: Workload) -> tuple[str, ...]:
    """What decides the weights of a checkpoint: neither a recipe nor what the backbone would start from."""
    teacher = workload.teacher.model_dump_json(
        include={"network": True, "training": {"stored_as"}, "checkpoint": {"sha256", "keys", "left_out"}},
        exclude={"network": {"pretrained", "backbone_sha256"}},
    )
    return workload.model_dump_json(include=SCORED), workload.engine.precision, teacher


def _labels(data: Data, classes: int) -> tuple[str, ...]:
    """Which value of the label maps means what; nothing of drawn scenes, which are drawn in classes."""
    if isinstance(data, StreetsData):
        return ()
    return (json.dumps([values_of(data, classes), sorted(set(data.unlabelled))]),)


def teacher_weights(recipe: str) -> Path:
    """Where the cache keeps a teacher, trained or taken; its card stands beside it."""
    return places.cache() / "teachers" / f"{recipe}.safetensors"


def find_teacher(name: str, path: Path, workload: Workload, data_sha256: str) -> TeacherFile:
    """The workload's teacher: shipped beside its YAML, or in the cache; BadInput says how to come by one."""
    if workload.teacher.weights is not None:
        return _shipped(path, workload)
    weights = teacher_weights(teacher_recipe(workload, data_sha256))
    card = cached_card(weights)
    if card is None:
        raise BadInput(f"no teacher for {name} in the cache ({weights.parent}): {how_to_come_by(name, workload)}")
    return TeacherFile(
        path=str(weights),
        sha256=card.sha256,
        miou=card.miou,
        training_seconds=card.wall_seconds if card.taken_from is None else None,
    )


def how_to_come_by(name: str, workload: Workload) -> str:
    """What to do where the cache has no teacher: train it, or fetch the checkpoint that the workload names."""
    checkpoint = workload.teacher.checkpoint
    if checkpoint is None:
        return f"train it once with `bench teacher --workload {name}`, and the same --data if it needs one"
    source = f"get it from {checkpoint.url} and" if checkpoint.url else "the workload does not say where to get it;"
    return (
        f"it is a checkpoint with SHA-256 {checkpoint.sha256}: {source} give it once with "
        f"`bench teacher --workload {name} --from FILE`, and the same --data"
    )


def checkpoint_sha256(file: Path, workload: Workload) -> str:
    """The digest of a file that `--from` names; BadInput unless it is the one that the workload names, if it does."""
    if not file.is_file():
        raise BadInput(f"--from: {file}: found {'no file' if file.exists() else 'nothing'}: expected a checkpoint")
    found, named = file_sha256(file), workload.teacher.checkpoint
    if named is not None and found != named.sha256:
        source = f": get it from {named.url}" if named.url else ""
        raise BadInput(
            f"--from: {file}: SHA-256 is {found[:12]}…, but teacher.checkpoint.sha256 is {named.sha256[:12]}…{source}"
        )
    return found


def cached_card(weights: Path) -> TeacherCard | None:
    """The card of a teacher in the cache, once its weights are found to be the ones it tells of; None without one."""
    path = weights.with_suffix(".json")
    if not (weights.exists() and path.exists()):
        return None
    card = read(path, TeacherCard)
    must_be_the_teacher(weights, card.sha256, f"{path.name} beside it")
    return card


def _shipped(path: Path, workload: Workload) -> TeacherFile:
    teacher = workload.teacher
    if teacher.weights is None or teacher.sha256 is None or teacher.miou is None:
        raise BadInput(f"{path}: teacher: weights that stand beside the file need their sha256 and miou")
    if Path(teacher.weights).name != teacher.weights:
        raise BadInput(f"{path}: teacher.weights: found {teacher.weights!r}: expected a file beside the YAML")
    weights = path.parent / teacher.weights
    if not weights.exists():
        raise BadInput(f"{weights}: the teacher named in {path.name} is not there: put it back")
    must_be_the_teacher(weights, teacher.sha256, path.name)
    return TeacherFile(
        path=str(weights), sha256=teacher.sha256, miou=teacher.miou, training_seconds=workload.teacher_seconds
    )


def must_be_the_teacher(weights: Path, expected: str, where: str) -> None:
    """BadInput unless the file's digest is the expected one; `where` says who expects it."""
    try:
        found = file_sha256(weights)
    except OSError as error:
        raise BadInput(f"{weights}: cannot be read: {error.strerror}") from error
    if found != expected:
        raise BadInput(
            f"{weights}: SHA-256 is {found[:12]}…, but {where} says {expected[:12]}…: "
            "this is not the teacher that is meant; put the right file back, or remove it and run `bench teacher`"
        )


def is_weak(workload: Workload, teacher: TeacherFile) -> bool:
    """Whether the teacher scores outside the band that its workload expects: above it, it is another teacher too."""
    expected = workload.teacher.miou
    return expected is not None and abs(teacher.miou - expected) > workload.teacher.band + ROUNDING
