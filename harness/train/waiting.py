"""How long training waits for its next batch."""

import time
from collections import deque
from collections.abc import Callable, Iterator

import torch

from harness.segmentation.batches import Batches
from harness.train.clock import Event, event_of
from harness.train.loop import Batch

MOST_PAIRS = 1000
"""Events that are kept between two pauses, which may lie an hour apart, unless the device is further behind."""


class Waiting:
    """Hands out batches, and adds up the wall time that this takes.

    Where the process makes its own data, on a CPU, making them is that time.
    """

    def __init__(self, batches: Iterator[Batch], now: Callable[[], float] = time.perf_counter) -> None:
        self._batches = batches
        self._now = now
        self.seconds = 0.0

    def __iter__(self) -> Iterator[Batch]:
        return self

    def __next__(self) -> Batch:
        before = self._now()
        batch = next(self._batches)
        self.seconds += self._now() - before
        return batch

    def read(self) -> float:
        """Seconds up to now; called only while the clock stands still."""
        return self.seconds


class DeviceWaiting(Waiting):
    """On an accelerator: for how long the device had nothing of the iteration before left to do.

    An event before a batch's bytes are asked for and one when they are there lie close together on the device when the
    host is ahead, and far apart when the device stood idle for them. Augmenting them is the device's own work.
    """

    def __init__(self, batches: Batches, event: Callable[[], Event]) -> None:
        super().__init__(batches)
        self._source = batches
        self._event = event
        self._pairs: deque[tuple[Event, Event]] = deque()

    def __next__(self) -> Batch:
        before, after = self._event(), self._event()
        before.record()
        fetched = self._source.fetch()
        after.record()
        batch = self._source.compose(fetched)
        self._pairs.append((before, after))
        while len(self._pairs) > MOST_PAIRS and self._pairs[0][1].query():
            self._add()
        return batch

    def read(self) -> float:
        """As Waiting.read; the device has come to every event by then."""
        while self._pairs:
            self._add()
        return self.seconds

    def _add(self) -> None:
        before, after = self._pairs.popleft()
        self.seconds += before.elapsed_time(after) / 1000


def waiting(batches: Batches, device: torch.device) -> Waiting:
    """The batches with a meter for the device's kind."""
    if device.type == "cuda":
        return DeviceWaiting(batches, event_of(device))
    return Waiting(batches)
