"""How a run moves through its budget: by counting iterations, or by the clock."""

from abc import ABC, abstractmethod
from dataclasses import dataclass

from harness.ledger.rules import REPLAN_AFTER, REPLAN_TOLERANCE
from harness.ledger.spec import Replay, RunSpec
from harness.train.clock import Clock


@dataclass(frozen=True)
class Reached:
    """How far a run has come: what a resumed one goes on from."""

    planned: int = 0
    """What the plan said that the run was begun with: a later plan does not move a schedule that is half-way."""
    preparation: int = 0
    """The same of the preparation's updates."""
    prepared: int = 0
    done: int = 0
    replanned: int | None = None
    compared: bool = False
    preparation_seconds: float = 0.0
    looked: float = 0.0
    """The share of its phase, training or preparation, that was used at the latest pause."""
    begun: bool = False
    """Whether the preparation is over."""
    over: bool = False
    """Whether the training is, and its last look was taken."""


class Pace(ABC):
    """The only thing the loop asks for how long."""

    def __init__(self, clock: Clock, planned: int = 0, preparation: int = 0, preparation_seconds: float = 0.0) -> None:
        self.prepared = 0
        """Updates of what the method learns before it distils."""
        self.done = 0
        self.replanned: int | None = None
        self.looked = 0.0
        """The share that was used at the latest pause: the loop's own note, so that it leaves none out."""
        self.has_begun = not (preparation or preparation_seconds)
        """Whether the preparation is over, or there is none."""
        self.is_over = False
        """Whether the training is over: the loop's word, which a share that is measured again does not change."""
        self._clock = clock
        self._planned = planned
        self._preparation = preparation
        self._compared = False
        self._preparation_seconds = preparation_seconds

    @property
    def reached(self) -> Reached:
        """How far this run is."""
        return Reached(
            planned=self._planned,
            preparation=self._preparation,
            prepared=self.prepared,
            done=self.done,
            replanned=self.replanned,
            compared=self._compared,
            preparation_seconds=self._preparation_seconds,
            looked=self.looked,
            begun=self.has_begun,
            over=self.is_over,
        )

    def go_on_from(self, reached: Reached) -> None:
        """Neither does again what an earlier process did, nor leaves any of it out."""
        self.prepared, self.done, self.replanned = reached.prepared, reached.done, reached.replanned
        self._compared, self._preparation_seconds = reached.compared, reached.preparation_seconds
        self.looked = reached.looked
        self.has_begun, self.is_over = reached.begun or reached.done > 0, reached.over
        if self._planned != reached.planned and self.replanned is None:
            self.replanned = reached.planned  # the record tells that it is not today's plan which is carried out
        self._planned, self._preparation = reached.planned, reached.preparation

    @abstractmethod
    def preparation_progress(self) -> float:
        """The share of the preparation that is used, 1 or more when it is over."""

    @abstractmethod
    def progress(self) -> float:
        """The share of what is left for training that is used, 1 or more when the run is over."""

    def begin(self) -> None:
        """The preparation is over, and the clock stands still; the training has pauses of its own."""
        self.looked = 0.0
        self.has_begun = True

    @abstractmethod
    def pause(self) -> None:
        """The clock stands still: time to compare with the plan."""


class IterationsPace(Pace):
    """Spends the planned iterations. A time budget is compared with the plan once, early, and re-planned if off."""

    def __init__(self, planned: int, budget_seconds: float | None, clock: Clock, preparation: int = 0) -> None:
        super().__init__(clock, planned, preparation)
        self._budget_seconds = budget_seconds

    def preparation_progress(self) -> float:
        """Updates done over updates planned."""
        return self.prepared / self._preparation if self._preparation else 1.0

    def begin(self) -> None:
        """What the preparation spent is gone: the re-plan divides what is left."""
        super().begin()
        self._preparation_seconds = self._clock.spent

    def progress(self) -> float:
        """Iterations done over iterations planned."""
        return self.done / (self.replanned or self._planned)

    def pause(self) -> None:
        """Re-plans once, after the first 3 % of the budget, when more than 1 % off."""
        if self._compared or self._budget_seconds is None or self.progress() < REPLAN_AFTER:
            return
        self._compared = True
        training = self._clock.spent - self._preparation_seconds
        affordable = round((self._budget_seconds - self._preparation_seconds) / (training / self.done))
        if abs(affordable / self._planned - 1) > REPLAN_TOLERANCE:
            self.replanned = max(affordable, self.done)


class ReplayPace(IterationsPace):
    """Spends the iterations that another run spent, and changes its plan where that run did: its schedule again."""

    def __init__(self, planned: int, replay: Replay, clock: Clock, preparation: int = 0) -> None:
        super().__init__(planned, None, clock, preparation)
        self._replay = replay

    def progress(self) -> float:
        """As of the run that is repeated, to the last bit."""
        after = self._replay.replanned_after
        if after is not None and self.done >= after:
            self.replanned = self._replay.replanned_iterations
        return super().progress()


class ClockPace(Pace):
    """Runs until the clock has spent the budget."""

    def __init__(self, budget_seconds: float, clock: Clock, preparation_share: float = 0.0) -> None:
        super().__init__(clock, preparation_seconds=preparation_share * budget_seconds)
        self._budget_seconds = budget_seconds

    def preparation_progress(self) -> float:
        """Spent over the preparation's share of the budget."""
        return self._clock.spent / self._preparation_seconds if self._preparation_seconds else 1.0

    def progress(self) -> float:
        """Spent since the preparation over what is left for training."""
        spent = max(0.0, self._clock.spent - self._preparation_seconds)  # its last update may be shorter than estimated
        return spent / (self._budget_seconds - self._preparation_seconds)

    def pause(self) -> None:
        """The clock itself is the plan."""


def pace_of(spec: RunSpec, clock: Clock) -> Pace:
    """The pace that a spec asks for."""
    if spec.pace == "clock":
        if spec.budget_seconds is None:
            raise ValueError(f"budget {spec.budget!r} is no time and cannot be spent by the clock")
        return ClockPace(spec.budget_seconds, clock, spec.method.preparation_share)
    if spec.replay is not None:
        return ReplayPace(spec.iterations, spec.replay, clock, spec.preparation_iterations)
    return IterationsPace(spec.iterations, spec.budget_seconds, clock, spec.preparation_iterations)
