"""What a stopped run goes on from. Written off the clock, whole or not at all, and read without running code.

A line that says what it is, a line with the SHA-256 of all that follows, a line of facts as JSON, and the tensors as
torch saves them.
"""

import hashlib
import io
import os
import pickle
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import torch
from pydantic import Field, ValidationError
from torch import Tensor

from harness.ledger.errors import BadInput
from harness.ledger.files import Value, read_bytes
from harness.ledger.record import Point
from harness.ledger.results import checkpoint_files
from harness.segmentation.states import loaded
from harness.train.pace import Reached
from harness.train.trainee import Snapshot, Trainee

FIRST_LINE = b"segkd checkpoint, format 3"

TORN = (
    OSError,
    RuntimeError,  # RecursionError too
    EOFError,
    MemoryError,
    OverflowError,
    ValueError,
    TypeError,
    LookupError,
    AttributeError,
    pickle.UnpicklingError,
    zipfile.BadZipFile,
)
"""What reading tensors that torch has not saved, or not so, may raise."""

Seconds = Annotated[float, Field(ge=0)]


class Facts(Value):
    """What of a checkpoint is no tensor."""

    key: str
    reached: Reached
    spent_seconds: Seconds
    """By the budget clock."""
    wall_seconds: Seconds
    """The wall's while that clock ran."""
    lived_seconds: Seconds
    """The wall's since the work began, of every process up to its checkpoint."""
    curve: tuple[Point, ...]


@dataclass(frozen=True)
class Checkpoint:
    """A run between two iterations."""

    facts: Facts
    trainee: Snapshot
    batches: dict[str, Tensor]


def most_bytes(trainee: Trainee) -> int:
    """Of a checkpoint of such a trainee: weights, their optimizers' moments, and room for what else a method keeps."""
    return 2**26 + 8 * (_bytes_of(trainee.student.state_dict()) + _bytes_of(trainee.distiller.state_dict()))


def _bytes_of(state: object) -> int:
    """Of all tensors in it, however deep: a method's extra state holds its optimizers'."""
    if isinstance(state, Tensor):
        return state.nbytes
    if isinstance(state, Mapping):
        return sum(map(_bytes_of, state.values()))
    return sum(map(_bytes_of, state)) if isinstance(state, list | tuple) else 0


def save(path: Path, checkpoint: Checkpoint, *, keeps_old: bool = True) -> None:
    """Replaces the checkpoint; the old one is kept as the one before, unless nothing can go on from it."""
    tensors = io.BytesIO()
    torch.save({"trainee": {**vars(checkpoint.trainee), "remembered": None}, "batches": checkpoint.batches}, tensors)
    facts = checkpoint.facts.model_dump_json().encode() + b"\n"
    digest = hashlib.sha256(facts)
    digest.update(tensors.getbuffer())
    _, before, new = checkpoint_files(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    new.unlink(missing_ok=True)  # what is there may be a pipe, which blocks
    try:
        with new.open("xb") as file:
            for part in (FIRST_LINE + b"\n", digest.hexdigest().encode() + b"\n", facts, tensors.getbuffer()):
                file.write(part)
            file.flush()
            os.fsync(file.fileno())  # else a node that dies may leave the new name with nothing under it
    except OSError:
        new.unlink(missing_ok=True)
        raise
    if keeps_old and path.exists():
        os.replace(path, before)
    os.replace(new, path)


def load(path: Path, key: str, most: int) -> Checkpoint:
    """The checkpoint in a file of at most so many bytes; BadInput when it is torn, or another run's."""
    first, _, rest = read_bytes(path, most).partition(b"\n")
    if first != FIRST_LINE:
        raise BadInput(f"{path}: is no checkpoint of this version: expected it to begin with {FIRST_LINE.decode()!r}")
    digest, _, rest = rest.partition(b"\n")
    found = hashlib.sha256(rest).hexdigest()
    if found.encode() != digest:
        raise BadInput(f"{path}: is torn: its SHA-256 is {found[:12]}…, which is not what its second line says")
    told, _, tensors = rest.partition(b"\n")
    try:
        facts = Facts.model_validate_json(told)
    except ValidationError as error:
        raise BadInput(f"{path}: is no checkpoint: {error.error_count()} faults in its third line") from error
    if facts.key != key:
        raise BadInput(f"{path}: found the checkpoint of {facts.key!r}: expected that of {key!r}")
    try:
        state: Any = loaded(io.BytesIO(tensors))
        return Checkpoint(facts=facts, trainee=Snapshot(**state["trainee"]), batches=state["batches"])
    except TORN as error:
        said = str(error).strip().splitlines()
        raise BadInput(f"{path}: is no checkpoint: {said[0] if said else type(error).__name__}") from error
