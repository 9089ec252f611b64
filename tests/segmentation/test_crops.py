"""Which part of an image a crop shows."""

import pytest

from harness.ledger.workload import Augmentation
from harness.segmentation.crops import Window


@pytest.mark.parametrize(
    ("scale", "source", "target"),
    [
        (1.0, ((0, 4), (0, 8)), ((0, 4), (0, 8))),
        (2.0, ((1, 2), (2, 4)), ((0, 4), (0, 8))),
        (0.5, ((0, 4), (0, 8)), ((1, 2), (2, 4))),
    ],
)
def test_the_middle_draw_takes_or_fills_the_middle(scale, source, target):
    augmentation = Augmentation(scale=(scale, scale), crop=(4, 8), flip=0.0)
    assert Window(source, target) == Window.of(augmentation, (4, 8), 0.5, 0.5, 0.5)
