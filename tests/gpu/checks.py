"""What only a GPU can show, as findings in one JSON file: budgets, phases, energy, the event clock, the loop's price.

    python -m tests.gpu.checks OUT.json

Every check is tried whatever became of the others, the most telling first, and OUT is written anew after each.
"""

import datetime
import os
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import torch
from pydantic import Field

from harness.ledger.cost import CostFile
from harness.ledger.descriptor import method_path, resolve_method
from harness.ledger.device import Conditions, DeviceClass, conditions, device_class
from harness.ledger.endings import Ending, Mark
from harness.ledger.files import Value, read, write
from harness.ledger.readings import ENERGY_SECONDS, Readings
from harness.ledger.results import latest_attempts, read_record
from harness.ledger.rules import REPLAN_TOLERANCE
from harness.ledger.spec import Pace
from harness.segmentation.batches import Batches
from harness.segmentation.data import load
from harness.train.clock import budget_clock
from harness.train.loop import warm_up
from harness.train.meters import meters_of
from harness.train.streams import batches_of, generator
from harness.train.trainee import Trainee, make_trainee, prepare
from tests.speed.loop import ground_of, ratio

ROOT = Path(__file__).parents[2]
DEVICE = "cuda:0"
METHODS = ("baseline", "kd", "cwd")
WATCHED = (
    "baseline",
    "kd",
    "featl2norm",
    "fitnet",
    "at",
    "cwd",
    "dist",
    "pkd",
    "cirkd",
    "mgd",
    "maskd",
    "attnfd",
    "diffkd",
)
BUDGET = "20s"
COMPARED = 200
SWEEP_SECONDS = 200.0
"""A sweep that takes longer has hung: three runs of 20 s, and some ten processes to start."""
WINDOW_SECONDS = ENERGY_SECONDS + 1

OVERHEAD = 1.01
"""The loop's time over a bare loop's."""
PHASES = 0.03
"""How far the phases' sum may lie from the iteration."""
BUDGETS = 0.01
"""How far spent may lie from the budget."""
CLOCKS = 0.01
"""How far the event clock may lie from waiting for the device and looking at the host's clock."""


class Spent(Value):
    """A run's budget, and what its record says became of it."""

    method: str
    pace: Pace
    ending: Ending
    reason: str | None
    budget_seconds: float | None
    spent_seconds: float
    iterations: int
    replanned_iterations: int | None
    marks: tuple[Mark, ...]
    disagreements: tuple[str, ...]
    readings: Readings | None

    @property
    def is_within(self) -> bool:
        """Whether it was spent as closely as the issue asks."""
        budget = self.budget_seconds
        # A run in iterations pace that is off by no more than its tolerance is not re-planned.
        allowed = BUDGETS + (REPLAN_TOLERANCE if self.pace == "iterations" else 0.0)
        return self.ending == "done" and budget is not None and abs(self.spent_seconds / budget - 1) <= allowed


class Divided(Value):
    """A method's iteration, and where it goes."""

    method: str
    seconds: float | None
    phases: dict[str, float]

    @property
    def is_within(self) -> bool:
        """Whether the phases add up."""
        return bool(self.seconds) and abs(sum(self.phases.values()) / (self.seconds or 1) - 1) <= PHASES


class Window(Value):
    """Half a minute of training under every clock and meter."""

    method: str
    iterations: int
    event_seconds: float
    """What the event clock said while it ran."""
    synchronized_seconds: float
    """The host's clock, the device waited for at both ends."""
    power_limit_watts: int | None
    readings: Readings

    @property
    def clocks_agree(self) -> bool:
        """Whether events tell the time that the host saw go by."""
        return abs(self.event_seconds / self.synchronized_seconds - 1) <= CLOCKS

    @property
    def energy_is_plausible(self) -> bool:
        """More than nothing, and no more than the power limit allows."""
        joules, seconds, watts = self.readings.energy_joules, self.readings.seconds, self.power_limit_watts
        return joules is not None and joules > 0 and (watts is None or joules <= watts * (seconds or 0.0))


