"""A teacher as the engine makes it, and as a run is given it."""

from pathlib import Path

import pytest
import timm
import torch
from safetensors.torch import save_file

from harness.ledger.errors import BadInput
from harness.ledger.files import file_sha256, read, write
from harness.ledger.findings import TeacherCard
from harness.ledger.networks import PspNetwork
from harness.ledger.spec import TeacherSpec
from harness.ledger.workload import Workload, read_workload
from harness.train.heartbeat import Heartbeat
from harness.train.run import Run
from harness.train.teacher import main, train
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
    with pytest.raises(BadInput, match=f"SHA-256 is {file_sha256(backbone)}, expected {'0' * 64}"):
        train(held, None, torch.device("cpu"), Heartbeat(tmp_path / "out.json"), "0" * 64)
