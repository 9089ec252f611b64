"""PSPNet in stages, on a small random ResNet-18; and networks built from a workload's words."""

import pytest
import timm
import torch
from safetensors.torch import save_file
from torch import nn

from harness.ledger.errors import BadInput
from harness.ledger.workload import LightNetwork, PspNetwork
from harness.segmentation import pspnet as module
from harness.segmentation.networks import build
from harness.segmentation.pspnet import backbone_file, pspnet
from harness.segmentation.staged import Staged

TAG = "resnet18.tv_in1k"
IMAGES = torch.randn(1, 3, 64, 96, generator=torch.Generator().manual_seed(0))


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("SEGKD_CACHE", str(tmp_path))


@pytest.fixture(scope="module")
def network() -> Staged:
    torch.manual_seed(0)
    return small().eval()


def small(pretrained: bool = False, tag: str = TAG, auxiliary: bool = True) -> Staged:
    return pspnet(5, tag, pretrained=pretrained, decoder=16, dropout=0.5, auxiliary=auxiliary)


def test_every_stage_has_the_channels_that_it_names_at_stride_8(network):
    with torch.no_grad():
        outputs = network(IMAGES, frozenset(network.stages))
    assert {name: output.shape[1] for name, output in outputs.items()} == network.channels
    assert list(network.channels.values()) == [64, 128, 256, 512, 16, 16, 5, 5]
    assert tuple(outputs["stage1"].shape[2:]) == (16, 24)
    deep = [name for name in network.stages if name != "stage1"]
    assert {(8, 12)} == {tuple(outputs[name].shape[2:]) for name in deep}
    assert network.stride == 8


def test_the_stages_are_timms_features_dilated_as_timm_makes_them(network):
    reference = timm.create_model(TAG, features_only=True, output_stride=8, out_indices=(1, 2, 3, 4)).eval()
    layers = ("conv1", "bn1", "layer1", "layer2", "layer3", "layer4")
    stages = [network.get_submodule(f"stage{depth}") for depth in (1, 2, 3, 4)]
    weights = {name: value for stage in stages for name, value in stage.state_dict().items()}
    assert {name.partition(".")[0] for name in weights} == set(layers)
    reference.load_state_dict(weights)
    wanted = ("stage1", "stage2", "stage3", "stage4")
    with torch.no_grad():
        outputs = network(IMAGES, frozenset(wanted))
        expected = reference(IMAGES)
    assert all(torch.equal(outputs[name], feature) for name, feature in zip(wanted, expected, strict=True))
    assert network.stage4.layer4[1].conv2.dilation == (4, 4)


def runs(network: Staged, wanted: set[str]) -> list[str]:
    """The stages that a call for the wanted ones runs."""
    ran: list[str] = []
    hooks = [
        network.get_submodule(name).register_forward_hook(lambda *_, name=name: ran.append(name))
        for name in network.stages
    ]
    with torch.no_grad():
        network(IMAGES, frozenset(wanted))
    for hook in hooks:
        hook.remove()
    return ran


def test_an_unwanted_head_is_not_run(network):
    assert runs(network, {"stage3"}) == ["stage1", "stage2", "stage3"]
    assert runs(network, {"aux_logits"}) == ["stage1", "stage2", "stage3", "aux_logits"]
    assert "aux_logits" not in runs(network, {"logits"})
    assert list(network.stages) == runs(network, {"logits", "aux_logits"})


def test_channels_are_dropped_in_training_between_decoded_and_decoded_dropped_alone():
    network = small().train()
    wanted = frozenset({"decoded", "decoded_dropped"})
    outputs = network(IMAGES.expand(2, -1, -1, -1), wanted)
    dropped = (outputs["decoded_dropped"] == 0).all(dim=3).all(dim=2)
    assert dropped.any()
    assert torch.equal(outputs["decoded_dropped"][~dropped], 2 * outputs["decoded"][~dropped])
    network.eval()
    with torch.no_grad():
        outputs = network(IMAGES, wanted)
    assert torch.equal(outputs["decoded"], outputs["decoded_dropped"])


def test_without_an_auxiliary_head_there_is_no_such_stage():
    network = small(auxiliary=False)
    assert "aux_logits" not in network.stages
    assert not any(name.startswith("aux") for name, _ in network.named_parameters())


def test_every_weight_learns_from_both_heads():
    network = small().train()
    outputs = network(IMAGES.expand(2, -1, -1, -1), frozenset({"logits", "aux_logits"}))
    sum(output.square().sum() for output in outputs.values()).backward()
    assert all(parameter.grad is not None for parameter in network.parameters())


def test_pretrained_weights_come_from_the_cache():
    full = timm.create_model(TAG, pretrained=False)
    backbone_file(TAG).parent.mkdir(parents=True)
    save_file(full.state_dict(), backbone_file(TAG))
    network = small(pretrained=True)
    expected = full.state_dict()
    for stage in ("stage1", "stage2", "stage3", "stage4"):
        for name, value in network.get_submodule(stage).state_dict().items():
            assert torch.equal(expected[name], value), name


def test_weights_that_can_neither_be_found_nor_downloaded_say_what_to_put_where(monkeypatch):
    def offline(tag: str, pretrained: bool = False, **overlay: object) -> nn.Module:
        raise OSError("no network")

    monkeypatch.setattr(module, "_create", offline)
    with pytest.raises(BadInput, match=r"put model\.safetensors of https://huggingface.co/timm/resnet18") as error:
        small(pretrained=True)
    assert str(backbone_file(TAG)) in str(error.value)


def test_a_file_that_lacks_a_weight_or_is_no_safetensors_is_refused():
    path = backbone_file(TAG)
    path.parent.mkdir(parents=True)
    weights = timm.create_model(TAG, pretrained=False).state_dict()
    del weights["layer4.1.conv2.weight"]
    save_file(weights, path)
    with pytest.raises(BadInput, match=r"layer4\.1\.conv2\.weight: found nothing, expected shape \[512, 512, 3, 3\]"):
        small(pretrained=True)
    path.write_bytes(b"\x80\x04pickle")
    with pytest.raises(BadInput, match="no readable safetensors file"):
        small(pretrained=True)


@pytest.mark.parametrize(
    ("tag", "message"),
    [
        ("resnet1x.tv_in1k", r"timm has no 'resnet1x' \(did you mean 'resnet18'\?\)"),
        ("resnet18.tv_in", r"timm has no weights 'resnet18.tv_in' \(did you mean 'resnet18.tv_in1k'\?\)"),
        ("hf-hub:someone/network", "timm has no 'hf-hub:someone/network'"),
        ("local-dir:/tmp/network", "timm has no 'local-dir:/tmp/network'"),
        ("vit_tiny_patch16_224.augreg_in21k", "has no form with output stride 8"),
        ("mobilenetv2_050.lamb_in1k", "cannot be taken apart into four stages"),
    ],
)
def test_a_backbone_that_does_not_fit_is_named_with_the_nearest(tag, message):
    with pytest.raises(BadInput, match=message):
        small(tag=tag)


def test_networks_are_built_from_their_description_and_checked_against_the_stride():
    psp = PspNetwork(architecture="pspnet", backbone=TAG, pretrained=False, decoder=16, dropout=0.1, auxiliary=False)
    light = LightNetwork(architecture="light", widths=(4, 4, 8, 8), blocks=(1, 1, 1, 1), decoder=8, dropout=0.1)
    assert build(psp, 5, 8).channels["logits"] == 5
    assert build(light, 7, 4).channels["logits"] == 7
    with pytest.raises(BadInput, match="stride: found 16, but light has 4 image pixels per logit"):
        build(light, 7, 16)
