"""Planned against spent: eight methods on `streets` at 30 s, in both paces.

    PYTHONPATH=. python tests/speed/budget.py [BUDGET]

Runs `bench run` twice into a folder that is thrown away, and reads its records. By the clock, a run may end up to one
iteration beyond its budget, which is told in iterations; in iterations pace it drifts with the machine, which is told
in percent, with the iterations it was planned and, after its first 3 %, re-planned.
"""

import subprocess
import sys
import tempfile
from pathlib import Path

import psutil

from harness.ledger.files import read
from harness.ledger.record import Record

METHODS = "baseline,kd,featmse,featl2norm,fitnet,at,cwd,dist"


def records_of(pace: str, budget: str, folder: Path) -> list[Record]:
    """The records of a sweep, in the order of METHODS."""
    command = [
        *(sys.executable, "-P", "-m", "harness", "run", "--workload", "streets", "--methods", METHODS, "--yes"),
        *("--budget", budget, "--pace", pace, "--seeds", "1", "--results", str(folder)),
    ]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    found = [read(path, Record) for path in (folder / "runs").glob("*.json")]
    order = METHODS.split(",")
    return sorted(
        (record for record in found if record.spec.pace == pace),
        key=lambda record: order.index(record.spec.method.name),
    )


def by_the_clock(record: Record) -> str:
    """Iterations beyond the budget, which is where the clock stops."""
    outcome, budget = record.outcome, record.spec.budget_seconds or 0.0
    iteration = outcome.spent_seconds / outcome.iterations
    over = (outcome.spent_seconds - budget) / iteration
    return (
        f"{record.spec.method.name:12} {budget:8.2f} {outcome.spent_seconds:8.3f} {over:+10.2f} "
        f"{record.spec.iterations:9,} {outcome.iterations:9,} {len(record.disagreements):9}"
    )


def by_iterations(record: Record) -> str:
    """Drift from the budget, in percent of it."""
    outcome, budget = record.outcome, record.spec.budget_seconds or 0.0
    replanned = f"{outcome.replanned_iterations:,}" if outcome.replanned_iterations is not None else "-"
    return (
        f"{record.spec.method.name:12} {budget:8.2f} {outcome.spent_seconds:8.3f} "
        f"{100 * (outcome.spent_seconds / budget - 1):+9.1f}% {record.spec.iterations:9,} {replanned:>9} "
        f"{len(record.disagreements):9}"
    )


def main() -> None:
    """Two tables."""
    budget = sys.argv[1] if len(sys.argv) > 1 else "30s"
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        print(f"load {psutil.getloadavg()[0]:.1f} before; runs go side by side, one a core")
        heads = ("clock", "planned", "spent", "over, it", "planned", "done", "disagree")
        print("{:12} {:>8} {:>8} {:>10} {:>9} {:>9} {:>9}".format(*heads))
        for record in records_of("clock", budget, Path(folder)):
            print(by_the_clock(record), flush=True)
        print(f"load {psutil.getloadavg()[0]:.1f} between")
        heads = ("iterations", "planned", "spent", "drift", "planned", "replanned", "disagree")
        print("{:12} {:>8} {:>8} {:>10} {:>9} {:>9} {:>9}".format(*heads))
        for record in records_of("iterations", budget, Path(folder)):
            print(by_iterations(record), flush=True)
        print(f"load {psutil.getloadavg()[0]:.1f} after")


if __name__ == "__main__":
    main()
