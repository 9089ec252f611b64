"""Engines that go wrong in the middle of a run, as processes: what is recorded, and that the others are done."""

from pathlib import Path

import pytest

from harness.executors.local import Local
from harness.ledger.record import Record
from harness.sweep.spending import spend
from harness.sweep.watchdog import Watchdog
from tests.faults.driver import DOOR
from tests.faults.place import ITERATIONS, Place, engines_of
from tests.sweep.fake import Listening

ANSWERS = {
    "garbage": "not JSON",
    "empty": "not JSON",
    "torn": "not JSON",
    "number": "spent_seconds: found NaN: expected a finite number",
    "foreign": "ending: missing",
    "folder": "cannot be read",
}


def kd_goes_wrong(place: Place, fault: str, monkeypatch: pytest.MonkeyPatch) -> Record:
    """The record of kd's run; the baseline's, beside it, is done, and no process is left."""
    with monkeypatch.context() as patch:
        patch.setenv("FAKE_FAULT", f"kd={fault}")
        carry_out(place)
    by_method = {record.spec.method.name: record for record in place.records()}
    assert by_method["baseline"].outcome.ending == "done"
    assert engines_of(place.results) == []
    return by_method["kd"]


def carry_out(place: Place) -> None:
    local = Local(("cpu", "cpu"), DOOR)
    spend(place.read_plan(), place.results, False, local, Listening(), place.folder / "students")


def goes_on(place: Place) -> None:
    """The same command does the run again, from its checkpoint."""
    carry_out(place)
    place.must_be_whole()


@pytest.mark.parametrize("fault", ANSWERS)
def test_an_answer_that_is_none_is_told(tmp_path: Path, fault: str, monkeypatch: pytest.MonkeyPatch):
    """It ended with 0, and what it left in OUT says nothing: failed, with what is wrong, and tried again."""
    place = Place(tmp_path, 1)
    outcome = kd_goes_wrong(place, fault, monkeypatch).outcome
    assert outcome.ending == "failed"
    assert outcome.reason.startswith("the process ended with code 0 and an answer that is none (")
    assert ANSWERS[fault] in outcome.reason
    if fault == "folder":  # of all of them the one that cannot be written over
        goes_on(place)


def test_no_answer_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """It ended with 0, and left no OUT."""
    place = Place(tmp_path, 1)
    outcome = kd_goes_wrong(place, "nothing", monkeypatch).outcome
    told = "the process ended with code 0 and no answer; the log ends with: training from iteration 0"
    assert (outcome.ending, outcome.reason) == ("failed", told)
    goes_on(place)


def test_what_the_system_killed_is_done_again_from_its_checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """As it kills the largest process when memory runs out; what was reached is in the record."""
    place = Place(tmp_path, 1)
    outcome = kd_goes_wrong(place, "killed", monkeypatch).outcome
    assert outcome.ending == "failed"
    assert outcome.reason.startswith("killed by signal 9 (SIGKILL")
    assert outcome.iterations == ITERATIONS // 2
    goes_on(place)


def test_a_run_that_ran_out_of_memory_says_so_and_is_not_repeated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """It would again; --retry asks for that. Its checkpoint is gone: it is over."""
    place = Place(tmp_path, 1)
    outcome = kd_goes_wrong(place, "memory", monkeypatch).outcome
    assert (outcome.ending, outcome.reason) == ("out_of_memory", "a batch of 8 does not fit into 1 GiB")
    carry_out(place)
    assert len(place.records()) == 2
    assert list((place.results / "work").glob("*.checkpoint*")) == []


def test_a_hang_is_ended_and_done_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """It sleeps in the middle of its iterations: killed by the watchdog, and the same command goes on."""
    place = Place(tmp_path, 1)
    monkeypatch.setattr("harness.sweep.working.Watchdog", lambda: Watchdog(1.5))
    monkeypatch.setattr("harness.sweep.working.SHOW_SECONDS", 0.1)
    outcome = kd_goes_wrong(place, "hang", monkeypatch).outcome
    assert outcome.ending == "hung"
    assert f"in phase 'training' at {ITERATIONS // 2}, and was killed" in outcome.reason
    goes_on(place)
