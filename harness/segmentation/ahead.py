"""Batches for an accelerator: their bytes are on their way to it before they are asked for.

A thread cuts them out of the split, which the interpreter's lock does not hinder, into memory that the device reads by
itself, and starts their copy beside whatever the device is at. What an iteration waits for is only the last of that.
"""

from collections import deque
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Generator, Tensor

from harness.ledger.workload import Workload
from harness.segmentation.batches import Batches, Draws, Fetched, Parts
from harness.segmentation.data import Split

AHEAD = 3
"""Batches under way: the device works at one, the next is there, and one more is being cut."""


class Lane(Protocol):
    """A way of bytes to the device."""

    def room(self, size: int) -> Tensor:
        """Bytes on the host that may be sent."""
        ...

    def send(self, held: Tensor) -> "Sent":
        """The bytes are on their way; nobody waits for them."""
        ...


@dataclass(frozen=True)
class Sent:
    """Bytes on their way, or there."""

    there: Tensor
    arrived: torch.cuda.Event | None

    def receive(self) -> Tensor:
        """The bytes for whatever the device is given from now on; the host does not wait."""
        if self.arrived is not None:
            stream = torch.cuda.current_stream(self.there.device)
            stream.wait_event(self.arrived)
            self.there.record_stream(stream)
        return self.there


class CudaLane:
    """Pinned memory, and a stream of its own."""

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.stream = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]

    def room(self, size: int) -> Tensor:
        """Pinned, from torch's own pool: given out again once the copy from it is done."""
        try:
            return torch.empty(size, dtype=torch.uint8, pin_memory=True)
        except RuntimeError as error:  # not one of torch's own kinds for memory
            raise MemoryError(f"no {size >> 20} MiB of pinned memory on the host: {error}") from error

    def send(self, held: Tensor) -> Sent:
        """Copied beside the work of other streams."""
        with torch.cuda.device(self.device), torch.cuda.stream(self.stream):
            there = held.to(self.device, non_blocking=True)
            arrived = torch.cuda.Event()  # type: ignore[no-untyped-call]
            arrived.record(self.stream)
        return Sent(there, arrived)


@dataclass(frozen=True)
class _UnderWay:
    """A batch before it is asked for."""

    before: dict[str, Tensor]
    """What it was drawn from."""
    draws: Draws
    sent: "Future[tuple[Parts, Sent]]"


class Ahead(Batches):
    """The same batches in the same order as Batches makes them."""

    def __init__(
        self,
        split: Split,
        workload: Workload,
        *,
        order: Generator,
        augment: Generator,
        device: torch.device,
        lane: Lane | None = None,
    ) -> None:
        super().__init__(split, workload, order=order, augment=augment, device=device)
        self.lane = lane or CudaLane(device)
        self.thread = ThreadPoolExecutor(1, "batches")
        self.under_way: deque[_UnderWay] = deque()

    def state(self) -> dict[str, Tensor]:
        """As Batches.state: of the next batch that is handed out, whatever is drawn already."""
        return self.under_way[0].before if self.under_way else super().state()

    def go_on_from(self, state: Mapping[str, Tensor]) -> None:
        """As Batches.go_on_from; what is under way is forgotten."""
        while self.under_way:
            self.under_way.pop().sent.cancel()
        super().go_on_from(state)

    def fetch(self) -> Fetched:
        """The next batch's bytes, for whatever the device is given from now on."""
        while len(self.under_way) <= AHEAD:
            before = super().state()
            draws = self.draw()
            self.under_way.append(_UnderWay(before, draws, self.thread.submit(self._send, draws)))
        first = self.under_way.popleft()
        parts, sent = first.sent.result()
        flat = sent.receive()
        sizes = [part.numel() for part in (*parts.images, *parts.labels)]
        pieces = iter(torch.split(flat, sizes))
        # A pixel's colours lie side by side, as in the split.
        images = [next(pieces).view(*part.shape[1:], 3).permute(2, 0, 1) for part in parts.images]
        labels = [next(pieces).view(part.shape) for part in parts.labels]
        return Fetched(first.draws, Parts(parts.windows, images, labels))

    def _send(self, draws: Draws) -> tuple[Parts, Sent]:
        """On the thread: a batch's parts, and all of their bytes on their way as one piece."""
        parts = self.cut(draws)
        flat = [part.permute(1, 2, 0) for part in parts.images] + parts.labels
        held = self.lane.room(sum(part.numel() for part in flat))
        for piece, part in zip(torch.split(held, [part.numel() for part in flat]), flat, strict=True):
            piece.view(part.shape).copy_(part)
        return parts, self.lane.send(held)
