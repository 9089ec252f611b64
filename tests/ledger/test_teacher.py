"""Which file is the teacher, and whether it is the one that is meant."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.ledger.datasets import FoldersData, FolderSplit, HeldOut
from harness.ledger.errors import BadInput
from harness.ledger.files import Value, file_sha256, read, write
from harness.ledger.findings import TeacherCard
from harness.ledger.networks import PspNetwork
from harness.ledger.teacher import checkpoint_sha256, find_teacher, is_weak, teacher_recipe, teacher_weights
from harness.ledger.workload import Checkpoint, Sliding, Workload, read_workload, workload_path
from tests.factories import ground, workload

DATA = "d" * 64


def with_teacher(**changes: object) -> Workload:
    """The factories' workload, its teacher's section changed."""
    held = workload()
    return held.model_copy(update={"teacher": held.teacher.model_copy(update=changes)})


@pytest.fixture
def trained(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Workload, Path]:
    """A workload without a shipped teacher, and the weights of a trained one in the cache with their card."""
    monkeypatch.setenv("SEGKD_CACHE", str(tmp_path))
    held = with_teacher(weights=None, sha256=None, miou=None)
    weights = teacher_weights(teacher_recipe(held, DATA))
    weights.parent.mkdir(parents=True)
    weights.write_bytes(b"weights")
    card = TeacherCard(
        recipe=weights.stem, sha256=file_sha256(weights), miou=0.6, class_iou=(0.6,), iterations=1, parameters=1,
        device="cpu", wall_seconds=1.0, made="2026-01-01T00:00:00+00:00",
    )  # fmt: skip
    write(weights.with_suffix(".json"), card)
    return held, weights


def test_a_trained_teacher_is_found_with_its_digest_and_miou(trained: tuple[Workload, Path]):
    """As its card says, once the file is found to be the card's."""
    held, weights = trained
    found = find_teacher("mine", Path("mine.yaml"), held, DATA)
    assert (found.path, found.sha256, found.miou) == (str(weights), file_sha256(weights), 0.6)


def test_without_one_the_command_that_trains_it_is_named(trained: tuple[Workload, Path]):
    """Another data set is another recipe."""
    with pytest.raises(BadInput, match=r"^no teacher for mine in the cache .*`bench teacher --workload mine`"):
        find_teacher("mine", Path("mine.yaml"), trained[0], "e" * 64)


def test_a_file_that_changed_is_not_the_teacher(trained: tuple[Workload, Path]):
    """Its digest and the card's stand in the message, and what to do."""
    held, weights = trained
    weights.write_bytes(b"other weights")
    with pytest.raises(BadInput, match=r"SHA-256 is [0-9a-f]{12}…, but .*\.json beside it says [0-9a-f]{12}…"):
        find_teacher("mine", Path("mine.yaml"), held, DATA)


FILED = FoldersData(
    reader="folders",
    train=FolderSplit(count=4, images="train", labels="trainannot"),
    tune=HeldOut(count=2, every=2),
    score=FolderSplit(count=2, images="test", labels="testannot"),
    unlabelled=(4,),
)
PSP = PspNetwork(
    architecture="pspnet", backbone="resnet101.tv_in1k", pretrained=True, decoder=8, dropout=0.1, auxiliary=True
)
TAKEN = Checkpoint(sha256="1" * 64, url="https://example.org/teacher.pth")

WHAT_IT_IS_CALLED = {"title", "standing", "caveat", "pictures", "measured"}
WHERE_IT_RUNS = {"threads", "engine.channels_last", "engine.compile"}
THE_FILES = {  # their content counts, by its digest
    "data.reader", "data.train.count", "data.train.images", "data.train.labels", "data.tune.count", "data.tune.every",
    "data.score.count", "data.score.images", "data.score.labels",
}  # fmt: skip
THE_STUDENT = {
    "student.widths", "student.blocks", "student.decoder", "student.dropout", "training.batch",
    "training.learning_rate", "training.recipe_epochs",
}  # fmt: skip
WHAT_CAME_OUT = {"teacher.weights", "teacher.sha256", "teacher.miou", "teacher.band", "teacher_seconds"}
NEVER_COUNTS = WHAT_IT_IS_CALLED | WHERE_IT_RUNS | THE_FILES | THE_STUDENT | WHAT_CAME_OUT
DOES_NOT_COUNT_WHERE_IT_IS_TAKEN = {
    "teacher.checkpoint.url", "teacher.network.pretrained", "teacher.network.backbone_sha256",
    "teacher.training.iterations", "teacher.training.batch", "teacher.training.learning_rate", "teacher.training.seed",
    "training.optimizer", "training.floor", "training.momentum", "training.weight_decay", "training.power",
    "training.auxiliary_weight", "augmentation.scale", "augmentation.crop", "augmentation.flip",
    "augmentation.photometric",
}  # fmt: skip
THE_ONLY_ONE = {"student.architecture", "teacher.network.architecture", "teacher.network.norm", "evaluation.mode"}
"""Fields that cannot have another value where the rest stays."""
ANOTHER: dict[str, object] = {
    "standing": "benchmark", "pictures": "private", "data.reader": "segnet", "data.label_values": (3, 2, 1, 0),
    "engine.precision": "bfloat16", "teacher.network.stem": "3x3", "teacher.network.backbone_sha256": "0" * 8,
    "teacher.training.stored_as": "float16", "teacher.checkpoint": TAKEN, "teacher.checkpoint.left_out": ("head.",),
    "training.optimizer": "adamw", "teacher_seconds": 60.0,
}  # fmt: skip
"""Other values of the fields in which not every value of the type will do."""


