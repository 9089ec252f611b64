"""A teacher as the engine makes it, and as a run is given it."""

import itertools
from pathlib import Path
from types import SimpleNamespace

import pytest
import timm
import torch
from filelock import FileLock
from safetensors.torch import save_file

from harness.ledger.errors import BadInput
from harness.ledger.files import file_sha256, read, write
from harness.ledger.findings import TeacherCard
from harness.ledger.networks import PspNetwork
from harness.ledger.results import LOCKED
from harness.ledger.spec import TeacherSpec
from harness.ledger.teacher import teacher_recipe, teacher_weights
from harness.ledger.workload import Workload, read_workload
from harness.segmentation.data import content_sha256
from harness.train import keeping
from harness.train import teacher as module
from harness.train.heartbeat import Heartbeat
from harness.train.keeping import Keeping
from harness.train.run import Run
from harness.train.stop import Interrupted
from harness.train.teacher import main, train
from harness.train.trainee import Trainee
from tests import story
from tests.factories import spec
from tests.train.tiny import resolved, roomy, standing


def test_a_run_refuses_a_teacher_whose_digest_is_not_the_plans(tmp_path: Path):
    """Before an iteration, with the file and both digests in the reason."""
    ground = standing(tmp_path, roomy(tmp_path, 64))
    other = ground.model_copy(update={"teacher": ground.teacher.model_copy(update={"sha256": "0" * 64})})
    planned = spec(resolved("kd"), on=other, budget="2 it", pace="iterations", iterations=2)
    run = Run(planned, tmp_path / "out.json", Heartbeat(tmp_path / "out.json"), tmp_path)
    run.check_device = lambda: None  # type: ignore[method-assign]
    outcome = run.carry_out()
    assert (outcome.ending, outcome.iterations) == ("failed", 0)
    expected = f"SHA-256 is {ground.teacher.sha256[:12]}…, expected 000000000000…"
    assert outcome.reason == f"BadInput: {ground.teacher.path}: {expected}"


def with_teacher(folder: Path, **changes: object) -> Workload:
    """The tiny workload, its teacher trained for an iteration, the rest of its section changed."""
    held = read_workload(story.tiny(folder))
    training = held.teacher.training.model_copy(update={"iterations": 1})
    return held.model_copy(update={"teacher": held.teacher.model_copy(update={"training": training, **changes})})


def made(folder: Path, held: Workload, checkpoint: Path | None = None) -> TeacherCard:
    """The card that the engine writes."""
    taken = str(checkpoint) if checkpoint is not None else None
    write(folder / "spec.json", TeacherSpec(workload=held, data=None, device="cpu", checkpoint=taken))
    assert main(folder / "spec.json", folder / "out.json", Heartbeat(folder / "out.json")) == 0
    return read(folder / "out.json", TeacherCard)


@pytest.fixture
def backbone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file of a ResNet's weights in the cache."""
    monkeypatch.setenv("SEGKD_CACHE", str(tmp_path))
    path = tmp_path / "backbones" / "resnet18.tv_in1k.safetensors"
    path.parent.mkdir()
    torch.manual_seed(0)
    save_file(timm.create_model("resnet18.tv_in1k", pretrained=False).state_dict(), path)
    return path


PSP = PspNetwork(
    architecture="pspnet", backbone="resnet18.tv_in1k", pretrained=True, decoder=8, dropout=0.1, auxiliary=False
)


def test_the_card_says_from_which_file_the_backbone_started(backbone: Path, tmp_path: Path):
    """Trained from published weights: their digest; taken from a file: none, whatever its network says."""
    held = with_teacher(tmp_path, network=PSP).model_copy(update={"stride": 8})
    card = made(tmp_path, held)
    assert (card.backbone_sha256, card.iterations) == (file_sha256(backbone), 1)
    (weights,) = (tmp_path / "teachers").glob("*.safetensors")
    weights = weights.rename(tmp_path / "taken.safetensors")
    taken = made(tmp_path, held, weights)
    assert (taken.backbone_sha256, taken.taken_from) == (None, file_sha256(weights))


def test_the_card_of_a_network_of_random_weights_names_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """The light one has no backbone to be had."""
    monkeypatch.setenv("SEGKD_CACHE", str(tmp_path))
    assert made(tmp_path, with_teacher(tmp_path)).backbone_sha256 is None


