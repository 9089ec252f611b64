"""State dicts of a stranger: what they call and what they claim takes no more memory than the file is long."""

import io
import pickle
import zipfile
from collections import Counter, OrderedDict
from pathlib import Path

import pytest
import torch
from torch._weights_only_unpickler import _get_allowed_globals

from harness.ledger.errors import BadInput
from harness.segmentation.states import NAMES, Odd, loaded, read_state
from tests.security.hostile import bounded

FILL = b"\x80\x02cbuiltins\nbytearray\nJ" + (2**29).to_bytes(4, "little") + b"\x85R."
"""Half a gibibyte of zeros, asked for in 33 bytes."""
WORDS = 'holds more than tensors and plain values ("bytearray"), and is not read as that could run code: '


def with_pickle(whole: bytes, pickled: bytes) -> bytes:
    """What torch has saved, its pickle another."""
    made = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(whole)) as parts, zipfile.ZipFile(made, "w", zipfile.ZIP_STORED) as others:
        for part in parts.infolist():
            others.writestr(part.filename, pickled if part.filename.endswith("data.pkl") else parts.read(part))
    return made.getvalue()


def saved(state: object, *, is_zip: bool = True) -> bytes:
    file = io.BytesIO()
    torch.save(state, file, _use_new_zipfile_serialization=is_zip)
    return file.getvalue()


def hostile() -> dict[str, bytes]:
    """In a zip, also one of two such parts; in a file as torch wrote it before 1.6, wherever a pickle is read."""
    new, old = saved({}), saved({}, is_zip=False)
    twice = io.BytesIO(with_pickle(new, pickle.dumps({}, protocol=2)))
    with zipfile.ZipFile(twice, "a") as parts:
        name = next(name for name in parts.namelist() if name.endswith("data.pkl"))
        parts.writestr(name.replace("data", "DATA"), FILL)
    ends = [place + 1 for place in range(len(old)) if old[place : place + 1] == b"." and place > 14]
    assert old.endswith(b".")
    return {
        "zip": with_pickle(new, FILL),
        "old: kind": FILL + old,
        "old: version": old[:15] + FILL,
        "old: keys": old[: ends[-2]] + FILL,
        "python 2's name": with_pickle(new, FILL.replace(b"cbuiltins", b"c__builtin__")),
    }


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("kind", hostile())
def test_a_pickle_that_asks_for_memory_is_not_given_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str):
    """Torch, which would, is not asked at all."""
    path = tmp_path / "fill.pth"
    path.write_bytes(hostile()[kind])

    def load(*given: object, **named: object) -> None:
        raise AssertionError("asked torch")

    monkeypatch.setattr(torch, "load", load)
    with pytest.raises(BadInput) as said:
        read_state(path)
    assert str(said.value).startswith(f"{path}: {WORDS}")


LOOK = """
import sys
from pathlib import Path
from harness.ledger.errors import BadInput
from harness.segmentation.states import read_state
# bounded
try:
    read_state(Path(sys.argv[1]))
except BadInput as error:
    print(error)
"""


@pytest.mark.thorough
def test_in_a_process_of_little_memory_it_is_told_all_the_same(tmp_path: Path):
    (tmp_path / "fill.pth").write_bytes(with_pickle(saved({}), FILL))
    assert "bytearray" in bounded(LOOK, 100, str(tmp_path / "fill.pth"))


@pytest.mark.parametrize("is_zip", [True, False])
def test_a_tensor_larger_than_its_own_bytes_is_refused(tmp_path: Path, is_zip: bool):
    """One number, 2²⁷ times, which a copy would write out; or that number and a neighbour's that it does not have."""
    path = tmp_path / "wide.pth"
    path.write_bytes(saved({"a": torch.zeros(1).expand(2**27)}, is_zip=is_zip))
    with pytest.raises(BadInput) as said:
        read_state(path)
    assert str(said.value) == f"{path}: holds a tensor of shape [134217728]: larger than what the file holds of it"
    held: list[object] = [{"b": (torch.zeros(1).expand(2),)}]
    held.append(held)
    with pytest.raises(Odd, match=r"a tensor of shape \[2\]"):
        loaded(io.BytesIO(saved(held)))


def test_a_tensor_that_is_a_part_of_another_is_read(tmp_path: Path):
    """Also one that overlaps it, and one laid out otherwise."""
    whole = torch.arange(6.0)
    path = tmp_path / "parts.pth"
    state = {"whole": whole, "part": whole[2:4], "turned": whole.reshape(2, 3).T, "one": whole[:1].expand(6)}
    path.write_bytes(saved(state))
    found = read_state(path)
    assert all(torch.equal(found[name], tensor) for name, tensor in state.items())


@pytest.mark.parametrize("is_zip", [True, False])
def test_plain_values_of_every_kind_are_read(tmp_path: Path, is_zip: bool):
    """What methods keep, and what training scripts put beside the weights."""
    beside = [
        torch.float16, torch.device("cpu"), torch.Size([2, 3]), OrderedDict(a=1), Counter("ab"), {1, 2}, 1j, b"\xff",
        "text", None, True, 2**70, 0.1,
    ]  # fmt: skip
    kinds = (torch.float32, torch.float64, torch.float16, torch.bfloat16, torch.int64, torch.uint8, torch.bool)
    later = (torch.uint16, torch.float8_e4m3fn) if is_zip else ()
    state = {str(kind): torch.ones(2).to(kind) for kind in (*kinds, *later)}
    path = tmp_path / "plain.pth"
    path.write_bytes(saved({"state_dict": state, "beside": beside}, is_zip=is_zip))
    assert {name: tensor.dtype for name, tensor in read_state(path).items()} == {
        name: tensor.dtype for name, tensor in state.items()
    }
    if is_zip:
        found = loaded(io.BytesIO(path.read_bytes()))
        assert isinstance(found, dict)
        assert found["beside"] == beside


def test_only_what_torch_allows_is_allowed_here():
    """Nothing of this list may run code."""
    assert {name for name in NAMES if not name.startswith("__builtin__.")} <= _get_allowed_globals().keys()
    assert "builtins.bytearray" not in NAMES
