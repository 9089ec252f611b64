"""Cityscapes, in made-up cities of a few pixels."""

import shutil

import pytest

from harness.ledger.errors import BadInput
from harness.segmentation.layouts import listing
from tests import layouts

DATA = layouts.cityscapes_data(train=4, score=2, every=2)


@pytest.fixture
def folder(tmp_path):
    return layouts.cityscapes(tmp_path / "cityscapes", train=4)


def found(path, split="train"):
    return listing(DATA, path, split, "cityscapes")


def test_frames_of_all_cities_are_paired_with_their_label_ids_and_with_nothing_else(folder):
    train = found(folder)
    assert (train.image_files, train.label_files, train.problems) == (4, 4, ())
    frames = ["aachen/aachen_000000", "aachen/aachen_000002", "bochum/bochum_000001", "bochum/bochum_000003"]
    assert [
        (f"leftImg8bit/train/{frame}_000019_leftImg8bit.png", f"gtFine/train/{frame}_000019_gtFine_labelIds.png")
        for frame in frames
    ] == [(pair.image.name, pair.label.name) for pair in train.pairs]


def test_what_is_scored_is_val_and_what_is_tuned_on_is_held_out_of_train(folder):
    train, tune, score = (found(folder, split) for split in ("train", "tune", "score"))
    assert train.pairs[1::2] == tune.pairs
    assert [pair.image.name.split("/")[2] for pair in score.pairs] == ["frankfurt", "lindau"]
    assert tune.problems == score.problems == ()


def test_the_folder_above_will_do(folder):
    names = [[pair.image.name for pair in found(path).pairs] for path in (folder, folder.parent)]
    assert names[0] == names[1]


def test_cities_may_be_links(folder, tmp_path):
    (folder / "leftImg8bit/train/aachen").rename(tmp_path / "aachen")
    (folder / "leftImg8bit/train/aachen").symlink_to(tmp_path / "aachen")
    assert found(folder).problems == ()


def test_a_frame_without_its_label_is_named_and_so_is_the_wrong_count(folder):
    (folder / "gtFine/train/aachen/aachen_000000_000019_gtFine_labelIds.png").unlink()
    assert found(folder).problems == (
        "gtFine/train/: found 3 files, the workload expects 4",
        "gtFine/train/: no label for leftImg8bit/train/aachen/aachen_000000_000019",
    )
    assert len(found(folder).pairs) == 3


def test_without_the_zip_of_labels_the_message_says_which_it_is_and_where_it_is_to_be_had(folder):
    shutil.rmtree(folder / "gtFine")
    with pytest.raises(BadInput) as error:
        found(folder)
    assert str(error.value).startswith(
        f"--data {folder}: no folder 'gtFine'; looked for leftImg8bit/{{train,val}}/CITY/"
    )
    for told in ("gtFine_trainvaltest.zip", "https://www.cityscapes-dataset.com", "registration", "SEGKD_DATA"):
        assert told in str(error.value)
    assert len(str(error.value).splitlines()) == 1


def test_labels_under_a_near_name_are_named(folder):
    (folder / "gtFine").rename(folder / "gtfine")
    with pytest.raises(BadInput, match=r"no folder 'gtFine' in cityscapes/ \(did you mean 'gtfine'\?\)"):
        found(folder.parent)


def test_a_split_that_is_missing_is_named_below_its_folder(folder):
    shutil.rmtree(folder / "leftImg8bit/val")
    with pytest.raises(BadInput, match=r"no folder 'leftImg8bit/val'"):
        found(folder)


def test_a_zip_is_to_be_unpacked(tmp_path):
    (tmp_path / "gtFine_trainvaltest.zip").write_bytes(b"PK\x03\x04")
    with pytest.raises(BadInput, match=r"gtFine_trainvaltest\.zip: not a folder: unpack it and name the folder"):
        found(tmp_path / "gtFine_trainvaltest.zip")
