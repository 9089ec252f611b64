"""Options that several commands share, and how they become a request."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from harness.ledger.errors import BadInput, nearest

if TYPE_CHECKING:
    from collections.abc import Sequence

    from harness.executors.job import Executor
    from harness.executors.local import Local
    from harness.ledger.budget import Budget as Parsed
    from harness.ledger.plan import Plan
    from harness.ledger.spec import Extras
    from harness.sweep.story import Request

FACTORS = (1e-6, 1e6)
"""Beyond these a factor is a slip of the finger."""

Workload = Annotated[str, typer.Option(help="A shipped workload's name (bench workloads list) or a path to a .yaml.")]
Methods = Annotated[str, typer.Option(help="all, or names and paths to .yaml files, comma-separated.")]
Budget = Annotated[
    str, typer.Option(help="What one run may spend: 90s, 8h, '40k it', '40k it of kd'; several, comma-separated.")
]
Seeds = Annotated[int | None, typer.Option(min=1, help="3, the default, means the seeds 0, 1 and 2.")]
Seed = Annotated[
    list[int] | None, typer.Option("--seed", min=0, help="This seed alone, instead of --seeds; may be given again.")
]
SEEDS = 3
Pace = Annotated[
    Literal["iterations", "clock"] | None,
    typer.Option(help="Spend planned iterations (default on accelerators) or run by the clock (default on CPUs)."),
]
Device = Annotated[
    str | None,
    typer.Option(
        help="cpu, cuda:0, or several as cuda:0,cuda:1; default: every GPU, else the CPU. "
        "With --executor slurm: cuda:0, or cpu; default: cuda:0."
    ),
]
ExecutorName = Annotated[
    Literal["local", "slurm"],
    typer.Option("--executor", help="local: this machine's devices; slurm: a job of the cluster each."),
]
SlurmText = Annotated[
    str | None,
    typer.Option(
        "--slurm",
        help="With --executor slurm: sbatch's options, as partition=gpu,gres=gpu:1; and limit=N, how many jobs run at "
        "once, grace=SECONDS, how long before its time limit a job is told to stop.",
    ),
]
Data = Annotated[Path | None, typer.Option(help="The data set's folder or tar; else SEGKD_DATA.")]
Results = Annotated[Path, typer.Option(help="Folder of records and costs.")]
RESULTS = Path("results")
WeightScale = Annotated[
    str, typer.Option(help="Run every method once for each of these factors of its weights: 0.3,1,3; 1 as it is.")
]
Yes = Annotated[bool, typer.Option("--yes", help="Do not ask, however long it will take.")]
ProfileTime = Annotated[
    str | None,
    typer.Option(help="Longest measuring a method, as 2s or 1m; default: the larger of 2 s and 2 % of its runs."),
]
Remeasure = Annotated[bool, typer.Option("--remeasure", help="Measure costs again, also where they are known.")]


@dataclass(frozen=True)
class Place:
    """Where jobs run."""

    executor: "Executor"
    device: str
    """As a job names it."""

    def slots(self, plan: "Plan") -> int:
        """How many of the plan's runs go on at once; of a queue, how many may."""
        return min(self.executor.width, max(1, len(plan.runs)))

    @property
    def concurrency(self) -> int:
        """How many share a machine: a queue gives each its own part of one."""
        return self.executor.width if self.executor.is_here else 1


def place(executor: str, slurm: str | None, device: str | None, results: Path) -> Place:
    """The devices of this machine, or a cluster's; what jobs and sweep both see lies in RESULTS there."""
    if executor == "local":
        if slurm is not None:
            raise BadInput("--slurm: is for --executor slurm: add that, or leave --slurm out")
        return Place(local(device), slots(device)[0])
    from importlib.util import find_spec

    if find_spec("submitit") is None:
        raise BadInput("--executor: submitit is not installed: pip install 'segkd-bench[slurm]'")
    from harness.executors.sbatch import SlurmOptions
    from harness.executors.slurm import Slurm

    asked = SlurmOptions.parse(slurm or "")
    named = device or "cuda:0"
    if named not in {"cpu", "cuda:0"}:
        mend = "cpu, or cuda:0, the one GPU that a job is given"
        raise BadInput(f"--device: found {named!r} with --executor slurm: expected {mend}")
    try:
        return Place(Slurm(asked, results.absolute() / "work" / "slurm", named), named)
    except OSError as error:
        raise BadInput(f"--results: {results}: cannot be written: {error.strerror}") from error


