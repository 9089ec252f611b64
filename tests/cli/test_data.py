"""bench data check and prepare, as a person types them, on tiny data sets in the published layouts."""

from pathlib import Path

import pytest

from harness.ledger.workload import workload_path
from harness.segmentation import cache
from tests import layouts
from tests.story import bench

SIZES = "image_size: [1024, 2048]\nlabel_size: [1024, 2048]"


@pytest.fixture
def cityscapes(tmp_path: Path) -> Path:
    """A Cityscapes of three and two images in `data`, and beside it a workload that says so."""
    layouts.cityscapes(tmp_path / "data")
    text = workload_path("cityscapes-pspnet-r18").read_text()
    counts = {"count: 2975": "count: 3", "every: 10, count: 297": "every: 2, count: 1", "count: 500": "count: 2"}
    for old, new in {**counts, SIZES: SIZES.replace("1024", "64").replace("2048", "128")}.items():
        assert old in text
        text = text.replace(old, new)
    (tmp_path / "mine.yaml").write_text(text)
    return tmp_path


def test_a_data_set_is_prepared_once_and_damage_is_found(cityscapes: Path):
    """Six images: three, one of them held out too, and two. Then a changed byte is a problem with its image's name."""
    prepared = bench(cityscapes, "data", "prepare", "mine.yaml", "--data", "data", cwd=cityscapes)
    assert prepared.returncode == 0, prepared.stderr
    assert prepared.stdout.startswith("6 images, 0.00 GiB decoded in ")
    (pixels,) = cityscapes.glob(f"decoded/cityscapes-score-*/{cache.IMAGES}")
    written = pixels.stat().st_mtime_ns
    checked = bench(cityscapes, "data", "check", "mine.yaml", "--data", "data", cwd=cityscapes)
    assert checked.returncode == 0, checked.stdout + checked.stderr
    assert checked.stdout.endswith("0 problems\n")
    assert pixels.stat().st_mtime_ns == written
    with pixels.open("r+b") as file:
        file.write(b"\x00\x01\x02")
    damaged = bench(cityscapes, "data", "check", "mine.yaml", "--data", "data", cwd=cityscapes)
    assert damaged.returncode == 2
    assert "the decoded pixels of leftImg8bit/val/" in damaged.stdout
    assert "are damaged: remove the folder, it is made anew" in damaged.stdout


def test_a_data_set_that_is_not_whole_is_refused_with_what_is_missing(cityscapes: Path):
    """Of the published one as much is there as was written: the counts say so, and exit code 2."""
    answer = bench(cityscapes, "data", "check", "cityscapes-pspnet-r18", "--data", "data", cwd=cityscapes)
    assert answer.returncode == 2
    assert "found 3 files, the workload expects 2975" in answer.stdout
    refused = bench(cityscapes, "data", "prepare", "cityscapes-pspnet-r18", "--data", "data", cwd=cityscapes)
    assert (refused.returncode, refused.stdout) == (2, "")
    assert "found 3 files, the workload expects 2975 (and " in refused.stderr
    assert refused.stderr.splitlines()[-1].startswith("bench: ")


def test_a_data_set_that_is_not_there_is_one_line_that_says_where_it_is_to_be_had(tmp_path: Path):
    answer = bench(tmp_path, "data", "check", "cityscapes-pspnet-r18", "--data", tmp_path, cwd=tmp_path)
    assert answer.returncode == 2
    said = answer.stderr.splitlines()[-1]
    assert said.startswith(f"bench: --data {tmp_path}: no folder 'leftImg8bit'")
    assert "https://www.cityscapes-dataset.com" in said
