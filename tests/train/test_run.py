"""A start of a run that is over."""

from pathlib import Path

import pytest

from harness.ledger.files import write
from harness.ledger.record import Outcome
from harness.ledger.results import record_path, work_folder
from harness.train.heartbeat import Heartbeat
from harness.train.run import main
from tests import factories


@pytest.mark.parametrize("told_by", ["record", "outcome"])
def test_a_run_that_is_over_is_not_done_again(tmp_path: Path, capsys: pytest.CaptureFixture[str], told_by: str):
    """A queue may start a job twice, or one whose end was recorded without it."""
    spec = factories.spec()
    out = work_folder(tmp_path, spec.name) / "out.json"
    write(out.with_name("spec.json"), spec)
    if told_by == "outcome":
        write(out, Outcome(ending="done"))
    else:
        record_path(tmp_path, spec.name).parent.mkdir()
        record_path(tmp_path, spec.name).touch()
    assert main(out.with_name("spec.json"), out, Heartbeat(out)) == 0
    assert capsys.readouterr().out == f"bench: {spec.name} has ended already\n"
    assert out.exists() == (told_by == "outcome")