def local(device: str | None) -> "Local":
    """This machine's slots: one a GPU, or one a core of the CPU."""
    from harness.executors.local import Local

    return Local(slots(device))


def slots(device: str | None) -> tuple[str, ...]:
    """A device an entry; the CPU once for each core that this process may use."""
    from harness.ledger.device import cores, default_devices, device_class

    devices = tuple(device.split(",")) if device else default_devices()
    if "cpu" in devices:
        if len(devices) > 1:
            raise BadInput(f"--device: found {device!r}: the CPU and GPUs are different device classes; name one kind")
        return ("cpu",) * cores()
    if len(set(devices)) < len(devices):
        raise BadInput(f"--device: found {device!r}: a device is named twice")
    classes = {device_class(name, threads=1).digest for name in devices}
    if len(classes) > 1:
        raise BadInput(f"--device: {','.join(devices)} are not of one device class: results would not be comparable")
    return devices


def request(
    workload: str,
    methods: str,
    budget: str,
    seeds: int | None,
    pace: Literal["iterations", "clock"] | None,
    place: Place,
    data: Path | None,
    results: Path,
    profile_time: str | None,
    remeasure: bool,
    weight_scale: str = "",
    seed: "Sequence[int] | None" = None,
) -> "Request":
    """The options as a request."""
    from harness.sweep.story import Request

    return Request(
        workload=workload,
        methods=names(methods),
        budgets=budgets(budget),
        seeds=seeds_of(seeds, seed),
        pace=pace,
        device=place.device,
        concurrency=place.concurrency,
        data=data,
        results=results,
        profile_seconds=seconds(profile_time),
        remeasure=remeasure,
        factors=factors(weight_scale),
    )


def extras(track: str | None, keeps_pictures: bool) -> "Extras":
    """What runs keep besides their records; BadInput, before anything is spent, for a tracker that cannot be had."""
    from importlib.util import find_spec
    from typing import get_args

    from harness.ledger.spec import Extras, Tracker

    known = get_args(Tracker)
    if track is not None and track not in known:
        raise BadInput(f"--track: no tracker {track!r}{nearest(track, known)}: known is {', '.join(known)}")
    if track == "tensorboard" and find_spec("tensorboard") is None:
        raise BadInput("--track: tensorboard is not installed: pip install 'segkd-bench[track]'")
    return Extras.model_validate({"keeps_pictures": keeps_pictures, "track": track})


def seeds_of(count: int | None, named: "Sequence[int] | None") -> "Sequence[int]":
    """The first so many seeds, or those that were named; BadInput for both, and for one that is named twice."""
    if not named:
        return range(SEEDS if count is None else count)
    if count is not None:
        raise BadInput(f"--seed: found --seeds {count} too: expected one of the two")
    if len(set(named)) < len(named):
        twice = next(seed for seed in named if list(named).count(seed) > 1)
        raise BadInput(f"--seed: {twice} is named twice")
    return tuple(named)


def names(text: str) -> list[str]:
    """Methods, comma-separated."""
    found = [name.strip() for name in text.split(",") if name.strip()]
    if text and not found:
        raise BadInput(f"methods: found {text!r}: expected names or paths, comma-separated, or all")
    return found


def budgets(text: str) -> "tuple[Parsed, ...]":
    """Budgets, comma-separated; none when nothing is said."""
    from harness.ledger.budget import Budget as Parsed

    return Parsed.parse_list(text) if text else ()


def factors(text: str) -> tuple[float, ...]:
    """Factors of the weights, comma-separated; the weights as they are when nothing is said."""
    try:
        found = tuple(float(part) for part in text.split(",")) if text else (1.0,)
    except ValueError:
        found = ()
    low, high = FACTORS
    if not found or not all(low <= factor <= high for factor in found):
        raise BadInput(
            f"--weight-scale: found {text!r}: expected factors from {low:g} to {high:g}, comma-separated, as 0.3,1,3"
        )
    if len({f"{factor:.3g}" for factor in found}) < len(found):
        raise BadInput(f"--weight-scale: found {text!r}: a factor is named twice (a name has three digits)")
    return found


def seconds(text: str | None) -> float | None:
    """A duration such as 2s or 1m."""
    from harness.ledger.budget import Budget as Parsed
    from harness.ledger.budget import Unit

    if text is None:
        return None
    try:
        parsed = Parsed.parse(text)
    except BadInput:
        parsed = None
    if parsed is None or parsed.unit is not Unit.SECONDS or parsed.anchor is not None:
        raise BadInput(f"--profile-time: {text!r} is no time: expected 2s or 1m")
    return parsed.amount
