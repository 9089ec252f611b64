"""SegFormer (Xie et al., arXiv 2105.15203), its encoder by transformers: only who builds one needs that library."""

import re
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers import SegformerConfig, SegformerModel

from harness.ledger.networks import SegformerNetwork
from harness.segmentation.backbones import must_hold, weights_file
from harness.segmentation.light import convolution
from harness.segmentation.staged import IMAGE, Staged
from harness.segmentation.states import read_state

STRIDE = 4


@dataclass(frozen=True)
class Size:
    """What the six encoders differ in."""

    widths: tuple[int, int, int, int]
    depths: tuple[int, int, int, int]


NARROW, WIDE = (32, 64, 160, 256), (64, 128, 320, 512)
SIZES = {  # Table 6 of the paper
    "mit-b0": Size(NARROW, (2, 2, 2, 2)),
    "mit-b1": Size(WIDE, (2, 2, 2, 2)),
    "mit-b2": Size(WIDE, (3, 4, 6, 3)),
    "mit-b3": Size(WIDE, (3, 4, 18, 3)),
    "mit-b4": Size(WIDE, (3, 8, 27, 3)),
    "mit-b5": Size(WIDE, (3, 6, 40, 3)),
}

NEWER_NAMES = (  # the hub's files are older than the names in transformers' modules
    (r"^segformer\.", ""),
    (r"^encoder\.patch_embeddings\.(\d+)\.", r"stages.\1.patch_embeddings."),
    (r"^encoder\.block\.(\d+)\.", r"stages.\1.blocks."),
    (r"^encoder\.layer_norm\.(\d+)\.", r"stages.\1.layer_norm."),
    (r"\.attention\.self\.query\.", ".attention.q_proj."),
    (r"\.attention\.self\.key\.", ".attention.k_proj."),
    (r"\.attention\.self\.value\.", ".attention.v_proj."),
    (r"\.attention\.self\.sr\.", ".attention.sequence_reduction.sequence_reduction."),
    (r"\.attention\.self\.layer_norm\.", ".attention.sequence_reduction.layer_norm."),
    (r"\.attention\.output\.dense\.", ".attention.o_proj."),
    (r"\.layer_norm_1\.", ".layernorm_before."),
    (r"\.layer_norm_2\.", ".layernorm_after."),
    (r"\.mlp\.dense(\d)\.", r".mlp.fc\1."),
)


def segformer(network: SegformerNetwork, classes: int) -> Staged:
    """Four embeddings of patches and the stages on them, their fusion by linear layers, and a classifier at stride 4.

    In training, blocks are left out at random as the paper has it (stochastic depth rising to 0.1), drawn from
    torch's global generator; so is the dropout, of whole channels as in the authors' code (NVlabs/SegFormer).
    """
    encoder = _pretrained(network) if network.pretrained else _encoder(network.backbone)
    widths = SIZES[network.backbone].widths
    modules: dict[str, nn.Module] = {}
    inputs: dict[str, tuple[str, ...]] = {}
    channels: dict[str, int] = {}
    before = IMAGE
    for depth, (part, width) in enumerate(zip(encoder.stages, widths, strict=True), start=1):
        embedding, stage = f"embedding{depth}", f"stage{depth}"
        modules |= {
            embedding: Patches(part.get_submodule("patch_embeddings")),
            stage: Blocks(part, 4 if depth == 1 else 2),
        }
        inputs |= {embedding: (before,), stage: (embedding, before)}
        channels |= {embedding: width, stage: width}
        before = stage
    decoder = network.decoder
    modules |= {
        "decoded": Fusion(widths, decoder),
        "decoded_dropped": nn.Dropout2d(network.dropout),
        "logits": nn.Conv2d(decoder, classes, 1),
    }
    inputs |= {
        "decoded": ("stage1", "stage2", "stage3", "stage4"),
        "decoded_dropped": ("decoded",),
        "logits": ("decoded_dropped",),
    }
    channels |= {"decoded": decoder, "decoded_dropped": decoder, "logits": classes}
    return Staged(modules, inputs, channels, STRIDE)


class Patches(nn.Module):
    """Overlapping patches as normalised tokens."""

    def __init__(self, patches: nn.Module) -> None:
        super().__init__()
        self.patches = patches

    def forward(self, features: Tensor) -> Tensor:
        """B×C×h×w → B×N×C', N the patches row by row."""
        tokens: Tensor = self.patches(features)[0]
        return tokens


class Blocks(nn.Module):
    """The blocks of attention of a stage, on patches that lie `stride` apart, and the norm after them."""

    def __init__(self, stage: nn.Module, stride: int) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(stage.get_submodule("blocks").children())
        self.norm = stage.get_submodule("layer_norm")
        self.stride = stride

    def forward(self, tokens: Tensor, before: Tensor) -> Tensor:
        """B×N×C → B×C×h×w, with N = h·w; `before` is what the patches were cut from."""
        height, width = (-(-side // self.stride) for side in before.shape[2:])
        for block in self.blocks:
            tokens = block(tokens, height, width)
        features: Tensor = self.norm(tokens).unflatten(1, (height, width))
        return features.permute(0, 3, 1, 2)


class Fusion(nn.Module):
    """Brings four stages to one width and the first one's size, and mixes them pixel by pixel."""

    def __init__(self, widths: tuple[int, ...], outputs: int) -> None:
        super().__init__()
        self.project = nn.ModuleList(nn.Conv2d(width, outputs, 1) for width in widths)
        self.mix = convolution(len(widths) * outputs, outputs, 1)

    def forward(self, *stages: Tensor) -> Tensor:
        """Of the first stage's height and width."""
        size = stages[0].shape[2:]
        projected = [project(stage) for project, stage in zip(self.project, stages, strict=True)]
        enlarged = [functional.interpolate(each, size, mode="bilinear", align_corners=False) for each in projected]
        mixed: Tensor = self.mix(torch.cat(enlarged, dim=1))
        return mixed


def _encoder(tag: str) -> SegformerModel:
    """The Mix Transformer with random weights."""
    size = SIZES[tag]
    return SegformerModel(SegformerConfig(hidden_sizes=size.widths, depths=size.depths))


def _pretrained(network: SegformerNetwork) -> SegformerModel:
    """The Mix Transformer with the weights of its file, all of which must be there."""
    path = weights_file(network.backbone, network.backbone_sha256)
    state = {_newer(name): tensor for name, tensor in read_state(path).items()}
    encoder = _encoder(network.backbone)
    wanted = {name: tensor.shape for name, tensor in encoder.state_dict().items()}
    must_hold(path, state, wanted, network.backbone)
    encoder.load_state_dict({name: state[name] for name in wanted})
    return encoder


def _newer(name: str) -> str:
    """A weight's name in the hub's file → in transformers' modules."""
    for older, newer in NEWER_NAMES:
        name = re.sub(older, newer, name)
    return name
