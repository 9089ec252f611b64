"""Which folder is the data set's own."""

from pathlib import Path

import pytest

from harness.ledger.errors import BadInput
from harness.segmentation.layouts.looking import folders_below, holding, top

EXPECTED = ("images/train", "masks/train")


def made(folder: Path, *names: str) -> Path:
    for name in names:
        (folder / name).mkdir(parents=True)
    return folder


def found(folder: Path) -> str:
    return top(folder, EXPECTED, "such and such").relative_to(folder).as_posix()


def test_it_may_lie_two_folders_down_and_no_deeper(tmp_path):
    assert found(made(tmp_path / "0", *EXPECTED)) == "."
    assert found(made(tmp_path / "1", *(f"a/{name}" for name in EXPECTED))) == "a"
    assert found(made(tmp_path / "2", *(f"a/b/{name}" for name in EXPECTED))) == "a/b"
    with pytest.raises(BadInput, match="no folder 'images'; looked for such and such"):
        found(made(tmp_path / "3", *(f"a/b/c/{name}" for name in EXPECTED)))


def test_of_two_the_fuller_is_taken_then_the_nearer_then_the_first_by_name(tmp_path):
    assert found(made(tmp_path / "fuller", "images/val", *(f"b/{name}" for name in EXPECTED))) == "b"
    assert found(made(tmp_path / "nearer", *(f"{top}/{name}" for top in ("a/b", "c") for name in EXPECTED))) == "c"
    assert found(made(tmp_path / "first", *(f"{top}/{name}" for top in ("b", "a") for name in EXPECTED))) == "a"


def test_a_folder_that_links_to_itself_ends(tmp_path):
    made(tmp_path, *EXPECTED)
    (tmp_path / "images/again").symlink_to(tmp_path)
    (tmp_path / "images/train/train").symlink_to(tmp_path / "images")
    assert found(tmp_path) == "."


def test_folders_of_no_interest_are_not_opened_below_the_depth_of_a_data_set(tmp_path):
    made(tmp_path, "a/b/c/d/e", "a/b/images/d", ".hidden/images")
    assert folders_below(tmp_path, EXPECTED) == ["a", "a/b", "a/b/c", "a/b/images", "a/b/images/d"]


def test_what_is_expected_itself_is_no_suggestion():
    folders = ["x", "x/images", "x/images/train", "x/images/val", "x/masks", "x/masks/trian"]
    with pytest.raises(BadInput) as error:
        holding(Path("data"), folders, (*EXPECTED, "masks/val"), "such and such")
    expected = "--data data: no folder 'masks/train' in x/ (did you mean 'masks/trian'?); looked for such and such"
    assert expected == str(error.value)
