"""Weights in and out of files, as safetensors: reading them runs no code."""

from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from harness.ledger.errors import BadInput
from harness.ledger.files import read_bytes, sha256_of, shown, write_bytes
from harness.ledger.networks import untrained
from harness.ledger.spec import TeacherFile
from harness.ledger.workload import Workload
from harness.segmentation.networks import build
from harness.segmentation.staged import Staged
from harness.segmentation.states import misfit

WIDEST, HEADER_BYTES = 8, 2**12
"""Bytes of a number at most, and of what a file says of a tensor."""


def save_weights(network: Staged, path: Path, stored_as: torch.dtype = torch.float32) -> str:
    """Writes the network's state as safetensors, its floats as `stored_as`, whole; returns the SHA-256."""
    content = _packed(network, stored_as)
    write_bytes(path, content, durable=True)
    return sha256_of(content)


def keep_weights(network: Staged, folder: Path) -> str:
    """Writes the state as float32 into SHA-256.safetensors, so that no run's weights replace another's."""
    content = _packed(network, torch.float32)
    sha256 = sha256_of(content)
    write_bytes(folder / f"{sha256}.safetensors", content, durable=True)
    return sha256


def _packed(network: Staged, stored_as: torch.dtype) -> bytes:
    return save({name: _stored(tensor.detach().cpu(), stored_as) for name, tensor in network.state_dict().items()})


def _stored(tensor: Tensor, stored_as: torch.dtype) -> Tensor:
    return (tensor.to(stored_as) if tensor.is_floating_point() else tensor).contiguous()


def load_weights(network: Staged, path: Path, expected_sha256: str) -> None:
    """Fills the network from a file, whose digest must be the expected one; no more is read than it can take."""
    wanted = network.state_dict()
    content = read_bytes(path, sum(WIDEST * tensor.numel() + HEADER_BYTES for tensor in wanted.values()))
    if sha256_of(content) != expected_sha256:
        raise BadInput(f"{path}: SHA-256 is {sha256_of(content)[:12]}…, expected {expected_sha256[:12]}…")
    try:
        state = load(content)
    except SafetensorError as error:
        raise BadInput(f"{path}: does not hold this network: {str(error).splitlines()[0]}") from error
    except KeyError as error:  # safetensors' kinds of numbers are more than torch's
        raise BadInput(f"{path}: does not hold this network: found numbers of kind {error}") from error
    if said := _first_misfit(state, wanted):
        raise BadInput(f"{path}: does not hold this network: {said}")
    network.load_state_dict(state)


def _first_misfit(found: Mapping[str, Tensor], wanted: Mapping[str, Tensor]) -> str:
    """The first name that lacks, does not fit or is left over; empty when each is there and fits."""
    for name, tensor in wanted.items():
        if name not in found:
            return f"{name}: found nothing, expected shape {list(tensor.shape)}"
        if said := misfit(found[name], tensor):
            return f"{name}: {said}"
    left_over = next((name for name in found if name not in wanted), None)
    return f"{shown(left_over)}: the network has nothing of that name" if left_over is not None else ""


def load_teacher(workload: Workload, file: TeacherFile) -> Staged:
    """The workload's teacher in eval mode, without gradients."""
    teacher = build(untrained(workload.teacher.network), len(workload.classes), workload.stride)
    load_weights(teacher, Path(file.path), file.sha256)
    return teacher.requires_grad_(False).eval()


def state_sha256(network: Staged) -> str:
    """A digest of all parameters and buffers, by name."""
    parts: list[bytes] = []
    for name, tensor in sorted(network.state_dict().items()):
        parts += [name.encode(), _bytes(tensor)]
    return sha256_of(b"".join(parts))


def _bytes(tensor: Tensor) -> bytes:
    return tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes()
