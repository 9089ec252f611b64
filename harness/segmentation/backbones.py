"""CNN backbones by timm, at output stride 8 and taken apart into four stages; and the files of backbones' weights."""

from dataclasses import dataclass
from pathlib import Path
from typing import get_args

import timm
import torch
from huggingface_hub import hf_hub_download, try_to_load_from_cache
from huggingface_hub.errors import EntryNotFoundError, LocalEntryNotFoundError
from timm.models import FeatureListNet
from timm.models.efficientnet import EfficientNetFeatures
from timm.models.mobilenetv3 import MobileNetV3Features
from torch import Tensor, nn

from harness.ledger import places
from harness.ledger.errors import BadInput, nearest
from harness.ledger.files import file_sha256
from harness.ledger.networks import DilatedNetwork, Network, is_pretrained
from harness.segmentation.states import COUNTER, read_state

STRIDE = 8
STAGES = ("stage1", "stage2", "stage3", "stage4")
Features = FeatureListNet | MobileNetV3Features | EfficientNetFeatures
"""Other kinds of feature network hook into a model that always runs whole."""
HUB_NAMES = ("model.safetensors", "pytorch_model.bin")
STEMS: tuple[str, ...] = get_args(DilatedNetwork.model_fields["stem"].annotation)
SUFFIXES = (".safetensors", ".pth", ".bin")


@dataclass(frozen=True)
class Backbone:
    """Four stages, each fed by the one before, and how many channels each returns."""

    stages: dict[str, nn.Module]
    channels: dict[str, int]


def backbone(network: DilatedNetwork) -> Backbone:
    """The stages of the network's tag, with its weights or random ones; BadInput with what is wrong with the tag."""
    tag = network.backbone
    _check_tag(tag, network.pretrained)
    features = _pretrained(network) if network.pretrained else _create(tag)
    stages = _taken_apart(features)
    _check_stem(network, features)
    return Backbone(stages, dict(zip(STAGES, features.feature_info.channels()[-4:], strict=True)))


def _create(tag: str, state: dict[str, Tensor] | None = None) -> Features:
    """Timm's feature network of a tag at output stride 8, with the weights of a state or random ones."""
    overlay = {"state_dict": state, "custom_load": False} if state is not None else None
    try:
        features = timm.create_model(
            tag,
            features_only=True,
            output_stride=STRIDE,
            pretrained=state is not None,
            pretrained_cfg_overlay=overlay,
        )
    except (NotImplementedError, TypeError, AssertionError) as error:
        raise BadInput(
            f"backbone: {tag} has no form with output stride {STRIDE}; resnet18.tv_in1k, for one, has"
        ) from error
    if isinstance(features, Features) and len(features.feature_info.channels()) >= len(STAGES):
        return features
    raise BadInput(f"backbone: {tag} cannot be taken apart into four stages; resnet18.tv_in1k, for one, can")


def _check_tag(tag: str, pretrained: bool) -> None:
    """Names alone: a path or a hub's address would let a workload fetch a stranger's configuration."""
    architecture = tag.partition(".")[0]
    if not timm.is_model(architecture):
        raise BadInput(f"backbone: timm has no {tag!r}{nearest(architecture, timm.list_models())}")
    tags = timm.list_pretrained(f"{architecture}.*")
    if tag not in tags and (pretrained or tag != architecture):
        raise BadInput(
            f"backbone: timm has no weights {tag!r}{nearest(tag, tags)}: known are {', '.join(tags) or 'none'}"
        )


# Taken apart


def _taken_apart(features: Features) -> dict[str, nn.Module]:
    """Timm's layers up to each of the last four features, a stage each, so that a call can stop after any of them."""
    ends = _ends(features)
    stages: dict[str, nn.Module] = {}
    layers = nn.Sequential()
    for name, layer in _layers(features):
        layers.add_module(name, layer)
        if name in ends:
            stages[STAGES[len(stages)]] = layers
            layers = nn.Sequential()
    return stages


def _ends(features: Features) -> list[str]:
    """The last layer of each stage."""
    if isinstance(features, FeatureListNet):
        return list(features.return_layers)[-4:]
    return [feature["module"].replace(".", "_") for feature in features.feature_info.get_dicts()][-4:]


def _layers(features: Features) -> list[tuple[str, nn.Module]]:
    """What runs, in order; a MobileNet's blocks one by one, as a stage may end after any of them."""
    if isinstance(features, FeatureListNet):
        return list(features.named_children())
    stem = [(name, layer) for name, layer in features.named_children() if name != "blocks"]
    return [*stem, *((f"blocks_{place}", block) for place, block in enumerate(features.blocks))]


def _check_stem(network: DilatedNetwork, features: Features) -> None:
    """BadInput unless the backbone begins as the workload says: published tables mix stems under one name."""
    found = _stem(features)
    if found not in STEMS:
        raise BadInput(
            f"backbone: {network.backbone} begins with {found}, which no workload can name yet: "
            f"expected one that begins with {', '.join(STEMS[:-1])} or {STEMS[-1]}"
        )
    if found != network.stem:
        raise BadInput(f"stem: found {network.stem}, but {network.backbone} begins with {found}")


