"""What a workload says of its two networks."""

from typing import Annotated, Literal, TypeGuard

from pydantic import Field, NonNegativeInt, PositiveInt

from harness.ledger.files import Value

Share = Annotated[float, Field(ge=0, le=1)]
Digest = Annotated[str, Field(pattern="^[0-9a-f]{8,64}$")]
"""A SHA-256, or its first digits where no more was published."""


class LightNetwork(Value):
    """A small encoder-decoder for CPUs (harness/segmentation/light.py)."""

    architecture: Literal["light"]
    widths: tuple[PositiveInt, PositiveInt, PositiveInt, PositiveInt]
    blocks: tuple[NonNegativeInt, NonNegativeInt, NonNegativeInt, NonNegativeInt]
    """Residual blocks a stage, after the convolution that opens it."""
    decoder: PositiveInt
    dropout: Share


class DilatedNetwork(Value):
    """A timm CNN at output stride 8 under a head: what PSPNet and DeepLabV3 share."""

    backbone: str
    """A timm tag, such as resnet18.tv_in1k."""
    pretrained: bool
    backbone_sha256: Digest | None = None
    """Of the file of the backbone's weights; null: not held to any."""
    stem: Literal["7x7", "three 3x3", "3x3"] = "7x7"
    """How the backbone begins; a tag that begins otherwise is refused."""
    norm: Literal["batch"] = "batch"
    """Batch statistics of the one device that a run has."""
    decoder: PositiveInt
    """The width of `decoded`."""
    dropout: Share
    auxiliary: bool
    """Whether stage3 has a classifier of its own, `aux_logits`."""


class PspNetwork(DilatedNetwork):
    """PSPNet (harness/segmentation/pspnet.py)."""

    architecture: Literal["pspnet"]


class DeepLabNetwork(DilatedNetwork):
    """DeepLabV3 (harness/segmentation/deeplab.py)."""

    architecture: Literal["deeplabv3"]
    rates: tuple[PositiveInt, PositiveInt, PositiveInt] = (12, 24, 36)
    """Dilations of the three 3×3 convolutions side by side; doubled from output stride 16's 6, 12, 18."""


class SegformerNetwork(Value):
    """SegFormer (harness/segmentation/segformer.py), its encoder by transformers."""

    architecture: Literal["segformer"]
    backbone: Literal["mit-b0", "mit-b1", "mit-b2", "mit-b3", "mit-b4", "mit-b5"]
    pretrained: bool
    backbone_sha256: Digest | None = None
    decoder: PositiveInt
    dropout: Share


Network = Annotated[LightNetwork | PspNetwork | DeepLabNetwork | SegformerNetwork, Field(discriminator="architecture")]
Pretrainable = PspNetwork | DeepLabNetwork | SegformerNetwork


def is_pretrained(network: Network) -> TypeGuard[Pretrainable]:
    """Whether its backbone starts from published weights."""
    return isinstance(network, Pretrainable) and network.pretrained


def untrained(network: Network) -> Network:
    """The network without its backbone's published weights: others will replace them, or none are needed."""
    return network.model_copy(update={"pretrained": False}) if isinstance(network, Pretrainable) else network
