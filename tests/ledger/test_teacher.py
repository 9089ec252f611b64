"""Which file is the teacher, and whether it is the one that is meant."""

from pathlib import Path

import pytest

from harness.ledger.errors import BadInput
from harness.ledger.files import file_sha256, write
from harness.ledger.findings import TeacherCard
from harness.ledger.teacher import find_teacher, is_weak, teacher_recipe, teacher_weights
from harness.ledger.workload import Workload, read_workload, workload_path
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


def test_the_recipe_knows_what_makes_a_teacher_and_nothing_else():
    """The student's network and learning rate are no part of it; the teacher's iterations and the crop are."""
    held = workload()
    student = held.student.model_copy(update={"decoder": 99})
    rate = held.training.model_copy(update={"learning_rate": 0.3})
    training = held.teacher.training.model_copy(update={"iterations": 7})
    crop = held.augmentation.model_copy(update={"crop": (32, 32)})
    recipe = teacher_recipe(held, DATA)
    assert teacher_recipe(held.model_copy(update={"student": student, "training": rate}), DATA) == recipe
    assert teacher_recipe(with_teacher(training=training), DATA) != recipe
    assert teacher_recipe(held.model_copy(update={"augmentation": crop}), DATA) != recipe


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


def test_a_teacher_below_its_band_is_weak():
    """Expected 0.72 ± 0.01: 0.70 is weak, 0.715 is not, and where nothing is expected nothing is weak."""
    held, file = workload(), ground().teacher
    weak = [is_weak(held, file.model_copy(update={"miou": miou})) for miou in (0.70, 0.715, 0.80)]
    assert weak == [True, False, False]
    assert not is_weak(with_teacher(miou=None), file)
