"""Where an iteration's time goes: events at the borders of its phases, set by hooks around the real iteration."""

import random
import statistics
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TypeVar

from harness.distill.distiller import Distiller
from harness.ledger.method import ResolvedMethod, ResolvedTerm
from harness.segmentation.batches import Batches
from harness.train.clock import Event
from harness.train.trainee import Trainee

SEED = 0
FEWEST_TURNS = 8
MOST_TURNS = 100

T = TypeVar("T")
Phases = Mapping[str, float]
"""Seconds an iteration by phase, in the order of an iteration."""


class Marks:
    """Events one after the other, each the end of a phase, so that the phases add up to the whole."""

    def __init__(self, event: Callable[[], Event]) -> None:
        self._event = event
        self._start: Event = event()
        self._ends: list[tuple[str, Event]] = []

    def begin(self) -> None:
        """The first phase begins here."""
        self._start.record()

    def end(self, phase: str) -> None:
        """The phase ends here, and the next one begins."""
        event = self._event()
        event.record()
        self._ends.append((phase, event))

    def seconds(self) -> dict[str, float]:
        """Of each phase, all its times together, in the order of their first ends; the only wait for the device."""
        self._ends[-1][1].synchronize()
        found: dict[str, float] = {}
        latest = self._start
        for phase, event in self._ends:
            found[phase] = found.get(phase, 0.0) + latest.elapsed_time(event) / 1000
            latest = event
        return found


def iterate_in_phases(
    trainee: Trainee, batches: Batches, terms: Sequence[str], iterations: int, event: Callable[[], Event]
) -> Phases:
    """Seconds an iteration of each phase, over some iterations; `terms` says what the distiller's are called."""
    marks = Marks(event)
    with borders(trainee, terms, marks.end):
        marks.begin()
        for _ in range(iterations):
            fetched = batches.fetch()
            if batches.device.type != "cpu":
                marks.end("copy")
            batch = batches.compose(fetched)
            marks.end("data")
            trainee.iterate(*batch, progress=0.0)
            marks.end("after step")
    return {phase: seconds / iterations for phase, seconds in marks.seconds().items()}


@contextmanager
def borders(trainee: Trainee, terms: Sequence[str], end: Callable[[str], None]) -> Iterator[None]:
    """Inside, whatever an iteration does ends its phase when it is done; outside, nothing is hooked."""

    def ends(phase: str) -> Callable[..., None]:
        def hook(*_: object) -> None:
            end(phase)

        return hook

    distiller = trainee.distiller
    handles = [
        trainee.student.register_forward_hook(ends("student")),
        *(term.register_forward_hook(ends(name)) for term, name in zip(distiller.terms, terms, strict=True)),
        trainee.optimizer.register_step_pre_hook(ends("backward")),
        trainee.optimizer.register_step_post_hook(ends("optimizer")),
    ]
    if trainee.teacher is not None:
        handles.append(trainee.teacher.register_forward_hook(ends("teacher")))
    # The distiller computes the task loss first, then the terms in order.
    if len(distiller.terms):
        handles.append(distiller.terms[0].register_forward_pre_hook(ends("task loss")))
    else:
        handles.append(distiller.register_forward_hook(ends("task loss")))
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def term_phases(method: ResolvedMethod, distiller: Distiller) -> tuple[str, ...]:
    """The descriptor's names of the distiller's terms: one of several parts is one phase."""
    # The distiller has the active ones in order, without those whose optional taps a network lacks.
    active = iter([term for term in method.terms if term.is_active])
    return tuple(next(term.name for term in active if _names(term) == module.names) for module in distiller.terms)


def _names(term: ResolvedTerm) -> tuple[str, ...]:
    """As the distiller calls what it adds to the objective."""
    return tuple(f"{part.name}@{term.stage}" for part in term.parts if part.weight > 0) or (term.name,)


def take_turns(
    phased: Callable[[], Phases],
    plain: Callable[[], float],
    seconds: float,
    now: Callable[[], float] = time.perf_counter,
) -> tuple[Phases, float]:
    """An iteration in phases, and its seconds without any mark, timed in turns in an order that chance decides.

    Each is the mean over the middle half of its turns: only means add up, and what held the machine up now and then
    would move that of all turns.
    """
    coin = random.Random(SEED)
    turns: list[tuple[Phases, float]] = []
    end = now() + seconds
    while len(turns) < FEWEST_TURNS or (len(turns) < MOST_TURNS and now() < end):
        if coin.random() < 0.5:
            turns.append((phased(), plain()))
        else:
            without = plain()
            turns.append((phased(), without))
    typical = middle_half([phases for phases, _ in turns], lambda phases: sum(phases.values()))
    found = {phase: statistics.fmean(phases[phase] for phases in typical) for phase in typical[0]}
    return found, statistics.fmean(middle_half([without for _, without in turns], float))


def middle_half(values: Sequence[T], size: Callable[[T], float]) -> Sequence[T]:
    """Without the quarter of the smallest and the quarter of the largest."""
    ordered, quarter = sorted(values, key=size), len(values) // 4
    return ordered[quarter : len(ordered) - quarter]
