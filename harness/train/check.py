"""A method against its contract."""

from pathlib import Path

import torch

from harness.distill.contract import check
from harness.distill.scene import BATCH
from harness.ledger.descriptor import resolve_method
from harness.ledger.files import read, write
from harness.ledger.spec import CheckSpec
from harness.train.heartbeat import Heartbeat


def main(spec_path: Path, out: Path, heartbeat: Heartbeat) -> int:
    """A CheckReport stands in OUT afterwards."""
    spec = read(spec_path, CheckSpec)
    torch.set_num_threads(1)
    heartbeat.enter("checking")
    write(out, check(resolve_method(Path(spec.descriptor), spec.dataset, BATCH)))
    return 0
