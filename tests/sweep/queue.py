"""A queue that outlives its sweeps, as a test says: jobs wait, work, and end when they are told to."""

from collections.abc import Sequence
from pathlib import Path

from harness.executors.job import Finished, Job
from harness.ledger.errors import BadInput
from harness.ledger.files import read, write
from harness.ledger.ticket import Ticket, ticket_path


class FakeQueue:
    """One queue for several sweeps; `carry` says what becomes of a job at a poll: None while it waits."""

    is_here = False
    width = 5

    def __init__(self, carry, scratch: Path) -> None:
        self.carry = carry
        self.scratch: Path | None = scratch
        self.submitted: list[Job] = []
        self.mine: list[Job] = []
        self.at_work: list[Job] = []

    def free(self) -> Sequence[str]:
        return ["cpu"] * (5 - len(self.mine))

    def submit(self, job: Job) -> None:
        self.submitted.append(job)
        self.mine.append(job)
        write(ticket_path(job.out), Ticket(queue="slurm", id=f"7_{len(self.submitted)}", batch="bench-1"))

    def take_up(self, job: Job) -> bool:
        try:
            read(ticket_path(job.out), Ticket)
        except BadInput:
            return False
        self.mine.append(job)
        return True

    def running(self) -> Sequence[Job]:
        return self.at_work

    def reason(self, job: Job) -> str | None:
        return "PENDING (Resources)"

    def poll(self) -> Sequence[Finished]:
        ended = [finished for job in self.mine if (finished := self.carry(job)) is not None]
        self.mine = [job for job in self.mine if job not in [finished.job for finished in ended]]
        return ended

    def end(self, job: Job) -> None:
        self.mine.remove(job)

    def cancel(self) -> Sequence[Finished]:
        self.mine = []
        return []

    def farewell(self) -> Sequence[str]:
        return [f"{len(self.submitted)} jobs stay in the queue"]
