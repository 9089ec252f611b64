"""The data that a plan was drawn up for."""

from pathlib import Path

import pytest

from harness.ledger.errors import BadInput
from harness.segmentation import data
from harness.train.splits import planned_split
from tests import factories, layouts


def test_files_that_changed_since_the_plan_are_refused(tmp_path: Path):
    """By the digest of each split; a plan of older records has none and takes what is there."""
    files = layouts.folders(tmp_path / "data")
    held = factories.workload(
        data=layouts.folders_data(), classes=("road", "sky", "car"), image_size=None, label_size=None
    )
    report = data.check(held, files)
    assert report.problems == ()
    planned = {split.name: split.sha256 for split in report.splits}
    ground = factories.ground(of=held).model_copy(update={"data": str(files), "split_sha256": planned})
    assert len(planned_split(ground, "train").images) == 3
    (files / "images/train/0.jpg").write_bytes((files / "images/train/1.jpg").read_bytes())
    assert len(planned_split(ground, "score").images) == 2
    with pytest.raises(BadInput, match="the files of train have changed since the plan: plan anew"):
        planned_split(ground, "train")
    assert len(planned_split(ground.model_copy(update={"split_sha256": {}}), "train").images) == 3
