"""Values that cross a file: whole or not at all, and strict."""

import errno
import hashlib
import os
import re
import stat
from pathlib import Path
from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from harness.ledger import files
from harness.ledger.errors import BadInput
from harness.ledger.files import (
    Value,
    complaint,
    file_sha256,
    key_path,
    read,
    sha256,
    sha256_of,
    shown,
    write,
    write_bytes,
)
from harness.ledger.networks import PspNetwork
from harness.ledger.results import record_path, write_record
from harness.ledger.workload import Checkpoint, Workload
from tests.factories import record


class Point(Value):
    format: Literal[1] = 1
    x: float
    names: tuple[str, ...] = ()


@pytest.fixture
def file(tmp_path):
    return tmp_path / "folder" / "point.json"


def test_a_value_reads_back_as_it_was_written(file):
    """Through indented JSON, in a folder made for it."""
    point = Point(x=0.1, names=("é", "b\nc"))
    write(file, point)
    assert read(file, Point) == point
    assert file.read_text().startswith('{\n "format": 1,\n')


def test_a_written_file_can_be_read_by_others_and_nothing_lies_beside_it(file):
    """Not with the closed mode of a temporary file."""
    write(file, Point(x=1.0))
    assert stat.S_IMODE(file.stat().st_mode) == 0o644
    assert os.listdir(file.parent) == ["point.json"]


def test_a_write_that_fails_leaves_the_old_file_alone(file, monkeypatch):
    """Nor does it leave a half-written one behind."""
    write(file, Point(x=1.0))

    def full_disk(*_: object) -> None:
        raise OSError("no space left")

    monkeypatch.setattr(files.os, "replace", full_disk)
    with pytest.raises(OSError, match="no space left"):
        write_bytes(file, b"half")
    assert read(file, Point) == Point(x=1.0)
    assert os.listdir(file.parent) == ["point.json"]


