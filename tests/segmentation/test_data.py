"""Splits, reports and fingerprints of both readers."""

import io
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from harness.ledger.datasets import DrawnSplit, FoldersData, FolderSplit, StreetsData
from harness.ledger.errors import BadInput
from harness.ledger.files import sha256
from harness.ledger.findings import SplitCount
from harness.ledger.workload import Workload
from harness.segmentation import data, streets
from tests import factories

LAYOUT = FoldersData(
    reader="folders",
    train=FolderSplit(count=2, images="train", labels="trainannot"),
    tune=FolderSplit(count=1, images="val", labels="valannot"),
    score=FolderSplit(count=1, images="test", labels="testannot"),
    unlabelled=(3,),
)


def workload() -> Workload:
    return factories.workload(data=LAYOUT, image_size=(1, 2), label_size=(2, 4), classes=("road", "sky", "car"))


def drawn() -> Workload:
    few = {name: DrawnSplit(count=count, seed=count) for name, count in {"train": 3, "tune": 2, "score": 1}.items()}
    return factories.workload(classes=streets.CLASSES, data=StreetsData(reader="streets", **few))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    label = np.array([[0, 1, 2, 3], [2, 2, 3, 3]], np.uint8)
    for name, stems in {"train": "ab", "val": "c", "test": "d"}.items():
        for stem in stems:
            write(tmp_path / name / f"{stem}.png", np.full((2, 4, 3), ord(stem), np.uint8))
            write(tmp_path / f"{name}annot" / f"{stem}.png", label)
    return tmp_path


def write(path: Path, pixels: np.ndarray) -> None:
    path.parent.mkdir(exist_ok=True)
    content = io.BytesIO()
    Image.fromarray(pixels).save(content, "PNG")
    path.write_bytes(content.getvalue())


def test_the_report_counts_files_and_pixels_of_all_splits(folder):
    report = data.check(workload(), folder)
    assert report.problems == ()
    digests = [split.sha256 for split in report.splits]
    assert len(set(digests)) == 3
    assert report.sha256 == sha256(*digests)
    assert tuple(split.model_copy(update={"sha256": None}) for split in report.splits) == (
        SplitCount(name="train", expected=2, images=2, labels=2),
        SplitCount(name="tune", expected=1, images=1, labels=1),
        SplitCount(name="score", expected=1, images=1, labels=1),
    )
    # Five of eight pixels are labelled; the label files count, not what training makes of them.
    assert pytest.approx((1 / 5, 1 / 5, 3 / 5)) == report.class_share
    assert pytest.approx(3 / 8) == report.ignored_share


def test_problems_of_all_splits_are_reported_and_loading_stops_at_the_first(folder):
    (folder / "val/c.png").write_bytes(b"")
    (folder / "trainannot/a.png").unlink()
    (folder / "trainannot/b.png").unlink()
    problems = data.check(workload(), folder).problems
    assert "val/c.png: not a readable PNG or JPEG" in problems
    assert "trainannot/: no label for train/a" in problems
    with pytest.raises(BadInput, match=rf"--data {folder}: trainannot/: found 0 files.*and 2 more; `bench data check`"):
        data.load(workload(), folder, "train")
    assert len(data.load(workload(), folder, "score").images) == 1


def test_an_image_without_a_labelled_pixel_is_no_problem_but_a_split_of_them_is(folder):
    """Real data sets have some such images; where all are so, the label values are misread."""
    nothing = np.full((2, 4), 3, np.uint8)
    write(folder / "trainannot/a.png", nothing)
    assert data.check(workload(), folder).problems == ()
    write(folder / "testannot/d.png", nothing)
    assert data.check(workload(), folder).problems == ("score: found no labelled pixel in 1 labels: all are ignored",)


def test_shares_of_a_data_set_without_a_readable_label_are_zero(folder):
    for path in folder.glob("*annot/*.png"):
        path.write_bytes(b"")
    report = data.check(workload(), folder)
    assert report.class_share == (0, 0, 0)
    assert report.ignored_share == 0


def test_the_cheap_fingerprint_is_the_reports_and_changes_with_a_byte_or_a_name(folder):
    first = data.content_sha256(workload(), folder)
    assert first == data.check(workload(), folder).sha256
    (folder / "test/d.png").rename(folder / "test/e.png")
    renamed = data.content_sha256(workload(), folder)
    write(folder / "train/a.png", np.full((2, 4, 3), 1, np.uint8))
    assert len({first, renamed, data.content_sha256(workload(), folder)}) == 3


def test_streets_load_as_they_are_drawn_and_need_no_data():
    split = data.load(drawn(), None, "tune")
    scenes = streets.draw(2, 2)
    assert (split.images == scenes.images.transpose(0, 2, 3, 1)).all()
    assert (split.labels == scenes.labels).all()


def test_streets_have_a_report_with_the_cheap_fingerprint():
    report = data.check(drawn(), None)
    assert report.problems == ()
    assert [(split.expected, split.images) for split in report.splits] == [(3, 3), (2, 2), (1, 1)]
    assert pytest.approx(1) == sum(report.class_share)
    assert report.sha256 == data.content_sha256(drawn(), None)


def test_streets_in_a_workload_of_other_sizes_or_classes_are_refused():
    odd = drawn().model_copy(update={"image_size": (32, 64), "classes": ("road", "sky")})
    problems = data.check(odd, None).problems
    assert "image_size: found [32, 64], streets are drawn at [64, 128]" in problems
    assert any(problem.startswith("classes: found 2, streets hold a class") for problem in problems)


def test_reading_data_loads_no_torch():
    code = "import sys; from harness.segmentation import data; assert 'torch' not in sys.modules"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
