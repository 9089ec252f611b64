"""From records to numbers: the tidy frame, its statistics, the boards. Reads results, never writes into them."""

from harness.score.store import load

__all__ = ["load"]
