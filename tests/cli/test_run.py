"""How `bench run` says how it went."""

from pathlib import Path

import pytest
import typer

from harness.cli.run import tell
from harness.ledger.endings import Ending
from harness.ledger.record import Record
from tests import factories


def ended(ending: Ending, attempt: int, seed: int = 0) -> Record:
    """A record of the one method and budget."""
    return factories.record(ending=ending, attempt=attempt, seed=seed)


def test_an_attempt_that_failed_and_was_repeated_is_no_failure(capsys: pytest.CaptureFixture[str]):
    """An earlier sweep left it, and its run is done by now; both are counted."""
    tell([ended("failed", 1), ended("done", 2)], Path("results"))
    assert capsys.readouterr().out == "1 done, 1 failed; records in results/runs; see them with: bench report\n"


@pytest.mark.parametrize("ending", ["failed", "diverged", "hung", "out_of_memory"])
def test_a_run_whose_last_attempt_failed_is_exit_3(ending: Ending):
    """Whatever became of another."""
    with pytest.raises(typer.Exit) as exited:
        tell([ended(ending, 1), ended("done", 1, seed=1)], Path("results"))
    assert exited.value.exit_code == 3