def fields(value: Value, place: str = "") -> Iterator[tuple[str, object]]:
    """Every field at the bottom of a value, `teacher.training.seed`, with what it holds."""
    for name in type(value).model_fields:
        held = getattr(value, name)
        if isinstance(held, Value):
            yield from fields(held, f"{place}{name}.")
        else:
            yield f"{place}{name}", held


def another(held: object) -> object:
    """Something else of the same type."""
    match held:
        case bool():
            return not held
        case int() | float():
            return held + 1
        case str():
            return f"{held}x"
        case dict():
            return {**held, "one": "more"}
        case tuple():
            return another(held[0]), *held[1:]
    raise AssertionError(f"ANOTHER has to say what else than {held!r}")


def with_field(value: Value, place: str, new: object) -> Value:
    """The value, one of its fields changed."""
    name, _, rest = place.partition(".")
    return value.model_copy(update={name: with_field(getattr(value, name), rest, new) if rest else new})


def without_influence(held: Workload) -> set[str]:
    """The fields that can be changed and leave the teacher's recipe as it is."""
    recipe = teacher_recipe(held, DATA)
    others = {
        place: with_field(held, place, ANOTHER[place] if place in ANOTHER else another(found))
        for place, found in fields(held)
        if place not in THE_ONLY_ONE
    }
    return {place for place, other in others.items() if teacher_recipe(other, DATA) == recipe}


def of_files(checkpoint: Checkpoint | None) -> Workload:
    """A workload that has something of everything."""
    evaluation = Sliding(mode="sliding", window=(32, 32), step=(16, 16))
    return with_teacher(network=PSP, weights="t.safetensors", sha256=DATA, miou=0.5, checkpoint=checkpoint).model_copy(
        update={"data": FILED, "evaluation": evaluation}
    )


def test_every_field_counts_for_a_trained_teacher_but_those_of_a_written_list():
    """What else labels mean is another teacher, another student is not; a new field must find its place here."""
    assert without_influence(of_files(None)) == NEVER_COUNTS


def test_of_a_taken_teacher_nothing_counts_that_only_training_needs():
    """What was taken decides; how its weights are stored does so too."""
    assert without_influence(of_files(TAKEN)) == NEVER_COUNTS | DOES_NOT_COUNT_WHERE_IT_IS_TAKEN


def test_label_values_written_out_or_in_another_order_are_the_same_labels():
    """Null means 0, 1, 2, …; which values mean nothing is a set."""
    plain = FILED.model_copy(update={"unlabelled": (4, 5)})
    written = plain.model_copy(update={"label_values": (0, 1, 2, 3), "unlabelled": (5, 4, 4)})
    one, other = (workload(data=data) for data in (plain, written))
    assert teacher_recipe(one, DATA) == teacher_recipe(other, DATA)


def test_a_shipped_teacher_must_be_the_one_its_workload_names(tmp_path: Path):
    """A wrong byte beside the YAML: which file, which digests."""
    held = with_teacher(weights="t.safetensors", sha256="0" * 64)
    (tmp_path / "t.safetensors").write_bytes(b"weights")
    with pytest.raises(BadInput, match=r"t\.safetensors: SHA-256 is .*, but mine\.yaml says 000000000000…"):
        find_teacher("mine", tmp_path / "mine.yaml", held, DATA)


def test_a_shipped_teacher_lies_beside_its_workload(tmp_path: Path):
    """A path that leads elsewhere is refused."""
    held = with_teacher(weights="../t.safetensors")
    with pytest.raises(BadInput, match=r"teacher\.weights: found '\.\./t\.safetensors': expected a file beside"):
        find_teacher("mine", tmp_path / "mine.yaml", held, DATA)


def test_the_teacher_of_streets_is_the_one_that_ships():
    """Its digest is the YAML's, and it takes at most 2 MiB."""
    path = workload_path("streets")
    held = read_workload(path)
    found = find_teacher("streets", path, held, DATA)
    assert found.sha256 == held.teacher.sha256
    assert Path(found.path).stat().st_size <= 2 * 2**20


