"""Who is at an attempt: of many sweeps, on many hosts, one carries it out and writes its record."""

import errno
import glob
import os
import shutil
import socket
import tempfile
import threading
import time
from functools import cache
from pathlib import Path
from types import TracebackType
from typing import Self
from uuid import uuid4

import psutil
from filelock import FileLock, Timeout
from pydantic import PositiveInt

from harness.ledger.errors import BadInput
from harness.ledger.files import FileName, Value, read, sha256, write
from harness.ledger.results import (
    GONE,
    latest_attempts,
    lock_path,
    record_path,
    remove_work_folder,
    split_name,
    work_folder,
)

OWNER = "owner.json"
UNSIGNED = ".claim-"
"""Begins the name of a folder that will be an attempt's when it is signed."""

START_SLACK_SECONDS = 2.0
"""The system's own start is told in whole seconds."""

TORN_SECONDS = 5.0
"""A folder in which nothing has changed for so long, and whose owner cannot be read, is nobody's."""

BEAT_SECONDS = 5.0
SILENT_SECONDS = 60.0
"""A sweep of another system that has not been heard of for so long is dead."""


class Owner(Value):
    """The sweep that claimed an attempt."""

    system: FileName
    """Where the pid means this process and no other."""
    pid: PositiveInt
    started: float
    """Seconds after the system's start: a clock's step does not move them."""


def this_process() -> Owner:
    """What this process signs with."""
    return Owner(system=this_system(), pid=os.getpid(), started=started_after_boot(psutil.Process()))


@cache
def this_system() -> str:
    """The host, this start of it, and the container: hosts may share a name, and a container's pids are its own."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        pids = os.stat("/proc/self/ns/pid").st_ino
    except OSError:  # not Linux
        return socket.gethostname()
    return f"{socket.gethostname()}.{sha256(f'{boot} {pids}')[:8]}"


def started_after_boot(process: psutil.Process) -> float:
    """When a process began, by the system's own time."""
    return process.create_time() - psutil.boot_time()


def claim(results: Path, key: str) -> int:
    """A new attempt at a run, by a folder that is signed before it has its name: of two sweeps only one can."""
    signed = results / "work" / f"{UNSIGNED}{uuid4().hex}-{this_system()}-{os.getpid()}"
    signed.mkdir(parents=True)
    try:
        write(signed / OWNER, this_process())
        attempt = latest_attempts(results).get(key, 0) + 1
        while not _is_named(signed, work_folder(results, f"{key}.{attempt}")):
            attempt += 1
    except BaseException:
        shutil.rmtree(signed, ignore_errors=True)
        raise
    if not record_path(results, f"{key}.{attempt}").exists():
        return attempt
    remove_work_folder(results, f"{key}.{attempt}")  # another sweep has come to its end with it meanwhile
    return claim(results, key)


def _is_named(signed: Path, folder: Path) -> bool:
    """Whether the folder has its name now; not, where there is one of that name already."""
    try:
        signed.rename(folder)
    except OSError as error:
        if error.errno in {errno.ENOTEMPTY, errno.EEXIST}:
            return False
        raise
    return True


def take_over(results: Path, name: str) -> bool:
    """Whether this process owns the attempt KEY.ATTEMPT from now on, because nobody else alive does."""
    folder = work_folder(results, name)
    with FileLock(results / "work" / "owners.lock"):
        if not folder.is_dir() or record_path(results, name).exists() or not owner_is_gone(folder):
            return False
        write(folder / OWNER, this_process())
        return True


def is_claimed_elsewhere(results: Path, key: str, before: int | None = None) -> bool:
    """Whether an attempt at the run, before one where it is given, is another living sweep's.

    That one may have it wait in a queue for days.
    """
    for folder in (results / "work").glob(f"{glob.escape(key)}.*"):
        name = split_name(folder.name)
        if name is None or not folder.is_dir() or (before is not None and name[1] >= before):
            continue
        if record_path(results, folder.name).exists():
            continue  # over: what failed keeps its folder
        if not owner_is_gone(folder):
            return True
    return False


def is_mine(folder: Path) -> bool:
    """Whether this process still owns an attempt: one that was not heard of for a minute may have lost it."""
    try:
        owner = read(folder / OWNER, Owner)
    except BadInput:
        return folder.is_dir()  # torn: whoever takes over signs anew
    return (owner.system, owner.pid) == (this_system(), os.getpid())


def owner_is_gone(folder: Path) -> bool:
    """Whether the sweep that claimed the folder is dead, or is this process itself."""
    try:
        owner = read(folder / OWNER, Owner)
    except BadInput:
        try:
            return time.time() - folder.stat().st_mtime > TORN_SECONDS
        except FileNotFoundError:
            return True
    if owner.system != this_system():
        return _is_silent(_beat_path(folder.parent, owner))
    if owner.pid == os.getpid():
        return True
    try:
        process = psutil.Process(owner.pid)
        # Whose parent does not ask after it, as in a container without an init, stays for ever as a zombie.
        is_over = process.status() == psutil.STATUS_ZOMBIE
        return is_over or abs(started_after_boot(process) - owner.started) > START_SLACK_SECONDS
    except psutil.NoSuchProcess:
        return True


def tidy(results: Path) -> None:
    """What sweeps that were killed have left of themselves is gone: their beats, and folders that are no attempt's."""
    work = results / "work"
    for folder in work.glob(f"{GONE}*"):
        shutil.rmtree(folder, ignore_errors=True)
    for folder in work.glob(f"{UNSIGNED}*"):
        if _has_died(folder.name.removeprefix(UNSIGNED).partition("-")[2]) or owner_is_gone(folder):
            shutil.rmtree(folder, ignore_errors=True)
    for beat in work.glob("*.sweep"):
        if _has_died(beat.stem) or _is_silent(beat):  # one that goes on all the same writes it again
            beat.unlink(missing_ok=True)


def _has_died(named: str) -> bool:
    """Whether SYSTEM-PID was a process of this system."""
    system, _, pid = named.rpartition("-")
    return system == this_system() and pid.isdigit() and not psutil.pid_exists(int(pid))


class Beating:
    """Inside, sweeps on other systems see that this one lives: a file's date, which the file server sets."""

    def __init__(self, results: Path) -> None:
        self._path = _beat_path(results / "work", this_process())
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._beat, name="beating", daemon=True)

    def __enter__(self) -> Self:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._touch()
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        self._thread.join()
        self._path.unlink(missing_ok=True)

    def _beat(self) -> None:
        while not self._over.wait(BEAT_SECONDS):
            self._touch()

    def _touch(self) -> None:
        try:
            self._path.write_text(f"{time.time():.0f}\n")
        except OSError:
            return  # a full disk: the date grows old, and the runs go on


def _beat_path(work: Path, owner: Owner) -> Path:
    return work / f"{owner.system}-{owner.pid}.sweep"


def _is_silent(beat: Path) -> bool:
    """Whether the file is missing or old by the clock of whoever dates files there."""
    try:
        heard = beat.stat().st_mtime
    except FileNotFoundError:
        return True
    try:
        with tempfile.TemporaryFile(dir=beat.parent) as probe:  # without a name, which whoever is killed would leave
            now = os.fstat(probe.fileno()).st_mtime
    except OSError:  # read-only
        now = time.time()
    return now - heard > SILENT_SECONDS


def is_locked(results: Path, key: str, wait_seconds: float = 0.0) -> bool:
    """Whether a living process holds the run. Where nothing can be written nobody runs anything."""
    lock = lock_path(results, key)
    try:
        lock.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(lock, timeout=wait_seconds):
            return False
    except Timeout:
        return True
    except OSError:
        return False
