"""A method's cost, measured in a process of its own with the baseline built beside it."""

import math
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn, TypeVar

import torch
from torch.utils.flop_counter import FlopCounterMode

from harness.contract.guard import Guard
from harness.ledger.cost import PHASES_SHARE, Measurement, Profiled
from harness.ledger.device import conditions
from harness.ledger.files import read
from harness.ledger.method import ResolvedMethod, student_alone
from harness.ledger.spec import ProfileSpec
from harness.segmentation.ahead import AHEAD
from harness.segmentation.data import Split
from harness.train.clock import budget_clock, event_of
from harness.train.endings import OutOfMemory, ending_of
from harness.train.energy import Meter, drawn
from harness.train.heartbeat import Heartbeat
from harness.train.memory import out_of_memory
from harness.train.meters import meters_of
from harness.train.phases import Marks, Phases, iterate_in_phases, take_turns, term_phases
from harness.train.rounds import ROUND_SECONDS, compare, settle, window_seconds
from harness.train.shares import gradient_shares
from harness.train.splits import planned_split
from harness.train.streams import batches_of
from harness.train.trainee import make_trainee, prepare

T = TypeVar("T")

SEED = 0

FEWEST_PREPARATIONS = 5

COMPANY_ITERATIONS = 10

NO_PEAK = "a CPU's memory is not the method's alone"

GRADIENT_BATCHES = 8
"""Over which the median share of a term's gradient is taken."""


def main(spec_path: Path, out: Path, heartbeat: Heartbeat) -> int:
    """What was Profiled stands in OUT afterwards."""
    spec = read(spec_path, ProfileSpec)
    if spec.is_company:
        keep_company(spec, heartbeat)
    device = torch.device(spec.device)
    try:
        measured = measure(spec, heartbeat, meters_of(device).joules)
        heartbeat.answer(Profiled(measurement=measured, conditions=conditions(spec.device)))
    except Exception as error:
        if ending_of(error) != "out_of_memory":
            raise
        traceback.print_exc()
        raise OutOfMemory(out_of_memory(error, spec.ground, spec.method, device, heartbeat)) from None
    return 0


def keep_company(spec: ProfileSpec, heartbeat: Heartbeat) -> NoReturn:
    """Runs the method's iterations until somebody kills this process."""
    device = torch.device(spec.device)
    prepare(device, spec.ground.workload)
    split = planned_split(spec.ground, "train")
    side = Contender(spec, spec.method, split, device)
    heartbeat.enter("keeping company")
    while True:
        side.work(COMPANY_ITERATIONS)


class Contender:
    """One side of the comparison: a trainee and its batches, timed on the device's own time line."""

    def __init__(self, spec: ProfileSpec, method: ResolvedMethod, split: Split, device: torch.device) -> None:
        self.trainee = make_trainee(spec.ground, method, SEED, device)
        self.batches = batches_of(split, spec.ground.workload, SEED, device)
        self.device = device
        self.done = 0
        """Iterations and updates so far: a sign of life."""
        self.terms = term_phases(method, self.trainee.distiller)

    def seconds(self, iterations: int) -> float:
        """Seconds an iteration, over some iterations."""
        self._get_ahead()
        marks = Marks(event_of(self.device))
        marks.begin()
        for _ in range(iterations):
            self.iterate()
        marks.end("iterations")
        return marks.seconds()["iterations"] / iterations

    def phases(self, iterations: int) -> Phases:
        """The same by phase."""
        self._get_ahead()
        self.done += iterations
        return iterate_in_phases(self.trainee, self.batches, self.terms, iterations, event_of(self.device))

    def work(self, iterations: int) -> None:
        """Some iterations, done when this returns."""
        for _ in range(iterations):
            self.iterate()
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)

    def _get_ahead(self) -> None:
        """Gives an accelerator something to do, so that it waits for host and data as long as it would in a run.

        While the other side was timed this one's next batches were made ready: with them used up, iterations take their
        batches at the pace at which these can be made.
        """
        if self.device.type == "cuda":
            for _ in range(AHEAD + 1):
                self.iterate()

    def preparation(self, seconds: float) -> tuple[float, int] | None:
        """Seconds and FLOPs of one update of what the method learns first; None when it learns nothing first."""
        if not self.trainee.distiller.needs_preparation:
            return None
        self.prepare()
        # One start and one stop for all of them: a run does not wait for the device between updates either.
        clock, updates = budget_clock(self.device), 0
        clock.start()
        end = time.perf_counter() + seconds
        while time.perf_counter() < end or updates < FEWEST_PREPARATIONS:
            self.prepare()
            updates += 1
        clock.stop()
        return clock.spent / updates, counted_flops(self.prepare)

    def prepare(self) -> None:
        """One update of what the method learns first."""
        self.trainee.prepare(*next(self.batches), progress=0.0)
        self.done += 1

    def iterate(self) -> None:
        """One iteration."""
        self.trainee.iterate(*next(self.batches), progress=0.0)
        self.done += 1


