"""Weights in files of ours: what does not hold the network is told by its first name that does not fit."""

import errno
import os
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from harness.ledger.errors import BadInput
from harness.ledger.files import file_sha256
from harness.segmentation.staged import Staged
from harness.segmentation.weights import keep_weights, load_weights, save_weights, state_sha256


def network(seed: int) -> Staged:
    """A convolution, a normalisation and a classifier, of random weights."""
    torch.manual_seed(seed)
    stem = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4))
    stages = {"stage1": stem, "logits": nn.Conv2d(4, 2, 1)}
    return Staged(stages, {"stage1": ("image",), "logits": ("stage1",)}, {"stage1": 4, "logits": 2}, stride=1)


def complaint(path: Path, state: dict[str, Tensor]) -> str:
    """What is said of a file with that state, which has changed nothing."""
    save_file(state, path)
    filled = network(1)
    with pytest.raises(BadInput) as found:
        load_weights(filled, path, file_sha256(path))
    assert state_sha256(filled) == state_sha256(network(1))
    return str(found.value).removeprefix(f"{path}: does not hold this network: ")


def test_what_was_saved_is_loaded(tmp_path: Path):
    """To the last bit, counters included."""
    given, filled = network(1), network(2)
    digest = save_weights(given, tmp_path / "w.safetensors")
    load_weights(filled, tmp_path / "w.safetensors", digest)
    assert state_sha256(filled) == state_sha256(given)


def test_half_precision_fills_the_network(tmp_path: Path):
    """As teachers are stored that ship."""
    given, filled = network(1), network(2)
    digest = save_weights(given, tmp_path / "w.safetensors", torch.float16)
    load_weights(filled, tmp_path / "w.safetensors", digest)
    assert torch.equal(filled.state_dict()["logits.bias"], given.state_dict()["logits.bias"].half().float())


def test_students_that_are_kept_at_once_by_processes_of_one_number_keep_their_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """Two nodes that share the folder: when the first gives its file its name the second keeps another student."""
    replace, digests = os.replace, []

    def meanwhile(source: Path, target: Path) -> None:
        if not target.name.startswith("."):
            monkeypatch.setattr(os, "replace", replace)
            digests.append(keep_weights(network(2), tmp_path))
        replace(source, target)

    monkeypatch.setattr(os, "getpid", lambda: 7)
    monkeypatch.setattr(os, "replace", meanwhile)
    digests.append(keep_weights(network(1), tmp_path))
    assert digests[0] != digests[1]
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(f"{each}.safetensors" for each in digests)
    assert [file_sha256(tmp_path / f"{each}.safetensors") for each in digests] == digests


def test_a_student_that_cannot_be_kept_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """A disk that turns out to be full when the file is to be on it for good."""

    def full(file: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left on device"):
        keep_weights(network(1), tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_the_first_name_that_does_not_fit_is_named(tmp_path: Path):
    """Nothing of the name, another shape, another kind of number, a name too many."""
    path, state = tmp_path / "w.safetensors", network(1).state_dict()
    without = {name: tensor for name, tensor in state.items() if name != "stage1.1.running_mean"}
    assert complaint(path, without) == "stage1.1.running_mean: found nothing, expected shape [4]"
    wider = state | {"logits.weight": torch.zeros(3, 4, 1, 1)}
    assert complaint(path, wider) == "logits.weight: found shape [3, 4, 1, 1], expected [2, 4, 1, 1]"
    whole = state | {"logits.bias": torch.zeros(2, dtype=torch.int64)}
    assert complaint(path, whole) == "logits.bias: found int64, expected float32"
    more = state | {"aux.bias": torch.zeros(2)}
    assert complaint(path, more) == '"aux.bias": the network has nothing of that name'


def test_a_file_of_another_digest_is_not_read(tmp_path: Path):
    """Whatever it holds."""
    (tmp_path / "w.safetensors").write_bytes(b"weights")
    with pytest.raises(BadInput, match=r"SHA-256 is [0-9a-f]{12}…, expected 0{12}…$"):
        load_weights(network(1), tmp_path / "w.safetensors", "0" * 64)
