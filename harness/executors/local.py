"""This machine: one process a slot, a slot a device (or a core)."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass

from harness.executors.job import Finished, Job
from harness.ledger.status import PARENT

POLL_SECONDS = 0.1

KEEP_MEMORY = {"MALLOC_MMAP_THRESHOLD_": str(32 * 2**20), "MALLOC_TRIM_THRESHOLD_": str(2**30)}
"""glibc else gives the tensors of an iteration back to the system and asks for them anew in the next, unless a process
happened to free something large before: what an iteration costs would hang on how its data were read.
"""


@dataclass(frozen=True)
class _Process:
    job: Job
    popen: "subprocess.Popen[bytes]"
    began: float


class Local:
    """Runs jobs as child processes and sees their resource usage when they end."""

    def __init__(self, slots: Sequence[str]) -> None:
        self._slots = tuple(slots)
        self._processes: list[_Process] = []

    def free(self) -> Sequence[str]:
        """The devices of the slots that hold no process."""
        free = list(self._slots)
        for process in self._processes:
            free.remove(process.job.device)
        return free

    def submit(self, job: Job) -> None:
        """Starts the engine, its output in the job's log."""
        # NVML counts devices by bus; torch must count them alike. Kernels that torch would compile by itself, with
        # compilers as child processes, would make a run depend on what an earlier one left in a cache.
        constant = {"CUDA_DEVICE_ORDER": "PCI_BUS_ID", "TORCH_DISABLE_NATIVE_JIT": "1"}
        environment = {**os.environ, PARENT: str(os.getpid()), **constant}
        if job.device == "cpu":
            environment |= {**KEEP_MEMORY, "OMP_NUM_THREADS": str(job.threads)}
        command = [sys.executable, "-P", "-m", "harness.train", job.verb, str(job.spec), str(job.out)]
        with job.log.open("ab") as log:
            popen = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=environment,
                start_new_session=True,  # Ctrl-C reaches the sweep alone, which then ends its children in order
            )
        self._processes.append(_Process(job, popen, time.monotonic()))

    def running(self) -> Sequence[Job]:
        """The jobs whose processes are alive."""
        return [process.job for process in self._processes]

    def poll(self) -> Sequence[Finished]:
        """Collects the processes that ended."""
        time.sleep(POLL_SECONDS)
        return [finished for process in tuple(self._processes) if (finished := self._collect(process, os.WNOHANG))]

    def end(self, job: Job) -> None:
        """Kills the job's process, and what that started."""
        for process in self._processes:
            if process.job == job:
                _kill(process)

    def cancel(self) -> Sequence[Finished]:
        """Kills what runs: a run's state is in files, and its record says `interrupted`."""
        processes = tuple(self._processes)
        for process in processes:
            _kill(process)
        return [finished for process in processes if (finished := self._collect(process, 0))]

    def _collect(self, process: _Process, options: int) -> Finished | None:
        """The process's end, if it has come; wait4 alone tells its resource usage."""
        pid, status, usage = os.wait4(process.popen.pid, options)
        if pid == 0:
            return None
        process.popen.returncode = os.waitstatus_to_exitcode(status)  # Popen must not wait for it again
        self._processes.remove(process)
        return Finished(
            job=process.job,
            exit_code=process.popen.returncode,
            cpu_seconds=usage.ru_utime + usage.ru_stime,
            wall_seconds=time.monotonic() - process.began,
        )


def _kill(process: _Process) -> None:
    """Kills the process and what it started; macOS refuses where only its remains are left."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.popen.pid, signal.SIGKILL)
