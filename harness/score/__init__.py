"""From records to numbers: tidy frames, their statistics, the boards. Reads results, never writes into them."""

from pathlib import Path
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from pandas import DataFrame

Table = Literal["runs", "evaluations", "costs", "phases", "time", "curves", "classes", "images"]


def load(results: str | Path, table: Table = "runs") -> "DataFrame":
    """A tidy frame of a results folder: by default a row a run, of every key the last attempt (docs/frames.md).

    A file under RESULTS/runs that is no record is named in a warning and left out.
    """
    from harness.score.frames import frame  # pandas takes half a second, and boards need none

    return frame(Path(results), table)


__all__ = ["load"]
