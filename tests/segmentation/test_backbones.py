"""CNN backbones taken apart into stages, on random weights; and the files of their weights."""

from pathlib import Path

import pytest
import timm
import torch
from huggingface_hub.errors import EntryNotFoundError
from safetensors.torch import save_file
from torch import Tensor

from harness.ledger.errors import BadInput
from harness.ledger.files import file_sha256
from harness.ledger.networks import LightNetwork, PspNetwork, SegformerNetwork
from harness.segmentation import backbones as module
from harness.segmentation.backbones import (
    STAGES,
    backbone,
    weights_file,
    weights_places,
    weights_sha256,
    weights_there,
)

TAG = "resnet18.tv_in1k"
IMAGES = torch.randn(1, 3, 64, 96, generator=torch.Generator().manual_seed(0))
SAFE, TORCH, _ = (place.name for place in weights_places(TAG))


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch) -> Path:
    """Where a person puts weights."""
    monkeypatch.setenv("SEGKD_CACHE", str(tmp_path))
    (tmp_path / "backbones").mkdir()
    return tmp_path / "backbones"


@pytest.fixture(autouse=True)
def offline(monkeypatch):
    """No test fetches anything."""

    def refuse(*_, **__):
        raise OSError("no network")

    monkeypatch.setattr(module, "hf_hub_download", refuse)
    monkeypatch.setattr(module, "try_to_load_from_cache", lambda *_: None)
    monkeypatch.setattr(torch.hub, "download_url_to_file", refuse)


@pytest.fixture(scope="module")
def weights() -> dict[str, Tensor]:
    torch.manual_seed(0)
    return timm.create_model(TAG, pretrained=False).state_dict()


def described(tag: str = TAG, pretrained: bool = False, stem: str = "7x7", sha256: str | None = None) -> PspNetwork:
    return PspNetwork(
        architecture="pspnet",
        backbone=tag,
        pretrained=pretrained,
        backbone_sha256=sha256,
        stem=stem,
        decoder=16,
        dropout=0.1,
        auxiliary=False,
    )


TAGS = [
    ("resnet18.tv_in1k", "7x7", [64, 128, 256, 512]),
    ("resnet50.tv_in1k", "7x7", [256, 512, 1024, 2048]),
    ("resnet101.tv_in1k", "7x7", [256, 512, 1024, 2048]),
    ("resnet18d.ra2_in1k", "three 3x3", [64, 128, 256, 512]),
    ("resnet101c.gluon_in1k", "three 3x3", [256, 512, 1024, 2048]),
    ("mobilenetv3_small_100.lamb_in1k", "3x3", [16, 24, 48, 576]),
    ("mobilenetv3_large_100.ra_in1k", "3x3", [24, 40, 112, 960]),
]


@pytest.mark.parametrize(("tag", "stem", "channels"), TAGS, ids=[tag for tag, *_ in TAGS])
def test_a_backbone_has_four_stages_at_strides_4_8_8_8(tag, stem, channels):
    with torch.device("meta"):
        found = backbone(described(tag, stem=stem))
        sizes, features = [], torch.empty(1, 3, 64, 96)
        for stage in found.stages.values():
            features = stage.eval()(features)
            sizes.append(tuple(features.shape[1:]))
    assert tuple(found.stages) == STAGES
    assert dict(zip(STAGES, channels, strict=True)) == found.channels
    assert sizes == [(channels[0], 16, 24), *((width, 8, 12) for width in channels[1:])]


@pytest.mark.parametrize(
    ("tag", "stem"), [(TAG, "7x7"), ("resnet18d.ra2_in1k", "three 3x3"), ("mobilenetv3_small_100.lamb_in1k", "3x3")]
)
def test_the_stages_one_after_another_are_timms_features(tag, stem):
    torch.manual_seed(0)
    found = backbone(described(tag, stem=stem))
    torch.manual_seed(0)
    reference = timm.create_model(tag, features_only=True, output_stride=8).eval()
    outputs, features = [], IMAGES
    with torch.no_grad():
        for stage in found.stages.values():
            features = stage.eval()(features)
            outputs.append(features)
        expected = reference(IMAGES)[-4:]
    assert all(torch.equal(*pair) for pair in zip(outputs, expected, strict=True))


def test_no_layer_is_lost_and_none_is_in_two_stages():
    with torch.device("meta"):
        for tag, stem, _ in TAGS:
            stages = backbone(described(tag, stem=stem)).stages.values()
            whole = timm.create_model(tag, features_only=True, output_stride=8)
            taken = [weight for stage in stages for weight in stage.parameters()]
            assert len({id(weight) for weight in taken}) == len(taken) == len(list(whole.parameters())), tag


@pytest.mark.parametrize(
    ("tag", "stem", "found"),
    [
        (TAG, "three 3x3", "7x7"),
        ("resnet18d.ra2_in1k", "7x7", "three 3x3"),
        ("mobilenetv3_small_100.lamb_in1k", "7x7", "3x3"),
    ],
)
def test_a_stem_other_than_the_workloads_is_refused(tag, stem, found):
    with torch.device("meta"), pytest.raises(BadInput) as error:
        backbone(described(tag, stem=stem))
    assert str(error.value) == f"stem: found {stem}, but {tag} begins with {found}"


