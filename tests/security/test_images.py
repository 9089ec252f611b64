"""Pictures of a stranger's data set: what they claim is looked at before their pixels take any memory."""

import struct
import zlib
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from harness.segmentation.decoding import decode
from harness.segmentation.sources import Fault, Source, SourcePair
from tests.factories import workload
from tests.layouts import folders_data
from tests.security.hostile import bounded

PAIR = SourcePair(Source("images/a.png", 0, 0, bytes), Source("masks/a.png", 0, 0, bytes))
FIXED = workload(data=folders_data(), image_size=(2, 4), label_size=(2, 4))
FREE = workload(data=folders_data(), image_size=None, label_size=None)


def saved(pixels: np.ndarray) -> bytes:
    file = BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


LABEL = saved(np.zeros((2, 4), np.uint8))
PICTURE = saved(np.zeros((2, 4, 3), np.uint8))


def chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def claiming(width: int, height: int, *chunks: bytes, depth: int = 8, colour: int = 2, pixels: bytes = b"\0") -> bytes:
    """A PNG of that size by its header, which holds what it holds."""
    header = chunk(b"IHDR", struct.pack(">2I5B", width, height, depth, colour, 0, 0, 0))
    body = chunk(b"IDAT", zlib.compress(pixels)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + header + b"".join(chunks) + body


def fault(image: bytes, label: bytes = LABEL, of=FIXED) -> str:
    with pytest.raises(Fault) as found:
        decode(PAIR, image, label, of, resize_label=False)
    return str(found.value)


LOOK = """
import sys
from pathlib import Path
from harness.segmentation.decoding import decode
from tests.security.test_images import FIXED, LABEL, PAIR, Fault
# bounded
try:
    decode(PAIR, Path(sys.argv[1]).read_bytes(), LABEL, FIXED, resize_label=False)
except Fault as fault:
    print(fault)
"""


def test_a_picture_of_another_size_than_the_workloads_is_not_decoded(tmp_path: Path):
    """8000×8000 pixels would be 256 MiB, on every core, before it is seen that most of them lack."""
    path = tmp_path / "large.png"
    path.write_bytes(claiming(8000, 8000, pixels=bytes(2**20)))
    assert bounded(LOOK, 100, str(path)) == "images/a.png: 8000×8000, expected 2×4\n"


@pytest.mark.parametrize("size", [(100_000, 10_000), (2**31 - 1, 2**31 - 1), (2**31 - 1, 1), (1, 2**31 - 1)])
@pytest.mark.parametrize("is_label", [False, True])
def test_a_header_that_claims_a_billion_pixels_is_a_line(size: tuple[int, int], is_label: bool):
    """Whether or not the workload knows the size."""
    for depth, colour in ((8, 0), (8, 2), (16, 2), (8, 3)):
        hostile = claiming(*size, depth=depth, colour=colour)
        for of in (FIXED, FREE):
            told = fault(PICTURE if is_label else hostile, hostile if is_label else LABEL, of)
            assert told.endswith(": over 64 million pixels")


@pytest.mark.thorough
@pytest.mark.parametrize("kind", [b"zTXt", b"iTXt", b"iCCP"])
def test_text_that_unpacks_to_much_is_not_unpacked(tmp_path: Path, kind: bytes):
    """A name, a way of packing, and 128 MiB of zeros in a little over a hundred kilobytes."""
    packing = zlib.compressobj(9)
    zeros = b"".join(packing.compress(bytes(2**20)) for _ in range(128)) + packing.flush()
    between = b"\0\1\0\0\0" if kind == b"iTXt" else b"\0\0"
    path = tmp_path / "text.png"
    path.write_bytes(claiming(4, 2, chunk(kind, b"Comment" + between + zeros), pixels=bytes(26)))
    assert bounded(LOOK, 100, str(path)) in ("", "images/a.png: not a readable PNG or JPEG\n")


CUTS = st.lists(st.tuples(st.floats(0, 1), st.integers(0, 4), st.binary(max_size=6)), min_size=1, max_size=3)


def is_told_or_decoded(image: bytes, cuts: list[tuple[float, int, bytes]], of) -> None:
    for place, length, scrap in cuts:
        at = int(place * len(image))
        image = image[:at] + scrap + image[at + length :]
    for pair in ((image, LABEL), (PICTURE, image)):
        told = "decoded"
        try:
            decode(PAIR, *pair, of, resize_label=False)
        except Fault as found:
            told = str(found)
        assert len(told.splitlines()) == 1


IMAGES = st.sampled_from([LABEL, PICTURE, claiming(4, 2, pixels=bytes(26)), claiming(4, 2, depth=16, pixels=bytes(50))])


@settings(max_examples=100, deadline=None, derandomize=True, database=None)
@given(image=IMAGES, cuts=CUTS, of=st.sampled_from([FIXED, FREE]))
def test_a_mutated_picture_is_one_or_a_line(image: bytes, cuts, of):
    """A few bytes out, others in, anywhere."""
    is_told_or_decoded(image, cuts, of)


@pytest.mark.thorough
@settings(max_examples=500, deadline=None, derandomize=True, database=None)
@given(image=IMAGES, cuts=CUTS, of=st.sampled_from([FIXED, FREE]))
def test_many_mutated_pictures_are_such_or_a_line(image: bytes, cuts, of):
    """The same, longer."""
    is_told_or_decoded(image, cuts, of)
