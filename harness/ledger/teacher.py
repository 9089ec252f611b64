"""Which file holds a workload's teacher, and whether it is the one that is meant."""

from pathlib import Path

from harness.ledger import places
from harness.ledger.errors import BadInput
from harness.ledger.files import file_sha256, read, sha256
from harness.ledger.findings import TeacherCard
from harness.ledger.spec import TeacherFile
from harness.ledger.workload import Workload


def teacher_recipe(workload: Workload, data_sha256: str) -> str:
    """A digest of everything that `bench teacher` makes the teacher from."""
    teacher = workload.teacher.model_dump_json(include={"network", "training"})
    shared = workload.training.model_dump_json(exclude={"batch", "learning_rate", "recipe_epochs"})
    rest = {"dataset", "classes", "image_size", "label_size", "mean", "std", "stride", "augmentation"}
    return sha256(workload.model_dump_json(include=rest), shared, teacher, data_sha256)[:16]


def teacher_weights(recipe: str) -> Path:
    """Where the cache keeps a trained teacher; its card stands beside it."""
    return places.cache() / "teachers" / f"{recipe}.safetensors"


def find_teacher(name: str, path: Path, workload: Workload, data_sha256: str) -> TeacherFile:
    """The workload's teacher: shipped beside its YAML, or in the cache; BadInput says how to come by one."""
    if workload.teacher.weights is not None:
        return _shipped(path, workload)
    weights = teacher_weights(teacher_recipe(workload, data_sha256))
    card = cached_card(weights)
    if card is None:
        raise BadInput(
            f"no teacher for {name} in the cache ({weights.parent}): "
            f"train it once with `bench teacher --workload {name}`, and the same --data if it needs one"
        )
    return TeacherFile(path=str(weights), sha256=card.sha256, miou=card.miou)


def cached_card(weights: Path) -> TeacherCard | None:
    """The card of a trained teacher, once its weights are found to be the ones it tells of; None without one."""
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
    return TeacherFile(path=str(weights), sha256=teacher.sha256, miou=teacher.miou)


def must_be_the_teacher(weights: Path, expected: str, where: str) -> None:
    """BadInput unless the file's digest is the expected one; `where` says who expects it."""
    found = file_sha256(weights)
    if found != expected:
        raise BadInput(
            f"{weights}: SHA-256 is {found[:12]}…, but {where} says {expected[:12]}…: "
            "this is not the teacher that is meant; put the right file back, or remove it and run `bench teacher`"
        )


def is_weak(workload: Workload, teacher: TeacherFile) -> bool:
    """Whether the teacher scores below the band that its workload expects."""
    expected = workload.teacher.miou
    return expected is not None and teacher.miou < expected - workload.teacher.band
