"""While a method's code runs: no file written, no other process, no network. The clock sees neither."""

import os
import re
import resource
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn
from unittest import mock

import psutil
import safetensors.torch
import torch

from harness.ledger.descriptor import SHARED_LOSSES, SHIPPED
from harness.ledger.endings import Ending
from harness.ledger.errors import BadInput
from harness.ledger.method import ResolvedMethod

PRINTED = 64 * 1024
"""Bytes that may be written between two looks all the same: a few lines for the log."""

WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
DEVICES = re.compile(r"/dev/(null|tty|nvidia[\w-]*)")
BYTECODE = re.compile(r".*/__pycache__(/[^/]+\.pyc(\.\d+)?)?/?")
CODE = re.compile(r".*(\.pyc?|\.pyc\.\d+|\.so(\.\d+)*|\.dylib)")
IMPORTING = "<frozen importlib"
LIBRARIES = tuple(f"{folder}/" for folder in {sys.prefix, sys.base_prefix, "/usr", "/etc", "/proc", "/sys", "/dev"})

NO_FILE = "expected state in buffers: nothing is kept from one run for the next"
NO_PROCESS = "expected all work in this process, where the clock sees it"
NO_DATA = "expected a constructor to see widths and settings alone: what is learned is learned in prepare, on the clock"


class Cheating(BadInput):
    """What a method does out of the clock's sight: one line."""

    ending: Ending = "failed"


DISK = {f"os.{change}" for change in ("mkdir", "rename", "remove", "rmdir", "link", "symlink", "truncate")}
PROCESSES = {f"os.{start}" for start in ("fork", "forkpty", "posix_spawn", "spawn", "exec", "system")}
PROCESSES |= {"subprocess.Popen"}
OTHERS = {f"socket.{call}" for call in ("bind", "connect", "sendto", "sendmsg")}
JUDGED = {"open", "sqlite3.connect"} | DISK | PROCESSES | OTHERS
"""What Python tells an audit hook, as far as it is any guard's business."""


def objection(event: str, arguments: tuple[Any, ...], reads: bool) -> str | None:
    """What is wrong about it, and what was expected; None where nothing is."""
    if event in PROCESSES:
        return f"starts another process ({event}): {NO_PROCESS}"
    if event in OTHERS:
        return f"talks to others ({event}): {NO_PROCESS}"
    if not isinstance(arguments[0], str | bytes | os.PathLike):  # the number of a file that is open already
        return None
    name = os.fsdecode(arguments[0])
    if event == "sqlite3.connect":
        return None if name == ":memory:" else f"opens '{name}' for writing: {NO_FILE}"
    if event in DISK:
        return None if BYTECODE.fullmatch(name) else f"changes '{name}' on the disk: {NO_FILE}"
    if _is_written(*arguments[1:]):
        return None if DEVICES.fullmatch(name) or BYTECODE.fullmatch(name) else f"opens '{name}' for writing: {NO_FILE}"
    if reads or CODE.fullmatch(name) or os.path.abspath(name).startswith(LIBRARIES):
        return None
    return f"reads '{name}': {NO_DATA}"


def _is_written(mode: str | None, flags: int) -> bool:
    return bool(flags & WRITING or {*"wax+"} & {*(mode or "")})


_ON_DUTY: list["Guard"] = []
# Python never removes an audit hook, so that the process has one, and guards take turns at it.


def _hook(event: str, arguments: tuple[Any, ...]) -> None:
    if event in JUDGED and _ON_DUTY:
        _ON_DUTY[-1].judge(event, arguments)


@cache
def _install() -> None:
    sys.addaudithook(_hook)


