"""What device a job finds where it runs: a login node's own is another."""

from pathlib import Path

from harness.ledger.device import conditions, device_class
from harness.ledger.files import read
from harness.ledger.findings import DeviceReport
from harness.ledger.spec import DeviceSpec
from harness.train.heartbeat import Heartbeat


def main(spec_path: Path, out: Path, heartbeat: Heartbeat) -> int:
    """A DeviceReport stands in OUT afterwards."""
    spec = read(spec_path, DeviceSpec)
    heartbeat.enter("reading")
    found = device_class(spec.device, spec.threads, spec.precision)
    heartbeat.answer(DeviceReport(device_class=found, conditions=conditions(spec.device)))
    return 0
