"""The weights that the student starts from, found or downloaded."""

from pathlib import Path

from harness.ledger.errors import BadInput
from harness.ledger.files import read
from harness.ledger.findings import BackboneReport
from harness.ledger.spec import BackboneSpec
from harness.segmentation.backbones import weights_sha256
from harness.train.heartbeat import Heartbeat


def main(spec_path: Path, out: Path, heartbeat: Heartbeat) -> int:
    """A BackboneReport stands in OUT afterwards."""
    spec = read(spec_path, BackboneSpec)
    heartbeat.enter("backbone")
    sha256 = weights_sha256(spec.workload.student)
    if sha256 is None:
        raise BadInput("student: it starts from random weights")
    heartbeat.answer(BackboneReport(sha256=sha256))
    return 0
