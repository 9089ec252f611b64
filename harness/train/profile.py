"""A method's cost, measured in a process of its own with the baseline built beside it."""

import math
import random
import statistics
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from harness.ledger.cost import Measurement, ratio_interval
from harness.ledger.files import read, write
from harness.ledger.method import ResolvedMethod, student_alone
from harness.ledger.rules import COST_TOLERANCE
from harness.ledger.spec import ProfileSpec
from harness.segmentation.batches import Batches
from harness.segmentation.data import Split, load
from harness.train.clock import budget_clock
from harness.train.heartbeat import Heartbeat
from harness.train.loop import Batch
from harness.train.streams import generator
from harness.train.trainee import Trainee, make_trainee, prepare

SEED = 0

STEADY_SECONDS = 0.5
"""How long each side runs before rounds are timed: allocators, caches and device clocks settle."""

ROUND_SECONDS = 0.03
"""For how long the baseline is timed in a round, at least, so that the clock's grain does not show."""

FEWEST_ROUNDS = 5
"""Rounds that are timed whatever the time allows."""

FEWEST_TO_SETTLE = 30
"""Rounds before a narrow interval is believed: that of a handful of rounds is narrow by luck too often."""

GRADIENT_BATCHES = 8
"""Over which the median share of a term's gradient is taken."""

MOST_ROUNDS = 2000
LOOK_AGAIN = 1.2
"""Resampling looks at all rounds, so it is done ever more rarely."""


def main(spec_path: Path, out: Path, heartbeat: Heartbeat) -> int:
    """A Measurement stands in OUT afterwards."""
    spec = read(spec_path, ProfileSpec)
    write(out, measure(spec, heartbeat))
    return 0


class Timed(Protocol):
    """What `compare` asks of a side."""

    def seconds(self, iterations: int) -> float:
        """Seconds an iteration over some iterations."""
        ...


class Contender:
    """One side of the comparison: a trainee, its batches and a clock."""

    def __init__(self, spec: ProfileSpec, method: ResolvedMethod, split: Split, device: torch.device) -> None:
        self.trainee = make_trainee(spec.ground, method, SEED, device)
        self.batches = Batches(
            split,
            spec.ground.workload,
            order=generator(SEED, "order"),
            augment=generator(SEED, "augmentation"),
            device=device,
        )
        self.device = device

    def seconds(self, iterations: int) -> float:
        """Seconds an iteration, by the budget clock, over some iterations."""
        clock = budget_clock(self.device)
        clock.start()
        for _ in range(iterations):
            self.trainee.iterate(*next(self.batches), progress=0.0)
        clock.stop()
        return clock.spent / iterations

    def settle(self) -> float:
        """Runs to its steady state; returns seconds an iteration there."""
        self.seconds(2)
        end = time.perf_counter() + STEADY_SECONDS
        latest = self.seconds(1)
        while time.perf_counter() < end:
            latest = self.seconds(1)
        return latest

    def preparation(self) -> tuple[float, int] | None:
        """Seconds and FLOPs of one update of what the method learns first; None when it learns nothing first."""
        if not self.trainee.distiller.needs_preparation:
            return None
        self.trainee.prepare(*next(self.batches), progress=0.0)
        # One start and one stop for all of them: a run does not wait for the device between updates either.
        clock, updates = budget_clock(self.device), 0
        clock.start()
        end = time.perf_counter() + STEADY_SECONDS
        while time.perf_counter() < end or updates < FEWEST_ROUNDS:
            self.trainee.prepare(*next(self.batches), progress=0.0)
            updates += 1
        clock.stop()
        with FlopCounterMode(display=False) as counter:
            self.trainee.prepare(*next(self.batches), progress=0.0)
        return clock.spent / updates, int(counter.get_total_flops())

    def flops(self) -> int:
        """Floating-point operations of convolutions and matrix products in one iteration."""
        counter = FlopCounterMode(display=False)
        with counter:
            self.trainee.iterate(*next(self.batches), progress=0.0)
        return int(counter.get_total_flops())


