"""Slurm's commands: what its queue says of jobs, and how one is taken out of it."""

import os
import subprocess
import threading
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from harness.ledger.endings import Ending

PATIENCE = 20.0
"""Seconds for one answer: a busy controller takes its time, but a job that is to stop has half a minute."""

WISHES = ("SACCT_", "SCANCEL_", "SQUEUE_")
"""How the variables begin by which a person has Slurm's commands leave something out, or write it otherwise."""

OVER: Mapping[str, Ending] = {
    "BOOT_FAIL": "interrupted",
    "CANCELLED": "interrupted",
    "COMPLETED": "interrupted",  # without a word on how: its node could not write any more
    "DEADLINE": "interrupted",
    "FAILED": "failed",
    "NODE_FAIL": "interrupted",
    "OUT_OF_MEMORY": "out_of_memory",
    "PREEMPTED": "interrupted",
    "REVOKED": "interrupted",
    "TIMEOUT": "interrupted",
}
"""The states that a job does not leave, unless it is requeued, and how a run ended whose job is in one.

In any other a job waits, works, or is about to: COMPLETING and REQUEUED too.
"""


@dataclass(frozen=True)
class Entry:
    """What the queue says of one job."""

    state: str
    """As Slurm writes it: RUNNING."""
    node: str
    reason: str
    """Why it waits; why it ended, where Slurm says; else empty."""
    name: str

    @property
    def over(self) -> bool:
        """Whether it ended."""
        return self.state in OVER

    @property
    def told(self) -> str:
        """For a person: `Slurm: TIMEOUT (TimeLimit) on n1`."""
        reason = f" ({self.reason})" if self.reason else ""
        return f"Slurm: {self.state}{reason}" + (f" on {self.node}" if self.node else "")


class Question:
    """What the queue says, asked beside whoever wants to know: commands hang for long while Slurm's head is away."""

    def __init__(self, names: Mapping[str, str]) -> None:
        """Of the jobs with these ids and names accounts are asked for too, where the queue has forgotten them."""
        self.asked = time.monotonic()
        self.entries: Mapping[str, Entry] | None = None
        """None where Slurm did not answer."""
        self._names = names
        self._thread = threading.Thread(target=self._ask, name="squeue", daemon=True)
        self._thread.start()

    @property
    def over(self) -> bool:
        """Whether `entries` is what it will be."""
        return not self._thread.is_alive()

    def _ask(self) -> None:
        entries = look()
        if entries is not None:
            forgotten = [number for number, name in self._names.items() if not _is(entries.get(number), name)]
            self.entries = {**entries, **look_back(forgotten)} if forgotten else entries


def _is(entry: Entry | None, name: str) -> bool:
    return entry is not None and entry.name == name


def look() -> Mapping[str, Entry] | None:
    """This user's jobs by their ids, those that ended lately too; None where Slurm does not answer."""
    # Of the whole queue in one question, a task of an array a line: a question a job would be a burden to Slurm.
    # The name is last, for it alone may hold a bar.
    # --all: also in partitions that are hidden from people.
    said = ask("squeue", "--me", "--all", "--noheader", "--array", "--states=all", "--format=%i|%T|%N|%r|%j")
    return None if said is None else parse(said, blank={"None", "NonZeroExitCode"})


def look_back(ids: Iterable[str]) -> Mapping[str, Entry]:
    """The same of jobs that the queue has forgotten, where Slurm keeps accounts; else nothing."""
    said = ask(
        "sacct", "-X", "--noheader", "--parsable2", f"--jobs={','.join(ids)}",
        "--format=JobID,State,NodeList,Reason,JobName",
    )  # fmt: skip
    return parse(said or "", blank={"None", "None assigned"})


def parse(said: str, blank: Iterable[str] = ()) -> Mapping[str, Entry]:
    """Lines of id|state|node|reason|name; a line of another form is no entry. `blank` are Slurm's words for nothing."""
    entries, nothing = {}, {"", *blank}
    for line in said.splitlines():
        parts = [part.strip() for part in line.split("|", 4)]
        if len(parts) == 5 and parts[1]:
            number, state, node, reason, name = parts
            node, reason = ("" if part in nothing else part for part in (node, reason))
            entries[number] = Entry(state.split()[0], node, reason, name)  # sacct writes `CANCELLED by 1000`
    return entries


def take_out(ids: Iterable[str]) -> None:
    """Asks Slurm to cancel the jobs; those that ended before are nobody's complaint."""
    ask("scancel", "--quiet", *ids)


def ask(*command: str) -> str | None:
    """What one of Slurm's commands prints, whatever a person wishes it to print by default; None where it fails."""
    plain = {name: value for name, value in os.environ.items() if not name.startswith(WISHES)}
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, errors="replace", timeout=PATIENCE, check=False, env=plain
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout if done.returncode == 0 else None
