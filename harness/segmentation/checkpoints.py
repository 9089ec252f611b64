"""A teacher that other code has trained: its weights renamed and held against the workload's network."""

from collections.abc import Iterable, Mapping
from pathlib import Path

import torch
from torch import Tensor

from harness.ledger.errors import BadInput, nearest
from harness.ledger.files import shown
from harness.ledger.networks import untrained
from harness.ledger.workload import Checkpoint, Workload
from harness.segmentation.networks import build
from harness.segmentation.staged import Staged
from harness.segmentation.states import COUNTER, misfit, read_state


def take(workload: Workload, path: Path) -> Staged:
    """The workload's teacher with the weights of a checkpoint; BadInput unless they are this network's."""
    network = build(untrained(workload.teacher.network), len(workload.classes), workload.stride)
    fill(network, path, workload.teacher.checkpoint)
    return network


def fill(network: Staged, path: Path, checkpoint: Checkpoint | None) -> None:
    """Every parameter and buffer of the network is the file's afterwards; BadInput unless all of both match.

    Args:
        network: is changed only when all is well.
        path: a .safetensors of ours, or a state dict of others.
        checkpoint: how their names become this network's; None where they are the same.

    """
    own = network.state_dict()
    given, theirs = _renamed(path, read_state(path), checkpoint)
    _must_match(path, own, given, theirs)
    with torch.no_grad():
        for name, tensor in given.items():
            own[name].copy_(tensor)


def _renamed(
    path: Path, state: Mapping[str, Tensor], checkpoint: Checkpoint | None
) -> tuple[dict[str, Tensor], dict[str, str]]:
    """The tensors under this network's names, and for each of these the file's."""
    keys, left_out = (checkpoint.keys, checkpoint.left_out) if checkpoint is not None else ({}, ())
    theirs: dict[str, str] = {}
    for name in state:
        if not name.isprintable():
            raise BadInput(f"{path}: {shown(name)}: found a name that cannot be printed")
        if left_out and name.startswith(left_out):
            continue
        ours = _mapped(name, keys)
        if ours in theirs:
            raise BadInput(f"{path}: {name}: teacher.checkpoint.keys make it {ours}, as they make {theirs[ours]}")
        theirs[ours] = name
    return {ours: state[name] for ours, name in theirs.items()}, theirs


def _mapped(name: str, keys: Mapping[str, str]) -> str:
    """The name with its longest beginning that is a key replaced."""
    fitting = max((beginning for beginning in keys if name.startswith(beginning)), key=len, default=None)
    return name if fitting is None else keys[fitting] + name.removeprefix(fitting)


def _must_match(path: Path, own: Mapping[str, Tensor], given: Mapping[str, Tensor], theirs: Mapping[str, str]) -> None:
    """BadInput for the first name that lacks, does not fit, or is left over."""
    left_over = [name for name in given if name not in own]
    missing = [name for name in own if name not in given and not name.endswith(COUNTER)]
    if missing:
        wanted = list(own[missing[0]].shape)
        raise BadInput(
            f"{path}: {missing[0]}: found nothing, expected shape {wanted}{_nearest(missing[0], left_over)}"
            f"{_more(missing)}: map its name by teacher.checkpoint.keys"
        )
    for name, tensor in given.items():
        if name in own:
            _must_fit(path, theirs[name], tensor, own[name])
    if left_over:
        raise BadInput(
            f"{path}: {theirs[left_over[0]]}: the teacher has nothing of that name{_more(left_over)}: "
            "if it needs none of it, name its beginning in teacher.checkpoint.left_out"
        )


def _must_fit(path: Path, name: str, found: Tensor, wanted: Tensor) -> None:
    if said := misfit(found, wanted):
        raise BadInput(f"{path}: {name}: {said}")
    if not bool(torch.isfinite(found).all()):
        raise BadInput(f"{path}: {name}: found values that are no numbers")


def _nearest(name: str, known: Iterable[str]) -> str:
    """The nearest name, of those that end alike if there are any: `weight` and `bias` are not taken for each other."""
    known = list(known)
    alike = [each for each in known if each.rpartition(".")[2] == name.rpartition(".")[2]]
    return nearest(name, alike or known)


def _more(names: list[str]) -> str:
    return f" (and {len(names) - 1} more)" if len(names) > 1 else ""
