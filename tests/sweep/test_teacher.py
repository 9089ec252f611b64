"""How a workload comes by its teacher: once, and not at all where it could not be kept."""

from pathlib import Path

import pytest

from harness.ledger.errors import BadInput
from harness.ledger.files import file_sha256
from harness.ledger.workload import Checkpoint, Workload, read_workload
from harness.sweep.teacher import Wanted, come_by
from tests.story import tiny
from tests.students import engine
from tests.sweep.fake import FakeExecutor, Listening


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache of the test's own, not made yet."""
    monkeypatch.setenv("SEGKD_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def executor() -> FakeExecutor:
    """The engine in this process."""
    return FakeExecutor(engine)


def held(folder: Path, checkpoint: Checkpoint | None = None) -> Workload:
    """The tiny workload, an iteration of training."""
    found = read_workload(tiny(folder))
    training = found.teacher.training.model_copy(update={"iterations": 1})
    update = {"training": training, "checkpoint": checkpoint}
    return found.model_copy(update={"teacher": found.teacher.model_copy(update=update)})


def wanted(workload: Workload, checkpoint: Path | None = None) -> Wanted:
    return Wanted("mine.yaml", workload, None, "cpu", checkpoint)


def verbs(executor: FakeExecutor) -> list[str]:
    return [job.verb for job in executor.jobs]


def test_a_teacher_is_trained_once(tmp_path: Path, executor: FakeExecutor):
    """The second time it is there; another checkpoint does not take its place, its own weights are no other."""
    workload, said = held(tmp_path), Listening()
    kept = come_by(wanted(workload), executor, said)
    assert (kept.card.iterations, kept.card.sha256) == (1, file_sha256(kept.weights))
    assert verbs(executor) == ["data", "teacher"]
    assert come_by(wanted(workload), executor, said) == kept
    assert come_by(wanted(workload, kept.weights), executor, said) == kept
    assert verbs(executor) == ["data", "teacher", "data", "data"]
    assert said.lines == ["there already; remove the file to make it anew"] * 2
    (tmp_path / "other.pth").write_bytes(b"other")
    with pytest.raises(BadInput, match=r"^--from: .* holds another teacher: remove it, then take this one$"):
        come_by(wanted(workload, tmp_path / "other.pth"), executor, said)


def test_a_cache_that_cannot_be_written_is_found_out_before_the_training(
    tmp_path: Path, cache: Path, executor: FakeExecutor
):
    """One line, and the engine was asked for nothing but the data."""
    cache.write_text("a file where a folder should be")
    with pytest.raises(BadInput) as refused:
        come_by(wanted(held(tmp_path)), executor, Listening())
    assert str(refused.value) == (
        f"{cache / 'teachers'}: cannot be written: Not a directory: set SEGKD_CACHE to a folder that can"
    )
    assert verbs(executor) == ["data"]


def test_a_teacher_that_is_there_needs_no_cache_that_can_be_written(
    tmp_path: Path, executor: FakeExecutor, monkeypatch: pytest.MonkeyPatch
):
    """Read-only for all but the one who made it."""
    workload = held(tmp_path)
    kept = come_by(wanted(workload), executor, Listening())

    def refuse(folder: Path) -> None:
        raise PermissionError(13, "Permission denied", str(folder))

    monkeypatch.setattr("harness.ledger.places.probe", refuse)
    assert come_by(wanted(workload), executor, Listening()) == kept


def test_a_teacher_that_is_to_be_taken_is_not_trained(tmp_path: Path, executor: FakeExecutor):
    """What to type, with the workload's name as it was typed."""
    workload = held(tmp_path, Checkpoint(sha256="1" * 64))
    with pytest.raises(
        BadInput, match=r"^no teacher for mine\.yaml in the cache: .*--workload mine\.yaml --from FILE`"
    ):
        come_by(wanted(workload), executor, Listening())
    assert verbs(executor) == ["data"]
