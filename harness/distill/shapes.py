"""What a loss may ask of the tensors it compares."""

from torch import Tensor

from harness.ledger.errors import BadInput


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


def _shape(tensor: Tensor) -> str:
    """`2×19×64×128`."""
    return "×".join(map(str, tensor.shape))
