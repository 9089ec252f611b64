"""From a workload's description of a network to the network."""

import importlib

from harness.ledger.errors import BadInput
from harness.ledger.networks import DeepLabNetwork, LightNetwork, Network, PspNetwork, SegformerNetwork
from harness.segmentation.deeplab import deeplab
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
    match network:
        case LightNetwork():
            return light(classes, network.widths, network.decoder, network.dropout, network.blocks)
        case PspNetwork():
            return pspnet(network, classes)
        case DeepLabNetwork():
            return deeplab(network, classes)
        case SegformerNetwork():
            return _segformer(network, classes)


def _segformer(network: SegformerNetwork, classes: int) -> Staged:
    """By a module that is loaded only here: transformers is an extra, and takes seconds to import."""
    try:
        module = importlib.import_module("harness.segmentation.segformer")
    except ModuleNotFoundError as error:
        if error.name != "transformers":
            raise
        raise BadInput("architecture: segformer needs transformers: pip install 'segkd-bench[segformer]'") from error
    built: Staged = module.segformer(network, classes)
    return built
