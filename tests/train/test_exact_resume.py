"""A run that is stopped anywhere ends, bit by bit, where it would have ended: whatever its method keeps."""

import os
import random
import tempfile
from functools import cache
from pathlib import Path

import pytest

from harness.ledger.descriptor import all_methods
from harness.ledger.spec import Ground, RunSpec
from harness.segmentation.data import Split, load
from harness.train import keeping
from harness.train import run as engine
from tests.factories import spec
from tests.train.stopping import exactly, interrupt, kept, run_of
from tests.train.tiny import APPLICABLE, DEMANDING, resolved, roomy, standing

ITERATIONS, PREPARATION = 4, 2

QUICK = ("baseline", "cirkd", "skd_only", "freekd")
"""Nothing of its own; adapters and banks; a discriminator with an optimizer; a preparation."""


@cache
def streets(name: str) -> Split:
    """The tiny workload's scenes, drawn once."""
    with tempfile.TemporaryDirectory() as folder:
        return load(roomy(Path(folder), 64), None, name)


@pytest.fixture(autouse=True)
def every_pause_keeps_a_checkpoint(monkeypatch: pytest.MonkeyPatch):
    """Without waiting for half a minute, nor for the disk; one iteration warms up as well as three."""
    monkeypatch.setattr(os, "fsync", lambda file: None)
    monkeypatch.setattr(keeping, "CHECKPOINT_SECONDS", 0.0)
    monkeypatch.setattr(engine, "WARM_UP_ITERATIONS", 1)
    monkeypatch.setattr(engine, "planned_split", lambda ground, split, scored_on: streets(split))


@pytest.fixture(scope="module")
def grounds(tmp_path_factory: pytest.TempPathFactory) -> dict[int, Ground]:
    """By the crop's side: the smallest that methods can do with."""
    found = {}
    for crop in (64, 256):
        folder: Path = tmp_path_factory.mktemp(f"crop{crop}")
        found[crop] = standing(folder, roomy(folder, crop))
    return found


def spec_of(name: str, grounds: dict[int, Ground]) -> RunSpec:
    method = resolved(name)
    on = grounds[256 if name in DEMANDING else 64]
    planned = spec(method, on=on, budget=f"{ITERATIONS} it", pace="iterations", iterations=ITERATIONS)
    return planned.model_copy(update={"preparation_iterations": PREPARATION if method.preparation_share else 0})


def marks(name: str) -> tuple[pytest.MarkDecorator, ...]:
    """Every method has its turn with the slow tests, other forms of one with the thorough."""
    if name in QUICK:
        return ()
    return (pytest.mark.slow if name in all_methods() else pytest.mark.thorough,)


@pytest.mark.parametrize("name", [pytest.param(name, marks=marks(name)) for name in APPLICABLE])
def test_every_method_resumes_to_the_last_bit(
    grounds: dict[int, Ground], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
):
    """Weights, optimizer, adapters, banks, discriminator and its optimizer, order, five streams, schedule and curve.

    The signal comes during an update that chance picks, and what both runs end with is compared whole.
    """
    planned = spec_of(name, grounds)
    update = random.Random(name).randint(1, planned.preparation_iterations + ITERATIONS)
    run_of(planned, tmp_path / "alone").train()

    said = interrupt(monkeypatch, planned, tmp_path / "stopped", update)
    where = kept(tmp_path / "stopped", planned).facts.reached
    assert where.prepared + where.done == update, said
    resumed = run_of(planned, tmp_path / "stopped")
    resumed.train()
    assert resumed.facts.resumed_iterations == where.done
    assert exactly(kept(tmp_path / "alone", planned), kept(tmp_path / "stopped", planned)) == []
    assert resumed.keeping.warnings == []


def test_a_run_that_is_stopped_after_each_update_ends_there_too(
    grounds: dict[int, Ground], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """Five starts, all in this process, for four iterations: no pause, point or number is left out or repeated.

    The fourth was stopped after its last iteration: the fifth has nothing left but its last look, which finds nothing.
    """
    planned = spec_of("baseline", grounds)
    run_of(planned, tmp_path / "alone").train()
    for done in range(1, ITERATIONS + 1):
        interrupt(monkeypatch, planned, tmp_path / "stopped", 1)
        assert kept(tmp_path / "stopped", planned).facts.reached.done == done
    before = kept(tmp_path / "stopped", planned).facts
    last = run_of(planned, tmp_path / "stopped")
    last.train()
    assert exactly(kept(tmp_path / "alone", planned), kept(tmp_path / "stopped", planned)) == []
    points = last.outcome("done", None).curve
    assert points == before.curve
    assert [point.spent_seconds for point in points] == sorted(point.spent_seconds for point in points)
    assert last.clock.spent == before.spent_seconds
