"""The price of one iteration: measured against a baseline built beside it, with an interval."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Annotated, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from harness.ledger.device import Conditions, DeviceClass
from harness.ledger.files import Value, sha256
from harness.ledger.rules import COST_TOLERANCE, RULES_VERSION

PHASES_SHARE = 0.2
"""Of the time that rounds may take: for how long phases are timed, after the rounds."""
RESAMPLES = 1000
FEWEST_ROUNDS = 2
"""One round has no interval, however narrow it looks."""

PHASES = ("data", "copy", "teacher", "student", "task loss", "backward", "optimizer", "after step")
"""Of an iteration, in order; between task loss and backward each term is a phase under its own name."""
PHASES_TOLERANCE = 0.03
"""How far phases may add up beside the iteration before it is told."""

Rounds = Annotated[tuple[Annotated[float, Field(gt=0)], ...], Field(min_length=1)]


class Measurement(Value):
    """What a profiling process saw: one pair of timings a round, taken in random order."""

    format: Literal[1] = 1
    baseline_seconds: Rounds
    """Seconds an iteration of the baseline, a round each."""
    method_seconds: Rounds
    """Seconds an iteration of the method in the same rounds; the baseline's own when it is the method."""
    baseline_flops: int | None
    method_flops: int | None
    peak_memory_bytes: int | None
    """On the accelerator, of the method alone; null on a CPU."""
    phases: dict[str, float] = Field(default_factory=dict)
    """Where the method's iteration goes: seconds of each phase, in order; their sum is the iteration with marks."""
    phases_of: float | None = None
    """Seconds an iteration of the method without the marks between phases, timed in turns with them."""
    joules: float | None = None
    """Of one iteration of the method."""
    why_not: dict[str, str] = Field(default_factory=dict)
    """Why a field is null, by its name."""
    preparation_seconds: float | None = None
    """Of one update of what the method learns before it distils; null when it learns nothing first."""
    preparation_flops: int | None = None
    gradient_shares: dict[str, float] = Field(default_factory=dict)
    """Norm of each weighted term's gradient over that of the task loss's, on the student's parameters."""
    weights: dict[str, float] = Field(default_factory=dict)
    """Of each term here, those moved from another data set scaled."""
    wall_seconds: float

    @model_validator(mode="after")
    def _paired(self) -> Self:
        if len(self.baseline_seconds) != len(self.method_seconds):
            raise ValueError("baseline_seconds and method_seconds differ in length: a round has one of each")
        return self


class Profiled(Value):
    """What a profile leaves in OUT."""

    format: Literal[1] = 1
    measurement: Measurement
    conditions: Conditions
    """Of the host that measured."""


class CostKey(Value):
    """A measured cost is used again only where all of this matches."""

    device_class: DeviceClass
    workload_digest: str
    method_digest: str
    torch: str
    concurrency: int
    rules: int = RULES_VERSION

    @property
    def digest(self) -> str:
        """Names the cost's file."""
        return sha256(self.model_dump_json())[:16]

    def pools_with(self, other: "CostKey") -> bool:
        """Whether the two measured the same baseline."""
        return self.model_copy(update={"method_digest": other.method_digest}) == other


class CostFile(Value):
    """RESULTS/costs/METHOD-DIGEST.json."""

    format: Literal[1] = 1
    method: str
    key: CostKey
    measurement: Measurement
    conditions: Conditions


class Cost(Value):
    """A method's price of one iteration, as a plan uses it."""

    seconds: float
    ratio: float
    """To the baseline's."""
    ratio_low: float
    ratio_high: float
    rounds: int
    flops: int | None
    preparation_seconds: float | None = None
    """Of one update of what the method learns before it distils."""
    preparation_flops: int | None = None
    gradient_shares: dict[str, float] = Field(default_factory=dict)
    weights: dict[str, float] = Field(default_factory=dict)
    phases: dict[str, float] = Field(default_factory=dict)
    """Seconds an iteration of each phase, as measured: they are not drawn to the pooled price."""
    phases_of: float | None = None
    joules: float | None = None
    peak_memory_bytes: int | None = None
    why_not: dict[str, str] = Field(default_factory=dict)

    def scaled(self, factor: float) -> "Cost":
        """The cost of the same method with all weights times a factor, which changes nothing that is computed."""
        return self.model_copy(
            update={
                "gradient_shares": {name: share * factor for name, share in self.gradient_shares.items()},
                "weights": {name: weight * factor for name, weight in self.weights.items()},
            }
        )

    @property
    def phases_ratio(self) -> float | None:
        """What the phases add up to, as a share of an iteration without marks; None where there are none."""
        return sum(self.phases.values()) / self.phases_of if self.phases and self.phases_of else None

    @property
    def uncertain(self) -> bool:
        """Whether the interval is wider than the rules ask for, or there is none."""
        return self.rounds < FEWEST_ROUNDS or self.ratio_high - self.ratio_low > 2 * COST_TOLERANCE * self.ratio


def median_interval(values: Sequence[float] | NDArray[np.float64]) -> tuple[float, float, float]:
    """The median, with the 95 % interval from resampling.

    The middle of a resample is one of the sorted values, and its place follows a beta distribution: to draw the place
    is to draw the resample, and takes no longer for thousands of rounds than for ten.
    """
    ordered = np.sort(np.asarray(values, dtype=np.float64))
    count = len(ordered)
    middle, last = (count + 1) // 2, count - 1
    draw = np.random.default_rng(0)
    lower = upper = draw.beta(middle, count + 1 - middle, RESAMPLES)
    if count % 2 == 0:
        upper = lower + (1 - lower) * draw.beta(1, count - middle, RESAMPLES)
    places = (np.minimum((count * place).astype(int), last) for place in (lower, upper))
    medians = np.mean([ordered[place] for place in places], axis=0)
    low, high = np.quantile(medians, (0.025, 0.975))
    return float(np.median(ordered)), float(low), float(high)


def ratio_interval(baseline: Sequence[float], method: Sequence[float]) -> tuple[float, float, float]:
    """Median over rounds of method over baseline, with the 95 % interval from resampling rounds."""
    return median_interval(np.asarray(method) / np.asarray(baseline))


def pooled_baseline(measurements: Iterable[Measurement]) -> float:
    """Seconds an iteration of the baseline: the median over processes of each one's median over rounds.

    A process counts once, however many rounds it had time for: processes differ by more than rounds do.
    """
    return float(np.median([np.median(measurement.baseline_seconds) for measurement in measurements]))


def price(measurement: Measurement, baseline_seconds: float) -> Cost:
    """The method's cost: its ratio times the baseline's pooled cost."""
    ratio, low, high = ratio_interval(measurement.baseline_seconds, measurement.method_seconds)
    return Cost(
        seconds=ratio * baseline_seconds,
        ratio=ratio,
        ratio_low=low,
        ratio_high=high,
        rounds=len(measurement.baseline_seconds),
        flops=measurement.method_flops,
        preparation_seconds=measurement.preparation_seconds,
        preparation_flops=measurement.preparation_flops,
        gradient_shares=measurement.gradient_shares,
        weights=measurement.weights,
        phases=measurement.phases,
        phases_of=measurement.phases_of,
        joules=measurement.joules,
        peak_memory_bytes=measurement.peak_memory_bytes,
        why_not=measurement.why_not,
    )


def cost_path(results: Path, method: str, key: CostKey) -> Path:
    """Where a cost is kept."""
    return results / "costs" / f"{method}-{key.digest}.json"
