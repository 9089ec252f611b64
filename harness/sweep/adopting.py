"""Attempts that an earlier sweep left: taken up where a queue still has them, recorded where nobody is at them."""

import os
import shutil
import time
from collections.abc import Collection, Iterator, Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from harness.executors.job import Executor, Finished, Job
from harness.ledger import claims
from harness.ledger import results as layout
from harness.ledger.errors import BadInput
from harness.ledger.files import read
from harness.ledger.findings import Refusal
from harness.ledger.record import Record
from harness.ledger.spec import RunSpec
from harness.ledger.ticket import SeenEnding, Ticket, ending_path, ticket_path
from harness.sweep.concluding import conclude, key_of, named, put_away, spec_of, told
from harness.sweep.watch import Watcher
from harness.sweep.working import job_in

STALE_SECONDS = 7 * 86_400.0
"""What was handed to a queue so long ago, and is no run's that waits, nobody looks at any more."""

ORPHAN_SECONDS = 10.0
"""An engine whose sweep was killed ends within about a second; this long is waited for it."""


def adopt_orphans(results: Path, in_queues: Collection[str], watcher: Watcher) -> list[Record]:
    """Records for attempts that a killed sweep left behind; those that somebody is at, or a queue has, are let be.

    `in_queues` was found before any of them was taken up: one that ends meanwhile is still its executor's.
    """
    adopted = []
    for name in layout.unfinished(results):
        folder = layout.work_folder(results, name)
        if name in in_queues:
            continue
        if claims.is_locked(results, key_of(name), ORPHAN_SECONDS * claims.owner_is_gone(folder)):
            continue
        if not claims.take_over(results, name):
            continue
        if not (folder / "spec.json").exists():
            layout.remove_work_folder(results, name)  # claimed, and killed before its first word: nothing was spent
            continue
        if error := _torn_ticket(folder):
            watcher.say(f"{error}: its queue may have the run still, which is done again")
        try:
            seen = _seen(folder)
            if seen.exit_code == layout.LOCKED and not seen.job.out.exists():
                layout.remove_work_folder(results, name)  # another process was at the run
                continue
            adopted.append(conclude(folder, seen, results))
        except BadInput as error:
            if not (folder / "spec.json").exists() or not _is_broken(folder):
                raise
            watcher.say(f"{error}: this attempt is left as it is, and its run is done again")
            continue
        watcher.say(told(adopted[-1]))
    return adopted


def tidy(results: Path) -> None:
    """What killed sweeps left of what is recorded is gone, and what they left of themselves."""
    claims.tidy(results)
    in_queues = {ticket.batch for _, ticket in tickets(results)}
    for folder in (results / "work" / "slurm").glob("bench-*"):
        with suppress(FileNotFoundError):  # another sweep tidies too
            if folder.name not in in_queues and time.time() - folder.stat().st_mtime > STALE_SECONDS:
                shutil.rmtree(folder, ignore_errors=True)
    at_work = {key_of(name) for name in layout.unfinished(results)}
    latest = layout.latest_attempts(results)
    for name in layout.attempts(results):
        key, attempt = layout.split_name(name) or (name, 0)
        if key in at_work or latest.get(key) != attempt or not claims.owner_is_gone(layout.work_folder(results, name)):
            continue
        try:
            put_away(results, name, layout.read_record(results, key, attempt).outcome.ending)
        except BadInput:
            continue  # said where it is found to be due


def take_up(results: Path, in_queues: Mapping[str, Ticket], executor: Executor, watcher: Watcher) -> dict[Job, RunSpec]:
    """The jobs that a sweep which is gone has handed to a queue, if this executor's is the one."""
    taken: dict[Job, RunSpec] = {}
    for name, ticket in in_queues.items():
        folder = layout.work_folder(results, name)
        if not claims.owner_is_gone(folder) or _is_broken(folder):
            continue
        spec = spec_of(folder)
        job = run_job(folder, spec)
        if executor.is_here:
            watcher.say(f"{named(spec)}: {ticket.queue} has it as {ticket.id}: left to --executor {ticket.queue}")
        elif folder.stat().st_uid != os.getuid():
            watcher.say(f"{named(spec)}: {ticket.queue} has it as {ticket.id}, of another user: left to them")
        elif claims.take_over(results, name) and executor.take_up(job):
            taken[job] = spec
    if taken:
        are = f"{len(taken)} runs were" if len(taken) > 1 else "1 run was"
        watcher.say(f"{are} in the queue already, and nothing is submitted twice")
    return taken


def tickets(results: Path) -> Iterator[tuple[str, Ticket]]:
    """KEY.ATTEMPT and ticket of what was handed to a queue and has not been seen to end."""
    for name in layout.unfinished(results):
        folder = layout.work_folder(results, name)
        if not ending_path(folder / "out.json").exists() and not _is_broken(folder):
            try:
                yield name, read(ticket_path(folder / "out.json"), Ticket)
            except BadInput:
                continue


def withdraw(results: Path) -> None:
    """What this process has claimed and never handed to its executor is nobody's again: there is nothing to record.

    A process that was started has a log, and a job in a queue a ticket.
    """
    for name in layout.unfinished(results):
        folder = layout.work_folder(results, name)
        if claims.is_mine(folder) and set(os.listdir(folder)) == {claims.OWNER, "spec.json"} and not _is_broken(folder):
            layout.remove_work_folder(results, name)


def run_job(folder: Path, spec: RunSpec) -> Job:
    """The job of a run whose spec stands in its folder; where its executor can, it outlives its sweep."""
    job = job_in(folder, named(spec), "run", spec.device, spec.ground.workload.threads)
    return replace(job, outlives=True)


def _seen(folder: Path) -> Finished:
    """How a queue's node saw the job end, if it did."""
    job = run_job(folder, spec_of(folder))
    try:
        ending = read(ending_path(job.out), SeenEnding)
    except BadInput:
        unseen = Refusal(ending="interrupted", reason="the sweep ended before the run did")
        return Finished(job, None, None, None, unseen)
    return Finished(job, ending.exit_code, ending.cpu_seconds, ending.wall_seconds)


def _torn_ticket(folder: Path) -> BadInput | None:
    """What is wrong with the ticket of a job that was handed to a queue and has not been seen to end."""
    out = folder / "out.json"
    if ending_path(out).exists() or not ticket_path(out).exists():
        return None
    try:
        read(ticket_path(out), Ticket)
    except BadInput as error:
        return error
    return None


def _is_broken(folder: Path) -> bool:
    """Whether not even what was to be done can be read any more."""
    try:
        spec_of(folder)
    except BadInput:
        return True
    return False
