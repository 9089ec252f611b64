"""The data that a plan was drawn up for, and no others."""

from pathlib import Path

from harness.ledger.datasets import Split as SplitName
from harness.ledger.errors import BadInput
from harness.ledger.spec import Ground
from harness.segmentation.data import Split, load


def planned_split(ground: Ground, name: SplitName, scored_on: SplitName = "score") -> Split:
    """A split of the ground's data set; BadInput when its files have changed since the plan."""
    split = load(ground.workload, Path(ground.data) if ground.data else None, name, scored_on)
    expected = ground.split_sha256.get(name)
    if None not in (expected, split.sha256) and split.sha256 != expected:
        raise BadInput(f"--data {ground.data}: the files of {name} have changed since the plan: plan anew")
    return split
