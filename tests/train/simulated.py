"""A machine whose costs are known to the digit: it drifts, trembles and is held up in bursts, and time is its own."""

import math
import random
import statistics
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from itertools import accumulate, pairwise

import numpy as np

from harness.ledger.cost import Measurement, pooled_baseline, price
from harness.train.rounds import ROUND_SECONDS, compare

BASELINE = 1.6e-3
"""Seconds of an iteration of the student alone."""
RATIOS = (2.4, 1.0, 10.0, 1.3, 3.6, 5.0, 14.0, 1.1, 7.0, 2.0, 1.6, 3.0)
"""What an iteration of each method costs in truth, in baselines, in the order of measuring."""
ITERATIONS = math.ceil(ROUND_SECONDS / BASELINE)
PATIENCE = 600.0
"""Seconds that a method may be measured: enough for its interval to settle."""
HORIZON = 3000.0
"""Seconds of weather that are known beforehand."""


@dataclass(frozen=True)
class Weather:
    """What disturbs a machine."""

    jitter: float = 0.3
    """Standard deviation of an iteration's time, as a share of it, from one iteration to the next."""
    slows_at: float = float("inf")
    slowdown: float = 1.2
    """From then on everything takes so much longer."""
    bursts_every: float = float("inf")
    burst_seconds: float = 0.03
    burst_slowdown: float = 2.0
    """For a moment now and then everything takes so much longer still."""


CALM = Weather(jitter=0.0)
ROUGH = Weather()
BURSTS = Weather(bursts_every=1.0)


class Machine:
    """Work, in seconds at full speed, moves its time by as much as the weather makes of it."""

    def __init__(self, weather: Weather = CALM, seed: int = 0) -> None:
        self.time = 0.0
        self.weather = weather
        self._chance = np.random.default_rng(seed)
        self._jitter: np.ndarray = np.empty(0)
        spells = _spells(weather, random.Random(seed))
        self._starts = [start for start, _ in spells]
        self._slow = [slow for _, slow in spells]
        lengths = [later - earlier for earlier, later in pairwise(self._starts)]
        # Work done by the time that a spell begins.
        self._done = [0.0, *accumulate(length / slow for length, slow in zip(lengths, self._slow, strict=False))]

    def work(self, seconds: float) -> None:
        """Does it."""
        spell = bisect_right(self._starts, self.time) - 1
        done = self._done[spell] + (self.time - self._starts[spell]) / self._slow[spell] + seconds
        spell = bisect_right(self._done, done) - 1
        self.time = self._starts[spell] + (done - self._done[spell]) * self._slow[spell]

    def jitter(self, iterations: int) -> float:
        """The sum of what chance makes of so many iterations of length 1: lognormal, each on its own, of mean 1."""
        if not self.weather.jitter:
            return float(iterations)
        if len(self._jitter) < iterations:
            variance = np.log1p(self.weather.jitter**2)
            self._jitter = self._chance.lognormal(-variance / 2, variance**0.5, 50_000)
        taken, self._jitter = self._jitter[:iterations], self._jitter[iterations:]
        return float(taken.sum())


def _spells(weather: Weather, chance: random.Random) -> Sequence[tuple[float, float]]:
    """When the machine changes its pace, and by what factor it is slow from then on."""
    spells = [(0.0, 1.0)]
    while (start := spells[-1][0] + weather.bursts_every * chance.expovariate(1.0)) < HORIZON:
        spells += [(start, weather.burst_slowdown), (start + weather.burst_seconds, 1.0)]
    before = [spell for spell in spells if spell[0] < weather.slows_at]
    after = [(weather.slows_at, before[-1][1]), *spells[len(before) :]]
    return [*before, *((start, slow * weather.slowdown) for start, slow in after)]


class Side:
    """A side of a comparison on a machine."""

    def __init__(self, machine: Machine, cost: float) -> None:
        self.machine, self.cost = machine, cost

    def seconds(self, iterations: int) -> float:
        """As Contender.seconds."""
        before = self.machine.time
        self.machine.work(self.cost * self.machine.jitter(iterations))
        return (self.machine.time - before) / iterations


class Quiet:
    """A heartbeat that nobody listens to."""

    def enter(self, *_: object, **__: object) -> None:
        """Says nothing."""


@dataclass(frozen=True)
class Session:
    """What a sweep over RATIOS found, each as a share of the truth that it is too much."""

    beside: tuple[float, ...]
    """Each method with the baseline beside it."""
    alone: tuple[float, ...]
    """Each method by itself, the baseline once before all of them, as many iterations in all."""
    seconds: float
    """Of the machine's time."""


def session(weather: Weather, seed: int) -> Session:
    """Both ways to measure, each on a machine of its own."""
    machine = Machine(weather, seed)
    baseline = Side(machine, BASELINE)
    measured = [_measured(Side(machine, BASELINE * ratio), baseline) for ratio in RATIOS]
    pooled = pooled_baseline(measured)
    beside = [price(each, pooled).ratio / ratio - 1 for each, ratio in zip(measured, RATIOS, strict=True)]

    other = Machine(weather, seed)
    rounds = [len(each.method_seconds) for each in measured]
    once = _median(Side(other, BASELINE), sum(rounds))
    medians = [_median(Side(other, BASELINE * ratio), each) for ratio, each in zip(RATIOS, rounds, strict=True)]
    alone = [median / once / ratio - 1 for median, ratio in zip(medians, RATIOS, strict=True)]
    return Session(tuple(beside), tuple(alone), machine.time)


def _measured(method: Side, baseline: Side) -> Measurement:
    machine = method.machine
    rounds = compare(method, baseline, ITERATIONS, PATIENCE, Quiet(), lambda: machine.time)
    return Measurement(
        baseline_seconds=tuple(pair[0] for pair in rounds), method_seconds=tuple(pair[1] for pair in rounds),
        baseline_flops=None, method_flops=None, peak_memory_bytes=None, wall_seconds=machine.time,
    )  # fmt: skip


def _median(side: Side, rounds: int) -> float:
    return statistics.median(side.seconds(ITERATIONS) for _ in range(rounds))


@cache
def slowing_half_way(weather: Weather = ROUGH) -> Weather:
    """The same weather, with the slow-down half-way through a session: a first one without it says when that is."""
    steady = session(weather, seed=0).seconds
    # From the half on, what is left takes so much longer: half the time does 1 / (1 + 1 / slowdown) of the work.
    return replace(weather, slows_at=steady / (1 + 1 / weather.slowdown))
