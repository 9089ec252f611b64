"""What PSPNet and DeepLabV3 have alike, on a small random ResNet-18."""

import pytest
import torch
from torch import nn

from harness.ledger.networks import DeepLabNetwork, PspNetwork
from harness.segmentation.networks import build
from harness.segmentation.staged import Staged

IMAGES = torch.randn(1, 3, 64, 96, generator=torch.Generator().manual_seed(0))
KINDS = {"pspnet": PspNetwork, "deeplabv3": DeepLabNetwork}


def small(architecture: str, auxiliary: bool = True) -> Staged:
    torch.manual_seed(0)
    described = KINDS[architecture](
        architecture=architecture,
        backbone="resnet18.tv_in1k",
        pretrained=False,
        decoder=16,
        dropout=0.5,
        auxiliary=auxiliary,
    )
    return build(described, 5, 8)


@pytest.fixture(scope="module", params=KINDS)
def network(request) -> Staged:
    return small(request.param).eval()


def test_every_stage_has_the_channels_that_it_names_at_stride_8(network):
    with torch.no_grad():
        outputs = network(IMAGES, frozenset(network.stages))
    assert {name: output.shape[1] for name, output in outputs.items()} == network.channels
    assert list(network.channels.values()) == [64, 128, 256, 512, 16, 16, 5, 5]
    assert tuple(outputs["stage1"].shape[2:]) == (16, 24)
    deep = [name for name in network.stages if name != "stage1"]
    assert {(8, 12)} == {tuple(outputs[name].shape[2:]) for name in deep}
    assert network.stride == 8


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


@pytest.mark.parametrize("architecture", KINDS)
def test_without_an_auxiliary_head_there_is_no_such_stage(architecture):
    network = small(architecture, auxiliary=False)
    assert "aux_logits" not in network.stages
    assert not any(name.startswith("aux") for name, _ in network.named_parameters())


@pytest.mark.parametrize("architecture", KINDS)
def test_every_weight_learns_from_both_heads(architecture):
    network = small(architecture).train()
    outputs = network(IMAGES.expand(2, -1, -1, -1), frozenset({"logits", "aux_logits"}))
    sum(output.square().sum() for output in outputs.values()).backward()
    assert all(parameter.grad is not None for parameter in network.parameters())


def test_the_auxiliary_head_is_a_quarter_as_wide_as_stage3(network):
    convolutions = [layer for layer in network.aux_logits.modules() if isinstance(layer, nn.Conv2d)]
    assert [(layer.in_channels, layer.out_channels, layer.kernel_size) for layer in convolutions] == [
        (256, 64, (3, 3)),
        (64, 5, (1, 1)),
    ]


def test_features_that_lie_channels_last_stay_so(network):
    images = IMAGES.to(memory_format=torch.channels_last)
    with torch.no_grad():
        outputs = network.to(memory_format=torch.channels_last)(images, frozenset({"stage4", "decoded"}))
    assert all(output.is_contiguous(memory_format=torch.channels_last) for output in outputs.values())
