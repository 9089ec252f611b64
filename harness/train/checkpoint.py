"""What a stopped run goes on from. Written off the clock, whole or not at all, and read without running code."""

import dataclasses
import io
import pickle
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from harness.ledger.errors import BadInput
from harness.ledger.files import write_bytes
from harness.train.pace import Reached
from harness.train.trainee import Snapshot

FORMAT = 2

TORN = (OSError, RuntimeError, EOFError, ValueError, TypeError, LookupError, AttributeError, pickle.UnpicklingError)
"""What reading a file that is no checkpoint, or half of one, may raise."""


@dataclass(frozen=True)
class Checkpoint:
    """A run between two iterations."""

    key: str
    trainee: Snapshot
    batches: dict[str, Tensor]
    reached: Reached
    spent_seconds: float
    wall_seconds: float
    curve: tuple[str, ...]
    """Points as JSON."""


def save(path: Path, checkpoint: Checkpoint) -> None:
    """Replaces the run's checkpoint."""
    state: dict[str, Any] = {field.name: getattr(checkpoint, field.name) for field in dataclasses.fields(checkpoint)}
    state |= {
        "format": FORMAT,
        "trainee": {**vars(checkpoint.trainee), "remembered": None},
        "reached": dataclasses.asdict(checkpoint.reached),
    }
    content = io.BytesIO()
    torch.save(state, content)
    write_bytes(path, content.getvalue())


def load(path: Path, key: str) -> Checkpoint:
    """The checkpoint in a file; BadInput when it is torn, or another run's."""
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
        found = state.pop("format")
        trainee, reached = Snapshot(**state.pop("trainee")), Reached(**state.pop("reached"))
        checkpoint = Checkpoint(trainee=trainee, reached=reached, **state)
    except TORN as error:
        said = str(error).strip().splitlines()
        raise BadInput(f"{path}: is no checkpoint: {said[0] if said else type(error).__name__}") from error
    if (checkpoint.key, found) != (key, FORMAT):
        raise BadInput(f"{path}: found {checkpoint.key!r}, format {found}: expected {key!r}, format {FORMAT}")
    return checkpoint
