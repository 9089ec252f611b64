"""Batches on their way before they are asked for: the same ones in the same order, and a state that knows the next."""

import pytest
import torch
from torch import Generator, Tensor

from harness.segmentation.ahead import AHEAD, Ahead, Sent
from harness.segmentation.batches import Batches, first_batches_sha256
from tests.segmentation.test_batches import CPU, batches, numbered, workload

HELD = workload(batch=2, scale=(0.5, 2.0), flip=0.5)


class Lane:
    """A way that is walked at once; it counts the bytes."""

    def __init__(self) -> None:
        self.sent: list[int] = []

    def room(self, size: int) -> Tensor:
        return torch.empty(size, dtype=torch.uint8)

    def send(self, held: Tensor) -> Sent:
        self.sent.append(held.numel())
        return Sent(held, None)


def ahead(lane: Lane | None = None) -> Ahead:
    generators = {"order": Generator().manual_seed(0), "augment": Generator().manual_seed(0)}
    return Ahead(numbered(5), HELD, **generators, device=CPU, lane=lane or Lane())


def same(one: Batches, other: Batches, count: int = 6) -> bool:
    pairs = [(next(one), next(other)) for _ in range(count)]
    return all(torch.equal(a, b) for first, second in pairs for a, b in zip(first, second, strict=True))


def test_they_are_the_batches_that_come_without_haste():
    assert same(ahead(), batches(numbered(5), HELD), count=12)


def test_each_batch_crosses_in_one_piece_of_its_crops_bytes():
    """Four bytes a pixel: three colours and a label."""
    lane = Lane()
    source = ahead(lane)
    first = batches(numbered(5), HELD)
    parts = first.cut(first.draw())
    next(source)
    assert lane.sent[0] == sum(part.numel() for part in (*parts.images, *parts.labels))
    assert lane.sent[0] == 4 * sum(part.numel() for part in parts.labels)


def test_a_few_are_under_way_and_no_more():
    source = ahead()
    for _ in range(4):
        next(source)
    assert len(source.under_way) == AHEAD


def test_the_state_is_that_of_the_next_batch_that_is_handed_out():
    """Whatever was drawn before it was asked for: Batches go on from it, and Ahead goes back to it."""
    source = ahead()
    next(source), next(source)
    state = source.state()
    plain = batches(numbered(5), HELD, 7, 8)
    plain.go_on_from(state)
    assert same(source, plain)
    source.go_on_from(state)
    plain.go_on_from(state)
    assert same(source, plain)


def test_the_digest_of_the_first_batches_is_the_same_and_moves_nothing():
    source = ahead()
    assert first_batches_sha256(source) == first_batches_sha256(batches(numbered(5), HELD))
    next(source)
    first_batches_sha256(source)
    plain = batches(numbered(5), HELD)
    next(plain)
    assert same(source, plain)


def test_what_goes_wrong_on_the_way_is_said_where_the_batch_is_asked_for():
    class Broken(Lane):
        def room(self, size: int) -> Tensor:
            raise MemoryError("no pinned memory")

    with pytest.raises(MemoryError, match="no pinned memory"):
        next(ahead(Broken()))
