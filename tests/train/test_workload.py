"""What the engine finds wrong with a workload without its data and without anybody's weights."""

from importlib.util import find_spec
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from harness.ledger.errors import BadInput
from harness.ledger.files import file_sha256, read, write
from harness.ledger.findings import Looked, WorkloadReport
from harness.ledger.networks import PspNetwork
from harness.ledger.spec import WorkloadSpec
from harness.ledger.workload import Sliding, Workload, read_workload, shipped_workloads, workload_path
from harness.segmentation.networks import build
from harness.train.heartbeat import Heartbeat
from harness.train.workload import data_set, described, first_weights, main, networks
from tests.factories import workload

PSP = PspNetwork(
    architecture="pspnet", backbone="resnet18.tv_in1k", pretrained=True, decoder=8, dropout=0.1, auxiliary=False
)


def wide(**changes: object) -> Workload:
    """The factories' workload for networks of stride 8."""
    return workload(stride=8).model_copy(update={"student": PSP} | changes)


def only(found: object) -> Looked:
    """The one finding there is."""
    (looked,) = found  # type: ignore[misc]
    assert isinstance(looked, Looked)
    return looked


def test_a_network_is_described_by_what_it_makes_of_crops_and_images():
    """Stride 4: 16×16 logits of a crop, 16×32 of an image."""
    held = workload()
    parameters = sum(each.numel() for each in build(held.student, 4, 4).parameters())
    assert described(held, held.student).split("; ") == [
        f"light 8-16-24-32: {parameters / 1e6:.2f} M parameters",
        "crop 64×64 to logits 16×16, image 64×128 to logits 16×32",
        "stage1, stage2, stage3, stage4, decoded, decoded_dropped, logits",
    ]


def test_windows_are_what_is_scored_where_there_are_any():
    """An image's own size matters to no network then."""
    held = workload(evaluation=Sliding(mode="sliding", window=(32, 64), step=(32, 32)))
    assert "window 32×64 to logits 8×16" in described(held, held.student)
    assert "image" not in described(held, held.student)


def test_another_stride_is_told_with_the_networks_own():
    """The light network's is 4."""
    held = workload(stride=8)
    with pytest.raises(BadInput, match=r"^stride: found 8, but light has 4 image pixels per logit$"):
        described(held, held.student)


def test_a_tag_that_does_not_exist_is_told_with_the_nearest(tmp_path: Path):
    """Nothing was downloaded to find that out."""
    found = {
        each.what: each for each in networks(wide(student=PSP.model_copy(update={"backbone": "resnet18.tv_in2k"})))
    }
    student = found["student's network"]
    assert (student.found, student.good) == ("not usable", False)
    assert student.remedy.startswith(
        "backbone: timm has no weights 'resnet18.tv_in2k' (did you mean 'resnet18.tv_in1k'?)"
    )


def test_weights_that_are_not_there_are_a_note_with_their_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Nothing is downloaded; a network that starts anew needs none."""
    monkeypatch.setenv("SEGKD_CACHE", str(tmp_path))
    looked = only(first_weights("student", PSP))
    assert (looked.good, looked.remedy) == (False, "")
    assert looked.found.endswith(f"put it at {tmp_path / 'backbones' / 'resnet18.tv_in1k.safetensors'}")
    assert not list(first_weights("student", workload().student))
    assert not list(first_weights("student", PSP.model_copy(update={"pretrained": False})))


def test_weights_that_are_there_are_held_against_the_workloads_digest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """The right file is named, another one is to be mended."""
    monkeypatch.setenv("SEGKD_CACHE", str(tmp_path))
    path = tmp_path / "backbones" / "resnet18.tv_in1k.safetensors"
    path.parent.mkdir()
    path.write_bytes(b"weights")
    right = only(first_weights("student", PSP.model_copy(update={"backbone_sha256": file_sha256(path)})))
    wrong = only(first_weights("student", PSP.model_copy(update={"backbone_sha256": "0" * 64})))
    assert (right.good, right.found) == (True, str(path))
    assert wrong.remedy.startswith(f"{path}: SHA-256 is ")


def test_weights_that_nothing_is_known_of_are_opened_and_not_called_right(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """Without a digest: a file of tensors is a note, a broken one is to be mended, a folder is no file."""
    monkeypatch.setenv("SEGKD_CACHE", str(tmp_path))
    path = tmp_path / "backbones" / "resnet18.tv_in1k.safetensors"
    path.mkdir(parents=True)
    assert only(first_weights("student", PSP)).found.endswith(f"put it at {path}")
    path.rmdir()
    save_file({"conv1.weight": torch.zeros(1), "bn1.weight": torch.zeros(1)}, path)
    looked = only(first_weights("student", PSP))
    assert (looked.good, looked.remedy) == (False, "")
    assert looked.found.startswith(f"{path}: 2 tensors, not held against the network")
    path.write_bytes(path.read_bytes()[:-1])
    broken = only(first_weights("student", PSP))
    assert (broken.good, broken.found) == (False, "not usable")
    assert broken.remedy.startswith(f"{path}: no readable safetensors file: ")


def test_a_teacher_that_is_not_trained_here_needs_no_backbone():
    """Its own weights replace the backbone's."""
    whats = [each.what for each in networks(wide())]
    assert whats == ["student's network", "teacher's network", "student's backbone"]


def test_data_that_nobody_named_are_a_note():
    """Drawn scenes need no name."""
    held = read_workload(workload_path("camvid"))
    assert only(data_set(workload(), None)) == Looked(what="data", found="drawn by the program", good=True)
    assert only(data_set(held, None)).found == (
        "not looked for: --data or SEGKD_DATA says where it lies (reader folders)"
    )


def test_data_that_lack_are_to_be_mended(tmp_path: Path):
    """An empty folder is no CamVid."""
    looked = only(data_set(read_workload(workload_path("camvid")), tmp_path))
    assert (looked.good, looked.found) == (False, "not usable")
    assert str(tmp_path) in looked.remedy


@pytest.mark.parametrize("name", shipped_workloads())
def test_nothing_is_wrong_with_what_ships(name: str, tmp_path: Path):
    """Networks are built without their weights; only notes are left."""
    if "segformer" in name and find_spec("transformers") is None:
        pytest.skip("transformers is not installed: pip install segkd-bench[segformer]")
    write(tmp_path / "spec.json", WorkloadSpec(workload=read_workload(workload_path(name)), data=None))
    assert main(tmp_path / "spec.json", tmp_path / "out.json", Heartbeat(tmp_path / "out.json")) == 0
    report = read(tmp_path / "out.json", WorkloadReport)
    assert [looked.remedy for looked in report.looked if looked.remedy] == []
    assert all(looked.good for looked in report.looked if looked.what.endswith("network"))
