"""A split decoded once: what is written, how writing goes on, and what is held against it."""

import errno
import os
from pathlib import Path

import numpy as np
import pytest
from filelock import FileLock
from PIL import Image

from harness.ledger.datasets import FoldersData, FolderSplit, HeldOut
from harness.ledger.errors import BadInput
from harness.ledger.workload import Workload
from harness.segmentation import cache, data
from harness.segmentation.layouts import listing
from harness.segmentation.room import Room
from tests import factories

SIZES = ((2, 3), (4, 2), (5, 5), (1, 7), (3, 3))
LABELS = FolderSplit(count=len(SIZES), images="images", labels="masks")


def workload(**changes: object) -> Workload:
    """Images of all sizes in one folder, every second of them held out."""
    layout = FoldersData(reader="folders", train=LABELS, tune=HeldOut(every=2, count=2), score=LABELS, unlabelled=(9,))
    return factories.workload(data=layout, image_size=None, label_size=None, **changes)


@pytest.fixture
def files(tmp_path: Path) -> Path:
    """Pixels that tell their image and place; label 0 to 3, and one unlabelled pixel each."""
    for kind in ("images", "masks"):
        (tmp_path / "data" / kind).mkdir(parents=True)
    for number, size in enumerate(SIZES):
        Image.fromarray(image(number)).save(tmp_path / f"data/images/{number}.png")
        label = np.full(size, number % 4, np.uint8)
        label[0, 0] = 9
        Image.fromarray(label).save(tmp_path / f"data/masks/{number}.png")
    return tmp_path / "data"


def image(number: int) -> np.ndarray:
    height, width = SIZES[number]
    return (np.arange(height * width * 3).reshape(height, width, 3) + 50 * number).astype(np.uint8)


def folder(files: Path, held: Workload | None = None, split: str = "train") -> cache.Folder:
    held = held or workload()
    return cache.folder_of(files.parent / "cache", held, split, listing(held.data, files, split, "streets"))


def test_every_image_comes_back_as_it_was_decoded_each_at_its_own_size(files):
    index, problems = cache.prepare(folder(files))
    images, labels = cache.pictures(folder(files), index)
    assert problems == ()
    assert len(images) == len(labels) == 5
    for number, size in enumerate(SIZES):
        assert (images[number] == image(number)).all()
        assert labels[number].shape == size
        assert labels[number][0, 0] == 255
        assert (labels[number].reshape(-1)[1:] == number % 4).all()


@pytest.mark.parametrize("free", [0, 2**20])
def test_pictures_without_room_wait_for_their_turn(files, monkeypatch, free):
    """All come out the same, in order, and what they took is given back, as is what a faulty one took."""
    (files / "masks/3.png").write_bytes(b"")
    held, waited, rooms = folder(files), [], []
    at_last = cache._at_last
    monkeypatch.setattr(cache, "_at_last", lambda folder, pair: waited.append(pair.image.name) or at_last(folder, pair))
    monkeypatch.setattr(cache, "Room", lambda size: rooms.append(Room(size)) or rooms[0])
    monkeypatch.setattr(cache, "free_memory", lambda: free)
    found = list(cache._decoded(held, held.listing.pairs))
    assert waited == ([f"images/{number}.png" for number in range(5)] if free == 0 else [])
    assert [str(each) for each in found if isinstance(each, cache.Fault)] == ["masks/3.png: not a readable PNG"]
    assert [each.decoded.image.tolist() for each in found if not isinstance(each, cache.Fault)] == [
        image(number).tolist() for number in (0, 1, 2, 4)
    ]
    assert rooms[0].left == free // cache.AHEAD_SHARE


def test_what_is_decoded_is_not_decoded_again(files, monkeypatch):
    cache.prepare(folder(files))
    monkeypatch.setattr(cache, "decode", None)
    assert cache.prepare(folder(files))[0] is not None


def test_a_changed_file_another_size_or_another_meaning_is_another_folder(files):
    first = folder(files).path
    os.utime(files / "images/0.png", ns=(1, 1))
    touched = folder(files).path
    sized = folder(files, workload().model_copy(update={"image_size": (8, 8), "label_size": (8, 8)})).path
    named = folder(files, workload(classes=("a", "b", "c", "d", "e"))).path
    assert len({first, touched, sized, named, folder(files, split="score").path}) == 5


@pytest.mark.parametrize("whole", [0, 1, 3])
@pytest.mark.parametrize("torn", [b"", b'{"image": [2,'])
def test_a_stopped_start_goes_on_after_its_last_whole_image(files, monkeypatch, whole, torn):
    """Killed between pixels and their line, or within the line: the files are those of a start that was not stopped."""
    expected, _ = cache.prepare(folder(files))
    made = folder(files).path
    kept = {name: (made / name).read_bytes() for name in (cache.IMAGES, cache.LABELS)}
    lines = b"".join(entry.model_dump_json().encode() + b"\n" for entry in expected.entries[:whole])
    (made / cache.INDEX).unlink()
    (made / cache.PARTIAL).write_bytes(lines + torn)
    seen, decode = [], cache.decode
    monkeypatch.setattr(cache, "decode", lambda pair, *rest, **more: seen.append(pair) or decode(pair, *rest, **more))
    assert cache.prepare(folder(files)) == (expected, ())
    assert {name: (made / name).read_bytes() for name in kept} == kept
    assert len(seen) == 5 - whole


