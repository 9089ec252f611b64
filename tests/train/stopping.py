"""Runs that are asked to stop at a certain update, and what they leave."""

import dataclasses
from collections.abc import Mapping
from pathlib import Path

import pytest
import torch
from torch import Tensor

from harness.ledger.results import checkpoint_path
from harness.ledger.spec import RunSpec
from harness.train.checkpoint import Checkpoint, load
from harness.train.heartbeat import Heartbeat
from harness.train.run import Run
from harness.train.stop import Interrupted
from harness.train.trainee import Trainee

MOST = 2**30


def run_of(planned: RunSpec, folder: Path) -> Run:
    folder.mkdir(exist_ok=True)
    return Run(planned, folder / "out.json", Heartbeat(folder / "out.json"), folder)


def kept(folder: Path, planned: RunSpec) -> Checkpoint:
    """The run's checkpoint, which is there."""
    return load(checkpoint_path(folder, planned.key), planned.key, MOST)


def ask_during(monkeypatch: pytest.MonkeyPatch, run: Run, update: int) -> None:
    """The signal comes while the run is at this update, of the preparation and the training counted together."""
    done = 0

    def asking(name: str) -> None:
        original = getattr(Trainee, name)

        def asked(self: Trainee, *arguments, **named) -> None:
            nonlocal done
            original(self, *arguments, **named)
            done += run.heartbeat.phase != "warm-up"
            if done == update:
                run.heartbeat.stop.asked = "SIGUSR2"

        monkeypatch.setattr(Trainee, name, asked)

    asking("iterate")
    asking("prepare")


def interrupt(monkeypatch: pytest.MonkeyPatch, planned: RunSpec, folder: Path, update: int) -> str:
    """Begins the run, or goes on with it, until the signal comes during that update; what the run says."""
    run = run_of(planned, folder)
    with monkeypatch.context() as patched:
        ask_during(patched, run, update)
        with pytest.raises(Interrupted) as said:
            run.train()
    return str(said.value)


def differences(one: object, other: object, name: str = "") -> list[str]:
    """Names of the leaves that are not the same to the last bit."""
    if isinstance(one, Tensor) and isinstance(other, Tensor):
        same = one.dtype == other.dtype and torch.equal(one, other)
        return [] if same or _bits(one) == _bits(other) else [name]
    if isinstance(one, Mapping) and isinstance(other, Mapping) and one.keys() == other.keys():
        return [found for key in one for found in differences(one[key], other[key], f"{name}.{key}")]
    if isinstance(one, list | tuple) and isinstance(other, list | tuple) and len(one) == len(other):
        return [
            found for i, pair in enumerate(zip(one, other, strict=True)) for found in differences(*pair, f"{name}[{i}]")
        ]
    return [] if one == other else [name]


def _bits(tensor: Tensor) -> tuple[torch.dtype, torch.Size, bytes]:
    return tensor.dtype, tensor.shape, tensor.contiguous().reshape(-1).view(torch.uint8).numpy().tobytes()


def exactly(one: Checkpoint, other: Checkpoint) -> list[str]:
    """Where two runs' last checkpoints differ, but for the seconds that each took."""
    tensors = differences([vars(one.trainee), one.batches], [vars(other.trainee), other.batches])
    curves = [[point.model_dump(exclude={"spent_seconds"}) for point in each.facts.curve] for each in (one, other)]
    reached = [dataclasses.replace(each.facts.reached, preparation_seconds=0.0) for each in (one, other)]
    plain = differences([reached[0], *curves[0]], [reached[1], *curves[1]], "facts")
    return tensors + plain
