"""Five random streams by name from one seed: what one of them draws never moves another."""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

import torch

from harness.ledger.workload import Workload
from harness.segmentation.ahead import Ahead
from harness.segmentation.batches import Batches
from harness.segmentation.data import Split

Stream = Literal["student", "order", "augmentation", "dropout", "method"]


def stream_seed(seed: int, stream: Stream) -> int:
    """63 bits that belong to the seed and the stream."""
    return int.from_bytes(hashlib.sha256(f"{seed}/{stream}".encode()).digest()[:8], "big") >> 1


def generator(seed: int, stream: Stream, device: torch.device | None = None) -> torch.Generator:
    """A generator of its own for the stream."""
    return torch.Generator(device or torch.device("cpu")).manual_seed(stream_seed(seed, stream))


def batches_of(split: Split, workload: Workload, seed: int, device: torch.device) -> Batches:
    """The seed's batches on a device, from the first: the same for every method."""
    order, augment = generator(seed, "order"), generator(seed, "augmentation")
    # On a CPU a run makes its data in its own process, by its own clock, with its one thread.
    kind = Batches if device.type == "cpu" else Ahead
    return kind(split, workload, order=order, augment=augment, device=device)


@contextmanager
def seeded(seed: int, stream: Stream) -> Iterator[None]:
    """Inside, torch's global generator is the stream's (initialisations know no other); outside, it is as before."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(stream_seed(seed, stream))
        yield