class GpuFindings(Value):
    """What was seen on one device; a check that failed left its part empty and its error in `failures`."""

    format: Literal[1] = 1
    began: str
    """UTC, ISO 8601."""
    device_class: DeviceClass
    conditions: Conditions
    torch_uuid: str | None = None
    """Of the card that torch computes on; that of `conditions` is of the card that NVML reads."""
    budgets: tuple[Spent, ...] = ()
    phases: tuple[Divided, ...] = ()
    window: Window | None = None
    overhead: float | None = None
    different_batches: int | None = None
    """Of COMPARED that came ahead, those that are not what they should be."""
    waits: dict[str, str] = Field(default_factory=dict)
    """Of the methods that make the host wait for the device within an iteration, where."""
    took_seconds: dict[str, float] = Field(default_factory=dict)
    failures: dict[str, str] = Field(default_factory=dict)

    @property
    def complaints(self) -> tuple[str, ...]:
        """What is not as the issue asks, a line each; none when all is well."""
        window = self.window
        return tuple(
            line
            for line, is_well in (
                *((f"{check}: {error}", False) for check, error in self.failures.items()),
                *((f"{method} waits for the device: {where}", False) for method, where in self.waits.items()),
                (f"torch computes on {self.torch_uuid}, NVML reads {self.conditions.uuid}", self.is_one_card),
                *((f"{run.method} by {run.pace}: {run.spent_seconds} s", run.is_within) for run in self.budgets),
                *((f"{cost.method}: {cost.phases} of {cost.seconds} s", cost.is_within) for cost in self.phases),
                (f"the clocks differ: {window}", window is None or window.clocks_agree),
                (f"the energy cannot be: {window}", window is None or window.energy_is_plausible),
                (f"{self.different_batches} batches that came ahead are others", not self.different_batches),
                (f"the loop takes {self.overhead} of a bare one", self.overhead is None or self.overhead <= OVERHEAD),
            )
            if not is_well
        )

    @property
    def is_one_card(self) -> bool:
        """Whether torch and NVML mean the same card, as far as both tell; a partition has an identity of its own."""
        read = self.conditions.uuid
        known = self.torch_uuid is not None and read is not None and read.startswith("GPU-")
        return not known or self.torch_uuid == read


Check = Callable[[Path], dict[str, object]]
"""From a folder for results to fields of the findings."""


def same_card(_: Path) -> dict[str, object]:
    """NVML numbers cards by their slots, CUDA by its own order: the UUID tells whether both mean one."""
    return {"torch_uuid": f"GPU-{torch.cuda.get_device_properties(DEVICE).uuid}"}


def iterations_pace(results: Path) -> dict[str, object]:
    """The accelerators' default: planned, and planned again once."""
    sweep(results, "iterations")
    return {"budgets": spent(results)}


def clock_pace(results: Path) -> dict[str, object]:
    """Until the clock says that it is over."""
    sweep(results, "clock")
    return {"budgets": spent(results)}


def spent(results: Path) -> tuple[Spent, ...]:
    """What the records of both paces say."""
    records = [read_record(results, key, attempt) for key, attempt in latest_attempts(results).items()]
    return tuple(
        Spent(
            method=record.spec.method.name,
            pace=record.spec.pace,
            ending=record.outcome.ending,
            reason=record.outcome.reason,
            budget_seconds=record.spec.budget_seconds,
            spent_seconds=record.outcome.spent_seconds,
            iterations=record.outcome.iterations,
            replanned_iterations=record.outcome.replanned_iterations,
            marks=record.marks,
            disagreements=record.disagreements,
            readings=record.outcome.readings,
        )
        for record in records
    )


def sweep(results: Path, pace: Pace) -> None:
    """One sweep, to its end; exit code 3 says that a run failed, which its record tells better."""
    command = [
        *(sys.executable, "-m", "harness", "run", "--workload", "streets", "--methods", ",".join(METHODS)),
        *("--budget", BUDGET, "--seeds", "1", "--pace", pace, "--device", DEVICE, "--yes", "--results", str(results)),
    ]
    environment = {**os.environ, "SEGKD_CACHE": str(results / "cache")}
    done = subprocess.run(
        command, capture_output=True, text=True, cwd=ROOT, env=environment, timeout=SWEEP_SECONDS, check=False
    )
    if done.returncode not in (0, 3):
        raise RuntimeError(f"bench run ended with {done.returncode}: {(done.stdout + done.stderr)[-2000:]}")


def phases(results: Path) -> dict[str, object]:
    """Of the costs that the sweep before measured."""
    files = [read(path, CostFile) for path in sorted((results / "costs").glob("*.json"))]
    if not files:
        raise RuntimeError("no cost was measured")
    divided = [
        Divided(method=file.method, seconds=file.measurement.phases_of, phases=file.measurement.phases)
        for file in files
    ]
    return {"phases": tuple(divided)}


