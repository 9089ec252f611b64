"""Weights of other code: read, renamed, and refused where they are not the network's."""

import os
import pickle
import warnings
import zipfile
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from harness.ledger.errors import BadInput
from harness.ledger.workload import Checkpoint
from harness.segmentation.checkpoints import fill
from harness.segmentation.staged import Staged
from harness.segmentation.states import read_state


def network() -> Staged:
    """A stem with a normalisation, and a classifier: nine tensors, one of them a counter."""
    stem = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4))
    stages = {"stage1": stem, "logits": nn.Conv2d(4, 2, 1)}
    return Staged(stages, {"stage1": ("image",), "logits": ("stage1",)}, {"stage1": 4, "logits": 2}, stride=1)


def theirs() -> dict[str, Tensor]:
    """The same network's weights, other than those of a fresh one, as another code base names them."""
    torch.manual_seed(7)
    state = {name: torch.rand(tensor.shape) for name, tensor in network().state_dict().items() if tensor.ndim}
    names = {"stage1.0": "backbone.conv1", "stage1.1": "backbone.bn1", "logits": "head.cls"}
    return {names[name.rpartition(".")[0]] + "." + name.rpartition(".")[2]: tensor for name, tensor in state.items()}


KEYS = {"backbone.": "stage1.", "backbone.conv1.": "stage1.0.", "backbone.bn1.": "stage1.1.", "head.cls.": "logits."}


def named(**changes: object) -> Checkpoint:
    """What a workload says of them."""
    return Checkpoint(sha256="0" * 64, keys=KEYS).model_copy(update=changes)


def saved(folder: Path, found: object, name: str = "teacher.pth") -> Path:
    torch.save(found, folder / name)
    return folder / name


def complaint(path: Path, checkpoint: Checkpoint | None) -> str:
    """What fill() says, which has changed nothing."""
    filled = network()
    before = {name: tensor.clone() for name, tensor in filled.state_dict().items()}
    with pytest.raises(BadInput) as found:
        fill(filled, path, checkpoint)
    assert all(torch.equal(tensor, before[name]) for name, tensor in filled.state_dict().items())
    text = str(found.value)
    assert "\n" not in text
    assert text.startswith(f"{path}: ")
    return text.removeprefix(f"{path}: ")


def test_the_longest_beginning_that_fits_is_replaced(tmp_path: Path):
    """`backbone.` fits too, and would make stage1.conv1.weight of it."""
    filled = network()
    fill(filled, saved(tmp_path, theirs()), named())
    state = filled.state_dict()
    assert torch.equal(state["stage1.0.weight"], theirs()["backbone.conv1.weight"])
    assert torch.equal(state["stage1.1.running_var"], theirs()["backbone.bn1.running_var"])
    assert torch.equal(state["logits.bias"], theirs()["head.cls.bias"])


def test_our_own_weights_need_no_key(tmp_path: Path):
    """Safetensors of the same network, its counter included."""
    torch.manual_seed(3)
    given, filled = network(), network()
    save_file(given.state_dict(), tmp_path / "ours.safetensors")
    fill(filled, tmp_path / "ours.safetensors", None)
    assert all(torch.equal(tensor, given.state_dict()[name]) for name, tensor in filled.state_dict().items())


@pytest.mark.parametrize(
    "wrapped",
    [
        lambda state: {"state_dict": state, "epoch": 3, "optimizer": {"state": {}}},
        lambda state: {"model": OrderedDict(state)},
        lambda state: {"model": {"state_dict": state}},
        lambda state: {f"module.{name}": tensor for name, tensor in state.items()},
        lambda state: {"state_dict": {f"module.{name}": nn.Parameter(tensor) for name, tensor in state.items()}},
    ],
)
def test_what_training_scripts_put_around_the_weights_is_looked_through(tmp_path: Path, wrapped):
    """A level or two, and DataParallel's beginnings."""
    filled = network()
    fill(filled, saved(tmp_path, wrapped(theirs())), named())
    assert torch.equal(filled.state_dict()["logits.weight"], theirs()["head.cls.weight"])


