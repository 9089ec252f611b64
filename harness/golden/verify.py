"""Shipped methods against golden vectors: through the descriptor, the adapters and the distiller that a run uses."""

import math
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from torch import Tensor

from harness.golden.cirkd import CIRKD_OBJECTIVES
from harness.golden.file import UNCOMPARED, Golden, read_golden
from harness.golden.objective import Computed, Objective
from harness.golden.others import OTHER_OBJECTIVES
from harness.ledger.errors import BadInput
from harness.ledger.findings import VectorResult, VerifyReport

OBJECTIVES: Mapping[str, Objective] = {**CIRKD_OBJECTIVES, **OTHER_OBJECTIVES}
"""By the part of a file's name before its last hyphen."""
WHOLE = 1e-12
"""For whole numbers: any difference is one too many."""


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
    return VerifyReport(
        results=tuple(_verify(path, _objective(path)) for path in known),
        unknown=tuple(path.name for path in files if path not in known),
    )


def _objective(path: Path) -> str:
    """`cwd-author-logits` for `cwd-author-logits-a.npz`."""
    return path.stem.rpartition("-")[0]


def _verify(path: Path, name: str) -> VectorResult:
    objective = OBJECTIVES[name]
    try:
        comparisons = tuple(_comparisons(read_golden(path), objective))
    except (BadInput, RuntimeError, ValueError, TypeError, LookupError, AttributeError, ArithmeticError) as error:
        # Shapes, labels and settings of a stranger's file meet the losses unchecked: torch says what does not fit.
        problem = f"cannot be compared: {str(error).splitlines()[0] if str(error) else type(error).__name__}"
        return VectorResult(
            file=path.name,
            objective=name,
            values=0,
            worst_error=0.0,
            tolerance=objective.tolerance.loss,
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
    tolerance = objective.tolerance
    for part, ours in computed.losses.items():
        name = f"loss/{part}"
        yield _compare(name, ours, golden.expected(name), tolerance.loss, floor=0.0)
    gradients = sorted(set(golden.names("grad/", "grad_term/")) - objective.meaningless(golden))
    floor = tolerance.floor * max(float(np.abs(golden.expected(name)).max()) for name in gradients)
    for part, names in _by_part(gradients, objective).items():
        if part not in computed.losses:
            told = ", ".join(computed.losses)
            raise BadInput(f"{next(iter(names.values()))}: no such term: expected one of {told}")
        for leaf, ours in computed.gradients(part, list(names)).items():
            yield _compare(names[leaf], ours, golden.expected(names[leaf]), tolerance.gradient, floor)
    for name, other in computed.others.items():
        if other.ours.is_floating_point():
            stored, allowed = golden.expected(name), other.tolerance or tolerance.other
        else:
            stored, allowed = golden.whole(name).double().numpy(), WHOLE
        if stored.shape != other.ours.shape:
            raise BadInput(f"{name}: found {stored.shape}: expected {tuple(other.ours.shape)}")
        ours = other.ours.double()
        if other.only is not None:
            ours, stored = ours[other.only], stored[other.only]
        yield _compare(name, ours, np.asarray(stored), allowed, floor=1.0)


def _by_part(names: Sequence[str], objective: Objective) -> Mapping[str, Mapping[str, str]]:
    """For each part its leaves and the arrays of their gradients.

    `grad/student_logits` is of the whole, `grad_term/inter/student_logits` of the part `inter`.
    """
    found: dict[str, dict[str, str]] = {}
    for name in names:
        kind, _, rest = name.partition("/")
        part, _, leaf = rest.partition("/")
        found.setdefault(objective.graded if kind == "grad" else part, {})[rest if kind == "grad" else leaf] = name
    return found


def _expect_complete(golden: Golden, objective: Objective, computed: Computed) -> None:
    """BadInput when the file lacks a loss or a gradient of its total, or holds what nothing would look at."""
    losses = {f"loss/{part}" for part in computed.losses}
    gradients = {f"grad/{leaf}" for leaf in computed.leaves} - objective.meaningless(golden)
    others = set(computed.others)
    for name in sorted((losses | gradients | others) - set(golden.arrays)):
        raise BadInput(f"{name}: missing")
    read = losses | others | objective.used(golden) | set(golden.names("grad/", "grad_term/", *UNCOMPARED))
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
