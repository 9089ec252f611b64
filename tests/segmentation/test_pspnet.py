"""PSPNet's head, on a small random ResNet-18."""

import torch

from harness.ledger.networks import PspNetwork
from harness.segmentation.pspnet import PyramidPooling, pspnet
from harness.segmentation.staged import Staged

IMAGES = torch.randn(2, 3, 64, 96, generator=torch.Generator().manual_seed(0))


def small() -> Staged:
    torch.manual_seed(0)
    described = PspNetwork(
        architecture="pspnet",
        backbone="resnet18.tv_in1k",
        pretrained=False,
        decoder=16,
        dropout=0.5,
        auxiliary=False,
    )
    return pspnet(described, 5)


def test_channels_are_dropped_in_training_between_decoded_and_decoded_dropped_alone():
    network = small().train()
    wanted = frozenset({"decoded", "decoded_dropped"})
    outputs = network(IMAGES, wanted)
    dropped = (outputs["decoded_dropped"] == 0).all(dim=3).all(dim=2)
    assert dropped.any()
    assert torch.equal(outputs["decoded_dropped"][~dropped], 2 * outputs["decoded"][~dropped])
    network.eval()
    with torch.no_grad():
        outputs = network(IMAGES, wanted)
    assert torch.equal(outputs["decoded"], outputs["decoded_dropped"])


def test_pyramid_pooling_has_the_weights_of_the_paper():
    """By hand: four 1×1 to a quarter of 8, a 3×3 of 8 + 8 to 3, and scale and shift of each normalisation."""
    pooling = PyramidPooling(8, 3)
    expected = 4 * (8 * 2 + 2 * 2) + 16 * 3 * 9 + 2 * 3
    assert expected == sum(weight.numel() for weight in pooling.parameters())


def test_a_pixel_knows_of_the_other_end_of_the_image():
    pooling = PyramidPooling(8, 3).eval()
    features = torch.rand(1, 8, 12, 12)
    changed = features.clone()
    changed[..., 0, 0] += 100
    with torch.no_grad():
        assert not torch.equal(pooling(features)[..., -1, -1], pooling(changed)[..., -1, -1])
