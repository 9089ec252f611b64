"""The device's own meters: energy, clocks, heat and neighbours, read beside the clock and never instead of it."""

import statistics
import time
from collections.abc import Callable
from typing import Protocol, TypeVar

import torch

from harness.ledger.nvml import Card, NotTold, open_card
from harness.ledger.readings import ENERGY_SECONDS, Readings

T = TypeVar("T")

NO_METERS = "a CPU has no meters of its own"
NO_WINDOW = "the clock never ran to a stop"
NO_SAMPLE = "the clock stopped before a sample was taken"
UNSEEN = "the driver shows no process here, not even this one"

FIELDS = ("energy_joules", "seconds", "peak_memory_bytes", "sm_clock_mhz", "throttled", "shared")


class Meters(Protocol):
    """What run and heartbeat ask of a device. `sample` comes from another thread than the rest."""

    def start(self) -> None:
        """The clock was started, for the first time or again."""
        ...

    def stop(self) -> None:
        """The clock was stopped, for now or for good."""
        ...

    def sample(self) -> None:
        """One look at the device, if the clock runs."""
        ...

    def joules(self) -> float | None:
        """Drawn since some moment in the past, for differences; None where the device does not say."""
        ...

    def readings(self) -> Readings:
        """What was seen from the clock's first start to its last stop."""
        ...


def meters_of(device: torch.device) -> Meters:
    """The meters of a device that torch computes on. NVML stays open as long as the process lives."""
    if device.type != "cuda":
        return NoMeters()
    return CardMeters(open_card(f"cuda:{device.index or 0}"), device)


class NoMeters:
    """A CPU's: nothing is read, and the readings say why."""

    def start(self) -> None:
        """Nothing begins."""

    def stop(self) -> None:
        """Nothing ends."""

    def sample(self) -> None:
        """There is nothing to look at."""

    def joules(self) -> float | None:
        """None."""
        return None

    def readings(self) -> Readings:
        """All null."""
        return Readings(why_not=dict.fromkeys(FIELDS, NO_METERS))


class CardMeters:
    """A card's. A question that it leaves unanswered costs nobody the run: the reason stands in the readings."""

    def __init__(self, card: Card, device: torch.device, now: Callable[[], float] = time.perf_counter) -> None:
        self._card = card
        self._device = device
        self._now = now
        self._began: float | None = None
        self._seconds: float | None = None
        self._joules_before: float | None = None
        self._joules: float | None = None
        self._peak: int | None = None
        self._running = False
        self._samples = 0
        self._clocks: list[int] = []
        self._slowed: list[bool] = []
        self._processes: list[int] = []
        self._why_not: dict[str, str] = {}

    def start(self) -> None:
        """The window opens with the first start; samples count again."""
        if self._began is None:
            torch.cuda.reset_peak_memory_stats(self._device)
            self._began, self._joules_before = self._now(), self.joules()
        self._running = True

    def stop(self) -> None:
        """The window reaches to here; no sample counts until the next start."""
        if self._began is None:
            raise RuntimeError("the meters were not started")
        self._running = False
        after = self.joules()
        self._seconds = self._now() - self._began
        if after is not None and self._joules_before is not None:
            self._joules = after - self._joules_before
        # What comes after, such as scoring, may need more memory than what was paid for.
        self._peak = torch.cuda.max_memory_allocated(self._device)

    def sample(self) -> None:
        """Clock, reasons for its being low, and the processes at the device."""
        if not self._running:
            return
        self._samples += 1
        self._look("sm_clock_mhz", self._clocks, lambda: self._card.sm_clock_mhz)
        self._look("throttled", self._slowed, lambda: self._card.slowed)
        # They are counted, not told apart: in a container our own number is not the one that the driver knows.
        self._look("shared", self._processes, lambda: self._card.processes)

    def joules(self) -> float | None:
        """The card's counter."""
        try:
            return self._card.joules
        except NotTold as reason:
            self._why_not["energy_joules"] = str(reason)
            return None

    def readings(self) -> Readings:
        """The window's; a field is null exactly where `why_not` says why."""
        if self._seconds is None:
            return Readings(why_not=dict.fromkeys(FIELDS, NO_WINDOW))
        found = {
            "energy_joules": self._joules if self._seconds >= ENERGY_SECONDS else None,
            "sm_clock_mhz": float(statistics.median(self._clocks)) if self._clocks else None,
            "throttled": _share(self._slowed),
            # A run computes while its clock runs, so that a count of nobody is the driver's silence, and no count.
            "shared": _share([count > 1 for count in self._processes]) if any(self._processes) else None,
        }
        otherwise = {
            "energy_joules": f"read over {self._seconds:.1f} s, and believed from {ENERGY_SECONDS:g} s on",
            "shared": UNSEEN if self._processes else NO_SAMPLE,
        }
        return Readings(
            **found,
            seconds=self._seconds,
            peak_memory_bytes=self._peak,
            samples=self._samples,
            why_not={
                name: self._why_not.get(name) or otherwise.get(name, NO_SAMPLE)
                for name, value in found.items()
                if value is None
            },
        )

    def _look(self, name: str, seen: list[T], question: Callable[[], T]) -> None:
        try:
            seen.append(question())
        except NotTold as reason:
            self._why_not[name] = str(reason)


def _share(seen: list[bool]) -> float | None:
    return sum(seen) / len(seen) if seen else None
