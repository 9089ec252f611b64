"""What a data set holds, decoded into the cache, and what is wrong with it."""

from pathlib import Path

from harness.ledger.files import read
from harness.ledger.spec import DataSpec
from harness.segmentation.data import check
from harness.train.heartbeat import Heartbeat


def main(spec_path: Path, out: Path, heartbeat: Heartbeat) -> int:
    """A DataReport stands in OUT afterwards."""
    spec = read(spec_path, DataSpec)
    heartbeat.enter("reading")

    def tell(what: str, done: int, total: int) -> None:
        if heartbeat.phase != what:
            heartbeat.enter(what, total)
        heartbeat.tell(done)

    heartbeat.answer(check(spec.workload, Path(spec.data) if spec.data else None, tell, spec.is_thorough))
    return 0
