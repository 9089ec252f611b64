"""The engine as a child process: its door, its environment, its output in the job's log, its end."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass

from harness.executors.job import Job
from harness.ledger.status import PARENT

Door = Sequence[str]
"""The command that takes VERB SPEC OUT."""

DOOR: Door = (sys.executable, "-P", "-m", "harness.train")

KEEP_MEMORY = {"MALLOC_MMAP_THRESHOLD_": str(32 * 2**20), "MALLOC_TRIM_THRESHOLD_": str(2**30)}
"""glibc else gives the tensors of an iteration back to the system and asks for them anew in the next, unless a process
happened to free something large before: what an iteration costs would hang on how its data were read.
"""


@dataclass(frozen=True)
class Ended:
    """A process as its parent saw it end."""

    exit_code: int
    """Negative: the signal that ended it."""
    cpu_seconds: float
    wall_seconds: float


class Engine:
    """One engine at work."""

    def __init__(self, door: Door, job: Job) -> None:
        with job.log.open("ab") as log:
            self._popen = subprocess.Popen(
                [*door, job.verb, str(job.spec), str(job.out)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=environment(job),
                start_new_session=True,  # Ctrl-C reaches the parent alone, which then ends its children in order
            )
        self._began = time.monotonic()

    def wait(self, options: int = 0) -> Ended | None:
        """The process's end; None where `options` are WNOHANG and it has not come. wait4 alone tells the usage."""
        pid, status, usage = os.wait4(self._popen.pid, options)
        if pid == 0:
            return None
        self._popen.returncode = os.waitstatus_to_exitcode(status)  # Popen must not wait for it again
        return Ended(self._popen.returncode, usage.ru_utime + usage.ru_stime, time.monotonic() - self._began)

    def tell(self, number: int) -> None:
        """Sends the process a signal, unless it was seen to end."""
        if self._popen.returncode is None:
            with suppress(ProcessLookupError):
                os.kill(self._popen.pid, number)

    def kill(self) -> None:
        """Kills the process and what it started; macOS refuses where only its remains are left."""
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self._popen.pid, signal.SIGKILL)


def environment(job: Job) -> dict[str, str]:
    """What an engine finds around it: whose death it must not survive, and what would else differ between runs."""
    # NVML counts devices by bus; torch must count them alike. Kernels that torch would compile by itself, with
    # compilers as child processes, would make a run depend on what an earlier one left in a cache.
    constant = {"CUDA_DEVICE_ORDER": "PCI_BUS_ID", "TORCH_DISABLE_NATIVE_JIT": "1"}
    around = {**os.environ, PARENT: str(os.getpid()), **constant}
    if job.device == "cpu":
        around |= {**KEEP_MEMORY, "OMP_NUM_THREADS": str(job.threads)}
    return around
