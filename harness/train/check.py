"""A method against its contract."""

import os
from pathlib import Path

import torch

from harness.contract.check import check
from harness.contract.scene import BATCH
from harness.ledger.descriptor import resolve_method
from harness.ledger.files import read
from harness.ledger.spec import CheckSpec
from harness.train.heartbeat import Heartbeat

MOST_THREADS = 4


def main(spec_path: Path, out: Path, heartbeat: Heartbeat) -> int:
    """A CheckReport stands in OUT afterwards."""
    spec = read(spec_path, CheckSpec)
    # A person waits: as many threads as there are cores, but no more than these small networks can use.
    torch.set_num_threads(min(MOST_THREADS, os.cpu_count() or 1))
    heartbeat.enter("checking")
    heartbeat.answer(check(resolve_method(Path(spec.descriptor), spec.dataset, BATCH)))
    return 0