@pytest.mark.parametrize(("tag", "found"), [("convnext_tiny.fb_in1k", "4x4"), ("repvgg_a0.rvgg_in1k", "3x3, 1x1")])
def test_a_stem_that_no_workload_can_name_is_the_backbones_fault(tag, found):
    """Naming what it begins with would only be refused elsewhere."""
    with torch.device("meta"), pytest.raises(BadInput) as error:
        backbone(described(tag))
    assert str(error.value) == (
        f"backbone: {tag} begins with {found}, which no workload can name yet: "
        "expected one that begins with 7x7, three 3x3 or 3x3"
    )


@pytest.mark.parametrize(
    ("tag", "message"),
    [
        ("resnet1x.tv_in1k", r"timm has no 'resnet1x.tv_in1k' \(did you mean 'resnet18'\?\)"),
        ("resnet18.tv_in", r"timm has no weights 'resnet18.tv_in' \(did you mean 'resnet18.tv_in1k'\?\)"),
        ("../../../etc/passwd", r"timm has no '\.\./\.\./\.\./etc/passwd'$"),
        ("hf-hub:someone/network", "timm has no 'hf-hub:someone/network'"),
        ("local-dir:/tmp/network", "timm has no 'local-dir:/tmp/network'"),
        ("vit_tiny_patch16_224.augreg_in21k", "has no form with output stride 8"),
        ("xception41.tf_in1k", "cannot be taken apart into four stages"),
    ],
)
def test_a_backbone_that_does_not_fit_is_named_with_the_nearest(tag, message):
    with torch.device("meta"), pytest.raises(BadInput, match=message):
        backbone(described(tag))


# Their weights


@pytest.mark.parametrize("name", [SAFE, TORCH])
def test_pretrained_weights_come_from_the_cache(folder, weights, name):
    save(weights, folder / name)
    stages = backbone(described(pretrained=True)).stages.values()
    loaded = {name: value for stage in stages for name, value in stage.state_dict().items()}
    assert {name for name in weights if not name.startswith("fc.")} == set(loaded)
    assert all(torch.equal(weights[name], value) for name, value in loaded.items())


def save(state: dict[str, Tensor], path: Path) -> Path:
    if path.suffix == ".safetensors":
        save_file(state, path)
    else:
        torch.save(state, path)
    return path


def test_a_mobilenets_weights_come_from_the_cache_as_well(folder):
    tag = "mobilenetv3_small_100.lamb_in1k"
    full = timm.create_model(tag, pretrained=False).state_dict()
    save_file(full, folder / f"{tag}.safetensors")
    stages = backbone(described(tag, pretrained=True, stem="3x3")).stages
    assert torch.equal(full["conv_stem.weight"], stages["stage1"].conv_stem.weight)
    assert torch.equal(full["blocks.5.0.conv.weight"], stages["stage4"].blocks_5[0].conv.weight)


@pytest.mark.parametrize("name", [SAFE, TORCH])
def test_a_file_that_lacks_a_weight_or_has_another_shape_is_refused(folder, weights, name):
    lacking = {name: value for name, value in weights.items() if name != "layer4.1.conv2.weight"}
    path = save(lacking, folder / name)
    with pytest.raises(BadInput) as error:
        backbone(described(pretrained=True))
    assert str(error.value) == (
        f"{path}: layer4.1.conv2.weight: found nothing, expected shape [512, 512, 3, 3] of {TAG}"
    )
    save(weights | {"conv1.weight": torch.zeros(64, 3, 3, 3)}, path)
    with pytest.raises(BadInput, match=r"conv1\.weight: found \[64, 3, 3, 3\], expected shape \[64, 3, 7, 7\]"):
        backbone(described(pretrained=True))


def test_counters_and_the_classifier_may_be_missing(folder, weights):
    save({name: value for name, value in weights.items() if "num_b" not in name and "fc" not in name}, folder / TORCH)
    assert set(backbone(described(pretrained=True)).stages) == set(STAGES)


@pytest.mark.parametrize(
    ("name", "message"), [(SAFE, "no readable safetensors file"), (TORCH, "no readable torch file|holds more than")]
)
def test_a_file_that_is_no_weights_is_refused(folder, name, message):
    (folder / name).write_bytes(b"\x80\x04pickle")
    with pytest.raises(BadInput, match=message):
        backbone(described(pretrained=True))


class Trap:
    """What a stranger could have pickled."""

    def __reduce__(self):
        return (Path.touch, (Path("sprung"),))


def test_reading_weights_runs_no_code(folder, monkeypatch):
    monkeypatch.chdir(folder)
    torch.save({"conv1.weight": Trap()}, folder / TORCH)
    with pytest.raises(BadInput, match="could run code"):
        backbone(described(pretrained=True))
    assert not Path("sprung").exists()


