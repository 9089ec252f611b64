"""How a run moves through its budget: by counting iterations, or by the clock."""

from typing import Protocol

from harness.ledger.rules import REPLAN_AFTER, REPLAN_TOLERANCE
from harness.ledger.spec import RunSpec
from harness.train.clock import Clock


class Pace(Protocol):
    """The only thing the loop asks for how long."""

    done: int
    replanned: int | None

    def progress(self) -> float:
        """The share of the budget that is used, 1 or more when the run is over."""
        ...

    def pause(self) -> None:
        """The clock stands still: time to compare with the plan."""
        ...


class IterationsPace:
    """Spends the planned iterations. A time budget is compared with the plan once, early, and re-planned if off."""

    def __init__(self, planned: int, budget_seconds: float | None, clock: Clock) -> None:
        self.done = 0
        self.replanned: int | None = None
        self._planned = planned
        self._budget_seconds = budget_seconds
        self._clock = clock
        self._compared = False

    def progress(self) -> float:
        """Iterations done over iterations planned."""
        return self.done / (self.replanned or self._planned)

    def pause(self) -> None:
        """Re-plans once, after the first 3 % of the budget, when more than 1 % off."""
        if self._compared or self._budget_seconds is None or self.progress() < REPLAN_AFTER:
            return
        self._compared = True
        affordable = round(self._budget_seconds / (self._clock.spent / self.done))
        if abs(affordable / self._planned - 1) > REPLAN_TOLERANCE:
            self.replanned = max(affordable, self.done)


class ClockPace:
    """Runs until the clock has spent the budget."""

    def __init__(self, budget_seconds: float, clock: Clock) -> None:
        self.done = 0
        self.replanned: int | None = None
        self._budget_seconds = budget_seconds
        self._clock = clock

    def progress(self) -> float:
        """Spent over budget."""
        return self._clock.spent / self._budget_seconds

    def pause(self) -> None:
        """The clock itself is the plan."""


def pace_of(spec: RunSpec, clock: Clock) -> Pace:
    """The pace that a spec asks for."""
    if spec.pace == "clock":
        if spec.budget_seconds is None:
            raise ValueError(f"budget {spec.budget!r} is no time and cannot be spent by the clock")
        return ClockPace(spec.budget_seconds, clock)
    return IterationsPace(spec.iterations, spec.budget_seconds, clock)
