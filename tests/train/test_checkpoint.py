"""The file of a checkpoint: whole or refused, and read without being believed."""

import hashlib
import io
import os
import pickle
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from harness.ledger.errors import BadInput
from harness.ledger.record import Point
from harness.ledger.results import checkpoint_files
from harness.train import trainee
from harness.train.checkpoint import FIRST_LINE, Checkpoint, Facts, load, save
from harness.train.pace import Reached
from harness.train.trainee import Snapshot

MOST = 2**20


def checkpoint(done: int = 7) -> Checkpoint:
    """Of a run of two weights."""
    points = (Point(iteration=done, spent_seconds=0.1, task_loss=1 / 3, term_losses=(0.2,), learning_rate=0.05),)
    reached = Reached(planned=40, done=done, looked=0.15)
    facts = Facts(
        key="run", reached=reached, spent_seconds=0.1 + 0.2, wall_seconds=1.5, lived_seconds=9.0, curve=points
    )
    held = {"weight": torch.tensor([1.0, float("nan")])}
    none = torch.zeros(1, dtype=torch.uint8)
    return Checkpoint(facts, Snapshot(held, {}, {}, none, none, None, torch.zeros(2), {"a": "b"}), {"order": none})


def wrapped(told: bytes, tensors: bytes) -> bytes:
    """A file whose checksum is right whatever it holds."""
    rest = told + b"\n" + tensors
    return FIRST_LINE + b"\n" + hashlib.sha256(rest).hexdigest().encode() + b"\n" + rest


def told() -> bytes:
    return checkpoint().facts.model_dump_json().encode()


def test_what_was_saved_is_loaded(tmp_path: Path):
    """To the last bit, but for what a method remembers of its own process."""
    path = tmp_path / "run.checkpoint"
    save(path, checkpoint())
    found = load(path, "run", MOST)
    assert found.facts == checkpoint().facts
    assert found.facts.spent_seconds == 0.1 + 0.2
    assert torch.equal(found.trainee.student["weight"], checkpoint().trainee.student["weight"]) is False  # a NaN
    assert found.trainee.student["weight"].isnan().tolist() == [False, True]
    assert found.trainee.remembered is None


def test_the_one_before_stays(tmp_path: Path):
    """Of three that were saved the last two are there, and nothing that was half-written."""
    path = tmp_path / "work" / "run.checkpoint"
    for done in (1, 2, 3):
        save(path, checkpoint(done))
    newest, before, new = checkpoint_files(path)
    assert [load(file, "run", MOST).facts.reached.done for file in (newest, before)] == [3, 2]
    assert sorted(path.parent.iterdir()) == [newest, before]
    save(path, checkpoint(4), keeps_old=False)
    assert [load(file, "run", MOST).facts.reached.done for file in (newest, before)] == [4, 2]
    assert not new.exists()


def test_a_disk_that_is_full_leaves_both_as_they_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    path = tmp_path / "run.checkpoint"
    save(path, checkpoint(1))
    save(path, checkpoint(2))

    def full(file: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        save(path, checkpoint(3))
    newest, before, new = checkpoint_files(path)
    assert [load(file, "run", MOST).facts.reached.done for file in (newest, before)] == [2, 1]
    assert not new.exists()


@pytest.mark.parametrize("cut", [0, 1, 10, 26, 60, 91, 200, 500, -1])
def test_a_part_of_a_file_is_no_checkpoint(tmp_path: Path, cut: int):
    path = tmp_path / "run.checkpoint"
    save(path, checkpoint())
    path.write_bytes(path.read_bytes()[:cut])
    with pytest.raises(BadInput, match=r"run\.checkpoint: is (torn|no checkpoint)"):
        load(path, "run", MOST)


def test_every_altered_byte_is_noticed(tmp_path: Path):
    """Also those in a weight, which torch would load."""
    path = tmp_path / "run.checkpoint"
    save(path, checkpoint())
    whole = path.read_bytes()
    for place in range(0, len(whole), 37):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 4]) + whole[place + 1 :])
        with pytest.raises(BadInput, match=r"is torn|is no checkpoint"):
            load(path, "run", MOST)


