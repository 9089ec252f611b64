"""SegFormer taken apart into stages, against transformers' own; and the hub's names of its weights."""

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from harness.ledger.errors import BadInput
from harness.ledger.networks import SegformerNetwork
from harness.segmentation.networks import build
from harness.segmentation.staged import Staged

transformers = pytest.importorskip("transformers", reason="an extra: pip install 'segkd-bench[segformer]'")

IMAGES = torch.randn(2, 3, 64, 96, generator=torch.Generator().manual_seed(0))
EMBEDDINGS = tuple(f"embedding{depth}" for depth in (1, 2, 3, 4))
STAGES = tuple(f"stage{depth}" for depth in (1, 2, 3, 4))


def small(pretrained: bool = False, dropout: float = 0.5, sha256: str | None = None) -> Staged:
    torch.manual_seed(0)
    described = SegformerNetwork(
        architecture="segformer",
        backbone="mit-b0",
        pretrained=pretrained,
        backbone_sha256=sha256,
        decoder=16,
        dropout=dropout,
    )
    return build(described, 5, 4)


@pytest.fixture(scope="module")
def network() -> Staged:
    return small().eval()


@pytest.mark.parametrize("size", [(64, 96), (65, 94)])
def test_embeddings_are_tokens_and_stages_are_maps_at_strides_4_8_16_32(network, size):
    height, width = size
    sizes = [(-(-height // stride), -(-width // stride)) for stride in (4, 8, 16, 32)]
    with torch.no_grad():
        outputs = network(torch.rand(2, 3, *size), frozenset(network.stages))
    channels = [32, 64, 160, 256]
    assert [tuple(outputs[name].shape) for name in EMBEDDINGS] == [
        (2, h * w, c) for (h, w), c in zip(sizes, channels, strict=True)
    ]
    assert [tuple(outputs[name].shape) for name in STAGES] == [
        (2, c, h, w) for (h, w), c in zip(sizes, channels, strict=True)
    ]
    assert {tuple(outputs[name].shape) for name in ("decoded", "decoded_dropped")} == {(2, 16, *sizes[0])}
    assert tuple(outputs["logits"].shape) == (2, 5, *sizes[0])
    assert list(network.channels.values()) == [32, 32, 64, 64, 160, 160, 256, 256, 16, 16, 5]
    assert network.stride == 4
    assert network.sizes(size, frozenset({"embedding2", "stage2"})) == {
        "embedding2": (sizes[1][0] * sizes[1][1],),
        "stage2": sizes[1],
    }


def reference(network: Staged) -> transformers.SegformerForSemanticSegmentation:
    """Transformers' own network with the weights of ours, in the order in which both run."""
    config = transformers.SegformerConfig(decoder_hidden_size=16, num_labels=5)
    theirs = transformers.SegformerForSemanticSegmentation(config).eval()
    encoder = [value for name, value in network.state_dict().items() if name.startswith(("embedding", "stage"))]
    theirs.segformer.load_state_dict(dict(zip(theirs.segformer.state_dict(), encoder, strict=True)))
    ours = dict(network.decoded.named_parameters()) | dict(network.decoded.named_buffers())
    head = theirs.decode_head
    for depth, projection in enumerate(head.linear_projections):
        projection.proj.weight.data = ours[f"project.{depth}.weight"].data.flatten(1)
        projection.proj.bias.data = ours[f"project.{depth}.bias"].data
    # They join the deepest stage first.
    head.linear_fuse.weight.data = torch.cat(ours["mix.0.weight"].data.chunk(4, dim=1)[::-1], dim=1)
    head.classifier.load_state_dict(network.logits.state_dict())
    return theirs


def test_the_stages_compute_what_transformers_does(network):
    theirs = reference(network)
    with torch.no_grad():
        outputs = network(IMAGES, frozenset({*STAGES, "logits"}))
        expected = theirs(IMAGES, output_hidden_states=True)
    for name, features in zip(STAGES, expected.hidden_states, strict=True):
        torch.testing.assert_close(outputs[name], features, msg=name)
    torch.testing.assert_close(outputs["logits"], expected.logits)


def test_an_unwanted_stage_is_not_run(network):
    ran: list[str] = []
    hooks = [
        network.get_submodule(name).register_forward_hook(lambda *_, name=name: ran.append(name))
        for name in network.stages
    ]
    with torch.no_grad():
        network(IMAGES, frozenset({"embedding3"}))
    for hook in hooks:
        hook.remove()
    assert ran == ["embedding1", "stage1", "embedding2", "stage2", "embedding3"]


def test_every_weight_learns_from_the_logits():
    network = small(dropout=0.0).train()
    network(IMAGES)["logits"].square().sum().backward()
    assert [name for name, weight in network.named_parameters() if weight.grad is None] == []


def test_blocks_are_left_out_at_random_in_training_alone_and_by_torchs_generator(network):
    with torch.no_grad():
        whole = network(IMAGES, frozenset({"stage4"}))["stage4"]
        assert torch.equal(whole, network(IMAGES, frozenset({"stage4"}))["stage4"])
        network.train()
        images = IMAGES[:1].expand(64, -1, -1, -1)
        torch.manual_seed(1)
        features = network(images, frozenset({"stage4"}))["stage4"]
        torch.manual_seed(1)
        again = network(images, frozenset({"stage4"}))["stage4"]
        network.eval()
    assert torch.equal(features, again)
    assert len({image.sum().item() for image in features}) > 1
    rates = [getattr(block.drop_path, "drop_prob", 0.0) for stage in STAGES for block in getattr(network, stage).blocks]
    assert rates == pytest.approx([0.1 * place / 7 for place in range(8)])


def test_channels_are_dropped_between_decoded_and_decoded_dropped():
    network = small().train()
    outputs = network(IMAGES, frozenset({"decoded", "decoded_dropped"}))
    dropped = (outputs["decoded_dropped"] == 0).all(dim=3).all(dim=2)
    assert dropped.any()
    assert torch.equal(outputs["decoded_dropped"][~dropped], 2 * outputs["decoded"][~dropped])


# Weights

OLDER = {
    "attention.q_proj": "attention.self.query",
    "attention.k_proj": "attention.self.key",
    "attention.v_proj": "attention.self.value",
    "attention.o_proj": "attention.output.dense",
    "attention.sequence_reduction.sequence_reduction": "attention.self.sr",
    "attention.sequence_reduction.layer_norm": "attention.self.layer_norm",
    "layernorm_before": "layer_norm_1",
    "layernorm_after": "layer_norm_2",
    "mlp.fc": "mlp.dense",
}


def older(name: str) -> str:
    """A name in transformers' modules → in the files of nvidia/mit-b0, made before the modules were renamed."""
    for new, old in OLDER.items():
        name = name.replace(new, old)
    _, depth, part, rest = name.split(".", 3)
    return f"segformer.encoder.{ {'blocks': 'block'}.get(part, part) }.{depth}.{rest}"


@pytest.fixture
def published(tmp_path, monkeypatch) -> dict[str, Tensor]:
    """As the hub has it: an encoder by its older names, and a classifier of images."""
    monkeypatch.setenv("SEGKD_CACHE", str(tmp_path))
    (tmp_path / "backbones").mkdir()
    torch.manual_seed(1)
    encoder = transformers.SegformerModel(transformers.SegformerConfig()).state_dict()
    return {older(name): value for name, value in encoder.items()} | {"classifier.bias": torch.zeros(1000)}


@pytest.mark.parametrize("suffix", [".safetensors", ".bin"])
def test_the_hubs_weights_fill_the_encoder_under_their_older_names(published, tmp_path, suffix):
    assert "segformer.encoder.block.0.1.attention.self.sr.weight" in published
    path = tmp_path / "backbones" / f"mit-b0{suffix}"
    save_file(published, path) if suffix == ".safetensors" else torch.save(published, path)
    network = small(pretrained=True)
    encoder = {name: value for name, value in network.state_dict().items() if name.startswith(("embedding", "stage"))}
    expected = {name: value for name, value in published.items() if name != "classifier.bias"}
    assert len(encoder) == len(expected)
    assert all(map(torch.equal, encoder.values(), expected.values()))


def test_a_file_that_lacks_a_weight_of_the_encoder_is_refused(published, tmp_path):
    path = tmp_path / "backbones" / "mit-b0.safetensors"
    del published["segformer.encoder.block.3.1.mlp.dense2.bias"]
    save_file(published, path)
    with pytest.raises(BadInput) as error:
        small(pretrained=True)
    assert str(error.value) == f"{path}: stages.3.blocks.1.mlp.fc2.bias: found nothing, expected shape [256] of mit-b0"


def test_a_file_of_another_sha256_is_refused(published, tmp_path):
    save_file(published, tmp_path / "backbones" / "mit-b0.safetensors")
    with pytest.raises(BadInput, match=r"expected 01234567 \(backbone_sha256 of mit-b0\)"):
        small(pretrained=True, sha256="01234567")
