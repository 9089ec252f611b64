"""Shipped methods against golden vectors: through the descriptor, the adapters and the distiller that a run uses."""

import math
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from torch import Tensor

from harness.distill.golden import UNCOMPARED, Golden, read_golden
from harness.distill.objectives import CIRKD, NOT_SHIPPED, OBJECTIVES, OTHERS, TOTAL, Computed, Objective
from harness.ledger.errors import BadInput
from harness.ledger.findings import VectorResult, VerifyReport


@dataclass(frozen=True)
class Tolerance:
    """What a README allows in double precision, as shares: of the loss, of the largest number in a gradient."""

    loss: float
    gradient: float
    floor: float
    """A gradient's largest number counts at least as this share of the largest in the file."""


TOLERANCES = {
    CIRKD: Tolerance(loss=1e-9, gradient=1e-8, floor=0.0),
    # Gradients are stored in single precision, and some are zero but for rounding.
    OTHERS: Tolerance(loss=1e-9, gradient=1e-4, floor=1e-3),
}


@dataclass(frozen=True)
class Comparison:
    """One stored array against ours."""

    name: str
    values: int
    error: float
    """The largest difference, as a share of the scale that the tolerance speaks of."""
    tolerance: float

    @property
    def strain(self) -> float:
        """The error in tolerances: at most 1 is a match."""
        return self.error / self.tolerance


def verify(folder: Path) -> VerifyReport:
    """Every .npz of a folder against the shipped implementation that its name stands for."""
    files = sorted(folder.glob("*.npz"))
    if not files:
        raise BadInput(f"{folder}: no golden vectors: expected a folder with .npz files")
    known = [path for path in files if _objective(path) in OBJECTIVES]
    others = [path for path in files if path not in known]
    return VerifyReport(
        results=tuple(_verify(path, _objective(path)) for path in known),
        left_out=tuple(path.name for path in others if _objective(path) in NOT_SHIPPED),
        unknown=tuple(path.name for path in others if _objective(path) not in NOT_SHIPPED),
    )


def _objective(path: Path) -> str:
    """`cwd-author-logits` for `cwd-author-logits-a.npz`."""
    return path.stem.rpartition("-")[0]


def _verify(path: Path, name: str) -> VectorResult:
    objective = OBJECTIVES[name]
    try:
        comparisons = tuple(_comparisons(read_golden(path), objective))
    except (BadInput, RuntimeError, ValueError, TypeError, IndexError, ArithmeticError) as error:
        # Shapes, labels and settings of a stranger's file meet the losses unchecked: torch says what does not fit.
        problem = f"cannot be compared: {str(error).splitlines()[0] if str(error) else type(error).__name__}"
        return VectorResult(
            file=path.name,
            objective=name,
            values=0,
            worst_error=0.0,
            tolerance=TOLERANCES[objective.readme].loss,
            problem=problem,
        )
    worst = max(comparisons, key=lambda comparison: comparison.strain)
    off = [comparison.name for comparison in comparisons if comparison.strain > 1]
    return VectorResult(
        file=path.name,
        objective=name,
        values=sum(comparison.values for comparison in comparisons),
        worst_error=worst.error,
        tolerance=worst.tolerance,
        problem=f"does not match: {', '.join(off)}" if off else None,
    )


def _comparisons(golden: Golden, objective: Objective) -> Iterator[Comparison]:
    """All that the file expects against what the shipped code gives, an array at a time."""
    computed = objective.compute(golden)
    _expect_complete(golden, objective, computed)
    tolerance = TOLERANCES[objective.readme]
    for part, ours in computed.items():
        name = f"loss/{part}"
        yield _compare(name, ours.loss, golden.expected(name), tolerance.loss, floor=0.0)
    gradients = golden.names("grad/", "grad_term/")
    floor = tolerance.floor * max(float(np.abs(golden.expected(name)).max()) for name in gradients)
    for name in gradients:
        part, leaf = _part_and_leaf(name)
        if part not in computed:
            raise BadInput(f"{name}: no such term: expected one of {', '.join(computed)}")
        yield _compare(name, computed[part].gradient(leaf), golden.expected(name), tolerance.gradient, floor)


def _part_and_leaf(name: str) -> tuple[str, str]:
    """(total, student_logits) for `grad/student_logits`, (inter, student_logits) for `grad_term/inter/…`."""
    kind, _, rest = name.partition("/")
    part, _, leaf = rest.partition("/")
    return (TOTAL, rest) if kind == "grad" else (part, leaf)


def _expect_complete(golden: Golden, objective: Objective, computed: Mapping[str, Computed]) -> None:
    """BadInput when the file lacks a loss or a gradient of its total, or holds what nothing would look at."""
    losses = {f"loss/{part}" for part in computed}
    gradients = {f"grad/{leaf}" for leaf in computed[TOTAL].leaves}
    for name in sorted((losses | gradients) - set(golden.arrays)):
        raise BadInput(f"{name}: missing")
    read = losses | objective.used(golden) | set(golden.names("grad/", "grad_term/", *UNCOMPARED))
    for name in sorted(set(golden.arrays) - read):
        raise BadInput(f"{name}: unknown, so nothing would be compared with it")


def _compare(name: str, ours: Tensor, theirs: np.ndarray, tolerance: float, floor: float) -> Comparison:
    """The largest difference as a share of the largest stored number, or of the floor."""
    found = ours.detach().numpy()
    if found.shape != theirs.shape:
        raise BadInput(f"{name}: found {theirs.shape}: expected {found.shape}")
    difference = float(np.abs(found - theirs).max())
    scale = max(float(np.abs(theirs).max()), floor)
    # Of an array that is zero throughout any difference is as wrong as can be.
    error = difference / scale if scale else (math.inf if difference else 0.0)
    # A report holds finite numbers: NaN and infinity are as far off as a number can say.
    return Comparison(name, theirs.size, error if math.isfinite(error) else sys.float_info.max, tolerance)
