"""What PSPNet and DeepLabV3 share: a CNN at output stride 8, a head, a classifier, and one beside it on stage3."""

from collections.abc import Callable

from torch import nn

from harness.ledger.networks import DilatedNetwork
from harness.segmentation.backbones import STRIDE, backbone
from harness.segmentation.light import convolution
from harness.segmentation.staged import Staged


def dilated(
    network: DilatedNetwork,
    classes: int,
    head: Callable[[int, int], nn.Module],
    dropout: type[nn.Dropout | nn.Dropout2d],
) -> Staged:
    """The backbone's four stages, the head on the last, and a classifier at stride 8.

    Args:
        network: the backbone, the width of `decoded`, how much is dropped after it, whether there is `aux_logits`.
        classes: the channels of `logits` and `aux_logits`.
        head: from the widths of `stage4` and `decoded` to the module between them.
        dropout: whether single values or whole channels are dropped.

    """
    trunk = backbone(network)
    decoder = network.decoder
    modules: dict[str, nn.Module] = {
        **trunk.stages,
        "decoded": head(trunk.channels["stage4"], decoder),
        "decoded_dropped": dropout(network.dropout),
        "logits": nn.Conv2d(decoder, classes, 1),
    }
    # Each stage reads the one before; the first reads the image.
    inputs = {stage: (before,) for stage, before in zip(modules, ("image", *modules), strict=False)}
    channels = {**trunk.channels, "decoded": decoder, "decoded_dropped": decoder, "logits": classes}
    if network.auxiliary:
        modules["aux_logits"] = auxiliary_head(trunk.channels["stage3"], classes, dropout)
        inputs["aux_logits"] = ("stage3",)
        channels["aux_logits"] = classes
    return Staged(modules, inputs, channels, STRIDE)


def auxiliary_head(width: int, classes: int, dropout: type[nn.Dropout | nn.Dropout2d]) -> nn.Sequential:
    """A classifier on a quarter of the width, of which it does not see a tenth in training."""
    return nn.Sequential(convolution(width, width // 4, 3), dropout(0.1), nn.Conv2d(width // 4, classes, 1))
