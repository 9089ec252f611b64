"""The door to NVML: the card that torch calls `cuda:N`, and questions that a card may leave unanswered."""

import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pynvml

from harness.ledger.errors import BadInput

SLOWED = (
    pynvml.nvmlClocksEventReasonHwSlowdown
    | pynvml.nvmlClocksEventReasonSwThermalSlowdown
    | pynvml.nvmlClocksEventReasonHwThermalSlowdown
    | pynvml.nvmlClocksEventReasonHwPowerBrakeSlowdown
)
"""Why a clock may be lower than it should be: heat, or a brake on the power from outside.

The software's power cap is not among them: it holds the card at the power limit, which is part of the device class, so
that every card of the class under full load meets it. An idle card's low clock is no fault either.
"""


class NotTold(Exception):
    """A device leaves a question unanswered; the text says why."""


class Card:
    """A card, or a partition of one, with NVML open. Each question is answered or raises NotTold."""

    def __init__(self, handle: object) -> None:
        self._handle = handle

    @property
    def model(self) -> str:
        """As the driver calls the card, without the partition."""
        return self._name.split(" MIG ")[0]

    @property
    def mig(self) -> str | None:
        """The partition's profile, as 1g.10gb; None for a whole card."""
        _, _, profile = self._name.partition(" MIG ")
        return profile or None

    @property
    def memory_gib(self) -> int:
        """In whole GiB, of the partition if it is one."""
        return round(int(_answer(lambda: pynvml.nvmlDeviceGetMemoryInfo(self._handle).total)) / 2**30)

    @property
    def power_limit_watts(self) -> int:
        """Enforced now, in whole watts."""
        return int(_answer(lambda: pynvml.nvmlDeviceGetEnforcedPowerLimit(self._handle))) // 1000

    @property
    def uuid(self) -> str:
        """Of the card, or of the partition."""
        return _text(_answer(lambda: pynvml.nvmlDeviceGetUUID(self._handle)))

    @property
    def driver(self) -> str:
        """The driver's version."""
        return _text(_answer(lambda: pynvml.nvmlSystemGetDriverVersion()))

    @property
    def sm_clock_mhz(self) -> int:
        """Of the multiprocessors, now."""
        return int(_answer(lambda: pynvml.nvmlDeviceGetClockInfo(self._handle, pynvml.NVML_CLOCK_SM)))

    @property
    def memory_clock_mhz(self) -> int:
        """Of the memory, now."""
        return int(_answer(lambda: pynvml.nvmlDeviceGetClockInfo(self._handle, pynvml.NVML_CLOCK_MEM)))

    @property
    def joules(self) -> float:
        """Drawn since the driver was loaded: only differences mean anything."""
        return float(_answer(lambda: pynvml.nvmlDeviceGetTotalEnergyConsumption(self._handle)) / 1000)

    @property
    def slowed(self) -> bool:
        """Whether heat or a power brake holds the clocks down now."""
        return bool(_answer(lambda: _clock_reasons(self._handle)) & SLOWED)

    @property
    def processes(self) -> int:
        """How many computed on it just now, this one included, as far as the driver shows them to this process."""
        return len(_answer(lambda: pynvml.nvmlDeviceGetComputeRunningProcesses(self._handle)))

    @property
    def _name(self) -> str:
        return _text(_answer(lambda: pynvml.nvmlDeviceGetName(self._handle)))


def open_card(device: str) -> Card:
    """The card of `cuda:N`; NVML stays open. BadInput when there is no such device."""
    matched = re.fullmatch(r"cuda:([0-9]{1,3})", device)
    if matched is None:
        raise BadInput(f"--device: found {device!r}: expected cpu, or cuda:0, or several as cuda:0,cuda:1")
    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError as error:
        raise _absent(device, str(error)) from error
    try:
        return Card(_handle(device, int(matched[1])))
    except BaseException:
        pynvml.nvmlShutdown()
        raise


@contextmanager
def card(device: str) -> Iterator[Card]:
    """The card of `cuda:N` for a `with`, NVML closed again behind it."""
    opened = open_card(device)
    try:
        yield opened
    finally:
        pynvml.nvmlShutdown()


def visible_cards() -> int:
    """How many devices torch would find; 0 without a driver."""
    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError:
        return 0
    try:
        return len(_visible(pynvml.nvmlDeviceGetCount()))
    finally:
        pynvml.nvmlShutdown()


def _handle(device: str, index: int) -> object:
    visible = _visible(pynvml.nvmlDeviceGetCount())
    if index >= len(visible):
        raise _absent(device, f"{len(visible)} to be seen")
    entry = visible[index]
    try:
        if not entry.isdecimal():
            return pynvml.nvmlDeviceGetHandleByUUID(entry)
        return _partition(pynvml.nvmlDeviceGetHandleByIndex(int(entry)))
    except pynvml.NVMLError as error:
        raise _absent(device, str(error)) from error


def _partition(handle: object) -> object:
    """The first partition of a card that is partitioned, which is the one that CUDA takes unless it is told another."""
    try:
        places = pynvml.nvmlDeviceGetMaxMigDeviceCount(handle) if pynvml.nvmlDeviceGetMigMode(handle)[0] else 0
    except pynvml.NVMLError:
        return handle
    for place in range(places):
        try:
            return pynvml.nvmlDeviceGetMigDeviceHandleByIndex(handle, place)
        except pynvml.NVMLError:
            continue
    return handle


def _visible(count: int) -> tuple[str, ...]:
    """What torch calls cuda:0, cuda:1 …, by NVML's index or UUID.

    CUDA_VISIBLE_DEVICES picks and reorders for torch, not for NVML; CUDA stops at the first entry that names no device.
    """
    named = os.environ.get("CUDA_VISIBLE_DEVICES")
    if named is None:
        return tuple(str(index) for index in range(count))
    entries = [entry.strip() for entry in named.split(",")]
    exists = [entry.startswith(("GPU-", "MIG-")) or (entry.isdecimal() and int(entry) < count) for entry in entries]
    return tuple(entries[: exists.index(False)] if False in exists else entries)


def _clock_reasons(handle: object) -> int:
    try:
        return int(pynvml.nvmlDeviceGetCurrentClocksEventReasons(handle))
    except pynvml.NVMLError_FunctionNotFound:
        return int(pynvml.nvmlDeviceGetCurrentClocksThrottleReasons(handle))  # its name in drivers before 535


def _absent(device: str, reason: str) -> BadInput:
    return BadInput(f"--device: {device}: no such device here ({reason}): `bench doctor` lists what there is")


def _answer(question: Callable[[], Any]) -> Any:  # noqa: ANN401 - NVML ships no types
    try:
        return question()
    # A driver that is older than the call's present version raises the second, which is no NVMLError.
    except (pynvml.NVMLError, pynvml.NVMLLibraryMismatchError) as error:
        raise NotTold(str(error)) from error


def _text(value: str | bytes) -> str:
    return value.decode() if isinstance(value, bytes) else value
