"""Where an exception becomes an ending."""

from harness.ledger.endings import Ending


class Diverged(Exception):
    """A loss is no number any more."""


class OutOfMemory(Exception):
    """An attempt needed more memory than there is; the text says what would fit."""


CPU_MEMORY = "can't allocate memory"
"""torch's own words for it on a CPU, in a plain RuntimeError."""


def ending_of(error: Exception) -> Ending:
    """The ending that an exception stands for."""
    if isinstance(error, Diverged):
        return "diverged"
    if isinstance(error, OutOfMemory):
        return "out_of_memory"
    # By name: this module is read before torch is imported.
    if type(error).__name__ == "OutOfMemoryError" or isinstance(error, MemoryError) or CPU_MEMORY in str(error):
        return "out_of_memory"
    return "failed"


def reason_of(error: Exception) -> str:
    """One line that says what went wrong."""
    text = str(error).strip() or type(error).__name__
    first = text.splitlines()[0]
    return first if isinstance(error, Diverged | OutOfMemory) else f"{type(error).__name__}: {first}"
