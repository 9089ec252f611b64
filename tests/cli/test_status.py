"""What `bench status` says of runs that are under way."""

import time
from pathlib import Path

import pytest

from harness.cli.status import status_cells
from harness.ledger import claims
from harness.ledger.files import write
from harness.ledger.results import work_folder
from harness.ledger.status import Status, status_path
from harness.ledger.ticket import SeenEnding, Ticket, ending_path, ticket_path

NAME = "run.1"


@pytest.fixture
def out(tmp_path: Path) -> Path:
    """OUT of a job that Slurm has as 7_1."""
    made = work_folder(tmp_path, NAME) / "out.json"
    write(ticket_path(made), Ticket(queue="slurm", id="7_1", batch="bench-1"))
    return made


def heard_of(out: Path, seconds_ago: float) -> None:
    """A status as old as that."""
    heartbeat = time.time() - seconds_ago
    told = Status(pid=1, phase="training", done=3, total=9, spent_seconds=1.5, budget_seconds=None, heartbeat=heartbeat)
    write(status_path(out), told)


@pytest.mark.usefixtures("out")
def test_a_job_without_a_status_is_in_its_queue(tmp_path: Path):
    """By its number there."""
    assert status_cells(tmp_path, NAME) == (NAME, "in slurm as 7_1", "", "", "", "")


def test_a_job_on_another_node_is_at_work_while_it_is_heard_of(out: Path, tmp_path: Path):
    """Its lock is not seen here."""
    heard_of(out, 20)
    assert status_cells(tmp_path, NAME)[:4] == (NAME, "training", "3 of 9", "1.5 s")
    heard_of(out, 120)
    assert status_cells(tmp_path, NAME)[1] == "in slurm as 7_1"


def test_a_job_that_its_node_saw_end_waits_for_its_record(out: Path, tmp_path: Path):
    """However lately it was heard of."""
    heard_of(out, 1)
    write(ending_path(out), SeenEnding(exit_code=0, cpu_seconds=1.0, wall_seconds=1.0, host="n1"))
    assert status_cells(tmp_path, NAME)[1] == "over; bench run records it"


def test_a_run_that_no_queue_has_taken_yet_waits_in_its_sweep(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Of a living sweep: claimed, and neither in a queue nor begun. One with a log is starting."""
    folder = work_folder(tmp_path, NAME)
    folder.mkdir(parents=True)
    monkeypatch.setattr(claims, "owner_is_gone", lambda folder: False)
    assert status_cells(tmp_path, NAME) == (NAME, "waits in its sweep", "", "", "", "")
    (folder / "log.txt").touch()
    assert status_cells(tmp_path, NAME)[1] == "starting"
