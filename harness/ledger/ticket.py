"""What a queue gave for a job that was handed to it: by this it is found again, by any sweep."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from harness.ledger.files import FileName, Value


class Ticket(Value):
    """Beside OUT while a job waits or works in a queue."""

    format: Literal[1] = 1
    queue: Literal["slurm"]
    id: Annotated[str, Field(pattern="^[0-9]+(_[0-9]+)?$")]
    """As the queue's own commands take it: 12, or 12_3 for a task of an array."""
    batch: FileName
    """The queue's name of the job, made up for one submission: a queue that was set up anew counts from 1 again."""


class SeenEnding(Value):
    """Beside OUT when a job that a queue carried is over: its process as it was seen there."""

    format: Literal[1] = 1
    exit_code: int
    """Negative: the signal that ended it."""
    cpu_seconds: float
    wall_seconds: float
    host: str


def ticket_path(out: Path) -> Path:
    """The ticket that lies beside OUT."""
    return out.with_name("ticket.json")


def ending_path(out: Path) -> Path:
    """The ending that lies beside OUT."""
    return out.with_name("ending.json")
