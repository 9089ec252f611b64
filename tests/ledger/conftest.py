"""A folder of a person's own: descriptors, and the Python that they name."""

from pathlib import Path

import pytest

from harness.ledger.descriptor import resolve_method
from harness.ledger.errors import BadInput

LOSSES = '''"""Losses of a test."""

raise SystemExit("reading a descriptor ran its code")


def warm(
    student, teacher, labels, *, draw, temperature: float = 1.0, sizes: tuple[int, ...] = (),
    shares: tuple[float, ...] = (), norm: str = "none", deep: bool = False, kernel: int = 3, free=None,
):
    """With settings that have defaults."""


def needy(student, teacher, labels, *, draw, temperature, student_channels, teacher_channels, group):
    """With one that has none; the widths come from the engine."""


def halves(student, teacher, labels, *, draw, parts):
    """Two numbers."""


def _hidden(student, teacher, labels, *, draw):
    """No loss."""


class Bank:
    """With state and parts."""

    def __init__(self, *, student_channels, parts, classes, size: int = 10):
        """Settings of a class are its constructor's."""


class Bare:
    """Without a constructor of its own."""
'''


@pytest.fixture
def folder(tmp_path):
    """With Python beside the descriptors."""
    (tmp_path / "mine.py").write_text(LOSSES)
    return tmp_path


@pytest.fixture
def write(folder):
    """A descriptor with these lines behind its first three."""

    def write(terms: str, name: str = "mine", more: str = "") -> Path:
        path = folder / f"{name}.yaml"
        path.write_text(f"title: Mine\nfamily: general\nnotes: none\n{more}{terms}")
        return path

    return write


@pytest.fixture
def term(write):
    """A descriptor of one term, its lines beginning with line 5."""

    def term(loss="mine.py:warm", at="logits", weight="{default: 1.0}", source="ours", more="") -> Path:
        return write(f"terms:\n  - loss: {loss}\n    at: {at}\n    weight: {weight}\n    source: {source}\n{more}")

    return term


@pytest.fixture
def complaint(folder):
    """What a person is told, without the folder that the file lies in."""

    def complaint(path: Path, dataset: str = "streets", batch: int = 8) -> str:
        with pytest.raises(BadInput) as caught:
            resolve_method(path, dataset, batch)
        return str(caught.value).replace(f"{folder}/", "")

    return complaint
