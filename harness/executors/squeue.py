"""Slurm's commands: what its queue says of jobs, and how one is taken out of it."""

import os
import re
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


class NoAnswer(Exception):
    """What one of Slurm's commands complains of, on one line."""


class Question:
    """What the queue says, asked beside whoever wants to know: commands hang for long while Slurm's head is away."""

    def __init__(self, names: Mapping[str, str]) -> None:
        """Of the jobs with these ids and names accounts are asked for too, where the queue has forgotten them."""
        self.asked = time.monotonic()
        self.entries: Mapping[str, Entry] | None = None
        """None where Slurm did not answer."""
        self.complaint: str | None = None
        """Why it did not."""
        self._names = names
        self._thread = threading.Thread(target=self._ask, name="squeue", daemon=True)
        self._thread.start()

    @property
    def over(self) -> bool:
        """Whether `entries` is what it will be."""
        return not self._thread.is_alive()

    def _ask(self) -> None:
        try:
            entries = look()
        except NoAnswer as error:
            self.complaint = str(error)
            return
        forgotten = [number for number, name in self._names.items() if not _is(entries.get(number), name)]
        self.entries = {**entries, **look_back(forgotten)} if forgotten else entries


def _is(entry: Entry | None, name: str) -> bool:
    return entry is not None and entry.name == name


def look() -> Mapping[str, Entry]:
    """This user's jobs by their ids, those that ended lately too; NoAnswer where Slurm gives none."""
    # Of the whole queue in one question, a task of an array a line: a question a job would be a burden to Slurm.
    # The name is last, for it alone may hold a bar.
    # --all: also in partitions that are hidden from people.
    said = hear("squeue", "--me", "--all", "--noheader", "--array", "--states=all", "--format=%i|%T|%N|%r|%j")
    return parse(said, blank={"None", "NonZeroExitCode"})


def look_back(ids: Iterable[str]) -> Mapping[str, Entry]:
    """How jobs ended that the queue has forgotten, where Slurm keeps accounts; else nothing.

    Of a job that it lost they say for ever that it runs or waits: only an end is believed.
    """
    said = ask(
        "sacct", "-X", "--noheader", "--parsable2", f"--jobs={','.join(ids)}",
        "--format=JobID,State,NodeList,Reason,JobName",
    )  # fmt: skip
    told = parse(said or "", blank={"None", "None assigned"})
    return {number: entry for number, entry in told.items() if entry.over}


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


def take_out_named(name: str) -> None:
    """The same for those of a name: what sbatch may have taken without a word on its id."""
    ask("scancel", "--quiet", f"--name={name}")


def ask(*command: str) -> str | None:
    """The same as `hear`; None where the command fails."""
    try:
        return hear(*command)
    except NoAnswer:
        return None


def hear(*command: str) -> str:
    """What one of Slurm's commands prints, whatever a person wishes it to print by default; NoAnswer if it fails."""
    # One by one: while a job is handed over, another thread takes some of them away.
    around = {name: os.environ.get(name) for name in os.environ}
    plain = {name: value for name, value in around.items() if value is not None and not name.startswith(WISHES)}
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, errors="replace", timeout=PATIENCE, check=False, env=plain
        )
    except OSError as error:
        raise NoAnswer(f"{command[0]}: {error.strerror or error}") from error
    except subprocess.TimeoutExpired as error:
        raise NoAnswer(f"it was waited for {PATIENCE:g} s") from error
    if done.returncode != 0:
        raise NoAnswer(on_one_line(done.stderr) if done.stderr.strip() else f"it ended with code {done.returncode}")
    return done.stdout


def on_one_line(said: str) -> str:
    """What a command of Slurm complains of, without its prefixes."""
    lines = [re.sub(r"^(sbatch: |squeue: )?(error: )?", "", line.strip()) for line in said.splitlines()]
    return "; ".join(line for line in lines if line) or "nothing"
