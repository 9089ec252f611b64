"""How images find their labels, and how a file is read."""

import pytest

from harness.segmentation.sources import Fault, Folder, Source, by_stem, files_in, folders_in, paired, source


def nothing() -> bytes:
    raise AssertionError("pairing reads no file")


def folder(name: str, *files: str) -> Folder:
    return by_stem(name, (Source(f"{name}/{file}", 1, 0, nothing) for file in files))


def test_pairs_come_in_the_order_of_their_keys_whatever_the_folders_order():
    listing = paired(folder("x", "b.jpg", "a.png", "a.b.png"), folder("y", "a.png", "a.b.png", "b.png"), 3)
    assert [(pair.image.name, pair.label.name) for pair in listing.pairs] == [
        ("x/a.png", "y/a.png"),
        ("x/a.b.png", "y/a.b.png"),
        ("x/b.jpg", "y/b.png"),
    ]
    assert (listing.image_files, listing.label_files, listing.problems) == (3, 3, ())


def test_counts_doubles_and_missing_partners_are_told_in_that_order_and_cost_no_other_pair():
    listing = paired(folder("x", "a.png", "b.png", "b.jpg", "c.png"), folder("y", "a.png", "b.png", "d.png"), 3)
    assert listing.problems == (
        "x/: found 4 files, the workload expects 3",
        "x/b: 2 files of this stem",
        "y/: no label for x/c",
        "x/: no image for y/d",
    )
    assert [pair.image.name for pair in listing.pairs] == ["x/a.png"]


def test_two_empty_folders_are_a_wrong_count():
    assert paired(folder("x"), folder("y"), 1).problems == (
        "x/: found 0 files, the workload expects 1",
        "y/: found 0 files, the workload expects 1",
    )


def test_files_are_listed_by_name_without_hidden_ones_folders_and_other_endings(tmp_path):
    for name in ("b.PNG", "a.png", "._a.png", "c.txt"):
        (tmp_path / name).write_bytes(b"x")
    (tmp_path / "folder.png").mkdir()
    (tmp_path / ".hidden").mkdir()
    assert [each.name for each in files_in(tmp_path, "x", (".png",))] == ["x/a.png", "x/b.PNG"]
    assert folders_in(tmp_path) == ["folder.png"]


def test_a_file_that_has_grown_too_large_since_it_was_listed_is_not_read(tmp_path):
    path = tmp_path / "a.png"
    path.write_bytes(b"x")
    listed = source(str(path), "images/a.png")
    assert (listed.size, listed.read()) == (1, b"x")
    with path.open("r+b") as file:
        file.truncate(64 * 2**20 + 1)
    with pytest.raises(Fault, match=r"^images/a\.png: cannot be read: over 64 MiB$"):
        listed.read()