def test_a_file_from_before_torch_1_6_is_read(tmp_path: Path):
    """It is no zip, and cannot be mapped."""
    torch.save(theirs(), tmp_path / "old.pth", _use_new_zipfile_serialization=False)
    assert read_state(tmp_path / "old.pth").keys() == theirs().keys()


def test_half_precision_becomes_the_networks_own(tmp_path: Path):
    """Float16 in the file, float32 in the network."""
    filled = network()
    fill(filled, saved(tmp_path, {name: tensor.half() for name, tensor in theirs().items()}), named())
    assert filled.state_dict()["logits.bias"].dtype == torch.float32
    assert torch.equal(filled.state_dict()["logits.bias"], theirs()["head.cls.bias"].half().float())


def test_a_name_that_is_missing_is_named_with_the_nearest(tmp_path: Path):
    """A slip in the keys: what was expected, and which of the names that they make might be meant."""
    text = complaint(saved(tmp_path, theirs()), named(keys={**KEYS, "head.cls.": "logit."}))
    assert text == (
        "logits.weight: found nothing, expected shape [2, 4, 1, 1] (did you mean 'logit.weight'?) (and 1 more): "
        "map its name by teacher.checkpoint.keys"
    )


def test_what_is_left_over_is_named(tmp_path: Path):
    """An auxiliary head that this network has not; left out, all is well."""
    path = saved(tmp_path, theirs() | {"aux.weight": torch.zeros(1), "aux.bias": torch.zeros(1)})
    assert complaint(path, named()) == (
        "aux.weight: the teacher has nothing of that name (and 1 more): "
        "if it needs none of it, name its beginning in teacher.checkpoint.left_out"
    )
    fill(network(), path, named(left_out=("aux.",)))


def test_a_wrong_shape_is_named(tmp_path: Path):
    """Three classes instead of two: the file's own name of it."""
    path = saved(tmp_path, theirs() | {"head.cls.weight": torch.zeros(3, 4, 1, 1)})
    assert complaint(path, named()) == "head.cls.weight: found shape [3, 4, 1, 1], expected [2, 4, 1, 1]"


def test_a_wrong_kind_of_number_is_named(tmp_path: Path):
    """Integers where floats belong, and floats that are no numbers."""
    path = saved(tmp_path, theirs() | {"head.cls.bias": torch.zeros(2, dtype=torch.int64)})
    assert complaint(path, named()) == "head.cls.bias: found int64, expected float32"
    path = saved(tmp_path, theirs() | {"head.cls.bias": torch.tensor([1.0, float("nan")])})
    assert complaint(path, named()) == "head.cls.bias: found values that are no numbers"


def test_two_names_that_become_one_are_refused(tmp_path: Path):
    """Whichever came last would win."""
    path = saved(tmp_path, theirs() | {"logits.bias": torch.zeros(2)})
    assert (
        complaint(path, named())
        == "logits.bias: teacher.checkpoint.keys make it logits.bias, as they make head.cls.bias"
    )


def test_a_name_of_several_lines_stays_on_one(tmp_path: Path):
    """What a stranger calls a tensor is shown, not printed."""
    path = saved(tmp_path, theirs() | {"a\nbench: all is well": torch.zeros(1)})
    assert complaint(path, named()) == '"a\\nbench: all is well": found a name that cannot be printed'


class Code:
    """Something whose reading would run a command."""

    def __init__(self, trace: Path) -> None:
        self.trace = trace

    def __reduce__(self):
        return os.mkdir, (str(self.trace),)


@pytest.mark.parametrize("is_zip", [True, False])
def test_a_pickle_that_would_run_code_is_refused(tmp_path: Path, is_zip: bool):
    """On one line, and nothing was run."""
    path, trace = tmp_path / "evil.pth", tmp_path / "it-ran"
    torch.save({"state_dict": theirs(), "args": Code(trace)}, path, _use_new_zipfile_serialization=is_zip)
    assert complaint(path, None) == (
        'holds more than tensors and plain values ("posix.mkdir"), and is not read as that could run code: '
        "expected a state dict, saved without the objects beside it"
    )
    assert not trace.exists()


