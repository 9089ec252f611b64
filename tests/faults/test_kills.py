"""A sweep that is killed, again and again, and the same command after each."""

import itertools
import os
import random
import signal
import time
from contextlib import suppress
from pathlib import Path

import pytest

from tests.faults.place import Nursery, Place


def must_have_kept(place: Place, before: dict[str, str]) -> dict[str, str]:
    """What had been recorded is as it was; returns what is recorded now."""
    now = place.finished()
    assert {name: now.get(name) for name in before} == before
    return now


def under_fire(place: Place, nursery: Nursery, draw: random.Random, most: int, signals: list[int]) -> list[int]:
    """A sweep that is struck up to so often, and gone on with until all is done; returns how its processes ended."""
    before: dict[str, str] = {}
    ends: list[int] = []
    while place.due() and len(ends) < most:
        number = draw.choice(signals)
        if draw.random() < 0.6:
            nursery.start(place, draw.randint(1, 120), number)
        else:
            pid = nursery.start(place)
            time.sleep(draw.uniform(0.0, 0.5))
            with suppress(ProcessLookupError):  # it was over already
                os.kill(pid, number)
        if (code := nursery.wait()) != 0:
            ends.append(code)
        before = must_have_kept(place, before)
    nursery.start(place)
    assert nursery.wait() == 0, (place.folder / "said.txt").read_text()
    must_have_kept(place, before)
    place.must_be_whole()
    return ends


def struck(folder: Path, seed: int, most: int, seeds: int, signals: list[int]) -> list[int]:
    """Sweeps under fire until one has been struck so often."""
    draw = random.Random(seed)
    ends: list[int] = []
    with Nursery() as nursery:
        for sweep in itertools.count():
            if len(ends) == most:
                return ends
            ends += under_fire(Place(folder / str(sweep), seeds), nursery, draw, most - len(ends), signals)
    raise AssertionError("never")


def test_three_kills_lose_nothing(tmp_path: Path):
    """A sweep of two runs, killed three times: no finished record lost or changed, the rest done."""
    assert struck(tmp_path, 3, 3, 1, [signal.SIGKILL]) == [-9, -9, -9]


@pytest.mark.slow
def test_fifty_kills_lose_nothing(tmp_path: Path):
    """Sweeps of twelve runs, killed at random instants and in front of random steps, fifty times in all."""
    assert struck(tmp_path, 7, 50, 6, [signal.SIGKILL]) == [-9] * 50


@pytest.mark.slow
def test_twenty_interrupts_lose_nothing(tmp_path: Path):
    """The same by Ctrl-C, which is an exit with 130, and by SIGTERM, whatever becomes of that."""
    ends = struck(tmp_path, 11, 20, 6, [signal.SIGINT, signal.SIGTERM])
    assert set(ends) <= {130, -signal.SIGTERM}
    assert 130 in ends
