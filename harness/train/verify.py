"""Golden vectors against the shipped implementations."""

from pathlib import Path

from harness.golden.verify import verify
from harness.ledger.files import read
from harness.ledger.spec import VerifySpec
from harness.train.heartbeat import Heartbeat


def main(spec_path: Path, out: Path, heartbeat: Heartbeat) -> int:
    """A VerifyReport stands in OUT afterwards."""
    heartbeat.enter("verifying")
    heartbeat.answer(verify(Path(read(spec_path, VerifySpec).folder)))
    return 0
