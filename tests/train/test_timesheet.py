"""The ledger of time, with time that the test moves."""

import subprocess
import sys
import time

import pytest

from harness.train.run import times
from harness.train.timesheet import Timesheet


class Time:
    def __init__(self) -> None:
        self.seconds = 1000.0

    def now(self) -> float:
        return self.seconds


def test_every_second_is_in_exactly_one_entry():
    """3 s of starting after the 2 that had gone before, 5 of training with 1 of logging inside."""
    time = Time()
    sheet = Timesheet("starting", before=2.0, now=time.now)
    time.seconds += 3
    sheet.turn_to("training")
    time.seconds += 4
    with sheet.on("logging"):
        time.seconds += 1
    time.seconds += 1
    sheet.turn_to("end")
    assert sheet.seconds == {"starting": 5.0, "training": 5.0, "logging": 1.0}


def test_an_entry_is_closed_by_an_exception_too():
    """What diverges inside a look was still logging."""
    time = Time()
    sheet = Timesheet("training", now=time.now)

    def diverge() -> None:
        with sheet.on("logging"):
            time.seconds += 1
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        diverge()
    time.seconds += 2
    sheet.turn_to("end")
    assert sheet.seconds == {"training": 2.0, "logging": 1.0}


def test_the_ledger_of_time_names_every_entry_and_adds_up():
    """What has no place of its own is other; the wait for data is a part of the training phase, told apart from it."""
    seconds = {"starting": 1.0, "data": 2.0, "building": 3.0, "training": 10.0, "evaluation": 4.0, "end": 0.5}
    found = times(seconds, data_wait=2.5)
    assert (found.start_up, found.loading, found.training, found.data_wait, found.other) == (1.0, 5.0, 7.5, 2.5, 0.5)
    assert found.total == sum(seconds.values())


def test_a_processs_age_is_known_from_elsewhere():
    """A child that lives half a second knows so, by the operating system's word and not the timesheet's."""
    child = (
        "import time; time.sleep(0.5); from harness.train.timesheet import process_seconds; print(process_seconds())"
    )
    began = time.monotonic()
    told = subprocess.run([sys.executable, "-c", child], capture_output=True, text=True, check=True).stdout
    assert 0.5 <= float(told) <= time.monotonic() - began + 0.02
