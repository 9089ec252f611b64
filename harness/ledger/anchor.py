"""What an anchored budget comes down to here: fixed once, so that sweeps weeks apart spend the same."""

from pathlib import Path
from typing import Literal

from harness.ledger.cost import CostKey
from harness.ledger.files import Value


class AnchorFile(Value):
    """RESULTS/costs/anchors/METHOD-DIGEST.json."""

    format: Literal[1] = 1
    method: str
    key: CostKey
    seconds: float
    """Of one iteration of the anchor, as it was priced when a budget first named it here."""


def anchor_path(results: Path, method: str, key: CostKey) -> Path:
    """Where an anchor is kept."""
    return results / "costs" / "anchors" / f"{method}-{key.digest}.json"
