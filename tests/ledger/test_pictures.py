"""Files of pictures: what is written is read, and what a stranger made of one is told in a line."""

import tracemalloc
import zipfile
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest

from harness.ledger.errors import BadInput
from harness.ledger.pictures import (
    ARRAY_BYTES,
    FILE_BYTES,
    LONGEST_SIDE,
    SHOWN,
    Scene,
    read_pictures,
    read_student,
    write_scene,
    write_student,
)
from harness.ledger.results import predictions_path, scene_path

SIZES = ((4, 6), (5, 3), (1, 1))


def maps(value: int = 0) -> tuple:
    return tuple(np.full(size, value + number, np.uint8) for number, size in enumerate(SIZES))


def scene() -> Scene:
    images = tuple(np.full((*size, 3), 200 + number, np.uint8) for number, size in enumerate(SIZES))
    return Scene(images, maps(10), maps(20))


def npy(array: np.ndarray) -> bytes:
    content = BytesIO()
    np.save(content, array)
    return content.getvalue()


def zipped(path: Path, how: int = zipfile.ZIP_DEFLATED, **entries: bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w", how) as file:
        for name, content in entries.items():
            file.writestr(f"{name}.npy", content)
    return path


def student_file(results: Path, **entries: bytes) -> Path:
    return zipped(predictions_path(results, "run.1"), **entries)


def complaint(results: Path) -> str:
    """What is said of run.1's predictions, or nothing where they can be read."""
    try:
        read_student(results, "run.1")
    except BadInput as error:
        return str(error)
    return ""


def refusal(results: Path) -> str:
    """What is said of run.1's predictions: one line that begins with the file."""
    text, place = complaint(results), f"{predictions_path(results, 'run.1')}: "
    assert len(text.splitlines()) == 1, "nothing was refused"
    assert text.startswith(place)
    return text.removeprefix(place)


def test_a_scene_is_read_as_it_was_written_images_of_any_size(tmp_path: Path):
    write_scene(scene_path(tmp_path, "abc"), scene())
    assert scene_path(tmp_path, "abc") == tmp_path / "pictures" / "abc.npz"
    found = read_pictures(tmp_path, "abc")
    assert found is not None
    for part in ("images", "labels", "teacher"):
        expected, read = getattr(scene(), part), getattr(found, part)
        assert [array.tolist() for array in read] == [array.tolist() for array in expected]
        assert {array.dtype for array in read} == {np.dtype(np.uint8)}


def test_a_students_predictions_are_read_as_they_were_written(tmp_path: Path):
    write_student(predictions_path(tmp_path, "run.1"), [*maps()[:2], np.arange(12, dtype=np.uint8).reshape(3, 4).T])
    found = read_student(tmp_path, "run.1")
    assert found is not None
    assert [array.tolist() for array in found[:2]] == [array.tolist() for array in maps()[:2]]
    assert found[2].tolist() == [[0, 4, 8], [1, 5, 9], [2, 6, 10], [3, 7, 11]]


def test_where_nothing_was_kept_there_is_nothing(tmp_path: Path):
    assert read_pictures(tmp_path, "abc") is None
    assert read_student(tmp_path, "run.1") is None


def test_the_largest_pictures_that_are_kept_can_be_read(tmp_path: Path):
    """Three of 512×512, of noise, which no compression makes smaller."""
    rng = np.random.default_rng(0)
    size = (LONGEST_SIDE, LONGEST_SIDE)
    noise = [tuple(rng.integers(0, 256, shape, np.uint8) for _ in range(SHOWN)) for shape in ((*size, 3), size, size)]
    write_scene(scene_path(tmp_path, "abc"), Scene(*noise))
    found = read_pictures(tmp_path, "abc")
    assert found is not None
    assert (found.images[2] == noise[0][2]).all()


@pytest.mark.parametrize(
    ("entries", "said"),
    [
        ({}, "found nothing: expected as many each of student0 …"),
        ({"student1": npy(maps()[0])}, "found student1: expected as many each of student0 …"),
        ({"student0": npy(maps()[0]), "x0": npy(maps()[0])}, "found student0, x0: expected as many each of"),
        ({"../student0": npy(maps()[0])}, "found an entry '../student0.npy', expected image0.npy and the like"),
        ({"student0": npy(np.zeros((2, 2, 3), np.uint8))}, "student0: found 2×2×3, expected 2×2"),
        ({"student0": npy(np.zeros((2, 2), np.int64))}, "student0: expected H×W or H×W×3 bytes, as numpy.save"),
        ({"student0": npy(np.zeros((2, 2, 2), np.uint8))}, "student0: expected H×W or H×W×3 bytes, as numpy.save"),
        ({"student0": npy(np.zeros(4, np.uint8))}, "student0: expected H×W or H×W×3 bytes, as numpy.save"),
        ({"student0": npy(np.zeros((0, 2), np.uint8))}, "student0: found 0×2 and 0 bytes, expected sides of 1 to 512"),
        ({"student0": npy(np.zeros((513, 2), np.uint8))}, "student0: found 513×2 and 1,026 bytes, expected sides of"),
        ({"student0": npy(maps()[0])[:-1]}, "student0: found 4×6 and 23 bytes, expected sides of 1 to 512 and a byte"),
        ({"student0": b"no array"}, "student0: expected H×W or H×W×3 bytes, as numpy.save writes them"),
        ({"student0": bytes(ARRAY_BYTES + 1)}, "student0: found 787,457 bytes, expected at most 787,456"),
        ({f"a{number}": b"" for number in range(10)}, "found 10 arrays, expected no more than 9"),
    ],
)
def test_what_is_no_file_of_predictions_is_told_in_a_line(tmp_path: Path, entries: dict, said: str):
    student_file(tmp_path, **entries)
    assert refusal(tmp_path).startswith(said)


def test_an_array_of_objects_is_refused_unread(tmp_path: Path):
    """Reading one would run what a stranger pickled into it."""
    content = BytesIO()
    np.save(content, np.array([[{}]], object), allow_pickle=True)
    student_file(tmp_path, student0=content.getvalue())
    assert refusal(tmp_path).startswith("student0: expected H×W or H×W×3 bytes")


def test_a_scene_whose_parts_do_not_fit_each_other_is_refused(tmp_path: Path):
    path, whole = scene_path(tmp_path, "abc"), scene()
    for wrong, said in (
        (Scene(whole.images, whole.labels[:2], whole.teacher), "expected as many each of image0 …, label0 …, teacher0"),
        (Scene(whole.images, whole.labels, (*whole.teacher[:2], maps()[0])), "teacher2: found 4×6, expected 1×1"),
        (Scene(whole.labels, whole.labels, whole.teacher), "image0: found 4×6, expected 4×6×3"),
    ):
        write_scene(path, wrong)
        with pytest.raises(BadInput, match=f"{path}: .*{said}"):
            read_pictures(tmp_path, "abc")


def test_a_file_that_says_it_unpacks_to_little_and_does_not_is_not_unpacked(tmp_path: Path):
    """64 MiB of zeros in 64 KiB, which the entry calls 100 bytes: no more is unpacked than an array may have."""
    path = student_file(tmp_path, student0=bytes(2**26))
    content, untrue = path.read_bytes(), (100).to_bytes(4, "little")
    assert content.count((2**26).to_bytes(4, "little")) == 2
    path.write_bytes(content.replace((2**26).to_bytes(4, "little"), untrue))
    tracemalloc.start()
    try:
        said, peak = refusal(tmp_path), tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert said.startswith("no whole .npz file: ")
    assert peak < 2**22


@pytest.mark.parametrize("how", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_compressions_that_take_memory_as_they_like_are_refused(tmp_path: Path, how: int):
    zipped(predictions_path(tmp_path, "run.1"), how, student0=npy(maps()[0]))
    assert refusal(tmp_path).startswith("found an entry 'student0.npy'")


def test_a_file_too_large_for_pictures_is_not_read(tmp_path: Path):
    path = student_file(tmp_path, student0=npy(maps()[0]))
    with path.open("ab") as file:
        file.truncate(FILE_BYTES + 1)
    assert refusal(tmp_path) == f"found {FILE_BYTES + 1:,} bytes: expected at most {FILE_BYTES:,}"


def test_whatever_becomes_of_a_files_bytes_it_is_read_or_told(tmp_path: Path):
    """One byte changed, or the end cut off, in a thousand ways."""
    path = predictions_path(tmp_path, "run.1")
    write_student(path, maps())
    whole, rng = path.read_bytes(), np.random.default_rng(0)
    for _ in range(1000):
        torn = bytearray(whole)
        torn[rng.integers(len(torn))] = rng.integers(256)
        path.write_bytes(torn[: rng.integers(len(torn))] if rng.random() < 0.2 else torn)
        if said := complaint(tmp_path):
            assert len(said.splitlines()) == 1