class Guard:
    """Refuses what Python itself announces, at once and with its line; a look at the process tells the rest later.

    It keeps honest people honest: whoever is bent on it can get past any check inside of one's own process.

    Args:
        method: whose code is to blame.
        reads: whether it may read files.
        counts: whether bytes written are counted; an accelerator's driver keeps what it compiles in files.

    """

    def __init__(self, method: ResolvedMethod, *, reads: bool = True, counts: bool = True) -> None:
        self.name = method.name
        self.files = {term.file for term in method.terms if term.file != str(SHARED_LOSSES)}
        self.reads = reads
        self.counts = counts
        self.complaint: str | None = None

    @contextmanager
    def armed(self) -> Iterator[None]:
        """Inside, a method's code runs; afterwards Cheating is raised also where the method swallowed it."""
        _install()
        self._begin()
        _ON_DUTY.append(self)
        try:
            with _announced(torch._C, "PyTorchFileWriter"), _announced(safetensors.torch, "serialize_file"):
                yield
        finally:
            _ON_DUTY.remove(self)
        self.look()

    @contextmanager
    def resting(self) -> Iterator[None]:
        """Inside, the harness does its own work, files and all; what the method did until now is judged first."""
        self.look()
        _ON_DUTY.remove(self)
        try:
            yield
        finally:
            _ON_DUTY.append(self)
        self._begin()

    def _begin(self) -> None:
        self._children, self._reaped, self._written = _children(), _reaped(), _written_by_this_thread()

    def look(self) -> None:
        """Cheating where a process was started, or much was written, whatever Python announced of it. Off the clock."""
        if self.complaint is not None:
            raise Cheating(self.complaint)
        if _children() - self._children or _reaped() != self._reaped:
            self.refuse(f"has started another process: {NO_PROCESS}")
        # Compiled code opens files of its own, and no hook hears of it.
        if self.counts and _written_by_this_thread() - self._written > PRINTED:
            count = _written_by_this_thread() - self._written
            self.refuse(f"has written {count} bytes to files: {NO_FILE}")

    def judge(self, event: str, arguments: tuple[Any, ...]) -> None:
        """Cheating where the method's own code asks for what is no method's business."""
        found = objection(event, arguments, self.reads)
        # The harness, a heartbeat's thread and a library that is only now imported do as they please.
        if found is not None and self._line() is not None:
            self.refuse(found)

    def refuse(self, found: str) -> NoReturn:
        """Raises Cheating with the innermost line of the method's own, now and at the end."""
        place = self._line() or (next(iter(self.files)) if len(self.files) == 1 else self.name)
        self.complaint = self.complaint or f"{place}: {found}"
        raise Cheating(f"{place}: {found}")

    def _line(self) -> str | None:
        """`file:line` of the method's code that is running in this thread, or of a shipped method's that it uses."""
        frame: FrameType | None = sys._getframe(1)
        while frame is not None:
            file = frame.f_code.co_filename
            if file in self.files or os.path.dirname(file) == str(SHIPPED):
                return f"{file}:{frame.f_lineno}"
            if file.startswith(IMPORTING):
                return None
            frame = frame.f_back
        return None


@contextmanager
def _announced(owner: object, writer: str) -> Iterator[None]:
    """Inside, a writer of compiled code, as torch.save has one, tells the hook as Python's `open` does."""
    original = getattr(owner, writer)

    def announcing(*arguments: object, **others: object) -> object:
        for path in arguments:
            if isinstance(path, str | os.PathLike):
                sys.audit("open", path, "wb", WRITING)
        return original(*arguments, **others)

    with mock.patch.object(owner, writer, announcing):
        yield


def _children() -> set[int]:
    """The processes that this one has started, and theirs."""
    return {child.pid for child in psutil.Process().children(recursive=True)}


def _reaped() -> tuple[float, int]:
    """What children cost that are gone: CPU seconds, and pages, of which every child touches some."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime, usage.ru_minflt


def _written_by_this_thread() -> int:
    """Bytes handed to the system by this thread so far; 0 where the system does not tell."""
    try:
        lines = Path("/proc/thread-self/io").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) for line in lines if line.startswith("wchar:")), 0)
