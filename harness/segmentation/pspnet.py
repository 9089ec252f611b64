"""PSPNet on a timm backbone at output stride 8 (Zhao et al., Pyramid Scene Parsing Network, CVPR 2017)."""

from pathlib import Path

import timm
import torch
from safetensors import SafetensorError, safe_open
from timm.models import FeatureListNet
from torch import Tensor, nn
from torch.nn import functional

from harness.ledger import places
from harness.ledger.errors import BadInput, nearest
from harness.segmentation.staged import Staged

STRIDE = 8
STAGES = ("stage1", "stage2", "stage3", "stage4")


def pspnet(classes: int, backbone: str, *, pretrained: bool, decoder: int, dropout: float, auxiliary: bool) -> Staged:
    """The backbone's four residual stages, pyramid pooling, and a classifier at stride 8.

    Args:
        classes: the channels of `logits` and `aux_logits`.
        backbone: a timm tag, such as resnet18.tv_in1k.
        pretrained: whether the backbone starts from the tag's weights or from random ones.
        decoder: the width of `decoded`.
        dropout: the share of `decoded`'s channels that the classifier does not see in training.
        auxiliary: whether stage3 gets a classifier of its own, `aux_logits`.

    """
    features = _features(backbone, pretrained)
    widths = dict(zip(STAGES, features.feature_info.channels()[-4:], strict=True))
    modules: dict[str, nn.Module] = {
        **_taken_apart(features),
        "decoded": PyramidPooling(widths["stage4"], decoder),
        "decoded_dropped": nn.Dropout2d(dropout),
        "logits": nn.Conv2d(decoder, classes, 1),
    }
    inputs: dict[str, tuple[str, ...]] = {
        "stage1": ("image",),
        "stage2": ("stage1",),
        "stage3": ("stage2",),
        "stage4": ("stage3",),
        "decoded": ("stage4",),
        "decoded_dropped": ("decoded",),
        "logits": ("decoded_dropped",),
    }
    channels = {**widths, "decoded": decoder, "decoded_dropped": decoder, "logits": classes}
    if auxiliary:
        modules["aux_logits"] = auxiliary_head(widths["stage3"], classes)
        inputs["aux_logits"] = ("stage3",)
        channels["aux_logits"] = classes
    return Staged(modules, inputs, channels, STRIDE)


def convolution(inputs: int, outputs: int, size: int) -> nn.Sequential:
    """Convolution, batch normalisation, ReLU, of the same size."""
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, size, padding=size // 2, bias=False), nn.BatchNorm2d(outputs), nn.ReLU(inplace=True)
    )


def auxiliary_head(width: int, classes: int) -> nn.Sequential:
    """A classifier on a quarter of the width."""
    return nn.Sequential(convolution(width, width // 4, 3), nn.Dropout2d(0.1), nn.Conv2d(width // 4, classes, 1))


class PyramidPooling(nn.Module):
    """Joins features with their means over 1, 4, 9 and 36 parts of the image and mixes them to `outputs` channels."""

    def __init__(self, inputs: int, outputs: int, parts: tuple[int, ...] = (1, 2, 3, 6)) -> None:
        super().__init__()
        width = inputs // len(parts)
        self.pooled = nn.ModuleList(
            nn.Sequential(nn.AdaptiveAvgPool2d(number), convolution(inputs, width, 1)) for number in parts
        )
        self.mix = convolution(inputs + width * len(parts), outputs, 3)

    def forward(self, features: Tensor) -> Tensor:
        """Of the features' height and width."""
        size = features.shape[2:]
        means = [
            functional.interpolate(pool(features), size, mode="bilinear", align_corners=True) for pool in self.pooled
        ]
        mixed: Tensor = self.mix(torch.cat([features, *means], dim=1))
        return mixed


def _taken_apart(features: FeatureListNet) -> dict[str, nn.Sequential]:
    """Timm's layers up to each of the last four features, a stage each, so that a call can stop after any of them."""
    last = list(features.return_layers)[-4:]
    stages: dict[str, nn.Sequential] = {}
    layers = nn.Sequential()
    for name, layer in features.items():
        layers.add_module(name, layer)
        if name in last:
            stages[STAGES[len(stages)]] = layers
            layers = nn.Sequential()
    return stages


# The backbone


def _features(tag: str, pretrained: bool) -> FeatureListNet:
    """Timm's feature network of a tag at output stride 8, or BadInput with what is wrong with the tag."""
    _check_tag(tag, pretrained)
    features = _pretrained(tag) if pretrained else _create(tag)
    # Other kinds of feature network hook into a model that always runs whole.
    if not isinstance(features, FeatureListNet) or len(features.return_layers) < len(STAGES):
        raise BadInput(f"backbone: {tag} cannot be taken apart into four stages; resnet18.tv_in1k, for one, can")
    return features


def _create(tag: str, pretrained: bool = False, **overlay: object) -> nn.Module:
    try:
        return timm.create_model(
            tag, features_only=True, output_stride=STRIDE, pretrained=pretrained, pretrained_cfg_overlay=overlay
        )
    except (NotImplementedError, TypeError, AssertionError) as error:
        raise BadInput(
            f"backbone: {tag} has no form with output stride {STRIDE}; resnet18.tv_in1k, for one, has"
        ) from error


def _check_tag(tag: str, pretrained: bool) -> None:
    """Names alone: a path or a hub's address would let a workload fetch a stranger's configuration."""
    architecture = tag.partition(".")[0]
    if not timm.is_model(architecture):
        raise BadInput(f"backbone: timm has no {architecture!r}{nearest(architecture, timm.list_models())}")
    tags = timm.list_pretrained(f"{architecture}.*")
    if tag not in tags and (pretrained or tag != architecture):
        raise BadInput(
            f"backbone: timm has no weights {tag!r}{nearest(tag, tags)}: known are {', '.join(tags) or 'none'}"
        )


def backbone_file(tag: str) -> Path:
    """Where a person may put a backbone's weights, as timm names them."""
    return places.cache() / "backbones" / f"{tag}.safetensors"


def _pretrained(tag: str) -> nn.Module:
    """The backbone with its weights: from the cache's file, else as timm finds or downloads them."""
    path = backbone_file(tag)
    if path.exists():
        _check_weights(tag, path)
        return _create(tag, pretrained=True, file=str(path), custom_load=False)
    try:
        return _create(tag, pretrained=True)
    except BadInput:
        raise
    except Exception as error:  # Three libraries download, each with errors of its own.
        raise BadInput(
            f"backbone: the weights of {tag} can neither be found nor downloaded ({type(error).__name__}): "
            f"put model.safetensors of https://huggingface.co/timm/{tag} at {path}"
        ) from error


def _check_weights(tag: str, path: Path) -> None:
    """Timm loads what fits and says nothing of the rest; here every weight of the backbone must be in the file."""
    with torch.device("meta"):
        model = timm.create_model(tag, pretrained=False)
    head = f"{timm.get_pretrained_cfg_value(tag, 'classifier')}."
    wanted = {name: list(value.shape) for name, value in model.state_dict().items() if not name.startswith(head)}
    try:
        with safe_open(path, framework="pt") as file:
            names = file.keys()
            found = {name: file.get_slice(name).get_shape() for name in names}
    except (SafetensorError, OSError) as error:
        raise BadInput(f"{path}: no readable safetensors file: {error}") from error
    for name, shape in wanted.items():
        # Weights converted from an old torch have no such counter, and nothing here reads it.
        if found.get(name) != shape and not name.endswith("num_batches_tracked"):
            raise BadInput(f"{path}: {name}: found {found.get(name, 'nothing')}, expected shape {shape} of {tag}")