def window(_: Path) -> dict[str, object]:
    """Training as the loop does in clock pace, with the device waited for at both ends."""
    method, device = "kd", torch.device(DEVICE)
    trainee, batches = pupil(method, device)
    warm_up(trainee, batches, 10)
    clock, meters = budget_clock(device), meters_of(device)
    torch.cuda.synchronize(device)
    began = time.perf_counter()
    meters.start()
    clock.start()
    iterations = looks = 0
    while (charged := clock.spent) < WINDOW_SECONDS:
        trainee.iterate(*next(batches), progress=0.0)
        clock.tick()
        iterations += 1
        if charged > looks:
            meters.sample()
            looks += 1
    torch.cuda.synchronize(device)
    elapsed = time.perf_counter() - began
    clock.stop()
    meters.stop()
    found = Window(
        method=method,
        iterations=iterations,
        event_seconds=charged,
        synchronized_seconds=elapsed,
        power_limit_watts=device_class(DEVICE, 1).power_limit_watts,
        readings=meters.readings(),
    )
    return {"window": found}


def pupil(method: str, device: torch.device) -> tuple[Trainee, Batches]:
    """A trainee on `streets` with its teacher, and its batches."""
    ground = ground_of("streets", DEVICE)
    workload = ground.workload
    prepare(device, workload)
    resolved = resolve_method(method_path(method), workload.dataset, workload.training.batch)
    split = load(workload, None, "train")
    return make_trainee(ground, resolved, 0, device), batches_of(split, workload, 0, device)


def ahead(_: Path) -> dict[str, object]:
    """Batches that come ahead on a lane of their own are, byte by byte, those that are waited for."""
    device = torch.device(DEVICE)
    trainee, source = pupil("kd", device)
    generators = {"order": generator(0, "order"), "augment": generator(0, "augmentation")}
    plain = Batches(source.split, ground_of("streets", DEVICE).workload, **generators, device=device)
    different = 0
    for _ in range(COMPARED):
        one, other = next(source), next(plain)
        trainee.iterate(*one, progress=0.0)  # the device is busy while the next ones arrive
        different += not all(torch.equal(a, b) for a, b in zip(one, other, strict=True))
    return {"different_batches": different}


def waits(_: Path) -> dict[str, object]:
    """Methods of every kind: an iteration is handed over without a look at what the device did."""
    found = {}
    for name in WATCHED:
        trainee, batches = pupil(name, torch.device(DEVICE))
        warm_up(trainee, batches, 3)
        torch.cuda.set_sync_debug_mode("error")
        try:
            for _ in range(3):
                trainee.iterate(*next(batches), progress=0.0)
        except RuntimeError as error:
            traceback.print_exc()
            found[name] = str(error).splitlines()[0]
        finally:
            torch.cuda.set_sync_debug_mode("default")
    return {"waits": found}


def overhead(_: Path) -> dict[str, object]:
    """The harness's loop in turns with a bare one."""
    return {"overhead": ratio(torch.device(DEVICE))}


CHECKS: dict[str, Check] = {
    # What looks at the card itself comes after the sweeps, which would find it to share the card with them.
    check.__name__: check
    for check in (iterations_pace, clock_pace, phases, window, ahead, waits, overhead, same_card)
}


def examine(out: Path) -> GpuFindings:
    """All checks; OUT holds what is known so far at any moment."""
    found = GpuFindings(
        began=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        device_class=device_class(DEVICE, 1),
        conditions=conditions(DEVICE),
    )
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        for name, check in CHECKS.items():
            print(name, flush=True)
            found = found.model_copy(update=tried(name, check, Path(folder), found))
            write(out, found)
    return found


def tried(name: str, check: Check, folder: Path, found: GpuFindings) -> dict[str, object]:
    """What the check found, or its error, and how long it took."""
    began = time.perf_counter()
    try:
        news = check(folder)
    except Exception as error:
        traceback.print_exc()
        news = {"failures": {**found.failures, name: f"{type(error).__name__}: {error}"}}
    return {**news, "took_seconds": {**found.took_seconds, name: round(time.perf_counter() - began, 1)}}


def main(arguments: list[str]) -> int:
    """0 when all is as the issue asks, 1 when something is not, 2 when nothing could be tried."""
    if not torch.cuda.is_available():
        print("no CUDA device", file=sys.stderr)
        return 2
    if len(arguments) != 1:
        print("usage: python -m tests.gpu.checks OUT.json", file=sys.stderr)
        return 2
    found = examine(Path(arguments[0]))
    print(found.model_dump_json(indent=1))
    print(*(found.complaints or ("all is well",)), sep="\n")
    return 1 if found.complaints else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