def test_a_bare_pickle_that_would_run_code_is_refused(tmp_path: Path):
    """Not written by torch.save at all."""
    path, trace = tmp_path / "evil.pt", tmp_path / "it-ran"
    path.write_bytes(pickle.dumps(Code(trace), protocol=4))
    assert "could run code" in complaint(path, None)
    assert not trace.exists()


def test_a_zip_that_holds_more_than_it_is_long_is_refused(tmp_path: Path):
    """Ten million zeros in ten thousand bytes."""
    path = tmp_path / "bomb.pth"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as parts:
        parts.writestr("archive/data.pkl", b"\0" * 10_000_000)
    assert complaint(path, None) == "its parts are compressed, which torch.save never does"


@pytest.mark.parametrize("content", [b"", b"no checkpoint at all", b"PK\x03\x04 broken"])
@pytest.mark.parametrize("name", ["broken.pth", "broken.pt", "broken.safetensors"])
def test_a_broken_file_is_refused(tmp_path: Path, name: str, content: bytes):
    """One line, whatever torch or safetensors make of it."""
    path = tmp_path / name
    path.write_bytes(content)
    assert complaint(path, None)


def test_a_half_written_file_is_refused(tmp_path: Path):
    """A download that broke off."""
    path = saved(tmp_path, theirs())
    path.write_bytes(path.read_bytes()[:-200])
    assert complaint(path, named())


@pytest.mark.parametrize(
    ("found", "said"),
    [
        ([1, 2], "found list: expected a state dict, or one under state_dict or model"),
        ({}, "found dict: expected a state dict, or one under state_dict or model"),
        ({"epoch": 3}, '"epoch": found int: expected a tensor by its name'),
    ],
)
def test_what_is_no_state_dict_is_refused(tmp_path: Path, found: object, said: str):
    """What it is, and what was expected."""
    assert complaint(saved(tmp_path, found), None) == said


@pytest.mark.parametrize("level", ["state_dict", "model"])
def test_a_state_dict_that_holds_itself_is_refused(tmp_path: Path, level: str):
    """There is no end to it, but there is to the levels that are looked through."""
    endless: dict[str, object] = {}
    endless[level] = endless
    assert complaint(saved(tmp_path, endless), None) == f'"{level}": found dict: expected a tensor by its name'


def quantized() -> Tensor:
    """Eight bits a number, with a scale beside them."""
    with warnings.catch_warnings(action="ignore"):
        return torch.quantize_per_tensor(torch.zeros(2), 0.1, 0, torch.quint8)


@pytest.mark.parametrize(
    ("tensor", "kind"),
    [
        (lambda: torch.zeros(2).to_sparse(), "sparse (sparse_coo)"),
        (lambda: torch.zeros(2, device="meta"), "on the device meta"),
        (lambda: torch.zeros(2, dtype=torch.complex64), "complex"),
        (quantized, "quantized"),
    ],
)
def test_a_tensor_that_is_not_plain_is_refused(tmp_path: Path, tensor: Callable[[], Tensor], kind: str):
    """It has the right name and the right shape, and would fail somewhere later."""
    path = saved(tmp_path, theirs() | {"head.cls.bias": tensor()})
    assert complaint(path, named()) == (f'"head.cls.bias": found a tensor that is {kind}: expected plain real numbers')


def test_a_tensor_that_is_not_plain_is_refused_in_safetensors(tmp_path: Path):
    """Of the odd kinds they know the complex numbers."""
    path = tmp_path / "teacher.safetensors"
    save_file(theirs() | {"head.cls.bias": torch.zeros(2, dtype=torch.complex64)}, path)
    assert complaint(path, named()).startswith('"head.cls.bias": found a tensor that is complex')


def test_another_kind_of_file_is_refused(tmp_path: Path):
    """By its name, with the kinds that are read."""
    (tmp_path / "teacher.ckpt").write_bytes(b"")
    assert complaint(tmp_path / "teacher.ckpt", None) == (
        "found a file of kind '.ckpt': expected .safetensors, .pth, .pt, .bin"
    )