@pytest.mark.parametrize(
    ("miou", "expected"), [(0.70, True), (0.709, True), (0.71, False), (0.715, False), (0.73, False), (0.731, True)]
)
def test_a_teacher_outside_its_band_is_marked(miou: float, expected: bool):
    """Expected 0.72 ± 0.01, both ends within it: one above it is another teacher, too."""
    assert is_weak(workload(), ground().teacher.model_copy(update={"miou": miou})) is expected


def test_where_nothing_is_expected_no_teacher_is_marked():
    """A workload without a known mIoU."""
    assert not is_weak(with_teacher(miou=None), ground().teacher)


def test_a_taken_teacher_is_not_taken_for_a_trained_one():
    """The checkpoint's content and how it is read are part of the recipe, where it is to be had is not."""
    recipes = {
        teacher_recipe(with_teacher(checkpoint=checkpoint), DATA)
        for checkpoint in (
            None,
            Checkpoint(sha256="1" * 64),
            Checkpoint(sha256="2" * 64),
            Checkpoint(sha256="1" * 64, keys={"backbone.": ""}),
            Checkpoint(sha256="1" * 64, left_out=("head.",)),
        )
    }
    assert len(recipes) == 5
    somewhere = with_teacher(checkpoint=Checkpoint(sha256="1" * 64, url="https://example.org/teacher.pth"))
    assert teacher_recipe(somewhere, DATA) in recipes


def test_how_a_teacher_is_scored_is_part_of_its_recipe():
    """The card keeps the mIoU: whole images and windows are two, and so are two precisions."""
    held = workload()
    sliding = Sliding(mode="sliding", window=(32, 32), step=(16, 16))
    mixed = held.engine.model_copy(update={"precision": "bfloat16"})
    one = held.model_copy(update={"evaluation": sliding})
    other = held.model_copy(update={"engine": mixed})
    assert len({teacher_recipe(each, DATA) for each in (held, one, other)}) == 3


def test_without_a_checkpoint_that_is_to_be_had_somewhere_that_place_is_named(monkeypatch, tmp_path: Path):
    """The URL, the digest and the command."""
    monkeypatch.setenv("SEGKD_CACHE", str(tmp_path))
    held = with_teacher(weights=None, sha256=None, checkpoint=Checkpoint(sha256="1" * 64, url="https://example.org/t"))
    with pytest.raises(BadInput) as complaint:
        find_teacher("mine", Path("mine.yaml"), held, DATA)
    assert str(complaint.value) == (
        f"no teacher for mine in the cache ({tmp_path / 'teachers'}): it is a checkpoint with SHA-256 {'1' * 64}: "
        "get it from https://example.org/t and give it once with `bench teacher --workload mine --from FILE`, "
        "and the same --data"
    )


def test_a_checkpoint_must_be_the_one_that_the_workload_names(tmp_path: Path):
    """Any file where none is named; its own digest is what the card keeps."""
    file = tmp_path / "t.pth"
    file.write_bytes(b"weights")
    assert checkpoint_sha256(file, with_teacher()) == file_sha256(file)
    assert checkpoint_sha256(file, with_teacher(checkpoint=Checkpoint(sha256=file_sha256(file)))) == file_sha256(file)
    with pytest.raises(BadInput, match=r"t\.pth: SHA-256 is [0-9a-f]{12}…, but teacher\.checkpoint\.sha256 is 1{12}…$"):
        checkpoint_sha256(file, with_teacher(checkpoint=Checkpoint(sha256="1" * 64)))


def test_a_checkpoint_that_is_not_there_is_asked_for(tmp_path: Path):
    """Nothing, and a folder."""
    with pytest.raises(BadInput, match=r"--from: .*t\.pth: found nothing: expected a checkpoint$"):
        checkpoint_sha256(tmp_path / "t.pth", workload())
    with pytest.raises(BadInput, match=r"found no file: expected a checkpoint$"):
        checkpoint_sha256(tmp_path, workload())


def test_a_card_written_before_teachers_were_taken_is_still_read(tmp_path: Path):
    """It says nothing of a checkpoint, and means that there was none; of a backbone it does not know."""
    old = {
        "format": 1, "recipe": "r", "sha256": "1" * 64, "miou": 0.5, "class_iou": [0.5], "iterations": 20,
        "parameters": 1, "device": "cpu", "wall_seconds": 1.0, "made": "2026-01-01T00:00:00+00:00",
    }  # fmt: skip
    (tmp_path / "r.json").write_text(json.dumps(old))
    card = read(tmp_path / "r.json", TeacherCard)
    assert (card.iterations, card.taken_from, card.backbone_sha256) == (20, None, None)