def test_the_files_sha256_is_held_against_the_workloads(folder):
    path = folder / TORCH
    path.write_bytes(b"weights")
    digest = file_sha256(path)
    assert weights_file(TAG) == weights_file(TAG, digest) == weights_file(TAG, digest[:8]) == path
    with pytest.raises(BadInput) as error:
        weights_file(TAG, "f37072fd")
    assert str(error.value) == f"{path}: SHA-256 is {digest}, expected f37072fd (backbone_sha256 of {TAG})"


def test_of_two_files_the_one_with_the_expected_sha256_is_taken(folder):
    for name in (SAFE, TORCH):
        (folder / name).write_text(name)
    assert weights_file(TAG) == folder / SAFE
    assert weights_file(TAG, file_sha256(folder / TORCH)) == folder / TORCH


def test_a_folder_in_a_files_place_is_no_file(folder):
    (folder / SAFE).mkdir()
    (folder / TORCH).write_bytes(b"weights")
    assert weights_there(TAG) == [folder / TORCH]
    assert weights_file(TAG) == folder / TORCH
    (folder / TORCH).unlink()
    with pytest.raises(BadInput, match="can neither be found nor downloaded"):
        weights_file(TAG)


def test_a_file_that_may_not_be_read_is_told_on_one_line(folder, monkeypatch):
    def refuse(path: Path) -> str:
        raise PermissionError(13, "Permission denied", str(path))

    (folder / SAFE).write_bytes(b"weights")
    monkeypatch.setattr(module, "file_sha256", refuse)
    for question in (lambda: weights_file(TAG, "f37072fd"), lambda: weights_sha256(described(pretrained=True))):
        with pytest.raises(BadInput) as error:
            question()
        assert str(error.value) == f"{folder / SAFE}: cannot be read: Permission denied"


def test_what_the_student_starts_from_has_a_digest_and_a_fresh_start_none(folder):
    (folder / SAFE).write_bytes(b"weights")
    expected = file_sha256(folder / SAFE)
    assert weights_sha256(described(pretrained=True)) == expected
    assert weights_sha256(described(pretrained=True, sha256=expected[:8])) == expected
    assert weights_sha256(described(pretrained=False)) is None
    light = LightNetwork(architecture="light", widths=(4, 4, 8, 8), blocks=(1, 1, 1, 1), decoder=8, dropout=0.1)
    assert weights_sha256(light) is None
    with pytest.raises(BadInput, match="timm has no 'no"):
        weights_sha256(described("no/../such", pretrained=True))


def test_a_mix_transformers_digest_needs_no_transformers(folder):
    (folder / "mit-b0.bin").write_bytes(b"weights")
    network = SegformerNetwork(architecture="segformer", backbone="mit-b0", pretrained=True, decoder=256, dropout=0.1)
    assert weights_sha256(network) == file_sha256(folder / "mit-b0.bin")


def test_weights_that_can_neither_be_found_nor_downloaded_say_what_to_put_where(folder):
    with pytest.raises(BadInput) as error:
        backbone(described(pretrained=True))
    assert str(error.value) == (
        "backbone: the weights of resnet18.tv_in1k can neither be found nor downloaded (OSError): "
        f"put model.safetensors of https://huggingface.co/timm/resnet18.tv_in1k at {folder / SAFE}, "
        f"or https://download.pytorch.org/models/resnet18-f37072fd.pth at {folder / TORCH}"
    )
    with pytest.raises(
        BadInput, match=r"/nvidia/mit-b4 at .*mit-b4\.safetensors, or its pytorch_model\.bin at .*mit-b4"
    ):
        weights_file("mit-b4")


def test_the_hub_is_asked_for_safetensors_first(monkeypatch, tmp_path):
    asked: list[tuple[str, str]] = []

    def download(repository: str, name: str) -> str:
        asked.append((repository, name))
        if name == "model.safetensors":
            raise EntryNotFoundError(name)
        return str(tmp_path / name)

    monkeypatch.setattr(module, "hf_hub_download", download)
    assert weights_file("mit-b0") == tmp_path / "pytorch_model.bin"
    assert asked == [("nvidia/mit-b0", "model.safetensors"), ("nvidia/mit-b0", "pytorch_model.bin")]


def test_what_the_hub_has_given_once_is_not_asked_for_again(monkeypatch, tmp_path):
    cached = {("timm/resnet18.tv_in1k", "pytorch_model.bin"): str(tmp_path / "cached.bin")}
    monkeypatch.setattr(module, "try_to_load_from_cache", lambda *asked: cached.get(asked))
    assert weights_file(TAG) == tmp_path / "cached.bin"


def test_torchvisions_own_file_is_fetched_when_the_workload_names_its_digits(monkeypatch, folder):
    def download(address: str, path: str, hash_prefix: str, progress: bool) -> None:
        assert address == "https://download.pytorch.org/models/resnet18-f37072fd.pth"
        assert hash_prefix == "f37072fd"
        Path(path).write_bytes(b"other weights")

    monkeypatch.setattr(torch.hub, "download_url_to_file", download)
    with pytest.raises(BadInput, match="expected f37072fd"):
        weights_file(TAG, "f37072fd")
    assert (folder / TORCH).exists()