def test_no_other_file_is_trained_from_than_the_card_will_name(backbone: Path, tmp_path: Path):
    """One that is put there after its digest was taken is refused."""
    held = with_teacher(tmp_path, network=PSP).model_copy(update={"stride": 8})
    heartbeat = Heartbeat(tmp_path / "out.json")
    nothing = Keeping(tmp_path / "teacher.checkpoint", "teacher", heartbeat)
    with pytest.raises(BadInput, match=f"SHA-256 is {file_sha256(backbone)}, expected {'0' * 64}"):
        train(held, None, torch.device("cpu"), heartbeat, "0" * 64, nothing)


def trained(folder: Path, monkeypatch: pytest.MonkeyPatch, stops: tuple[int, ...]) -> tuple[bytes, TeacherCard]:
    """The weights and the card of a teacher of six iterations, each start of which is asked to stop at an iteration."""
    monkeypatch.setenv("SEGKD_CACHE", str(folder))
    folder.mkdir()
    held = with_teacher(folder)
    training = held.teacher.training.model_copy(update={"iterations": 6})
    held = held.model_copy(update={"teacher": held.teacher.model_copy(update={"training": training})})
    iterate = Trainee.iterate
    for stop in stops:
        heartbeat, left = Heartbeat(folder / "out.json"), [stop]

        def counted(self: Trainee, *arguments, left: list[int] = left, to: Heartbeat = heartbeat) -> None:
            iterate(self, *arguments)
            left[0] -= 1
            if left[0] == 0:
                to.stop.asked = "SIGTERM"

        write(folder / "spec.json", TeacherSpec(workload=held, data=None, device="cpu", checkpoint=None))
        with monkeypatch.context() as patched:
            patched.setattr(Trainee, "iterate", counted)
            with pytest.raises(Interrupted, match="SIGTERM: stopped at iteration "):
                main(folder / "spec.json", folder / "out.json", heartbeat)
        (checkpoint,) = (folder / "teachers").glob("*.checkpoint")
        assert not list((folder / "teachers").glob("*.json"))
        assert checkpoint.exists()
    card = made(folder, held)
    assert not list((folder / "teachers").glob("*checkpoint*"))
    (weights,) = (folder / "teachers").glob("*.safetensors")
    return weights.read_bytes(), card


def test_a_teacher_that_was_stopped_is_gone_on_with_to_the_last_bit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Twice, the second time after its last iteration; its seconds add up, and its checkpoints are gone in the end."""
    moments = itertools.count(0.0, 100.0)
    weights, card = trained(tmp_path / "alone", monkeypatch, ())
    assert 0 < card.wall_seconds < 100
    ticking = SimpleNamespace(monotonic=lambda: next(moments))
    monkeypatch.setattr(keeping, "time", ticking)
    monkeypatch.setattr(module, "time", ticking)
    again, added = trained(tmp_path / "stopped", monkeypatch, (2, 4))
    assert again == weights
    assert added.miou == card.miou
    assert added.wall_seconds > 300


def test_a_teacher_that_was_made_is_not_made_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """A queue that lost the node afterwards starts the job once more; where the weights are gone they are made."""
    monkeypatch.setenv("SEGKD_CACHE", str(tmp_path))
    first = made(tmp_path, with_teacher(tmp_path))
    (weights,) = (tmp_path / "teachers").glob("*.safetensors")
    assert made(tmp_path, with_teacher(tmp_path)) == first
    weights.unlink()
    again = made(tmp_path, with_teacher(tmp_path))
    assert (again.sha256, again.wall_seconds == first.wall_seconds) == (first.sha256, False)


def test_a_teacher_that_another_process_makes_is_let_be(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    """Two of them would write over each other's checkpoints; of a job that a queue started twice OUT is the first's."""
    monkeypatch.setenv("SEGKD_CACHE", str(tmp_path))
    monkeypatch.setattr(module, "LOCK_SECONDS", 0.0)
    held = with_teacher(tmp_path)
    weights = teacher_weights(teacher_recipe(held, content_sha256(held, None)))
    weights.parent.mkdir()
    write(tmp_path / "spec.json", TeacherSpec(workload=held, data=None, device="cpu", checkpoint=None))
    out = tmp_path / "out.json"
    with FileLock(weights.with_suffix(".lock")):
        assert main(tmp_path / "spec.json", out, Heartbeat(out)) == LOCKED
    assert not out.exists()
    said = f"bench: {weights}: another process is making this teacher: wait until it is done"
    assert capsys.readouterr().out.splitlines()[-1] == said
