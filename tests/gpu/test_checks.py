"""The checks that need a GPU, and, wherever there is none, how they are told."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch

from harness.ledger.device import conditions
from harness.ledger.files import read, write
from harness.ledger.readings import Readings
from tests import factories
from tests.gpu import checks
from tests.gpu.checks import Divided, GpuFindings, Spent, Window

HAS_GPU = torch.cuda.is_available()
on_a_gpu = pytest.mark.skipif(not HAS_GPU, reason="no CUDA device")
elsewhere = pytest.mark.skipif(HAS_GPU, reason="there is a CUDA device")

BEGUN = ("began", "device_class", "conditions")
READ = Readings(energy_joules=15_000.0, seconds=31.0, peak_memory_bytes=7, sm_clock_mhz=1980.0, samples=31)


def spent(seconds: float) -> Spent:
    return Spent(
        method="kd", pace="clock", ending="done", reason=None, budget_seconds=20.0, spent_seconds=seconds,
        iterations=1000, replanned_iterations=None, marks=(), disagreements=(), readings=READ,
    )  # fmt: skip


def halves(seconds: float) -> Divided:
    return Divided(method="kd", seconds=seconds, phases={"student": 0.5, "backward": 0.5})


def seen(event_seconds: float = 31.0, watts: int | None = 700, joules: float | None = 15_000.0) -> Window:
    return Window(
        method="kd", iterations=1000, event_seconds=event_seconds, synchronized_seconds=31.0, power_limit_watts=watts,
        readings=READ.model_copy(update={"energy_joules": joules}),
    )  # fmt: skip


def findings(**changes: object) -> GpuFindings:
    """As they should be."""
    whole = GpuFindings(
        began="2026-01-01T00:00:00+00:00", device_class=factories.device_class(kind="cuda", model="Card 9000"),
        conditions=conditions("cpu").model_copy(update={"uuid": "GPU-aaa"}), torch_uuid="GPU-aaa",
        budgets=(spent(20.1),), phases=(halves(1.01),), window=seen(), overhead=1.005, took_seconds={"window": 33.1},
    )  # fmt: skip
    return whole.model_copy(update=changes)


@elsewhere
def test_without_a_gpu_one_line_says_so():
    """And the code is 2: nothing was tried."""
    command = [sys.executable, "-m", "tests.gpu.checks"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=checks.ROOT, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (2, "", "no CUDA device\n")


def test_findings_are_read_back_as_they_were_written(tmp_path: Path):
    """Whole, and as after the first of the checks."""
    for found in (findings(), GpuFindings(**{name: getattr(findings(), name) for name in BEGUN})):
        write(tmp_path / "gpu.json", found)
        assert read(tmp_path / "gpu.json", GpuFindings) == found


def test_findings_as_the_issue_asks_for_them_leave_nothing_to_say():
    """Half a percent off everywhere."""
    assert findings().complaints == ()


@pytest.mark.parametrize(
    "change",
    [
        {"failures": {"overhead": "ModuleNotFoundError: x"}},
        {"torch_uuid": "GPU-bbb"},
        {"budgets": (spent(20.3),)},
        {"budgets": (spent(19.7),)},
        {"budgets": (spent(20.0).model_copy(update={"ending": "failed"}),)},
        {"phases": (halves(1.05),)},
        {"phases": (halves(1.0).model_copy(update={"seconds": None}),)},
        {"window": seen(event_seconds=30.0)},
        {"window": seen(joules=None)},
        {"window": seen(watts=300)},
        {"overhead": 1.02},
        {"different_batches": 1},
        {"waits": {"kd": "called a synchronizing CUDA operation"}},
    ],
)
def test_whatever_is_not_is_a_line(change: dict[str, object]):
    """One thing wrong, one line."""
    assert len(findings(**change).complaints) == 1


def test_a_check_that_fails_stops_no_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Its error stands in the findings, and OUT is written after each check."""
    written: list[tuple[str, ...]] = []
    monkeypatch.setattr(checks, "device_class", lambda *_: findings().device_class)
    monkeypatch.setattr(checks, "conditions", lambda _: findings().conditions)
    monkeypatch.setattr(checks, "write", lambda _, found: written.append(tuple(found.took_seconds)))

    def breaks(_: Path) -> dict[str, object]:
        raise RuntimeError("out of luck")

    monkeypatch.setattr(checks, "CHECKS", {"first": breaks, "second": lambda _: {"overhead": 1.0}})
    found = checks.examine(tmp_path / "gpu.json")
    assert (found.failures, found.overhead) == ({"first": "RuntimeError: out of luck"}, 1.0)
    assert written == [("first",), ("first", "second")]


@on_a_gpu
def test_all_is_as_it_should_be_on_this_gpu(tmp_path: Path):
    """One card, budgets, phases, energy, clocks and the loop's price: one test, so that no two share the card."""
    found = checks.examine(tmp_path / "gpu.json")
    assert found.complaints == ()
    assert (len(found.budgets), len(found.phases)) == (2 * len(checks.METHODS), len(checks.METHODS))