class Code:
    """What runs when it is unpickled, where one lets it."""

    def __reduce__(self):
        return os.mkdir, ("ran",)


def hostile() -> dict[str, bytes]:
    """Files that a stranger made, whose checksums are right."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as parts:
        parts.writestr("archive/data.pkl", pickle.dumps({}))
        parts.writestr("archive/data/0", bytes(2**24))
    code = io.BytesIO()
    torch.save({"trainee": Code(), "batches": {}}, code)
    odd = io.BytesIO()
    torch.save({"trainee": {"student": {}}, "batches": []}, odd)
    plain = io.BytesIO()
    torch.save([1, 2], plain)
    return {
        "code": wrapped(told(), code.getvalue()),
        "packed": wrapped(told(), packed.getvalue()),
        "pickle": wrapped(told(), pickle.dumps(Code())),
        "odd": wrapped(told(), odd.getvalue()),
        "plain": wrapped(told(), plain.getvalue()),
        "facts": wrapped(told().replace(b'"done":7', b'"done":"7"'), b""),
        "deep": wrapped(b"[" * 100_000, b""),
        "long": wrapped(told(), bytes(MOST)),
        "older": b"PK\x03\x04",
    }


@pytest.mark.parametrize("kind", hostile())
def test_a_strangers_checkpoint_is_refused_and_runs_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str):
    """In one line, whatever is in it."""
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "run.checkpoint"
    path.write_bytes(hostile()[kind])
    with pytest.raises(BadInput) as said:
        load(path, "run", MOST)
    assert str(said.value).startswith(f"{path}: ")
    assert len(str(said.value).splitlines()) == 1
    assert not (tmp_path / "ran").exists()


def test_a_number_that_stands_for_a_large_tensor_is_refused(tmp_path: Path):
    """2²⁷ times the same, which whoever goes on from it would copy."""
    path = tmp_path / "run.checkpoint"
    save(path, replace(checkpoint(), batches={"remaining": torch.zeros(1, dtype=torch.int64).expand(2**27)}))
    with pytest.raises(BadInput, match=r"is no checkpoint: holds a tensor of shape \[134217728\]: larger than what"):
        load(path, "run", MOST)


def test_a_copy_is_another_and_the_same(monkeypatch: pytest.MonkeyPatch):
    """Also with tensors that are copied to the machine's memory: what torch notes beside them is there."""
    network = torch.nn.Sequential(torch.nn.Conv2d(3, 2, 1), torch.nn.BatchNorm2d(2))
    state = {"network": network.state_dict(), "deep": [({"a": torch.ones(2)},), 3]}
    for on_cards in (trainee._on_cards, tensors_of):
        monkeypatch.setattr(trainee, "_on_cards", on_cards)
        copied = trainee._copied(state)
        assert copied["network"]._metadata == state["network"]._metadata
        assert copied["deep"][1] == 3
        for found, given in zip(tensors_of(copied), tensors_of(state), strict=True):
            assert torch.equal(found, given)
            assert found.data_ptr() != given.data_ptr()


def tensors_of(state: object) -> list[torch.Tensor]:
    if isinstance(state, torch.Tensor):
        return [state]
    if isinstance(state, dict):
        return tensors_of(list(state.values()))
    return [tensor for held in state for tensor in tensors_of(held)] if isinstance(state, list | tuple) else []


def test_a_clock_cannot_be_set_back(tmp_path: Path):
    """A run that has spent less than nothing would never end."""
    path = tmp_path / "run.checkpoint"
    facts = checkpoint().facts.model_copy(update={"spent_seconds": -1e9})
    save(path, replace(checkpoint(), facts=facts))
    with pytest.raises(BadInput, match="1 faults in its third line"):
        load(path, "run", MOST)
