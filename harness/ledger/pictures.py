"""Pictures for the page: the first images that a workload's runs are scored on, and what each run makes of them.

A file of RESULTS/pictures/ holds an array of bytes for each image, `label0`, `label1` …, as images may differ in size;
no side is longer than 512. Reading one, whoever wrote it, runs no code and takes little memory.
"""

import os
import re
import struct
import zipfile
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from io import BytesIO
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.ledger.errors import BadInput
from harness.ledger.files import read_bytes, shown, write_bytes
from harness.ledger.results import predictions_path, scene_path
from harness.ledger.stored import must_be_plain

SHOWN = 3
"""Images of a workload."""

LONGEST_SIDE = 512

FILE_BYTES = 2**22
"""Of a whole file: three images of 512×512, with two maps each, take less without any compression."""

ARRAY_BYTES = 3 * LONGEST_SIDE**2 + 2**10
"""Of an array and its header."""

METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
"""The others of zip files take memory as they like."""

TORN = (zipfile.BadZipFile, zlib.error, EOFError, ValueError, RuntimeError, struct.error)
"""What zipfile says of a file that is not whole, or not meant to be read."""

HEADER = re.compile(
    rb"\x93NUMPY\x01\x00(?s:..)\{'descr': '\|u1', 'fortran_order': False, "
    rb"'shape': \(([0-9]{1,3}), ([0-9]{1,3})(, 3)?\), \} *\n"
)
"""What stands before H×W or H×W×3 bytes in an .npy file, as NumPy writes it."""

Bytes = NDArray[np.uint8]


@dataclass(frozen=True)
class Scene:
    """The first images that a workload's runs are scored on, as large as they are shown."""

    images: tuple[Bytes, ...]
    """H×W×3 each."""
    labels: tuple[Bytes, ...]
    """H×W each; 255 is ignored."""
    teacher: tuple[Bytes, ...]
    """What it predicts: H×W each."""


def write_scene(path: Path, scene: Scene) -> None:
    """A compressed .npz, written atomically."""
    _write(path, {"image": scene.images, "label": scene.labels, "teacher": scene.teacher})


def write_student(path: Path, predictions: Sequence[Bytes]) -> None:
    """The same of what a student predicts: H×W each."""
    _write(path, {"student": predictions})


def read_pictures(results: Path, workload_digest: str) -> Scene | None:
    """The workload's; None where no run with a teacher has kept any. BadInput for a file that is not as we write it."""
    path = scene_path(results, workload_digest)
    if path.parent != results / "pictures":
        raise BadInput(f"{results}: workload_digest: found {shown(workload_digest)}: expected hexadecimal digits")
    arrays = _read(path)
    if arrays is None:
        return None
    scene = Scene(_all_of(arrays, "image"), _all_of(arrays, "label"), _all_of(arrays, "teacher"))
    _must_hold(path, arrays, ("image", "label", "teacher"), len(scene.images))
    for number, (image, label, teacher) in enumerate(zip(scene.images, scene.labels, scene.teacher, strict=True)):
        _must_be(path, f"image{number}", image, (*image.shape[:2], 3))
        _must_be(path, f"label{number}", label, image.shape[:2])
        _must_be(path, f"teacher{number}", teacher, image.shape[:2])
    return scene


def read_student(results: Path, name: str) -> tuple[Bytes, ...] | None:
    """What the student of KEY.ATTEMPT predicts, H×W each; None where nothing was kept, BadInput as above."""
    path = predictions_path(results, name)
    arrays = _read(path)
    if arrays is None:
        return None
    found = _all_of(arrays, "student")
    _must_hold(path, arrays, ("student",), len(found))
    for number, prediction in enumerate(found):
        _must_be(path, f"student{number}", prediction, prediction.shape[:2])
    return found


def _write(path: Path, pictures: Mapping[str, Sequence[Bytes]]) -> None:
    named: dict[str, Any] = {
        f"{name}{number}": np.ascontiguousarray(array)
        for name, arrays in pictures.items()
        for number, array in enumerate(arrays)
    }
    content = BytesIO()
    np.savez_compressed(content, **named)
    write_bytes(path, content.getvalue())


def _all_of(arrays: Mapping[str, Bytes], name: str) -> tuple[Bytes, ...]:
    """`name0`, `name1` … as far as they go."""

    def numbered() -> Iterator[Bytes]:
        for number in count():
            if (found := arrays.get(f"{name}{number}")) is None:
                return
            yield found

    return tuple(numbered())


def _must_hold(path: Path, arrays: Mapping[str, Bytes], names: Sequence[str], images: int) -> None:
    """BadInput unless there is at least one image, and so many arrays of each name and no others."""
    wanted = {f"{name}{number}" for name in names for number in range(images)}
    if not wanted or wanted != set(arrays):
        expected = ", ".join(f"{name}0 …" for name in names)
        raise BadInput(f"{path}: found {', '.join(sorted(arrays)) or 'nothing'}: expected as many each of {expected}")


def _must_be(path: Path, name: str, array: Bytes, shape: tuple[int, ...]) -> None:
    if array.shape != shape:
        raise BadInput(f"{path}: {name}: found {_shown(array.shape)}, expected {_shown(shape)}")


def _shown(shape: Sequence[int]) -> str:
    return "×".join(map(str, shape))


# A stranger's file


def _read(path: Path) -> dict[str, Bytes] | None:
    """Its arrays by name; None where there is no file. No link is followed, nor a name that leads elsewhere."""
    if not os.path.lexists(path):
        return None
    must_be_plain(path)
    try:
        with zipfile.ZipFile(BytesIO(read_bytes(path, FILE_BYTES))) as file:
            return dict(_arrays(path, file))
    except TORN as error:
        raise BadInput(f"{path}: no whole .npz file: {str(error)!a}") from error


def _arrays(path: Path, file: zipfile.ZipFile) -> Iterator[tuple[str, Bytes]]:
    """Sizes are looked at before anything is unpacked, and no more is unpacked than they allow: they may be untrue."""
    if (entries := len(file.infolist())) > 3 * SHOWN:
        raise BadInput(f"{path}: found {entries} arrays, expected no more than {3 * SHOWN}")
    for entry in file.infolist():
        name = re.fullmatch(r"([a-z]+[0-9])\.npy", entry.filename)
        if name is None or entry.compress_type not in METHODS:
            raise BadInput(f"{path}: found an entry {entry.filename[:60]!a}, expected image0.npy and the like")
        if entry.file_size > ARRAY_BYTES:
            raise BadInput(f"{path}: {name[1]}: found {entry.file_size:,} bytes, expected at most {ARRAY_BYTES:,}")
        with file.open(entry) as packed:
            yield name[1], _array(path, name[1], packed.read(ARRAY_BYTES))


def _array(path: Path, name: str, content: bytes) -> Bytes:
    """The array in an .npy file: the header is held against the one form that it can have, and never evaluated."""
    header = HEADER.match(content)
    if header is None:
        raise BadInput(f"{path}: {name}: expected H×W or H×W×3 bytes, as numpy.save writes them")
    shape = (int(header[1]), int(header[2]), *([3] if header[3] else []))
    if not all(1 <= side <= LONGEST_SIDE for side in shape) or len(content) - header.end() != int(np.prod(shape)):
        raise BadInput(
            f"{path}: {name}: found {_shown(shape)} and {len(content) - header.end():,} bytes, "
            f"expected sides of 1 to {LONGEST_SIDE} and a byte for each value"
        )
    return np.frombuffer(content, np.uint8, offset=header.end()).reshape(shape)
