"""What a result may be averaged over (the device class) and what is only noted (the conditions). Reads no torch."""

import ast
import importlib.metadata
import importlib.util
import os
import platform
import re
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Literal, TypeVar

import psutil
import pynvml

from harness.ledger.errors import BadInput
from harness.ledger.files import Value, sha256

T = TypeVar("T")


class DeviceClass(Value):
    """Must match for two results to share a board."""

    kind: Literal["cpu", "cuda"]
    model: str
    memory_gib: int | None
    mig: str | None
    power_limit_watts: int | None
    count: int
    precision: Literal["float32"]
    threads: int
    torch: str
    """major.minor"""
    cuda: str | None

    @property
    def label(self) -> str:
        """How tables call it."""
        return f"{self.model}, {self.threads} thread{'s' * (self.threads > 1)}" if self.kind == "cpu" else self.model

    @property
    def digest(self) -> str:
        """Short and stable, for keys."""
        return sha256(self.model_dump_json())[:16]


class Conditions(Value):
    """Noted in every record, never a reason to refuse an average."""

    host: str
    uuid: str | None
    driver: str | None
    load: float | None
    python: str
    torch: str
    platform: str


def device_class(device: str, threads: int) -> DeviceClass:
    """The class of `cpu` or `cuda:0` on this host; BadInput when there is no such device."""
    torch, cuda = torch_version()
    short = ".".join(torch.split("+")[0].split(".")[:2])
    if device == "cpu":
        return DeviceClass(
            kind="cpu", model=_cpu_model(), memory_gib=None, mig=None, power_limit_watts=None, count=1,
            precision="float32", threads=threads, torch=short, cuda=None,
        )  # fmt: skip
    with _Nvml(device) as handle:
        memory = pynvml.nvmlDeviceGetMemoryInfo(handle).total
        return DeviceClass(
            kind="cuda", model=_text(pynvml.nvmlDeviceGetName(handle)), memory_gib=round(memory / 2**30),
            mig=_asked(lambda: str(pynvml.nvmlDeviceGetMigMode(handle)[0])),
            power_limit_watts=_asked(lambda: pynvml.nvmlDeviceGetEnforcedPowerLimit(handle) // 1000), count=1,
            precision="float32", threads=threads, torch=short, cuda=cuda,
        )  # fmt: skip


def conditions(device: str) -> Conditions:
    """What else was so when a run began."""
    uuid = driver = None
    if device != "cpu":
        with _Nvml(device) as handle:
            uuid = _asked(lambda: _text(pynvml.nvmlDeviceGetUUID(handle)))
            driver = _asked(lambda: _text(pynvml.nvmlSystemGetDriverVersion()))
    return Conditions(
        host=socket.gethostname(), uuid=uuid, driver=driver, load=round(psutil.getloadavg()[0], 2),
        python=platform.python_version(), torch=torch_version()[0], platform=platform.platform(terse=True),
    )  # fmt: skip


def default_devices() -> tuple[str, ...]:
    """Every CUDA device that this process may use, or its CPU."""
    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError:
        return ("cpu",)
    try:
        count = len(_visible(pynvml.nvmlDeviceGetCount()))
    finally:
        pynvml.nvmlShutdown()
    return tuple(f"cuda:{index}" for index in range(count)) or ("cpu",)


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


def cores() -> int:
    """The cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def torch_version() -> tuple[str, str | None]:
    """The versions of torch and of its CUDA, read from its files: importing it takes seconds."""
    spec = importlib.util.find_spec("torch")
    try:
        version = importlib.metadata.version("torch")
    except importlib.metadata.PackageNotFoundError:
        version = None
    if spec is None or spec.origin is None or version is None:
        mend = "run `make setup`, or `pip install torch torchvision`"
        raise BadInput(f"torch is not installed in this environment: {mend}")
    return version, _cuda_version(Path(spec.origin).parent / "version.py")


def _cuda_version(file: Path) -> str | None:
    """The `cuda` that torch's version.py sets."""
    for node in ast.parse(file.read_text(encoding="utf-8")).body:
        target = node.targets[0] if isinstance(node, ast.Assign) else getattr(node, "target", None)
        value = getattr(node, "value", None)
        named = isinstance(target, ast.Name) and target.id == "cuda"
        if named and isinstance(value, ast.Constant) and isinstance(value.value, str):
            return value.value
    return None


def _cpu_model() -> str:
    try:
        named = re.search(r"^model name\s*:\s*(.+)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    except OSError:
        named = None
    return named[1].strip() if named else platform.processor() or platform.machine()


class _Nvml:
    """NVML's handle of `cuda:N`, for a `with`."""

    def __init__(self, device: str) -> None:
        matched = re.fullmatch(r"cuda:([0-9]{1,3})", device)
        if matched is None:
            raise BadInput(f"--device: found {device!r}: expected cpu, or cuda:0, or several as cuda:0,cuda:1")
        self.index = int(matched[1])
        self.device = device

    def __enter__(self) -> object:
        try:
            pynvml.nvmlInit()
        except pynvml.NVMLError as error:
            raise self._absent(str(error)) from error
        try:
            return self._handle()
        except BaseException:
            pynvml.nvmlShutdown()
            raise

    def _handle(self) -> object:
        visible = _visible(pynvml.nvmlDeviceGetCount())
        if self.index >= len(visible):
            raise self._absent(f"{len(visible)} to be seen")
        entry = visible[self.index]
        try:
            by_index = entry.isdecimal()
            return (
                pynvml.nvmlDeviceGetHandleByIndex(int(entry)) if by_index else pynvml.nvmlDeviceGetHandleByUUID(entry)
            )
        except pynvml.NVMLError as error:
            raise self._absent(str(error)) from error

    def _absent(self, reason: str) -> BadInput:
        return BadInput(f"--device: {self.device}: no such device here ({reason}): `bench doctor` lists what there is")

    def __exit__(self, *_: object) -> None:
        pynvml.nvmlShutdown()


def _asked(question: Callable[[], T]) -> T | None:
    """The answer, or None where this device does not support the question."""
    try:
        return question()
    except pynvml.NVMLError:
        return None


def _text(value: str | bytes) -> str:
    return value.decode() if isinstance(value, bytes) else value
