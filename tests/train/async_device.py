"""A device with a timeline of its own, as CUDA's: the host hands work over and goes on, the device takes it in order.

Times are seconds that the test moves, so that what a clock charges can be told exactly.
"""

from dataclasses import dataclass, field
from math import inf


@dataclass
class AsyncDevice:
    """One stream. `host` is the host's time, `free_at` the moment at which all that was handed over is done."""

    launch_seconds: float = 0.0
    """What handing over a piece of work takes the host."""
    queue_limit: float = inf
    """How many pieces may wait or be worked on before a launch has to wait for one to end."""
    host: float = 100.0
    free_at: float = 100.0
    work: float = 0.0
    """Seconds of work handed over so far."""
    synchronizes: int = 0
    ran_dry: list[float] = field(default_factory=list)
    """For how long the device had nothing to do before a piece of work, where it had."""
    events: list["AsyncEvent"] = field(default_factory=list)
    waits: list[int] = field(default_factory=list)
    """For each event that the host waited for, how many later ones there were: 0 is the latest."""
    _ends: list[float] = field(default_factory=list)

    def now(self) -> float:
        """The host's time, as time.perf_counter."""
        return self.host

    def launch(self, seconds: float) -> None:
        """Hands over work that takes the device so long."""
        self.host += self.launch_seconds
        if self.queued >= self.queue_limit:
            self.host = self._ends[-int(self.queue_limit)]
        if self.host > self.free_at:
            self.ran_dry.append(self.host - self.free_at)
        self.free_at = max(self.host, self.free_at) + seconds
        self.work += seconds
        self._ends.append(self.free_at)

    @property
    def queued(self) -> int:
        """Pieces of work that are not done at the host's time."""
        return sum(end > self.host for end in self._ends)

    def synchronize(self) -> None:
        """The host waits until all is done."""
        self.synchronizes += 1
        self.host = max(self.host, self.free_at)

    def event(self) -> "AsyncEvent":
        """A mark that is not in the stream yet."""
        self.events.append(AsyncEvent(self, len(self.events)))
        return self.events[-1]


@dataclass(eq=False)
class AsyncEvent:
    """A mark in the stream: done when the device comes there."""

    device: AsyncDevice
    place: int
    at: float | None = None

    def record(self) -> None:
        """The device will come here once it has done what it was given so far."""
        self.at = max(self.device.host, self.device.free_at)

    def synchronize(self) -> None:
        """The host waits until the device is here."""
        self.device.waits.append(len(self.device.events) - 1 - self.place)
        self.device.host = max(self.device.host, self._recorded())

    def query(self) -> bool:
        """Whether the device has been here, without waiting."""
        return self._recorded() <= self.device.host

    def elapsed_time(self, end_event: "AsyncEvent") -> float:
        """Milliseconds to a later event; an error when the device has not been at both, as with CUDA."""
        if not (self.query() and end_event.query()):
            raise RuntimeError("device not ready: an event is not done")
        return 1000 * (end_event._recorded() - self._recorded())

    def _recorded(self) -> float:
        if self.at is None:
            raise RuntimeError("the event was never recorded")
        return self.at
