"""State dicts that other code has saved, read without running any of theirs."""

import pickle
import re
import warnings
import zipfile
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from harness.ledger.errors import BadInput
from harness.ledger.files import shown

PICKLES = (".pth", ".pt", ".bin")
SUFFIXES = (".safetensors", *PICKLES)
LEVELS = ("state_dict", "model")
"""Under which training scripts keep the weights, beside the optimizer's state and the epoch."""
PARALLEL = "module."
"""What DataParallel puts before every name."""
COUNTER = "num_batches_tracked"
"""Weights converted from an old torch have no such counter, and nothing here reads it."""


def read_state(path: Path) -> dict[str, Tensor]:
    """The tensors of a checkpoint by name, on the CPU; no code of the file's is run, nor more read than it is long."""
    if path.suffix == ".safetensors":
        try:
            tensors: dict[str, Tensor] = load_file(path)
        except (SafetensorError, OSError, KeyError) as error:  # KeyError: numbers of a kind that torch lacks
            raise BadInput(f"{path}: no readable safetensors file: {_line(error)}") from error
        for name, tensor in tensors.items():
            _must_be_plain(path, name, tensor)
        return tensors
    if path.suffix not in PICKLES:
        raise BadInput(f"{path}: found a file of kind {path.suffix!r}: expected {', '.join(SUFFIXES)}")
    return _tensors(path, _unpickled(path))


def _unpickled(path: Path) -> object:
    """What torch.save has written, as far as it consists of tensors and plain values."""
    is_zip = zipfile.is_zipfile(path)
    try:
        if is_zip and _is_packed(path):
            raise BadInput(f"{path}: its parts are compressed, which torch.save never does")
        # Mapped, not read: a tensor that nobody asks for takes no memory. Files older than torch 1.6 cannot be.
        with warnings.catch_warnings(action="ignore"):  # what torch warns of is refused or read
            return torch.load(path, map_location="cpu", weights_only=True, mmap=is_zip)
    except pickle.UnpicklingError as error:
        raise BadInput(f"{path}: {_refusal(error)}") from error
    except BadInput:
        raise
    except Exception as error:  # A broken file makes torch and zipfile fail in any way.
        raise BadInput(f"{path}: no readable torch file: {type(error).__name__}: {_line(error)}") from error


def _is_packed(path: Path) -> bool:
    """Whether a zip holds more than it is long."""
    with zipfile.ZipFile(path) as parts:
        return any(part.compress_type != zipfile.ZIP_STORED for part in parts.infolist())


def _refusal(error: pickle.UnpicklingError) -> str:
    """What of the file torch would not read, found in its several lines of advice."""
    named = re.search(r"GLOBAL (\S+)", str(error))
    what = f" ({shown(named[1])})" if named else ""
    return (
        f"holds more than tensors and plain values{what}, and is not read as that could run code: "
        "expected a state dict, saved without the objects beside it"
    )


def _tensors(path: Path, found: object) -> dict[str, Tensor]:
    """The state dict in what was found, without DataParallel's beginnings; BadInput where there is none."""
    for _ in LEVELS:  # A file may hold itself: no deeper than there are names for.
        if isinstance(found, Mapping) and (level := next((key for key in LEVELS if _is_level(found, key)), None)):
            found = found[level]
    if not isinstance(found, Mapping) or not found:
        raise BadInput(
            f"{path}: found {type(found).__name__}: expected a state dict, or one under {' or '.join(LEVELS)}"
        )
    for name, tensor in found.items():
        if not (isinstance(name, str) and isinstance(tensor, Tensor)):
            raise BadInput(f"{path}: {shown(name)}: found {type(tensor).__name__}: expected a tensor by its name")
        _must_be_plain(path, name, tensor)
    if all(name.startswith(PARALLEL) for name in found):
        return {name.removeprefix(PARALLEL): tensor for name, tensor in found.items()}
    return dict(found)


def _must_be_plain(path: Path, name: str, tensor: Tensor) -> None:
    """BadInput for a tensor that is not one real number after another in this machine's memory."""
    if kind := _odd_kind(tensor):
        raise BadInput(f"{path}: {shown(name)}: found a tensor that is {kind}: expected plain real numbers")


def _odd_kind(tensor: Tensor) -> str:
    """What sets the tensor apart from plain ones; nothing of most."""
    if tensor.is_nested:
        return "nested"
    if tensor.layout != torch.strided:
        return f"sparse ({str(tensor.layout).removeprefix('torch.')})"
    if tensor.device.type != "cpu":
        return f"on the device {tensor.device}"
    if tensor.is_quantized:
        return "quantized"
    return "complex" if tensor.is_complex() else ""


def misfit(found: Tensor, wanted: Tensor) -> str:
    """Why a tensor of a file cannot be the network's: its shape or its kind of number; empty when it can."""
    if found.shape != wanted.shape:
        return f"found shape {list(found.shape)}, expected {list(wanted.shape)}"
    if (found.is_floating_point(), found.is_complex()) != (wanted.is_floating_point(), wanted.is_complex()):
        return f"found {_kind(found)}, expected {_kind(wanted)}"
    return ""


def _kind(tensor: Tensor) -> str:
    return str(tensor.dtype).removeprefix("torch.")


def _is_level(found: Mapping[object, object], key: str) -> bool:
    return isinstance(found.get(key), Mapping)


def _line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
