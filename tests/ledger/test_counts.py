"""Counts: what is derived from them by hand, and how they are read back from hostile files."""

import os
import struct
import zipfile
from pathlib import Path

import numpy as np
import pytest

from harness.ledger import counts as counting
from harness.ledger.counts import Counts, read_counts, scores_of
from harness.ledger.errors import BadInput

SMALL = Counts(
    intersections=np.array([[6, 0], [1, 1], [2, 0]]),
    unions=np.array([[8, 2], [5, 4], [4, 0]]),
    labelled=np.array([[8, 0], [2, 4], [4, 0]]),
)
"""Three images of two classes; the labels of the first and the last hold only one of them."""


def written(path: Path, counts: Counts = SMALL) -> Path:
    np.savez_compressed(path, **vars(counts))
    return path


def test_the_miou_is_of_the_pixels_of_all_images_together():
    """9 of 17 and 1 of 6."""
    assert scores_of(SMALL).miou == pytest.approx((9 / 17 + 1 / 6) / 2, rel=1e-15)


def test_a_class_that_no_label_holds_is_in_no_mean():
    """What was predicted as it is a miss for other classes, not a score of its own."""
    without = Counts(np.array([[3, 0]]), np.array([[4, 2]]), np.array([[4, 0]]))

    assert scores_of(without).miou == 0.75


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_counts_come_back_as_they_were_saved(tmp_path, save):
    """Packed or not."""
    save(tmp_path / "run.npz", **vars(SMALL))
    found = read_counts(tmp_path / "run.npz", 3, 2)

    assert all(
        np.array_equal(ours, theirs) for ours, theirs in zip(*map(dict.values, map(vars, (found, SMALL))), strict=True)
    )
    assert found.labelled.dtype == np.int64


@pytest.mark.parametrize(("count", "classes"), [(4, 2), (3, 3), (2, 3), (1, 1)])
def test_counts_of_other_images_than_the_record_s_are_refused(tmp_path, count, classes):
    """2×3 has as many numbers as 3×2."""
    with pytest.raises(BadInput, match=rf"run.npz: .*expected .*({count} images × {classes} classes|bytes)"):
        read_counts(written(tmp_path / "run.npz"), count, classes)


@pytest.mark.parametrize("count", [0, -1, 10**12])
def test_a_record_of_no_images_or_too_many_is_refused(tmp_path, count):
    """Before anything is read."""
    with pytest.raises(BadInput, match=r"run.npz: its record tells of"):
        read_counts(written(tmp_path / "run.npz"), count, 2)


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"labelled": SMALL.labelled.astype(np.float64)}, "labelled: found .*<f8.*: expected int64"),
        ({"labelled": np.asfortranarray(SMALL.labelled)}, "labelled: found .*True.*: expected int64"),
        ({"unions": np.array([[object()] * 2] * 3)}, "unions: "),
        ({"unions": SMALL.labelled // 2}, "no counts of pixels"),
        ({"intersections": -SMALL.intersections}, "no counts of pixels"),
        ({"unions": SMALL.unions + 2**60}, "no counts of pixels"),
        (
            {"labelled": 0 * SMALL.labelled, "intersections": 0 * SMALL.intersections},
            "labelled: found no labelled pixel",
        ),
        ({"more": SMALL.unions}, "no .npz .*: expected intersections, unions, labelled"),
    ],
)
def test_what_is_no_count_of_pixels_is_refused(tmp_path, change, why):
    """By name; pickles are never loaded."""
    np.savez(tmp_path / "run.npz", **{**vars(SMALL), **change})

    with pytest.raises(BadInput, match=rf"run.npz: {why}") as caught:
        read_counts(tmp_path / "run.npz", 3, 2)
    assert "\n" not in str(caught.value)


def zipped(path: Path, contents: dict[str, bytes], packing: int = zipfile.ZIP_DEFLATED) -> Path:
    with zipfile.ZipFile(path, "w", packing) as archive:
        for name, content in contents.items():
            archive.writestr(f"{name}.npy", content)
    return path


def test_a_zip_bomb_is_refused_by_what_it_declares(tmp_path, monkeypatch):
    """Thirty million zeros in 30 kB: too large a file, and nothing of a smaller one is unpacked."""
    bomb = zipped(tmp_path / "bomb.npz", dict.fromkeys(counting.NAMES, bytes(10**7)))
    small = zipped(tmp_path / "small.npz", dict.fromkeys(counting.NAMES, bytes(10**6)))
    monkeypatch.setattr(counting, "_inflated", lambda *unused: pytest.fail("unpacked"))

    with pytest.raises(BadInput, match=r"bomb.npz: found \d+ bytes: expected at most"):
        read_counts(bomb, 3, 2)
    with pytest.raises(BadInput, match=r"small.npz: intersections: damaged"):
        read_counts(small, 3, 2)


def test_a_bomb_that_lies_about_its_size_is_unpacked_no_further_than_it_says(tmp_path):
    """Its table of contents says 300 bytes where a million come out."""
    path = zipped(tmp_path / "liar.npz", dict.fromkeys(counting.NAMES, bytes(10**6)))
    content = path.read_bytes().replace(struct.pack("<L", 10**6), struct.pack("<L", 300))
    member = counting._members(content)["unions"]

    assert member.size == 300
    assert len(counting._inflated(content[member.offset + counting.LOCAL.size + len("unions.npy") :], member)) == 301
    assert counting._unpacked(content, member, 304) is None


@pytest.mark.parametrize("packing", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_other_ways_of_packing_are_refused(tmp_path, packing):
    """Their readers have no limit."""
    path = zipped(tmp_path / "run.npz", dict.fromkeys(counting.NAMES, bytes(100)), packing)

    with pytest.raises(BadInput, match="packed as no run packs it"):
        read_counts(path, 3, 2)


def answer(path: Path, content: bytes) -> str:
    path.write_bytes(content)
    try:
        found = read_counts(path, 3, 2)
    except BadInput as error:
        return "refused" if str(error).startswith(f"{path}: ") and "\n" not in str(error) else f"said {error}"
    return "as it was" if np.array_equal(found.unions, SMALL.unions) else "other numbers"


def test_a_damaged_file_is_refused_or_reads_as_it_was(tmp_path):
    """Any byte changed and any end cut off: BadInput on one line that names the file, or the very counts."""
    path = written(tmp_path / "run.npz")
    whole, random = path.read_bytes(), np.random.default_rng(0)
    damaged = [whole[:length] for length in range(0, len(whole), 7)]
    for place in random.integers(0, len(whole), 400):
        damaged.append(whole[:place] + bytes([random.integers(256)]) + whole[place + 1 :])
    answers = [answer(path, content) for content in damaged]

    assert set(answers) <= {"as it was", "refused"}
    assert answers.count("refused") > len(damaged) / 2


def test_what_is_no_file_is_refused(tmp_path):
    """Missing, a folder, a pipe on which nobody writes."""
    os.mkfifo(tmp_path / "pipe.npz")

    with pytest.raises(BadInput, match=r"gone.npz: cannot be read"):
        read_counts(tmp_path / "gone.npz", 3, 2)
    for path in (tmp_path, tmp_path / "pipe.npz"):
        with pytest.raises(BadInput, match="is no plain file"):
            read_counts(path, 3, 2)
