"""ADE20K's scene parsing benchmark, in made-up scenes of a few pixels."""

import pytest

from harness.ledger.errors import BadInput
from harness.segmentation.layouts import listing
from tests import layouts

DATA = layouts.ade20k_data()


@pytest.fixture
def folder(tmp_path):
    return layouts.ade20k(tmp_path / "data")


def found(path, split="train"):
    return listing(DATA, path, split, "ade20k")


def test_images_are_paired_with_their_annotations(folder):
    train = found(folder)
    assert (train.image_files, train.label_files, train.problems) == (3, 3, ())
    assert [
        (f"images/training/ADE_train_{n:08}.jpg", f"annotations/training/ADE_train_{n:08}.png") for n in (1, 2, 3)
    ] == [(pair.image.name, pair.label.name) for pair in train.pairs]


def test_what_is_scored_is_validation_and_what_is_tuned_on_is_held_out_of_training(folder):
    train, tune, score = (found(folder, split) for split in ("train", "tune", "score"))
    assert train.pairs[1::2] == tune.pairs
    assert [f"images/validation/ADE_val_{n:08}.jpg" for n in (1, 2)] == [pair.image.name for pair in score.pairs]
    assert tune.problems == score.problems == ()


def test_the_folder_itself_will_do_and_the_one_above(folder):
    paths = (folder / "ADEChallengeData2016", folder, folder.parent)
    assert len({tuple(pair.image.name for pair in found(path).pairs) for path in paths}) == 1


def test_an_image_without_its_annotation_is_named(folder):
    (folder / "ADEChallengeData2016/annotations/validation/ADE_val_00000002.png").unlink()
    problems = found(folder, "score").problems
    assert "annotations/validation/: no label for images/validation/ADE_val_00000002" in problems


def test_a_missing_folder_is_named_with_the_nearest_and_where_the_data_set_is_to_be_had(folder):
    home = folder / "ADEChallengeData2016"
    (home / "annotations").rename(home / "annotation")
    with pytest.raises(BadInput) as error:
        found(folder)
    assert str(error.value).startswith(
        f"--data {folder}: no folder 'annotations' in ADEChallengeData2016/ (did you mean 'annotation'?); looked for "
    )
    for told in ("http://sceneparsing.csail.mit.edu", "ADEChallengeData2016.zip", "SEGKD_DATA"):
        assert told in str(error.value)