def _stem(features: Features) -> str:
    """The kernel sizes of the convolutions in the first layer, in a workload's words."""
    first = next(iter(features.children()))
    kernels = [layer.kernel_size for layer in first.modules() if isinstance(layer, nn.Conv2d)]
    sizes = ["x".join(str(side) for side in kernel) for kernel in kernels]
    return "three 3x3" if sizes == ["3x3"] * 3 else ", ".join(sizes) or "no convolution"


# Their weights


def _pretrained(network: DilatedNetwork) -> Features:
    """The feature network with the weights of its file, all of which must be there."""
    tag = network.backbone
    path = weights_file(tag, network.backbone_sha256)
    state = read_state(path)
    _check_weights(tag, path, state)
    return _create(tag, state)


def _check_weights(tag: str, path: Path, found: dict[str, Tensor]) -> None:
    """Timm loads what fits and says nothing of the rest; here every weight of the backbone must be in the file."""
    with torch.device("meta"):
        model = timm.create_model(tag, pretrained=False)
    head = f"{timm.get_pretrained_cfg_value(tag, 'classifier')}."
    wanted = {name: value.shape for name, value in model.state_dict().items() if not name.startswith(head)}
    must_hold(path, found, wanted, tag)


def must_hold(path: Path, found: dict[str, Tensor], wanted: dict[str, torch.Size], of: str) -> None:
    """BadInput naming the first weight that is not in the file or has another shape."""
    for name, shape in wanted.items():
        if name.endswith(COUNTER):
            continue
        if name not in found or found[name].shape != shape:
            there = list(found[name].shape) if name in found else "nothing"
            raise BadInput(f"{path}: {name}: found {there}, expected shape {list(shape)} of {of}")


def weights_sha256(network: Network) -> str | None:
    """The SHA-256 of the file of the backbone's weights, found or downloaded; None when the network starts anew."""
    if not is_pretrained(network):
        return None
    if isinstance(network, DilatedNetwork):
        _check_tag(network.backbone, network.pretrained)
    return _digest(weights_file(network.backbone, network.backbone_sha256))


def weights_places(tag: str) -> tuple[Path, ...]:
    """Where a person may put a backbone's weights: as timm or the hub names them, or as torchvision does."""
    return tuple(places.cache() / "backbones" / f"{tag}{suffix}" for suffix in SUFFIXES)


def weights_there(tag: str) -> list[Path]:
    """The files among those places; a folder is none."""
    try:
        return [path for path in weights_places(tag) if path.is_file()]
    except OSError as error:
        raise BadInput(f"{error.filename}: cannot be looked at: {error.strerror}") from error


def weights_file(tag: str, sha256: str | None = None) -> Path:
    """The file of a backbone's weights, found or downloaded.

    Args:
        tag: timm's, or a Mix Transformer's such as mit-b0.
        sha256: how the file's SHA-256 begins; BadInput when it begins otherwise. None: any file will do.

    """
    paths = weights_there(tag) or [_downloaded(tag, sha256)]
    for path in paths:
        if sha256 is None or _digest(path).startswith(sha256):
            return path
    raise BadInput(f"{paths[0]}: SHA-256 is {_digest(paths[0])}, expected {sha256} (backbone_sha256 of {tag})")


def _digest(path: Path) -> str:
    try:
        return file_sha256(path)
    except OSError as error:
        raise BadInput(f"{path}: cannot be read: {error.strerror}") from error


def _downloaded(tag: str, sha256: str | None) -> Path:
    """The file as the hub keeps it, or from the address whose name begins its SHA-256 as the workload does."""
    repository, address = _published(tag)
    safe, torchs, pickled = weights_places(tag)
    try:
        if sha256 is not None and sha256[:8] in address:
            return _from_address(address, torchs, sha256)
        return _from_hub(repository)
    except Exception as error:  # Three libraries download, each with errors of its own.
        other = f"{address} at {torchs}" if address else f"its {HUB_NAMES[1]} at {pickled}"
        raise BadInput(
            f"backbone: the weights of {tag} can neither be found nor downloaded ({type(error).__name__}): "
            f"put {HUB_NAMES[0]} of https://huggingface.co/{repository} at {safe}, or {other}"
        ) from error


def _published(tag: str) -> tuple[str, str]:
    """The hub's repository of a tag's weights, and an address beside the hub or nothing."""
    if tag.startswith("mit-"):
        return f"nvidia/{tag}", ""
    repository, address = (timm.get_pretrained_cfg_value(tag, key) for key in ("hf_hub_id", "url"))
    return repository or f"timm/{tag}", address if isinstance(address, str) else ""


def _from_address(address: str, path: Path, sha256: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.hub.download_url_to_file(address, str(path), hash_prefix=sha256, progress=False)
    return path


def _from_hub(repository: str) -> Path:
    """The hub's file in the hub's own cache; safetensors where there are any."""
    safe, pickled = HUB_NAMES
    for name in HUB_NAMES:  # What was fetched once is not asked for again: it must not change, nor need a network.
        if isinstance(there := try_to_load_from_cache(repository, name), str):
            return Path(there)
    try:
        return Path(hf_hub_download(repository, safe))
    except EntryNotFoundError as error:  # Older repositories have no safetensors.
        if isinstance(error, LocalEntryNotFoundError):  # The hub could not be asked.
            raise
        return Path(hf_hub_download(repository, pickled))
