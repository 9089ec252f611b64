"""A file of golden vectors: inputs, parameters and settings of one case, and the losses and gradients it must give.

What each array means is told in kd/vectors/README-cirkd.md and README-others.md.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from harness.ledger.errors import BadInput
from harness.ledger.method import Setting

UNCOMPARED = ("loss32/", "meta/")
"""A pass in single precision, and provenance."""


@dataclass(frozen=True)
class Golden:
    """The arrays of one file by name."""

    arrays: Mapping[str, np.ndarray]

    def tensor(self, name: str) -> Tensor:
        """An array of numbers in double precision; a stage is B×C×h×w or, of token embeddings, B×N×C."""
        array = self._array(name)
        if array.dtype.kind != "f" or not np.isfinite(array).all():
            raise BadInput(f"{name}: found {_told(array)}: expected finite real numbers")
        if name.startswith(("student_", "teacher_")) and array.ndim not in (3, 4):
            raise BadInput(f"{name}: found {_told(array)}: expected B×C×h×w, or B×N×C of embeddings")
        return torch.from_numpy(array.astype(np.float64))

    def whole(self, name: str) -> Tensor:
        """An array of whole numbers, int64."""
        array = self._array(name)
        if array.dtype.kind not in "iu":
            raise BadInput(f"{name}: found {_told(array)}: expected whole numbers")
        return torch.from_numpy(array.astype(np.int64))

    def labels(self, images: int) -> Tensor:
        """B×H×W, int64."""
        array = self._array("labels")
        if array.dtype.kind not in "iu" or array.ndim != 3 or len(array) != images:
            raise BadInput(f"labels: found {_told(array)}: expected whole numbers, {images} images, 3 sizes")
        return torch.from_numpy(array.astype(np.int64))

    def setting(self, name: str) -> Setting:
        """A hyper-parameter of the case: a value or a list of numbers."""
        array = self._array(f"hparam/{name}")
        value = array.item() if array.ndim == 0 else tuple(array.tolist())
        if not isinstance(value, bool | int | float | str | tuple) or array.ndim > 1 or array.dtype.kind == "O":
            raise BadInput(f"hparam/{name}: found {_told(array)}: expected one value, or a list")
        return value

    def number(self, name: str) -> float:
        """A hyper-parameter that is a number."""
        value = self.setting(name)
        if isinstance(value, str | tuple):
            raise BadInput(f"hparam/{name}: found {value!r}: expected a number")
        return float(value)

    def expected(self, name: str) -> np.ndarray:
        """A loss or a gradient as the released code gave it."""
        array = self._array(name)
        if array.dtype.kind != "f" or not array.size or not np.isfinite(array).all():
            raise BadInput(f"{name}: found {_told(array)}: expected finite real numbers")
        return array.astype(np.float64)

    def names(self, *prefixes: str) -> tuple[str, ...]:
        """The arrays whose names begin so, in order."""
        return tuple(sorted(name for name in self.arrays if name.startswith(prefixes)))

    def _array(self, name: str) -> np.ndarray:
        if name not in self.arrays:
            raise BadInput(f"{name}: missing")
        return self.arrays[name]


def read_golden(path: Path) -> Golden:
    """The arrays of a file, read without running anything in it; BadInput for whatever else it turns out to be."""
    try:
        # Opened here: np.load leaves a damaged file open.
        with path.open("rb") as stream:
            file = np.load(stream, allow_pickle=False)
            if not isinstance(file, np.lib.npyio.NpzFile):
                raise ValueError("one array: expected a zip of arrays")
            return Golden({name: np.asarray(file[name]) for name in file.files})
    except Exception as error:
        # zipfile, zlib and numpy's header reader each have their own ways to stumble over a stranger's bytes.
        raise BadInput(f"cannot be read: {type(error).__name__}: {str(error).partition(chr(10))[0]}") from error


def _told(array: np.ndarray) -> str:
    """`float32, 2×5×8×8`."""
    return f"{array.dtype}, {'×'.join(map(str, array.shape)) or 'one value'}"
