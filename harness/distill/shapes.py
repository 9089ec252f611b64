"""What a loss may ask of the tensors it compares."""

import torch
from torch import Tensor

from harness.ledger.errors import BadInput

IGNORED = 255
"""The label of a pixel that has none."""


def expect_same_shape(student: Tensor, teacher: Tensor) -> None:
    """BadInput unless both have one shape: elementwise losses would otherwise stretch one to the other in silence."""
    if student.shape != teacher.shape:
        raise BadInput(
            f"student {_shape(student)} against teacher {_shape(teacher)}: "
            "expected one shape: tap stages of one stride, and an adapter where the channels differ"
        )


def expect_same_positions(student: Tensor, teacher: Tensor) -> None:
    """BadInput unless both have the same images and positions; channels may differ."""
    if student.shape[:1] + student.shape[2:] != teacher.shape[:1] + teacher.shape[2:]:
        raise BadInput(
            f"student {_shape(student)} against teacher {_shape(teacher)}: "
            "expected the same height and width: tap stages of one stride"
        )


def nearest_labels(labels: Tensor, height: int, width: int) -> Tensor:
    """B×H×W → B×h×w: of each block the label at ⌊i·H/h⌋, ⌊j·W/w⌋."""
    rows = torch.arange(height, device=labels.device) * labels.shape[1] // height
    columns = torch.arange(width, device=labels.device) * labels.shape[2] // width
    return labels[:, rows[:, None], columns]


def _shape(tensor: Tensor) -> str:
    """`2×19×64×128`."""
    return "×".join(map(str, tensor.shape))
