import pytest
import torch

from harness.segmentation.light import light
from harness.segmentation.staged import Staged

STAGES = ("stage1", "stage2", "stage3", "stage4", "decoded", "decoded_dropped", "logits")


def small(dropout: float = 0.0) -> Staged:
    torch.manual_seed(0)
    return light(11, (4, 6, 8, 10), decoder=5, dropout=dropout, blocks=(0, 1, 0, 2))


def test_stages() -> None:
    """The stages are those that every network names, without an auxiliary head."""
    assert small().stages == STAGES
    assert small().stride == 4


@pytest.mark.parametrize(
    ("size", "strided"),
    [
        ((64, 128), [(32, 64), (16, 32), (8, 16), (4, 8)]),
        ((180, 240), [(90, 120), (45, 60), (23, 30), (12, 15)]),
        ((33, 50), [(17, 25), (9, 13), (5, 7), (3, 4)]),
    ],
)
def test_sizes(size: tuple[int, int], strided: list[tuple[int, int]]) -> None:
    """Strides are 2, 4, 8, 16, rounded up; what is decoded has the size of stage2; channels are as announced."""
    network = small().eval()
    outputs = network(torch.zeros(1, 3, *size), frozenset(STAGES))
    sizes = dict(zip(STAGES, [*strided, strided[1], strided[1], strided[1]], strict=True))
    expected = {stage: (1, network.channels[stage], *sizes[stage]) for stage in STAGES}
    assert expected == {stage: tuple(value.shape) for stage, value in outputs.items()}


def test_dropout_is_seen_by_the_classifier_alone() -> None:
    """In training `decoded` is whole and `decoded_dropped` lacks channels; in evaluation they are the same."""
    network = small(dropout=0.5)
    wanted = frozenset({"decoded", "decoded_dropped"})
    images = torch.rand(8, 3, 32, 32)
    training = network(images, wanted)
    assert (training["decoded_dropped"] == 0).all(dim=(2, 3)).sum() > (training["decoded"] == 0).all(dim=(2, 3)).sum()
    evaluation = network.eval()(images, wanted)
    assert torch.equal(evaluation["decoded"], evaluation["decoded_dropped"])


def test_every_weight_learns() -> None:
    """The logits' gradient reaches every parameter."""
    network = small()
    network(torch.rand(2, 3, 32, 64))["logits"].square().sum().backward()
    assert [name for name, weight in network.named_parameters() if weight.grad is None or not weight.grad.any()] == []


def test_sees_the_whole_image() -> None:
    """Stage4 knows its surroundings: a change in one corner is felt in the other."""
    network = small().eval()
    images = torch.rand(1, 3, 256, 256)
    changed = images.clone()
    changed[..., :16, :16] += 1
    wanted = frozenset({"stage4"})
    difference = network(changed, wanted)["stage4"] - network(images, wanted)["stage4"]
    assert difference[..., -1, -1].abs().max() > 0


def test_same_seed_same_network() -> None:
    """The random state alone decides the initial weights."""
    first, second = small().state_dict(), small().state_dict()
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_outputs_survive_later_stages() -> None:
    """No stage overwrites what an earlier one returned."""
    network = small().eval()
    images = torch.rand(1, 3, 32, 32)
    together = network(images, frozenset(STAGES))
    for stage in STAGES:
        assert torch.equal(together[stage], network(images, frozenset({stage}))[stage])