def counted_flops(work: Callable[[], object]) -> int:
    """Floating-point operations of convolutions and matrix products, forward and backward, while it works."""
    # A compiled stage is one operation whose inside no counter sees.
    with torch.compiler.set_stance("force_eager"), FlopCounterMode(display=False) as counter:
        work()
    return int(counter.get_total_flops())


def peak_while(work: Callable[[], T], device: torch.device) -> tuple[int | None, T]:
    """The most memory that an accelerator held at once while it worked, None on a CPU; and what came of the work."""
    if device.type != "cuda":
        return None, work()
    torch.cuda.reset_peak_memory_stats(device)
    found = work()
    return torch.cuda.max_memory_allocated(device), found


def measure(spec: ProfileSpec, heartbeat: Heartbeat, meter: Meter) -> Measurement:
    """Times both sides in random order, round by round, until the interval is narrow or the time is used up."""
    began = time.perf_counter()
    device = torch.device(spec.device)
    workload = spec.ground.workload
    prepare(device, workload)
    heartbeat.enter("data")
    split = planned_split(spec.ground, "train")
    heartbeat.enter("settling")
    # Not while networks are built: their weights may have to be downloaded first.
    guard = Guard(spec.method, counts=device.type == "cpu")
    method = Contender(spec, spec.method, split, device)
    heartbeat.iterations = lambda: method.done
    window = window_seconds(spec.seconds)
    with guard.armed():
        preparation = method.preparation(window)
        # At the student's start: later the shares would depend on how long this machine has settled.
        shares = gradient_shares(method.trainee, [next(method.batches) for _ in range(GRADIENT_BATCHES)])
        peak, settled = peak_while(lambda: settle(method, window), device)
    baseline = Contender(spec, student_alone(), split, device) if spec.method.distils else method
    heartbeat.iterations = lambda: method.done + baseline.done
    with guard.armed():
        iterations = max(2, math.ceil(ROUND_SECONDS / settle(baseline, window)))
        method_flops, baseline_flops = counted_flops(method.iterate), counted_flops(baseline.iterate)
        rounds = compare(method, baseline, iterations, spec.seconds, heartbeat)
        heartbeat.enter("phases")
        turn = math.ceil(ROUND_SECONDS / settled)
        phases, phases_of = take_turns(
            lambda: method.phases(turn), lambda: method.seconds(turn), PHASES_SHARE * spec.seconds
        )
        heartbeat.enter("energy")
        energy = drawn(method.work, turn, device.type, spec.seconds, meter)
    reasons = {"joules": energy.why_not, "peak_memory_bytes": NO_PEAK if peak is None else None}
    return Measurement(
        baseline_seconds=tuple(pair[0] for pair in rounds),
        method_seconds=tuple(pair[1] for pair in rounds),
        baseline_flops=baseline_flops,
        method_flops=method_flops,
        peak_memory_bytes=peak,
        phases=dict(phases),
        phases_of=phases_of,
        joules=energy.joules,
        why_not={name: reason for name, reason in reasons.items() if reason is not None},
        preparation_seconds=preparation[0] if preparation else None,
        preparation_flops=preparation[1] if preparation else None,
        gradient_shares=shares,
        weights=dict(zip(method.trainee.distiller.names, method.trainee.distiller.weights, strict=True)),
        wall_seconds=time.perf_counter() - began,
    )
