"""State dicts that other code has saved, read without running any of theirs."""

import mmap
import os
import pickle
import pickletools
import re
import warnings
import zipfile
from collections.abc import Mapping
from io import BytesIO
from pathlib import Path
from typing import IO

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

ZIP = b"PK\x03\x04"
"""How a file begins that torch reads as a zip."""
LEADING = 5
"""Pickles of an older file: its kind, its version, its machine, what was saved, and the names of its storages."""
NAMES = frozenset(
    {
        "collections.OrderedDict",
        "torch.Size",
        "torch.device",
        "torch.storage.UntypedStorage",
        "torch.nn.parameter.Parameter",
        "torch.serialization._get_layout",
        "torch._utils._rebuild_parameter",
        "torch._utils._rebuild_parameter_with_state",
        "torch._utils._rebuild_tensor",
        "torch._utils._rebuild_tensor_v2",
        "torch._utils._rebuild_tensor_v3",
        # Of tensors that are no plain ones: told by their names.
        "torch._utils._rebuild_meta_tensor_no_storage",
        "torch._utils._rebuild_qtensor",
        "torch._utils._rebuild_sparse_tensor",
        # Of plain values, which a method may keep in its state.
        "_codecs.encode",
        "__builtin__.complex",
        "__builtin__.set",
        "builtins.complex",
        "builtins.set",
        "collections.Counter",
    }
    | {str(value) for value in vars(torch).values() if isinstance(value, torch.dtype | torch.qscheme)}
    | {f"{kind.__module__}.{kind.__name__}" for kind in torch._storage_classes if kind.__module__ == "torch"}
)
"""What a pickle may name: torch lets it name more, as a bytearray of whatever length the file says."""


class Odd(ValueError):
    """What torch.save never writes: meant to fill the memory."""


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
    try:
        return loaded(path)
    except pickle.UnpicklingError as error:
        raise BadInput(f"{path}: {_refusal(error)}") from error
    except Odd as error:
        raise BadInput(f"{path}: {error}") from error
    except Exception as error:  # A broken file makes torch and zipfile fail in any way.
        raise BadInput(f"{path}: no readable torch file: {type(error).__name__}: {_line(error)}") from error


def loaded(file: Path | BytesIO) -> object:
    """What torch has saved, as far as it is tensors and plain values; no code of the file's is run.

    Raises:
        UnpicklingError: for what is neither, in torch's words.
        Odd: for what would take more memory than the file is long; and whatever torch, zipfile and pickletools raise
            on a file that torch has not written.

    """
    with file.open("rb") if isinstance(file, Path) else BytesIO(file.getbuffer()) as content:
        is_zip = content.read(len(ZIP)) == ZIP
        (_zip_must_be_plain if is_zip else _pickles_must_be_plain)(content)
        size = content.seek(0, os.SEEK_END)
    # Mapped, not read: a tensor that nobody asks for takes no memory. Files older than torch 1.6 cannot be.
    is_mapped = is_zip and isinstance(file, Path)
    with warnings.catch_warnings(action="ignore"):  # what torch warns of is refused or read
        found: object = torch.load(file, map_location="cpu", weights_only=True, mmap=is_mapped)
    _must_be_held(found, size)
    return found


def _zip_must_be_plain(content: IO[bytes]) -> None:
    """As below, of the part of a zip that torch itself finds; and that no part holds more than it is long."""
    with zipfile.ZipFile(content) as parts:
        if any(part.compress_type != zipfile.ZIP_STORED for part in parts.infolist()):
            raise Odd("its parts are compressed, which torch.save never does")
    content.seek(0)
    _names_must_be_plain(BytesIO(torch._C.PyTorchFileReader(content).get_record("data.pkl")))


def _pickles_must_be_plain(content: IO[bytes]) -> None:
    """UnpicklingError where an older file's pickles name what is neither a tensor nor a plain value."""
    if isinstance(content, BytesIO):
        raise Odd("its tensors are no zip, as torch.save writes them")
    # Mapped: of a file a pickle may ask for more bytes at once than the memory holds.
    with mmap.mmap(content.fileno(), 0, access=mmap.ACCESS_READ) as pickles:
        for _ in range(LEADING):
            if pickles.tell() < len(pickles):  # of what lacks torch tells
                _names_must_be_plain(pickles)


def _names_must_be_plain(pickled: IO[bytes] | mmap.mmap) -> None:
    """UnpicklingError for the first name that is not among NAMES; torch looks names up by GLOBAL alone."""
    for operation, argument, _ in pickletools.genops(pickled):  # type: ignore[arg-type]  # an mmap reads as a file does
        if operation.name == "GLOBAL" and (name := str(argument).replace(" ", ".")) not in NAMES:
            plain = re.sub("^(__builtin__|builtins)[.]", "", name)
            raise pickle.UnpicklingError(f"GLOBAL {plain} is none of a state dict's")


def _must_be_held(found: object, most: int, seen: set[int] | None = None) -> None:
    """Odd for a tensor that is larger than its own bytes, as one of stride 0, or than the whole file."""
    seen = set() if seen is None else seen
    if id(found) in seen:  # it may hold itself
        return
    seen.add(id(found))
    if isinstance(found, Tensor):
        if not _odd_kind(found) and found.numel() * found.itemsize > min(most, found.untyped_storage().nbytes()):
            raise Odd(f"holds a tensor of shape {list(found.shape)}: larger than what the file holds of it")
    elif isinstance(found, Mapping | list | tuple):
        for held in found.values() if isinstance(found, Mapping) else found:
            _must_be_held(held, most, seen)


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
