"""Who is told of a run's learning curve while it works: nobody, or TensorBoard."""

import importlib
from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

from harness.ledger.errors import BadInput
from harness.ledger.record import Point
from harness.ledger.spec import Tracker as Name


class Tracker(Protocol):
    """What a run asks of one."""

    def tell(self, iteration: int, numbers: Mapping[str, float]) -> None:
        """The numbers as they are now, after so many iterations. Off the clock; OSError where they cannot be kept."""
        ...


class NoTracker:
    """Most runs': the record holds the whole curve anyway."""

    def tell(self, iteration: int, numbers: Mapping[str, float]) -> None:
        """Nothing is kept."""


def tracker_of(name: Name | None, folder: Path) -> Tracker:
    """The tracker that a person asked for, which will write into the folder; nothing is written yet."""
    if name is None:
        return NoTracker()
    try:
        module = importlib.import_module("harness.train.event_files")
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] != "tensorboard":
            raise
        raise BadInput("--track: tensorboard is not installed: pip install 'segkd-bench[track]'") from error
    tracker: Tracker = module.TensorBoardTracker(folder)
    return tracker


def numbers_of(point: Point, terms: tuple[str, ...]) -> dict[str, float]:
    """A point of the curve by the names under which a tracker shows it."""
    return {
        "loss/task": point.task_loss,
        **{f"loss/{term}": loss for term, loss in zip(terms, point.term_losses, strict=True)},
        "learning rate": point.learning_rate,
        "spent seconds": point.spent_seconds,
    }
