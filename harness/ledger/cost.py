"""The price of one iteration: measured against a baseline built beside it, with an interval."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Annotated, Literal, Self

import numpy as np
from pydantic import Field, model_validator

from harness.ledger.device import Conditions, DeviceClass
from harness.ledger.files import Value, sha256
from harness.ledger.rules import COST_TOLERANCE, RULES_VERSION

RESAMPLES = 1000
FEWEST_ROUNDS = 2
"""One round has no interval, however narrow it looks."""

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

    def scaled(self, factor: float) -> "Cost":
        """The cost of the same method with all weights times a factor, which changes nothing that is computed."""
        return self.model_copy(
            update={
                "gradient_shares": {name: share * factor for name, share in self.gradient_shares.items()},
                "weights": {name: weight * factor for name, weight in self.weights.items()},
            }
        )

    @property
    def uncertain(self) -> bool:
        """Whether the interval is wider than the rules ask for, or there is none."""
        return self.rounds < FEWEST_ROUNDS or self.ratio_high - self.ratio_low > 2 * COST_TOLERANCE * self.ratio


def ratio_interval(baseline: Sequence[float], method: Sequence[float]) -> tuple[float, float, float]:
    """Median over rounds of method over baseline, with the 95 % interval from resampling rounds."""
    ratios = np.asarray(method) / np.asarray(baseline)
    picks = np.random.default_rng(0).integers(0, len(ratios), size=(RESAMPLES, len(ratios)))
    medians = np.median(ratios[picks], axis=1)
    low, high = np.quantile(medians, (0.025, 0.975))
    return float(np.median(ratios)), float(low), float(high)


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
    )


def cost_path(results: Path, method: str, key: CostKey) -> Path:
    """Where a cost is kept."""
    return results / "costs" / f"{method}-{key.digest}.json"
