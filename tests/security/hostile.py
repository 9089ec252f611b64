"""Where a hostile file leads: to a line, and in a process of its own to no more memory than it should need."""

import subprocess
import sys
from collections.abc import Callable

from harness.ledger.errors import BadInput


def bounded(code: str, mebibytes: int, *arguments: str) -> str:
    """What the code prints where it may take so much more memory than it has after its imports; else its error."""
    before, _, after = code.partition("# bounded\n")
    limit = f"""
import re, resource
from pathlib import Path
held = int(re.search(r"VmSize:\\s+(\\d+)", Path("/proc/self/status").read_text())[1]) * 1024
resource.setrlimit(resource.RLIMIT_AS, (held + {mebibytes << 20},) * 2)
"""
    ran = subprocess.run(
        [sys.executable, "-c", before + limit + after, *arguments], capture_output=True, text=True, check=False
    )
    return ran.stdout if ran.returncode == 0 else ran.stderr


def line_or_nothing(work: Callable[[], object]) -> str:
    """What a person is told, or nothing when all is well; any other exception is the test's failure."""
    try:
        work()
    except BadInput as error:
        return str(error)
    return ""
