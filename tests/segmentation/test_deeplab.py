"""DeepLabV3's head: by hand, and against torchvision's."""

import torch
from torch import nn
from torchvision.models.segmentation.deeplabv3 import DeepLabHead

from harness.ledger.networks import DeepLabNetwork
from harness.segmentation.deeplab import AtrousPooling, deeplab
from harness.segmentation.staged import Staged

IMAGES = torch.randn(2, 3, 64, 96, generator=torch.Generator().manual_seed(0))


def small() -> Staged:
    torch.manual_seed(0)
    described = DeepLabNetwork(
        architecture="deeplabv3",
        backbone="resnet18.tv_in1k",
        pretrained=False,
        decoder=16,
        dropout=0.5,
        auxiliary=False,
    )
    return deeplab(described, 5)


def test_atrous_pooling_has_the_weights_of_the_paper():
    """By hand: a 1×1 and three 3×3 and the image's 1×1 of 8 to 3, a 1×1 of 15 to 3, a 3×3 of 3 to 3, seven norms."""
    pooling = AtrousPooling(8, 3, (12, 24, 36))
    expected = 8 * 3 + 3 * (8 * 3 * 9) + 8 * 3 + 15 * 3 + 3 * 3 * 9 + 7 * 2 * 3
    assert expected == sum(weight.numel() for weight in pooling.parameters())


def test_the_head_computes_what_torchvisions_does():
    """With its weights, in the order in which both name them."""
    torch.manual_seed(0)
    theirs = DeepLabHead(8, 5, atrous_rates=(2, 3, 4)).eval()
    ours = nn.Sequential(AtrousPooling(8, 256, (2, 3, 4)), nn.Conv2d(256, 5, 1)).eval()
    ours.load_state_dict(dict(zip(ours.state_dict(), theirs.state_dict().values(), strict=True)))
    features = torch.randn(2, 8, 9, 11)
    with torch.no_grad():
        torch.testing.assert_close(ours(features), theirs(features))


def test_the_rates_are_the_workloads():
    rates = [look[0].dilation for look in AtrousPooling(8, 3, (6, 12, 18)).around]
    assert rates == [(6, 6), (12, 12), (18, 18)]


def test_single_values_are_dropped_in_training_between_decoded_and_decoded_dropped():
    network = small().train()
    wanted = frozenset({"decoded", "decoded_dropped"})
    outputs = network(IMAGES, wanted)
    alive = outputs["decoded"] > 0
    kept = outputs["decoded_dropped"][alive]
    assert torch.equal(kept[kept > 0], 2 * outputs["decoded"][alive][kept > 0])
    assert 0.4 < (kept > 0).float().mean() < 0.6
    network.eval()
    with torch.no_grad():
        outputs = network(IMAGES, wanted)
    assert torch.equal(outputs["decoded"], outputs["decoded_dropped"])


def test_half_is_dropped_before_the_last_convolution():
    dropouts = [layer.p for layer in AtrousPooling(8, 3, (12, 24, 36)).modules() if isinstance(layer, nn.Dropout)]
    assert dropouts == [0.5]