def test_lines_without_their_pixels_are_not_believed(files):
    expected, _ = cache.prepare(folder(files))
    made = folder(files).path
    (made / cache.PARTIAL).write_bytes(b"".join(one.model_dump_json().encode() + b"\n" for one in expected.entries))
    (made / cache.INDEX).unlink()
    os.truncate(made / cache.IMAGES, 2 * 3 * 3 + 1)
    assert cache.prepare(folder(files)) == (expected, ())
    assert cache.verify(folder(files), expected) == ()


def test_a_shortened_file_is_made_anew(files):
    expected, _ = cache.prepare(folder(files))
    made = folder(files).path
    os.truncate(made / cache.LABELS, 3)
    assert folder(files).index() is None
    assert cache.prepare(folder(files)) == (expected, ())
    assert (made / cache.LABELS).stat().st_size == sum(height * width for height, width in SIZES)


def test_a_damaged_byte_is_found_by_its_image(files):
    index, _ = cache.prepare(folder(files))
    path = folder(files).path / cache.IMAGES
    content = bytearray(path.read_bytes())
    content[2 * 3 * 3] ^= 1  # the first byte of the second image
    path.write_bytes(content)
    (problem,) = cache.verify(folder(files), index)
    assert "the decoded pixels of images/1.png are damaged" in problem


def test_all_faults_are_told_and_no_index_is_written(files):
    (files / "images/1.png").write_text("no picture")
    (files / "masks/3.png").write_bytes(b"")
    told = []
    index, problems = cache.prepare(folder(files), told.append)
    assert index is None
    assert problems == ("images/1.png: not a readable PNG or JPEG", "masks/3.png: not a readable PNG")
    assert folder(files).index() is None
    assert told == [1, 2, 3, 4, 5]
    assert not (folder(files).path / cache.IMAGES).exists()


def test_of_files_that_are_not_whole_every_fault_is_told_and_nothing_is_written(files):
    """A label is missing, and another is no picture."""
    (files / "masks/0.png").unlink()
    (files / "masks/3.png").write_bytes(b"")
    held = folder(files)
    assert "masks/: no label for images/0" in held.listing.problems
    assert cache.prepare(held) == (None, ("masks/3.png: not a readable PNG",))
    assert not held.path.exists()


def test_pixels_that_were_torn_are_not_gone_on_from(files):
    """A power cut may leave zeros where bytes were written: what is kept is held against its checksum."""
    expected, _ = cache.prepare(folder(files))
    made = folder(files).path
    (made / cache.PARTIAL).write_bytes(b"".join(one.model_dump_json().encode() + b"\n" for one in expected.entries))
    (made / cache.INDEX).unlink()
    content = bytearray((made / cache.IMAGES).read_bytes())
    content[expected.entries[2].image_offset] ^= 1
    (made / cache.IMAGES).write_bytes(content)
    assert cache.prepare(folder(files)) == (expected, ())
    assert cache.verify(folder(files), expected) == ()


def test_whoever_waits_for_another_process_hears_how_far_it_is(files, monkeypatch):
    """Two lines are written when it looks, and then the lock is free."""
    monkeypatch.setattr(cache, "LOCK_SECONDS", 0.05)
    held, told = folder(files), []
    held.path.mkdir(parents=True)
    (held.path / cache.PARTIAL).write_bytes(b"one\ntwo\n")
    other = FileLock(held.path / "lock")
    other.acquire()

    def hear(done: int) -> None:
        told.append(done)
        other.release()

    assert cache.prepare(held, hear)[1] == ()
    assert told == [2, 1, 2, 3, 4, 5]


def test_a_file_larger_than_the_memory_is_mapped(tmp_path):
    """A sparse one of a terabyte, of which two pixels are looked at; they may be written to, and the file stays."""
    path = tmp_path / "images.bin"
    with path.open("wb") as file:
        file.truncate(2**40)
    pictures = cache.Pictures(path, [(1, 2, 3)] * 2, [0, 2**40 - 6])
    assert (pictures[1] == 0).all()
    pictures[1][:] = 7
    with path.open("rb") as file:
        file.seek(-6, os.SEEK_END)
        assert file.read() == bytes(6)


def test_a_full_disk_is_one_line_and_what_is_decoded_stays(files, monkeypatch):
    append, calls = cache._append, []

    def full(*arguments):
        calls.append(arguments)
        if len(calls) == 3:
            raise OSError(errno.ENOSPC, "No space left on device")
        return append(*arguments)

    monkeypatch.setattr(cache, "_append", full)
    with pytest.raises(BadInput, match=r"the disk is full.*set SEGKD_CACHE to a folder on a larger disk"):
        cache.prepare(folder(files))
    assert len((folder(files).path / cache.PARTIAL).read_bytes().splitlines()) == 2
    monkeypatch.setattr(cache, "_append", append)
    assert cache.prepare(folder(files))[1] == ()


def test_a_cache_that_cannot_be_written_is_one_line(files):
    (files.parent / "cache").write_text("a file")
    with pytest.raises(BadInput, match=r"cannot be written: .*set SEGKD_CACHE"):
        cache.prepare(folder(files))


def test_what_is_held_out_is_trained_on_only_by_runs_that_are_not_scored_on_it(files, monkeypatch):
    """Every second of five: images 1 and 3."""
    monkeypatch.setenv("SEGKD_CACHE", str(files.parent / "cache"))

    def shown(split: str, scored_on: str) -> list[int]:
        images = data.load(workload(), files, split, scored_on).images
        return [SIZES.index(images[number].shape[:2]) for number in range(len(images))]

    assert shown("train", "score") == shown("score", "score") == [0, 1, 2, 3, 4]
    assert shown("train", "tune") == [0, 2, 4]
    assert shown("tune", "tune") == [1, 3]