@pytest.fixture
def seen(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What is made to last, a file or a folder, and what is given its name, in this order."""
    told: list[str] = []
    sync, replace = os.fsync, os.replace

    def noted(handle: int) -> None:
        found = os.fstat(handle)
        told.append("folder" if stat.S_ISDIR(found.st_mode) else f"{found.st_size} bytes")
        sync(handle)

    monkeypatch.setattr(os, "fsync", noted)
    monkeypatch.setattr(os, "replace", lambda *paths: (told.append("name"), replace(*paths))[1])
    return told


def test_what_is_durable_is_on_the_disk_before_its_name_is(file, seen):
    """All of it; afterwards the name too, in its folder."""
    write_bytes(file, b"whole", durable=True)
    assert seen == ["5 bytes", "name", "folder"]
    assert file.read_bytes() == b"whole"
    seen.clear()
    write(file, Point(x=1.0), durable=True)
    assert seen == [f"{file.stat().st_size} bytes", "name", "folder"]


def test_what_is_soon_replaced_waits_for_no_disk(file, seen):
    """A status, once a second."""
    write(file, Point(x=1.0))
    assert seen == ["name"]


def test_a_folder_that_cannot_be_made_to_last_is_no_fault(file, monkeypatch):
    """Some file systems know nothing of it; the file itself is on the disk."""

    def of_files(handle: int) -> None:
        if stat.S_ISDIR(os.fstat(handle).st_mode):
            raise OSError(errno.EINVAL, "Invalid argument")

    monkeypatch.setattr(os, "fsync", of_files)
    write_bytes(file, b"whole", durable=True)
    assert file.read_bytes() == b"whole"


def test_a_record_is_on_the_disk_before_its_name_is(tmp_path, seen):
    """What a run goes on from is removed next."""
    written = record("kd")
    write_record(tmp_path, written)
    path = record_path(tmp_path, written.spec.name)
    assert seen == [f"{path.stat().st_size} bytes", "name", "folder"]


@pytest.mark.parametrize(
    "wrong", [{"x": "1"}, {"x": True}, {"x": float("nan")}, {"x": 1.0, "y": 2}, {}, {"x": 1.0, "names": ["a"]}]
)
def test_a_value_takes_exactly_its_fields_and_nothing_near_them(wrong):
    """No coercion, no NaN, no key too many."""
    with pytest.raises(ValidationError):
        Point(**wrong)


def test_a_value_cannot_be_changed():
    """What was read stays what was read."""
    with pytest.raises(ValidationError):
        Point(x=1.0).x = 2.0


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "file: not JSON: EOF while parsing a value at line 1 column 0"),
        (b"{", "file: not JSON: EOF while parsing an object at line 1 column 1"),
        (b"[]", "file: found []: expected a mapping"),
        (b"{}", "x: missing"),
        (b'{"x": null}', "x: found null: expected a number"),
        (b'{"x": "1"}', 'x: found "1": expected a number'),
        (b'{"x": 1, "y": 2}', "y: unknown key"),
        (b'{"x": 1, "a\\nb": 2}', '"a\\nb": unknown key'),
        (b'{"format": 2, "x": 1}', "format: found 2: expected 1"),
        (b'{"x": 1, "names": ["a", 2]}', "names[1]: found 2: expected text"),
        (b'{"x": 1, "names": "a"}', 'names: found "a": expected a list'),
    ],
)
def test_a_broken_file_is_told_with_its_key(file, content, message):
    """The file, the key, what was found, what was expected."""
    write_bytes(file, content)
    with pytest.raises(BadInput) as caught:
        read(file, Point)
    assert str(caught.value) == f"{file}: {message}"


@pytest.mark.parametrize(
    "content", [b"\xff\xfe", b"[" * 100_000, b'{"x": NaN}', b'{"x": ' + b"9" * 10_000 + b"}", b'{"x": 1e999}', b"\x00"]
)
def test_a_hostile_file_is_bad_input_of_one_line(file, content):
    """Bytes, brackets without end, numbers that no computer holds."""
    write_bytes(file, content)
    with pytest.raises(BadInput) as caught:
        read(file, Point)
    assert len(str(caught.value).splitlines()) == 1


@given(content=st.binary(max_size=60))
def test_arbitrary_bytes_are_bad_input_of_one_line(content, tmp_path_factory):
    """No file makes a traceback."""
    path = tmp_path_factory.getbasetemp() / "any.json"
    path.write_bytes(content)
    with pytest.raises(BadInput) as caught:
        read(path, Point)
    assert len(str(caught.value).splitlines()) == 1


def test_a_file_that_is_not_there_is_named(tmp_path):
    """No traceback for a mistyped path."""
    with pytest.raises(BadInput) as caught:
        read(tmp_path / "none.json", Point)
    assert str(caught.value) == f"{tmp_path}/none.json: cannot be read: No such file or directory"


@pytest.mark.parametrize(
    ("location", "text"),
    [
        ((), ""),
        (("terms", 0, "weight"), "terms[0].weight"),
        ((2, "a"), "[2].a"),
        (("with", "a b"), 'with."a b"'),
        (("a\nb",), '"a\\nb"'),
        (("décodé", "x-y"), "décodé.x-y"),
    ],
)
def test_a_location_is_written_as_one_would_say_it(location, text):
    """Items in brackets, keys after a point, odd keys in quotes."""
    assert key_path(location) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ({"a": 1}, "a mapping"),
        ([1, "a"], '[1, "a"]'),
        (None, "null"),
        (True, "true"),
        ("é", '"é"'),
        ("a\u2028b", '"a\\u2028b"'),
        ("x" * 100, '"' + "x" * 58 + "…"),
    ],
)
def test_a_found_value_is_shown_short_and_on_one_line(value, text):
    """As it would stand in a file."""
    assert shown(value) == text


def test_a_complaint_knows_the_limits_of_a_number():
    """`at least 0`, not `greater than or equal to`."""
    fault = {"type": "greater_than_equal", "loc": ("x",), "msg": "", "input": -1, "ctx": {"ge": 0.0}}
    assert complaint(fault) == "found -1: expected at least 0"


@pytest.mark.parametrize(
    ("model", "key", "wanted"),
    [
        (Checkpoint, "sha256", "64 lower-case hexadecimal digits"),
        (PspNetwork, "backbone_sha256", "8 to 64 lower-case hexadecimal digits"),
        (Workload, "dataset", "lower-case letters, digits and _"),
    ],
)
def test_a_pattern_is_told_in_words(model, key, wanted):
    """Nobody has to read `^[0-9a-f]{64}$`."""
    with pytest.raises(ValidationError) as caught:
        model.model_validate({key: "Ab-1"})
    (fault,) = (each for each in caught.value.errors() if each["loc"] == (key,))
    assert complaint(fault) == f'found "Ab-1": expected {wanted}'


def test_every_pattern_of_the_ledger_has_words():
    """A new one needs some."""
    rooms = Path(files.__file__).parent.glob("*.py")
    written = {found for room in rooms for found in re.findall(r'pattern=r?"([^"]*)"', room.read_text())}
    assert written == set(files.PATTERNS)


def test_a_digest_is_of_the_parts_and_not_of_their_sum():
    """('ab', 'c') and ('a', 'bc') are two."""
    assert sha256("ab", "c") != sha256("a", "bc")
    assert sha256("a") == sha256(b"a") == hashlib.sha256(b"\x00" * 7 + b"\x01a").hexdigest()
    assert sha256() == hashlib.sha256().hexdigest()


@given(left=st.lists(st.binary(max_size=4), max_size=4), right=st.lists(st.binary(max_size=4), max_size=4))
def test_no_two_lists_of_parts_share_a_digest(left, right):
    """Each part goes in with its length."""
    assert (sha256(*left) == sha256(*right)) == (left == right)


def test_a_files_digest_is_what_sha256sum_prints(tmp_path):
    """So that a person can check it without this program."""
    path = tmp_path / "weights"
    path.write_bytes(b"abc")
    known = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    assert (file_sha256(path), sha256_of(b"abc")) == (known, known)
