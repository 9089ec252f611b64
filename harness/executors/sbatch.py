"""What a person tells sbatch through `--slurm`."""

import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

from harness.ledger.errors import BadInput, nearest

LARGEST_ARRAY = 1000
"""Slurm's default (MaxArraySize 1001) takes no more tasks in one array."""

GRACE_SECONDS = 120
"""Slurm signals up to a minute early, looks at its clock every half minute, and a checkpoint takes its time."""

MOST_DIGITS = 9
"""Of a number: more than anybody means, and fewer than Slurm's 32 bits take."""

OWN = {
    "array": "limit=N says how many jobs may run at once",
    "clusters": "jobs are looked for on this cluster alone",
    "error": "every job has its log in the results",
    "input": "a job reads nothing",
    "job-name": "jobs are told apart by it",
    "ntasks": "a job is one process",
    "ntasks-per-gpu": "a job is one process",
    "open-mode": "every job has its log in the results",
    "output": "every job has its log in the results",
    "requeue": "a job is requeued unless no-requeue=true says otherwise",
    "signal": "grace=SECONDS says how long before its time limit a job is told",
}
"""Options of sbatch that are not a person's here, and what to do instead."""

_KNOWN = """
account acctg-freq batch bb bbf begin chdir cluster-constraint comment constraint consolidate-segments container
container-id contiguous core-spec cores-per-socket cpu-freq cpus-per-gpu cpus-per-task deadline delay-boot
dependency distribution exclude exclusive export export-file extra extra-node-info get-user-env gid gpu-bind
gpu-freq gpus gpus-per-node gpus-per-socket gpus-per-task gres gres-flags hint hold kill-on-invalid-dep licenses
mail-type mail-user mcs-label mem mem-bind mem-per-cpu mem-per-gpu mincpus network nice no-kill no-requeue nodefile
nodelist nodes ntasks-per-core ntasks-per-node ntasks-per-socket oom-kill-step overcommit
oversubscribe partition power prefer priority profile propagate qos reboot reservation resv-ports segment
sockets-per-node spread-job spread-segments switches thread-spec threads-per-core time time-min tmp tres-bind
tres-per-task uid use-min-nodes wait-all-nodes wckey
"""

KNOWN = frozenset(_KNOWN.split())
"""The long options of sbatch: its manual page of 22.05, and what later ones added. Values are sbatch's to judge."""


ONE = ("nodes", "ntasks-per-core", "ntasks-per-node", "ntasks-per-socket")
"""Options of sbatch that would have more than one process of a job."""

MEMORY = frozenset({"mem", "mem-per-cpu", "mem-per-gpu"})
"""Each of them excludes the others."""

VARIABLES: Mapping[str, tuple[str, ...]] = {
    "array": ("SBATCH_ARRAY_INX",),
    "bb": ("SBATCH_BURST_BUFFER",),
    "cpu-freq": ("SBATCH_CPU_FREQ_REQ",),
    "hint": ("SBATCH_HINT", "SLURM_HINT"),
    "mem": ("SBATCH_MEM_PER_NODE",),
    "segment": ("SBATCH_SEGMENT_SIZE",),
    "switches": ("SBATCH_REQ_SWITCH", "SBATCH_WAIT4SWITCH"),
    "time": ("SBATCH_TIMELIMIT",),
}
"""What sbatch reads for an option whose variable is not its name."""

OF_A_JOB = ("SLURM_", "SLURMD_", "SRUN_", "SBATCH_", "SUBMITIT_")
"""How the variables begin that Slurm and submitit set for a job."""

OF_A_PROCESS = {"MASTER_ADDR", "MASTER_PORT", "RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE"}
"""Those by which the processes of one job find each other."""


