"""What an anchored budget comes down to here: fixed once, so that sweeps weeks apart spend the same."""

from pathlib import Path
from typing import Literal

from harness.ledger.device import DeviceClass
from harness.ledger.files import Value, sha256
from harness.ledger.rules import RULES_VERSION
from harness.ledger.spec import Ground


class AnchorFile(Value):
    """RESULTS/costs/anchors/METHOD-DIGEST.json: one for all that shares a board, whatever costs are filed under."""

    format: Literal[1] = 1
    method: str
    method_digest: str
    """Of the version that was priced."""
    workload_digest: str
    device_class: DeviceClass
    rules: int = RULES_VERSION
    seconds: float
    """Of one iteration of the anchor, as it was priced when a budget first named it here."""


def anchor_path(results: Path, method: str, ground: Ground) -> Path:
    """Where an anchor is kept."""
    digest = sha256(ground.workload_digest, ground.device_class.digest, str(RULES_VERSION))[:16]
    return results / "costs" / "anchors" / f"{method}-{digest}.json"
