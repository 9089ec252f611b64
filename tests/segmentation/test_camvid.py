"""The real CamVid, where a copy of it lies beside the checkout."""

from pathlib import Path

import pytest

from harness.ledger.workload import read_workload, workload_path
from harness.segmentation import data

CAMVID = Path(__file__).parents[2].parent / "shared" / "data" / "camvid.tar"

pytestmark = pytest.mark.skipif(not CAMVID.exists(), reason=f"no CamVid at {CAMVID}; it may not be handed on")


@pytest.fixture(scope="module")
def workload():
    return read_workload(workload_path("camvid-small"))


def test_the_data_set_has_no_problems_and_367_101_233_images(workload):
    report = data.check(workload, CAMVID)
    assert report.problems == ()
    assert [367, 101, 233] == [split.images for split in report.splits] == [split.labels for split in report.splits]
    assert report.sha256 == data.content_sha256(workload, CAMVID)
    road = dict(zip(workload.classes, report.class_share, strict=True))["road"]
    assert pytest.approx(0.3041, abs=1e-4) == road
    assert pytest.approx(0.0359, abs=1e-4) == report.ignored_share


def test_the_small_workload_halves_its_images_and_keeps_the_labels_it_is_scored_on(workload):
    tune = data.load(workload, CAMVID, "tune")
    assert (len(tune.images), tune.images[0].shape) == (101, (180, 240, 3))
    assert (len(tune.labels), tune.labels[0].shape) == (101, (360, 480))


@pytest.mark.parametrize("name", ["camvid", "camvid-small"])
def test_both_workloads_read_the_same_files(name, workload):
    assert read_workload(workload_path(name)).data == workload.data
