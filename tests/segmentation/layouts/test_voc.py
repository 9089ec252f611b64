"""Pascal VOC 2012 and SBD, in made-up images of a few pixels."""

import shutil

import numpy as np
import pytest
from PIL import Image

from harness.ledger.errors import BadInput
from harness.segmentation.layouts import listing
from tests import layouts

DATA = layouts.voc_data()
SEGMENTATION = "VOCdevkit/VOC2012/SegmentationClass"
SBD = "benchmark_RELEASE/dataset"


@pytest.fixture
def folder(tmp_path):
    return layouts.voc(tmp_path / "data")


def found(path, split="train"):
    return listing(DATA, path, split, "voc")


def labels(path, split="train"):
    return [pair.label.name for pair in found(path, split).pairs]


ALL = [
    f"{SEGMENTATION}/2007_000000.png",  # SBD has a label of it too
    f"{SEGMENTATION}/2007_000001.png",
    *(f"{SBD}/cls/2007_{number:06}.mat" for number in (2, 3, 4)),
]


def test_training_is_vocs_train_and_all_of_sbd_without_vocs_val(folder):
    train = found(folder)
    assert (train.image_files, train.label_files, train.problems) == (5, 5, ())
    assert labels(folder) == ALL
    assert [f"VOCdevkit/VOC2012/JPEGImages/2007_{n:06}.jpg" for n in range(5)] == [p.image.name for p in train.pairs]


def test_what_is_scored_is_vocs_val_and_what_is_tuned_on_is_held_out_of_training(folder):
    assert [ALL[1], ALL[3]] == labels(folder, "tune")
    assert [f"{SEGMENTATION}/2007_00000{n}.png" for n in (5, 6)] == labels(folder, "score")
    assert found(folder, "tune").problems == found(folder, "score").problems == ()


@pytest.mark.parametrize("place", ["VOCdevkit/", "VOCdevkit/VOC2012/", "sbd/", ""])
def test_sbd_may_lie_below_or_beside_voc(folder, place):
    (folder / place).mkdir(exist_ok=True)
    if place:
        (folder / "benchmark_RELEASE").rename(folder / place / "benchmark_RELEASE")
    assert labels(folder) == ALL


@pytest.mark.parametrize("below", ["VOCdevkit", "VOCdevkit/VOC2012"])
def test_data_may_be_voc_itself_with_sbd_beside_it(folder, below):
    assert labels(folder / below) == ALL


def test_data_may_be_named_from_within(folder, monkeypatch):
    monkeypatch.chdir(folder / "VOCdevkit/VOC2012")
    assert labels(type(folder)(".")) == ALL


def test_an_image_that_voc_lacks_is_sbds(folder):
    (folder / "VOCdevkit/VOC2012/JPEGImages/2007_000002.jpg").unlink()
    assert found(folder).pairs[2].image.name == f"{SBD}/img/2007_000002.jpg"
    assert found(folder).problems == ()


def test_sbd_without_its_images_will_do(folder):
    shutil.rmtree(folder / SBD / "img")
    assert labels(folder) == ALL


@pytest.mark.parametrize("line", ["{0}", "/JPEGImages/{0}.jpg /SegmentationClassAug/{0}.png"])
def test_sbd_as_pngs_inside_voc_will_do(tmp_path, line):
    folder = layouts.voc(tmp_path, sbd=False)
    voc = folder / "VOCdevkit/VOC2012"
    (voc / "SegmentationClassAug").mkdir()
    for number in range(7):
        Image.fromarray(np.zeros((48, 64), np.uint8)).save(voc / f"SegmentationClassAug/2007_{number:06}.png")
    lines = [line.format(f"2007_{number:06}") for number in range(5)]
    (voc / "ImageSets/Segmentation/trainaug.txt").write_text("\n".join(lines))
    more = [f"{SEGMENTATION}Aug/2007_{number:06}.png" for number in (2, 3, 4)]
    assert [*ALL[:2], *more] == labels(folder)
    assert found(folder).problems == ()


def test_a_label_of_vocs_own_that_has_gone_is_a_problem_though_sbd_has_one(folder):
    (folder / SEGMENTATION / "2007_000000.png").unlink()
    problem = f"{SEGMENTATION} and {SBD}/cls: no label of 2007_000000, which is listed"
    assert found(folder).problems == (problem,)
    assert ALL[1:] == labels(folder)


def test_an_image_that_is_nowhere_is_named(folder):
    for path in folder.rglob("2007_000003.jpg"):
        path.unlink()
    assert found(folder).problems == ("VOCdevkit/VOC2012/JPEGImages: no image of 2007_000003, which is listed",)
    assert (found(folder).image_files, found(folder).label_files) == (4, 5)


def test_a_list_of_other_length_is_told(folder):
    with (folder / "VOCdevkit/VOC2012/ImageSets/Segmentation/val.txt").open("a") as file:
        file.write("\n../../../../2007_000004\n\x1b[2J\n")
    problems = found(folder, "score").problems
    assert problems[0] == "VOCdevkit/VOC2012/ImageSets/Segmentation/: found 4 names, the workload expects 2"
    assert all(problem.isprintable() for problem in problems)
    assert labels(folder, "score") == [f"{SEGMENTATION}/2007_000005.png", f"{SEGMENTATION}/2007_000006.png"]


def test_without_sbd_the_message_says_where_it_is_to_be_had(tmp_path):
    folder = layouts.voc(tmp_path, sbd=False)
    (folder / "benchmarkRELEASE").mkdir()
    with pytest.raises(BadInput) as error:
        found(folder)
    assert str(error.value).startswith(
        f"--data {folder}: no folder 'benchmark_RELEASE/dataset' (did you mean 'benchmarkRELEASE'?); looked for "
    )
    assert "http://home.bharathh.info/pubs/codes/SBD/download.html" in str(error.value)
    assert found(folder, "score").problems == ()  # scoring needs VOC alone


def test_a_missing_list_is_named(folder):
    (folder / "VOCdevkit/VOC2012/ImageSets/Segmentation/val.txt").unlink()
    with pytest.raises(BadInput, match=r"ImageSets/Segmentation: no file 'val\.txt'; looked for VOCdevkit/VOC2012/"):
        found(folder)
    (folder / SBD / "train.txt").unlink()
    layouts._lines(folder / "VOCdevkit/VOC2012/ImageSets/Segmentation/val.txt", [])
    with pytest.raises(BadInput, match=r"dataset: no file 'train\.txt'; looked for benchmark_RELEASE/"):
        found(folder)


def test_without_voc_the_message_names_the_folder_and_the_site(folder):
    (folder / "VOCdevkit/VOC2012/JPEGImages").rename(folder / "VOCdevkit/VOC2012/JPGImages")
    with pytest.raises(BadInput) as error:
        found(folder)
    assert str(error.value).startswith(
        f"--data {folder}: no folder 'JPEGImages' in VOCdevkit/VOC2012/ (did you mean 'JPGImages'?); looked for "
    )
    assert "http://host.robots.ox.ac.uk/pascal/VOC/voc2012/" in str(error.value)