@dataclass(frozen=True)
class SlurmOptions:
    """How jobs are handed to Slurm."""

    sbatch: Mapping[str, str | bool]
    """By sbatch's long options; True is an option without a value."""
    limit: int = LARGEST_ARRAY
    """How many jobs of one submission may run at once."""
    grace: int = GRACE_SECONDS
    """Seconds before its time limit at which a job is told to stop."""

    @classmethod
    def parse(cls, text: str) -> "SlurmOptions":
        """`partition=bench,gres=gpu:1,time=8:00:00,limit=4`; `exclusive=true` is an option without a value."""
        options = _pairs(text)
        limit = _count("limit", options.pop("limit", str(LARGEST_ARRAY)))
        grace = _count("grace", options.pop("grace", str(GRACE_SECONDS)))
        for name in options:
            if name in OWN:
                raise BadInput(f"--slurm: {name} is set by bench: {OWN[name]}")
            if name not in KNOWN:
                close = nearest(name, {*KNOWN, "limit", "grace"})
                raise BadInput(f"--slurm: found {name!r}: expected a long option of sbatch, limit or grace{close}")
        for name in ONE:
            if set(options.get(name, "1").split("-")) != {"1"}:
                raise BadInput(
                    f"--slurm: {name}: found {options[name]!r}: expected 1: a job is one process on one node"
                )
        _leaves_time_to_work(options.get("time"), grace)
        return cls({name: value == "true" or value for name, value in options.items()}, limit, grace)

    @property
    def variables(self) -> frozenset[str]:
        """The variables of the environment by which sbatch would set otherwise what is set here."""
        names = {*OWN, *self.sbatch, "no-requeue", "wait"}
        if names & MEMORY:
            names |= MEMORY
        return frozenset(variable for name in names for variable in VARIABLES.get(name, (_variable(name),)))


def _variable(name: str) -> str:
    return f"SBATCH_{name.upper().replace('-', '_')}"


@contextmanager
def alone(options: SlurmOptions) -> Iterator[None]:
    """Inside, the environment wishes nothing of sbatch that the options set: it would have its way over a script's.

    A sweep may itself be in a job, whose variables would be taken for wishes all of them. Which cluster it is they say
    too.
    """
    names = set(options.variables)
    if "SLURM_JOB_ID" in os.environ:
        names |= {name for name in os.environ if name.startswith(OF_A_JOB) or name in OF_A_PROCESS} - {"SLURM_CONF"}
    taken = {name: os.environ.pop(name) for name in names if name in os.environ}
    try:
        yield
    finally:
        os.environ.update(taken)


def _pairs(text: str) -> dict[str, str]:
    """The names, spelt as sbatch spells them, and their values; a part without `=` goes on with the value before it."""
    pairs: dict[str, str] = {}
    last = None
    for part in text.split(",") if text.strip() else []:
        name, equals, value = part.strip().partition("=")
        name = name.strip().replace("_", "-") if equals else name
        if not equals and name in KNOWN:
            raise BadInput(f"--slurm: found {name!r} without a value: expected {name}=VALUE, or {name}=true")
        if not equals and last is None:
            raise BadInput(f"--slurm: found {part!r}: expected NAME=VALUE, comma-separated, as partition=gpu,time=60")
        if equals and (not name or not value.strip()):
            raise BadInput(f"--slurm: found {part!r}: expected NAME=VALUE")
        if equals and name in pairs:
            raise BadInput(f"--slurm: {name} is given twice")
        if any(not character.isprintable() for character in part):
            raise BadInput(f"--slurm: found {part!r}: expected text on one line")
        if equals:
            last = name
            pairs[name] = value.strip()
        elif last is not None:
            pairs[last] += f",{name}"
    return pairs


def _count(name: str, value: str) -> int:
    if len(value) > MOST_DIGITS:
        found = f"{value[:MOST_DIGITS]}…"
        raise BadInput(f"--slurm: {name}: found {found!r}: expected a whole number of at most {MOST_DIGITS} digits")
    if not (value.isascii() and value.isdigit() and int(value) > 0):
        raise BadInput(f"--slurm: {name}: found {value!r}: expected a whole number above 0")
    return int(value)


_PART = rf"\d{{1,{MOST_DIGITS}}}"
TIME = re.compile(
    rf"(?:(?P<days>{_PART})-)?(?P<first>{_PART})(?::(?P<second>{_PART}))?(?::(?P<third>{_PART}))?\Z", re.ASCII
)


def _leaves_time_to_work(time: str | None, grace: int) -> None:
    """BadInput where a job would be told to stop at its start, be requeued and told again, for ever."""
    found = TIME.match(time or "")
    if found is None:
        return  # none, or one that sbatch judges: INFINITE
    first, second, third = (int(found[name] or 0) for name in ("first", "second", "third"))
    if found["days"] is not None:  # days-hours:minutes:seconds
        seconds = int(found["days"]) * 86400 + first * 3600 + second * 60 + third
    elif found["third"] is not None:  # hours:minutes:seconds
        seconds = first * 3600 + second * 60 + third
    else:  # minutes:seconds
        seconds = first * 60 + second
    if 0 < seconds <= grace:  # 0 is no limit
        raise BadInput(f"--slurm: time={time}: found {seconds} s: expected more than grace={grace} s, best by minutes")
