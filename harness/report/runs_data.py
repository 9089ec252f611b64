"""Every run as compact JSON, which the page's script shows as a table, and as CSV for everybody else."""

import csv
import io
import json
from collections.abc import Sequence
from itertools import groupby
from operator import attrgetter

from markupsafe import Markup

from harness.ledger.method import BASELINE
from harness.score.runs import Run, baseline_mious

CSV_COLUMNS = (
    *("track", "workload", "budget", "device", "pace", "rules", "method", "method_digest", "family", "seed", "ending"),
    *("reason", "marks", "miou", "gain", "planned_iterations", "replanned_iterations", "iterations", "epochs"),
    *("spent_seconds", "device_hours", "energy_kwh", "witness_cpu_seconds", "witness_wall_seconds", "disagreements"),
    *("host", "key", "attempt", "started", "ended"),
)
DIGITS = 5
"""After the point of an mIoU, and significant ones of a time: a thousandth of a percent."""


def gains_of(runs: Sequence[Run]) -> list[float | None]:
    """Each run's mIoU over the current baseline's at its seed; None of the baseline itself."""
    baseline = baseline_mious(runs)
    paired = [(run.miou if run.method != BASELINE else None, baseline.get((run.track, run.seed))) for run in runs]
    return [None if ours is None or theirs is None else ours - theirs for ours, theirs in paired]


def to_csv(runs: Sequence[Run]) -> str:
    """A row a run: fractions as fractions, empty cells where there is no value."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(CSV_COLUMNS)
    at = CSV_COLUMNS.index("gain")
    row = attrgetter(*(name for name in CSV_COLUMNS if name != "gain"))
    for run, gain in zip(runs, gains_of(runs), strict=True):
        cells = row(run)
        writer.writerow((*cells[:at], gain, *cells[at:]))
    return text.getvalue()


def to_json(runs: Sequence[Run]) -> Markup:
    """Columns of numbers; words as their place in a list of words. No `<` stands in it, so that it ends no element."""
    words = {name: Words() for name in ("boards", "methods", "hosts", "endings", "marks", "reasons")}
    columns: dict[str, list[object]] = {
        "board": [words["boards"].place(run.track) for run in runs],
        "method": [words["methods"].place(run.method) for run in runs],
        "seed": [run.seed for run in runs],
        "miou": [_rounded(run.miou) for run in runs],
        "gain": [_rounded(gain) for gain in gains_of(runs)],
        "planned": [run.planned_iterations for run in runs],
        "iterations": [run.iterations for run in runs],
        "spent": [_figures(run.spent_seconds) for run in runs],
        "ending": [words["endings"].place(run.ending) for run in runs],
        "marks": [words["marks"].place(run.marks) for run in runs],
        "reason": [words["reasons"].place(_reason(run)) for run in runs],
        "host": [words["hosts"].place(run.host) for run in runs],
        "key": [run.key.rpartition("-")[2][:12] for run in runs],
        "attempt": [run.attempt for run in runs],
    }
    shortened = {name: _in_stretches(column) for name, column in columns.items()}
    return as_json({**{name: found.known for name, found in words.items()}, "columns": shortened})


def _in_stretches(column: list[object]) -> object:
    """`{"values": [3, 4], "counts": [10, 10]}` where that is shorter: runs of a method and a budget stand together."""
    stretches = [(value, sum(1 for _ in same)) for value, same in groupby(column)]
    if 2 * len(stretches) > len(column):
        return column
    return {"values": [value for value, _ in stretches], "counts": [count for _, count in stretches]}


def as_json(value: object) -> Markup:
    """For a script element: compact, and without any character that could end it."""
    text = json.dumps(value, separators=(",", ":"), ensure_ascii=True, allow_nan=False)
    return Markup(text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026"))


class Words:
    """Words by their place in the order of their first use."""

    def __init__(self) -> None:
        self.places: dict[str, int] = {}

    def place(self, word: str) -> int:
        """Where the word stands."""
        return self.places.setdefault(word, len(self.places))

    @property
    def known(self) -> list[str]:
        """The words in order."""
        return list(self.places)


def _reason(run: Run) -> str:
    return "; ".join(part for part in (run.reason, run.disagreements, run.warnings) if part)


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, DIGITS)


def _figures(value: float) -> float:
    return float(f"{value:.{DIGITS}g}")
