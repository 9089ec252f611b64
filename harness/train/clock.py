"""The budget clock. What it reads and how it waits are its arguments, so that a test can move time."""

import resource
import time
from collections import deque
from collections.abc import Callable
from typing import Any, Protocol

import torch


class Clock:
    """Adds up the time between starts and stops; waits for the device only there."""

    def __init__(
        self, now: Callable[[], float], synchronize: Callable[[], None], wall: Callable[[], float] = time.perf_counter
    ) -> None:
        self._now = now
        self._synchronize = synchronize
        self._wall = wall
        self._before = 0.0
        self._started: float | None = None
        self._wall_started = 0.0
        self.latest = 0.0
        """About what is spent, for other threads: they must not read a clock that waits for a device."""
        self.wall_seconds = 0.0
        """Wall time between the starts and the stops, whatever the clock itself reads."""

    def carry(self, spent_seconds: float, wall_seconds: float) -> None:
        """What an earlier process spent on the same run is spent."""
        if self._started is not None or self._before:
            raise RuntimeError("the clock has been running already")
        self._before = self.latest = spent_seconds
        self.wall_seconds = wall_seconds

    def start(self) -> None:
        """Time counts from here."""
        if self._started is not None:
            raise RuntimeError("the clock is running already")
        self._synchronize()
        self._wall_started = self._wall()
        self._started = self._now()

    def stop(self) -> None:
        """Time stops counting, once the device has done what it was given."""
        if self._started is None:
            raise RuntimeError("the clock is not running")
        self._synchronize()
        self._before += self._now() - self._started
        self.wall_seconds += self._wall() - self._wall_started
        self._started = None
        self.latest = self._before

    def tick(self) -> None:
        """An iteration's work was handed to the device."""
        if self._started is not None:
            self.latest = self._before + self._now() - self._started

    @property
    def spent(self) -> float:
        """Seconds on the clock up to now."""
        running = 0.0 if self._started is None else self._now() - self._started
        return self._before + running


class Event(Protocol):
    """What this module needs of torch.cuda.Event."""

    def record(self) -> None:
        """Marks this point of the device's work."""
        ...

    def synchronize(self) -> None:
        """Waits until the device has come here."""
        ...

    def query(self) -> bool:
        """Whether the device has come here; waits for nothing."""
        ...

    def elapsed_time(self, end_event: Any) -> float:  # noqa: ANN401 - torch asks for its own Event
        """Milliseconds from this event to a later one."""
        ...


class CpuEvent:
    """A moment on the budget clock of a CPU, with the words of torch.cuda.Event."""

    def __init__(self) -> None:
        self.moment = 0.0

    def record(self) -> None:
        """Marks this moment."""
        self.moment = cpu_seconds()

    def synchronize(self) -> None:
        """A CPU has done what it was given."""

    def query(self) -> bool:
        """It always has."""
        return True

    def elapsed_time(self, end_event: Any) -> float:  # noqa: ANN401 - as the protocol has it
        """Milliseconds from this event to a later one."""
        return float(1000 * (end_event.moment - self.moment))


class EventClock(Clock):
    """Reads, while it runs, the event of the iteration before last: the device keeps one iteration to work on."""

    def __init__(self, now: Callable[[], float], synchronize: Callable[[], None], event: Callable[[], Event]) -> None:
        super().__init__(now, synchronize)
        self._event = event
        self._first: Event | None = None
        self._recent: deque[Event] = deque(maxlen=3)
        self._iteration = 0.0
        """Seconds of the latest iteration whose end was seen; it is remembered over a stop."""

    def start(self) -> None:
        """Time counts from here, for the device too."""
        super().start()
        self._first = self._mark()
        self._recent.clear()
        self._recent.append(self._first)

    def stop(self) -> None:
        """As Clock.stop; afterwards `spent` is wall time, exactly."""
        super().stop()
        self._first = None

    def tick(self) -> None:
        """Marks the end of the iteration that was just handed over."""
        super().tick()
        self._recent.append(self._mark())

    @property
    def spent(self) -> float:
        """Seconds up to the end of the latest iteration, which is taken to last as long as the one before it did.

        Whoever spent up to the end of the one before alone would always hand over one iteration too many.
        """
        if self._first is None or len(self._recent) < 2:
            return self._before
        seen = 0.0
        if len(self._recent) == 3:
            earlier, before, _ = self._recent
            before.synchronize()
            seen, self._iteration = self._first.elapsed_time(before) / 1000, earlier.elapsed_time(before) / 1000
        return self._before + seen + self._iteration

    def _mark(self) -> Event:
        event = self._event()
        event.record()
        return event


def event_of(device: torch.device) -> Callable[[], Event]:
    """Makes events on the device's own time line: on an accelerator nothing waits for them until they are read."""
    if device.type == "cuda":
        return lambda: torch.cuda.Event(enable_timing=True)  # type: ignore[no-untyped-call]
    return CpuEvent


def budget_clock(device: torch.device) -> Clock:
    """Wall time on an accelerator, the process's own CPU time on a CPU."""
    if device.type == "cuda":
        return EventClock(time.perf_counter, lambda: torch.cuda.synchronize(device), event_of(device))
    return Clock(cpu_seconds, lambda: None)


def cpu_seconds() -> float:
    """CPU time of this process and of the children it waited for."""
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + children.ru_utime + children.ru_stime
