"""Two accounts of the same time, by hand."""

import pytest

from harness.ledger.audit import disagreements
from harness.ledger.record import Outcome, Times, Witness
from tests.factories import device_class, ground


def times(training: float = 50.0, process: float | None = 60.0) -> Times:
    return Times(start_up=3.0, loading=2.0, warm_up=1.0, training=training, evaluation=3.0, other=1.0, process=process)


def outcome(cpu_seconds: float = 58.0, spent: float = 50.0, resumed: float = 0.0, **changes) -> Outcome:
    return Outcome(
        ending="done", times=times(**changes), cpu_seconds=cpu_seconds, spent_seconds=spent, resumed_seconds=resumed
    )


WITNESS = Witness(cpu_seconds=58.2, wall_seconds=60.3, exit_code=0)
CUDA = ground(device=device_class(kind="cuda"))


def test_accounts_within_half_a_second_or_one_percent_agree():
    """60.0 s by the ledger, 60.0 by the process's age, 60.3 as the sweep saw it."""
    assert disagreements(outcome(), WITNESS, ground()) == ()


def test_a_ledger_that_does_not_add_up_says_so():
    """10 s are missing from the entries."""
    assert disagreements(outcome(training=40.0), WITNESS, ground()) == (
        "the ledger of time adds up to 50.00 s, the process lived 60.00 s",
        "the ledger of time adds up to 50.00 s, the sweep saw 60.30 s",
    )


def test_work_that_the_run_does_not_own_up_to_is_seen_from_outside():
    """The kernel counted 20 s more than the run did."""
    (line,) = disagreements(outcome(), WITNESS.model_copy(update={"cpu_seconds": 78.2}), ground())
    assert line == "the run used CPU time of 58.00 s, the sweep saw 78.20 s"


def test_a_cpu_clock_cannot_say_more_than_the_process_used():
    """70 s on the clock of a process that used 58.2."""
    (line,) = disagreements(outcome(spent=70.0), WITNESS, ground())
    assert line == "the clock says 70.00 s, the process used CPU time of 58.20 s"


@pytest.mark.parametrize(("spent", "lines"), [(50.2, 0), (45.0, 1)])
def test_on_an_accelerator_the_clock_and_the_ledger_hold_each_other(spent: float, lines: int):
    """Training took 50 s of wall time: so says the clock, or the record says that it does not."""
    assert len(disagreements(outcome(spent=spent), WITNESS, CUDA)) == lines


def test_what_an_earlier_attempt_spent_is_not_this_processs():
    """90 s in all, of which 40 before it was resumed."""
    assert disagreements(outcome(spent=90.0, resumed=40.0), WITNESS, CUDA) == ()


def test_a_run_that_left_no_account_disagrees_with_nobody():
    """It was killed."""
    assert disagreements(Outcome(ending="failed"), WITNESS, ground()) == ()


def test_the_ledger_of_an_older_record_is_read():
    """Its entry for reading the data was called `data`."""
    older = {"start_up": 3.0, "data": 2.0, "warm_up": 1.0, "training": 5.0, "evaluation": 3.0, "other": 1.0}
    found = Times.model_validate(older)
    assert (found.loading, found.total, found.process) == (2.0, 15.0, None)
