"""A real Slurm for the tests that ask for it, and a queue that says what a test says for the others."""

from collections.abc import Mapping

import pytest

from harness.executors import squeue
from harness.executors.squeue import Entry
from tests.slurm.cluster import cluster

__all__ = ["cluster"]


@pytest.fixture
def queue(monkeypatch: pytest.MonkeyPatch):
    """Has the queue say something: a mapping, or None for no answer."""

    def says(entries: Mapping[str, Entry] | None, accounts: Mapping[str, Entry] | None = None) -> None:
        def look() -> Mapping[str, Entry]:
            if entries is None:
                raise squeue.NoAnswer("Unable to contact slurm controller")
            return entries

        monkeypatch.setattr(squeue, "look", look)
        monkeypatch.setattr(squeue, "look_back", lambda ids: accounts or {})

    says({})
    return says
