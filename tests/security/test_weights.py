"""Weights of a stranger: what their header claims neither fills the memory nor ends in a traceback."""

import json
import os
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.ledger.errors import BadInput
from harness.ledger.files import sha256_of
from harness.segmentation.networks import build
from harness.segmentation.states import read_state
from harness.segmentation.weights import load_weights, save_weights
from tests.factories import workload
from tests.security.hostile import line_or_nothing

STUDENT = workload().student


def refusal(path: Path) -> str:
    network = build(STUDENT, 4, 4)
    is_small = path.is_file() and path.stat().st_size < 9999
    with pytest.raises(BadInput) as caught:
        load_weights(network, path, sha256_of(path.read_bytes()) if is_small else "")
    return str(caught.value).replace(f"{path.parent}/", "")


def holding(path: Path, header: object, content: bytes) -> Path:
    text = json.dumps(header).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + content)
    return path


def test_weights_of_a_terabyte_are_not_read(tmp_path: Path):
    """A sparse file, whose header may even be whole."""
    size = 2**40
    header = {"a": {"dtype": "U8", "shape": [size], "data_offsets": [0, size]}}
    path = holding(tmp_path / "long.safetensors", header, b"")
    with path.open("ab") as file:
        file.truncate(path.stat().st_size + size)
    assert refusal(path).startswith("long.safetensors: found 1,099,511,")


def test_a_pipe_in_place_of_weights_is_not_waited_for(tmp_path: Path):
    """Nor is a device read."""
    os.mkfifo(tmp_path / "pipe.safetensors")
    (tmp_path / "zeros.safetensors").symlink_to("/dev/zero")
    for name in ("pipe.safetensors", "zeros.safetensors"):
        assert refusal(tmp_path / name) == f"{name}: is no plain file"


@pytest.mark.parametrize("kind", ["F4", "F8_E8M0"])
def test_numbers_that_torch_does_not_know_are_told(tmp_path: Path, kind: str):
    """The format has more kinds of them."""
    header = {"a": {"dtype": kind, "shape": [8 if kind == "F4" else 4], "data_offsets": [0, 4]}}
    told = refusal(holding(tmp_path / "odd.safetensors", header, bytes(4)))
    assert told == f"odd.safetensors: does not hold this network: found numbers of kind '{kind}'"


@pytest.mark.parametrize(
    "header",
    [
        {"a": {"dtype": "F32", "shape": [2**62, 2**62], "data_offsets": [0, 4]}},
        {"a": {"dtype": "F32", "shape": [2**40], "data_offsets": [0, 2**42]}},
        {"a": {"dtype": "F32", "shape": [-1], "data_offsets": [0, 4]}},
        {"a": {"dtype": "F32", "shape": [1], "data_offsets": [4, 0]}},
        {"a": 1},
        [],
    ],
)
def test_a_header_that_lies_is_a_line(tmp_path: Path, header: object):
    """About sizes that no machine has, or backwards."""
    told = refusal(holding(tmp_path / "lie.safetensors", header, bytes(4)))
    assert told.startswith("lie.safetensors: does not hold this network: ")
    assert len(told.splitlines()) == 1


VALUES = st.sampled_from(
    ["F32", "F16", "C64", "BOOL", "F4", "", None, -1, 0, 1, 2**31, 2**63, 2**64, 1.5, [], {}, [0, 4]]
)


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> bytes:
    """A network's own weights."""
    path = tmp_path_factory.mktemp("whole") / "whole.safetensors"
    save_weights(build(STUDENT, 4, 4), path)
    return path.read_bytes()


@settings(max_examples=60, deadline=None, derandomize=True, database=None)
@given(data=st.data())
def test_a_mutated_header_is_weights_or_a_line(whole: bytes, tmp_path_factory, data: st.DataObject):
    """One value of it replaced; read as a student or a teacher, and as a checkpoint that other code has saved."""
    length = int.from_bytes(whole[:8], "little")
    header = json.loads(whole[8 : 8 + length])
    tensor = header[data.draw(st.sampled_from([name for name in header if name != "__metadata__"][:4]))]
    key = data.draw(st.sampled_from(sorted(tensor)))
    if isinstance(tensor[key], list) and tensor[key]:
        tensor[key][data.draw(st.integers(0, len(tensor[key]) - 1))] = data.draw(VALUES)
    else:
        tensor[key] = data.draw(VALUES)
    path = holding(tmp_path_factory.getbasetemp() / "any.safetensors", header, whole[8 + length :])
    network, sha256 = build(STUDENT, 4, 4), sha256_of(path.read_bytes())
    for reading in (lambda: load_weights(network, path, sha256), lambda: read_state(path)):
        told = line_or_nothing(reading)
        assert not told or (told.startswith(str(path)) and len(told.splitlines()) == 1)
