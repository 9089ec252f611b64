"""From a workload's description of a network to the network."""

from harness.ledger.errors import BadInput
from harness.ledger.workload import LightNetwork, Network
from harness.segmentation.light import light
from harness.segmentation.pspnet import pspnet
from harness.segmentation.staged import Staged


def build(network: Network, classes: int, stride: int) -> Staged:
    """The network, fresh but for a pretrained backbone; BadInput when its stride is not the workload's."""
    built = _built(network, classes)
    if built.stride != stride:
        raise BadInput(f"stride: found {stride}, but {network.architecture} has {built.stride} image pixels per logit")
    return built


def _built(network: Network, classes: int) -> Staged:
    if isinstance(network, LightNetwork):
        return light(classes, network.widths, network.decoder, network.dropout, network.blocks)
    return pspnet(
        classes,
        network.backbone,
        pretrained=network.pretrained,
        decoder=network.decoder,
        dropout=network.dropout,
        auxiliary=network.auxiliary,
    )