def measure(spec: ProfileSpec, heartbeat: Heartbeat) -> Measurement:
    """Times both sides in random order, round by round, until the interval is narrow or the time is used up."""
    began = time.perf_counter()
    device = torch.device(spec.device)
    workload = spec.ground.workload
    prepare(device, workload.threads)
    heartbeat.enter("data")
    split = load(workload, Path(spec.ground.data) if spec.ground.data else None, "train")
    heartbeat.enter("settling")
    method = Contender(spec, spec.method, split, device)
    preparation = method.preparation()
    # At the student's start: later the shares would depend on how long this machine has settled.
    shares = gradient_shares(method.trainee, [next(method.batches) for _ in range(GRADIENT_BATCHES)])
    method.settle()
    peak = torch.cuda.max_memory_allocated(device) if device.type == "cuda" else None
    baseline = Contender(spec, student_alone(), split, device) if spec.method.distils else method
    iterations = max(2, math.ceil(ROUND_SECONDS / baseline.settle()))
    method_flops, baseline_flops = method.flops(), baseline.flops()
    rounds = compare(method, baseline, iterations, spec.seconds, heartbeat)
    return Measurement(
        baseline_seconds=tuple(pair[0] for pair in rounds),
        method_seconds=tuple(pair[1] for pair in rounds),
        baseline_flops=baseline_flops,
        method_flops=method_flops,
        peak_memory_bytes=peak,
        preparation_seconds=preparation[0] if preparation else None,
        preparation_flops=preparation[1] if preparation else None,
        gradient_shares=shares,
        weights=dict(zip(method.trainee.distiller.names, method.trainee.distiller.weights, strict=True)),
        wall_seconds=time.perf_counter() - began,
    )


def gradient_shares(trainee: Trainee, batches: Sequence[Batch]) -> dict[str, float]:
    """For each term the norm of its weighted gradient over the task loss's, on the student's parameters: medians."""
    names = trainee.distiller.names
    try:
        batchwise = [_gradient_shares(trainee, *batch) for batch in batches] if names else []
    except RuntimeError:
        # They decide nothing, so that they must not refuse a method: asking twice for gradients takes more memory, and
        # not every loss allows it.
        return {}
    found = {}
    for name, column in zip(names, zip(*batchwise, strict=True), strict=False):
        finite = [share for share in column if math.isfinite(share)]
        if finite:
            found[name] = statistics.median(finite)
    return found


def _gradient_shares(trainee: Trainee, images: Tensor, labels: Tensor) -> tuple[float, ...]:
    """Of one batch, whose graph is gone afterwards."""
    losses = trainee.losses_of(images, labels)
    task = gradient_norm(losses.task, trainee.student)
    return tuple(gradient_norm(term, trainee.student) / task if task > 0 else math.nan for term in losses.terms)


def gradient_norm(loss: Tensor, student: nn.Module) -> float:
    """Of a loss, with respect to all of the student's parameters together."""
    parameters = list(student.parameters())
    if not loss.requires_grad:
        return 0.0
    gradients = torch.autograd.grad(loss, parameters, retain_graph=True, allow_unused=True)
    return math.sqrt(sum(float(gradient.double().square().sum()) for gradient in gradients if gradient is not None))


def compare(
    method: Timed,
    baseline: Timed,
    iterations: int,
    seconds: float,
    heartbeat: Heartbeat,
    now: Callable[[], float] = time.perf_counter,
) -> list[tuple[float, float]]:
    """Pairs of seconds an iteration, baseline's and method's, a round each, in an order that chance decides."""
    coin = random.Random(SEED)
    rounds: list[tuple[float, float]] = []
    look = FEWEST_TO_SETTLE
    heartbeat.enter("rounds", done=lambda: len(rounds))
    end = now() + seconds
    while len(rounds) < FEWEST_ROUNDS or (len(rounds) < MOST_ROUNDS and now() < end):
        if len(rounds) >= look:
            if is_settled(method is baseline, rounds):
                break
            look = round(LOOK_AGAIN * len(rounds))
        if method is baseline:
            alone = baseline.seconds(iterations)
            rounds.append((alone, alone))
        elif coin.random() < 0.5:
            rounds.append((baseline.seconds(iterations), method.seconds(iterations)))
        else:
            after = method.seconds(iterations)
            rounds.append((baseline.seconds(iterations), after))
    return rounds


def is_settled(alone: bool, rounds: Sequence[tuple[float, float]]) -> bool:
    """Whether the ratio's interval is narrow enough. The baseline's own ratio is 1: it only adds to the pool."""
    if alone or len(rounds) < FEWEST_TO_SETTLE:
        return False
    ratio, low, high = ratio_interval([pair[0] for pair in rounds], [pair[1] for pair in rounds])
    return high - low < 2 * COST_TOLERANCE * ratio
