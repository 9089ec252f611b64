"""Memory that is free: the machine's, or what a job's bounds leave of it."""

from collections.abc import Iterator
from pathlib import Path
from threading import Lock

import psutil

CGROUPS = Path("/sys/fs/cgroup")
OWN_CGROUP = Path("/proc/self/cgroup")
REFILLED = ("inactive_file", "active_file")
"""What a cgroup counts as in use and gives back when asked for memory: bytes of files."""


def free_memory() -> int:
    """Bytes that may be taken: psutil knows the machine, but not the bounds of a container or a Slurm job."""
    return max(0, min((psutil.virtual_memory().available, *_left_in_cgroups())))


def _left_in_cgroups() -> Iterator[int]:
    """What each of this process's cgroups leaves; nothing of those without a bound, or of an older kind than v2."""
    try:
        lines = OWN_CGROUP.read_text().splitlines()
    except (OSError, UnicodeDecodeError):
        return
    own = next((line.removeprefix("0::/") for line in lines if line.startswith("0::/")), None)
    if own is None or ".." in Path(own).parts:
        return
    for folder in (CGROUPS / own, *(CGROUPS / parent for parent in Path(own).parents)):
        try:
            most, held = (int((folder / name).read_text()) for name in ("memory.max", "memory.current"))
            counts = dict(line.split() for line in (folder / "memory.stat").read_text().splitlines())
            yield most - held + sum(int(counts[name]) for name in REFILLED)
        except (OSError, ValueError, KeyError):  # "max", or no such file
            continue


class Room:
    """So many bytes, of which threads take and give back."""

    def __init__(self, size: int) -> None:
        self.left = size
        self.lock = Lock()

    def take(self, size: int) -> bool:
        """Whether there was room for so many bytes, which are taken then."""
        with self.lock:
            if size > self.left:
                return False
            self.left -= size
            return True

    def give(self, size: int) -> None:
        """So many bytes are free again."""
        with self.lock:
            self.left += size
