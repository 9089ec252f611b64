"""SBD's label files, written and judged by scipy, then broken."""

import io
import struct
import zlib

import numpy as np
import pytest
import scipy.io
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.segmentation import matlab
from harness.segmentation.matlab import segmentation
from tests.layouts import sbd_label

LABEL = np.array([[0, 1, 2], [20, 5, 0]], np.uint8)


def mat(content: dict[str, object], compressed: bool = True) -> bytes:
    file = io.BytesIO()
    scipy.io.savemat(file, content, do_compression=compressed)
    return file.getvalue()


SMALL = {flag: mat(dict(sbd_label(LABEL)), flag) for flag in (True, False)}


def element(kind: int, content: bytes, order: str = "<") -> bytes:
    return struct.pack(f"{order}II", kind, len(content)) + content + bytes(-len(content) % 8)


def header(order: str = "<") -> bytes:
    return b"MATLAB 5.0 MAT-file".ljust(124) + struct.pack(f"{order}H", 0x100) + (b"IM" if order == "<" else b"MI")


def matrix(kind: int, shape: tuple[int, ...], name: bytes, rest: bytes, order: str = "<") -> bytes:
    flags = element(6, struct.pack(f"{order}II", kind, 0), order)
    sizes = element(5, struct.pack(f"{order}{len(shape)}i", *shape), order)
    return element(14, flags + sizes + element(1, name, order) + rest, order)


def struct_of(fields: dict[bytes, bytes], shape: tuple[int, ...] = (1, 1), order: str = "<") -> bytes:
    length = struct.pack(f"{order}HHi", *((4, 5) if order == ">" else (5, 4)), 32)
    names = element(1, b"".join(name.ljust(32, b"\0") for name in fields), order)
    return matrix(2, shape, b"GTcls", length + names + b"".join(fields.values()), order)


@pytest.mark.parametrize("compressed", [True, False])
@pytest.mark.parametrize("shape", [(2, 3), (1, 1), (1, 4), (5, 1), (375, 500)])
def test_the_label_map_is_what_scipy_reads(shape, compressed):
    content = mat(dict(sbd_label(np.random.default_rng(0).integers(0, 21, shape, np.uint8))), compressed)
    judged = scipy.io.loadmat(io.BytesIO(content))["GTcls"]["Segmentation"][0, 0]
    found = segmentation(content)
    assert (found.dtype, found.shape) == (np.uint8, shape)
    assert (judged == found).all()


def test_other_variables_before_it_are_passed_over():
    found = segmentation(mat({"a": "text", "GTinst": {"Segmentation": LABEL * 0}, **sbd_label(LABEL)}))
    assert LABEL.tolist() == found.tolist()


def test_a_file_of_a_big_endian_machine_is_read():
    """As bytes are laid out by hand, which shows the layout too."""
    for order in "<>":
        label = matrix(9, LABEL.shape, b"", element(2, LABEL.tobytes(order="F"), order), order)
        content = header(order) + struct_of({b"Segmentation": label}, order=order)
        assert LABEL.tolist() == segmentation(content).tolist()
        assert LABEL.tolist() == scipy.io.loadmat(io.BytesIO(content))["GTcls"]["Segmentation"][0, 0].tolist()


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "not a MATLAB 5 file"),
        (b"\x89PNG\r\n\x1a\n" * 50, "not a MATLAB 5 file"),
        (header(), "no GTcls.Segmentation"),
        (mat({"GTinst": {"Segmentation": LABEL}}), "no GTcls.Segmentation"),
        (mat({"GTcls": {"Boundaries": LABEL}}), "no GTcls.Segmentation"),
        (mat({"GTcls": LABEL}), "no GTcls.Segmentation"),
        (mat({"GTcls": {"Segmentation": LABEL.astype(float)}}), "no matrix of bytes"),
        (mat({"GTcls": {"Segmentation": LABEL[None].repeat(2, axis=0)}}), "no matrix of bytes"),
        (mat({"GTcls": {"Segmentation": LABEL[:0]}}), "no matrix of bytes"),
        (mat({"GTcls": np.array([(1,), (2,)], [("Segmentation", object)])}), "not one struct"),
        (header() + matrix(2, (2**30,) * 100_000, b"GTcls", b""), "too many dimensions"),
        (header() + element(15, b"no zlib stream"), "incorrect header check"),
        (header() + element(15, zlib.compress(b"")), "truncated"),
        (header() + struct.pack("<II", 14, 2**32 - 1), "truncated"),
        (header() + struct.pack("<II", 9 << 16 | 14, 0), "truncated"),
        (
            header() + struct_of({b"Segmentation": matrix(9, (2**30, 2**30), b"", element(2, b""))}),
            "no matrix of bytes",
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "file",  # scipy writes the time into some
)
def test_what_is_no_file_of_sbd_is_refused(content, reason):
    with pytest.raises(ValueError, match=reason):
        segmentation(content)


def test_what_inflates_without_end_is_given_up(monkeypatch):
    monkeypatch.setattr(matlab, "INFLATED_BYTES", 1000)
    with pytest.raises(ValueError, match="over 0 MiB"):
        segmentation(header() + element(15, zlib.compress(bytes(10_000))))


def test_cells_in_cells_do_not_end_the_process():
    """Where scipy descends, and its process dies."""
    nested, head = b"", matrix(1, (1, 1), b"", b"")[8:]
    sizes, size = [], 0
    for _ in range(100_000):
        size += len(head)
        sizes.append(size)
        size += 8
    nested = b"".join(struct.pack("<II", 14, size) + head for size in reversed(sizes))
    with pytest.raises(ValueError, match="no GTcls"):
        segmentation(header() + nested)


@settings(max_examples=200, deadline=None)
@given(st.booleans(), st.data())
def test_whatever_is_changed_it_is_a_label_map_or_a_value_error(compressed, data):
    content = bytearray(SMALL[compressed])
    for at in data.draw(st.lists(st.integers(100, len(content) - 1), max_size=4)):
        content[at] = data.draw(st.integers(0, 255))
    try:
        found = segmentation(bytes(content[: data.draw(st.integers(0, len(content)))]))
    except ValueError:
        return
    assert (found.dtype, found.ndim) == (np.uint8, 2)
