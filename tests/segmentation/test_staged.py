import pytest
import torch
from torch import Tensor, nn

from harness.segmentation.staged import Staged


class Counted(nn.Module):
    """Adds one to the sum of its inputs and counts its calls."""

    def __init__(self) -> None:
        super().__init__()
        self.calls = 0

    def forward(self, *features: Tensor) -> Tensor:
        self.calls += 1
        return sum(features, torch.ones(()))


def counted() -> tuple[Staged, dict[str, Counted]]:
    """From image → stage1 → stage2 → logits, which also reads stage1; aux_logits reads stage1."""
    modules = {stage: Counted() for stage in ("stage1", "stage2", "aux_logits", "logits")}
    inputs = {
        "stage1": ("image",),
        "stage2": ("stage1",),
        "aux_logits": ("stage1",),
        "logits": ("stage1", "stage2"),
    }
    return Staged(modules, inputs, dict.fromkeys(modules, 1), stride=1), modules


def calls(modules: dict[str, Counted]) -> dict[str, int]:
    return {stage: module.calls for stage, module in modules.items()}


def test_logits_by_default() -> None:
    """Asked for nothing, a network returns its logits alone: ((0 + 1) + 1) + 1 + 1."""
    network, _ = counted()
    outputs = network(torch.zeros(1))
    assert {stage: value.item() for stage, value in outputs.items()} == {"logits": 4.0}


def test_unwanted_branch_never_runs() -> None:
    """An auxiliary head that nobody wants costs nothing, and what two stages read runs once."""
    network, modules = counted()
    network(torch.zeros(1))
    assert calls(modules) == {"stage1": 1, "stage2": 1, "aux_logits": 0, "logits": 1}


def test_what_comes_later_never_runs() -> None:
    """A teacher that is read at stage2 runs no head."""
    network, modules = counted()
    outputs = network(torch.zeros(1), frozenset({"stage2"}))
    assert {stage: value.item() for stage, value in outputs.items()} == {"stage2": 2.0}
    assert calls(modules) == {"stage1": 1, "stage2": 1, "aux_logits": 0, "logits": 0}


def test_only_wanted_are_returned() -> None:
    """Several wanted stages come back in the network's order, without those between them."""
    network, _ = counted()
    outputs = network(torch.zeros(1), frozenset({"logits", "aux_logits", "stage1"}))
    assert list(outputs) == ["stage1", "aux_logits", "logits"]


def test_nothing_wanted() -> None:
    """Who wants nothing pays nothing."""
    network, modules = counted()
    assert network(torch.zeros(1), frozenset()) == {}
    assert sum(calls(modules).values()) == 0


def test_what_it_says_of_itself() -> None:
    """Stages in order, channels and stride are there to read, and weights are named by their stage."""
    network = Staged({"stage1": nn.Conv2d(3, 8, 1)}, {"stage1": ("image",)}, {"stage1": 8}, stride=2)
    assert (network.stages, network.channels, network.stride) == (("stage1",), {"stage1": 8}, 2)
    assert list(network.state_dict()) == ["stage1.weight", "stage1.bias"]


def test_unknown_stage() -> None:
    """A stage that is not there is named, with the nearest one and the list."""
    network, _ = counted()
    with pytest.raises(ValueError, match=r"no stage 'logit' \(did you mean 'logits'\?\); there are stage1, stage2,"):
        network(torch.zeros(1), frozenset({"logit"}))


def test_image_is_no_stage() -> None:
    """The network's input cannot be asked back from it."""
    network, _ = counted()
    with pytest.raises(ValueError, match="no stage 'image'"):
        network(torch.zeros(1), frozenset({"image"}))


def test_reads_only_earlier_stages() -> None:
    """A stage that reads a later one is refused when the network is built."""
    modules = {"stage1": nn.Identity(), "stage2": nn.Identity()}
    with pytest.raises(ValueError, match="stage 'stage1' reads 'stage2', which is no earlier stage"):
        Staged(modules, {"stage1": ("stage2",), "stage2": ("image",)}, {"stage1": 1, "stage2": 1}, stride=1)


def test_every_stage_is_described() -> None:
    """A stage without inputs or channels is refused when the network is built."""
    with pytest.raises(ValueError, match="stage 'stage1' has no inputs"):
        Staged({"stage1": nn.Identity()}, {}, {"stage1": 1}, stride=1)
    with pytest.raises(ValueError, match="stage 'stage1' has no channels"):
        Staged({"stage1": nn.Identity()}, {"stage1": ("image",)}, {}, stride=1)


class Patches(nn.Module):
    """B×C×h×w → B×(h·w)×C."""

    def forward(self, features: Tensor) -> Tensor:
        return features.flatten(2).mT


def test_sizes_are_those_of_a_forward_pass() -> None:
    """Strides 2 and 4 of 8×12 pixels: 4×6, 2×3, and 6 embeddings of the latter; only what is asked for."""
    modules = {
        "stage1": nn.Sequential(nn.Conv2d(3, 5, 3, stride=2, padding=1), nn.BatchNorm2d(5)),
        "stage2": nn.Conv2d(5, 7, 3, stride=2, padding=1),
        "embedding2": Patches(),
    }
    inputs = {"stage1": ("image",), "stage2": ("stage1",), "embedding2": ("stage2",)}
    network = Staged(modules, inputs, {"stage1": 5, "stage2": 7, "embedding2": 7}, stride=4)
    assert network.sizes((8, 12), frozenset(modules)) == {"stage1": (4, 6), "stage2": (2, 3), "embedding2": (6,)}
    assert network.sizes((8, 12), frozenset({"stage2"})) == {"stage2": (2, 3)}


def test_asking_for_sizes_changes_nothing() -> None:
    """Weights, running statistics, mode and random numbers stay as they are."""
    norm = nn.BatchNorm2d(3)
    network = Staged(
        {"stage1": nn.Sequential(norm, nn.Dropout2d(0.5))}, {"stage1": ("image",)}, {"stage1": 3}, stride=1
    )
    random = torch.get_rng_state()
    network.sizes((4, 4), frozenset({"stage1"}))
    assert network.training
    assert norm.num_batches_tracked.item() == 0
    assert torch.equal(torch.get_rng_state(), random)
