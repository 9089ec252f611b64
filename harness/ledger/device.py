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

from harness.ledger.errors import BadInput
from harness.ledger.files import Value, sha256
from harness.ledger.nvml import NotTold, card, visible_cards

T = TypeVar("T")

Precision = Literal["float32", "bfloat16"]
"""Of convolutions and matrix products; weights are float32 in both."""

GOVERNOR = Path("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor")


class DeviceClass(Value):
    """Must match for two results to share a board."""

    kind: Literal["cpu", "cuda"]
    model: str
    memory_gib: int | None
    mig: str | None
    """The partition's profile, as 1g.10gb; null for a whole card."""
    power_limit_watts: int | None
    count: int
    precision: Precision
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
    sm_clock_mhz: int | None = None
    """When the run began, and so perhaps of an idle device; its clock under load is among the readings."""
    memory_clock_mhz: int | None = None
    governor: str | None = None
    """Linux's rule for the CPU's clock; null where it is not to be seen."""


def device_class(device: str, threads: int, precision: Precision = "float32") -> DeviceClass:
    """The class of `cpu` or `cuda:0` on this host; BadInput when there is no such device."""
    torch, cuda = torch_version()
    short = ".".join(torch.split("+")[0].split(".")[:2])
    if device == "cpu":
        return DeviceClass(
            kind="cpu", model=_cpu_model(), memory_gib=None, mig=None, power_limit_watts=None, count=1,
            precision=precision, threads=threads, torch=short, cuda=None,
        )  # fmt: skip
    with card(device) as held:
        return DeviceClass(
            kind="cuda", model=held.model, memory_gib=_told(lambda: held.memory_gib), mig=held.mig,
            power_limit_watts=_told(lambda: held.power_limit_watts), count=1,
            precision=precision, threads=threads, torch=short, cuda=cuda,
        )  # fmt: skip


def conditions(device: str) -> Conditions:
    """What else was so when a run began."""
    here = Conditions(
        host=this_host(), uuid=None, driver=None, load=round(psutil.getloadavg()[0], 2),
        python=platform.python_version(), torch=torch_version()[0], platform=platform.platform(terse=True),
        governor=_governor(),
    )  # fmt: skip
    if device == "cpu":
        return here
    with card(device) as held:
        return here.model_copy(
            update={
                "uuid": _told(lambda: held.uuid),
                "driver": _told(lambda: held.driver),
                "sm_clock_mhz": _told(lambda: held.sm_clock_mhz),
                "memory_clock_mhz": _told(lambda: held.memory_clock_mhz),
            }
        )


def this_host() -> str:
    """This host's name; under Slurm the node's, which its commands know."""
    return os.environ.get("SLURMD_NODENAME") or socket.gethostname()


def default_devices() -> tuple[str, ...]:
    """Every CUDA device that this process may use, or its CPU."""
    return tuple(f"cuda:{index}" for index in range(visible_cards())) or ("cpu",)


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


def _governor() -> str | None:
    """How the first core's clock is ruled, where Linux tells."""
    try:
        return GOVERNOR.read_text(encoding="ascii").strip() or None
    except OSError:
        return None


def _told(question: Callable[[], T]) -> T | None:
    """The answer, or None where this device leaves the question unanswered."""
    try:
        return question()
    except NotTold:
        return None
