"""Whether a run could start here: each thing that it needs, what was found, what to do."""

import importlib.metadata
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil

from harness.executors.job import Executor
from harness.ledger import places
from harness.ledger.device import conditions, cores, device_class
from harness.ledger.errors import BadInput
from harness.ledger.teacher import find_teacher
from harness.ledger.workload import read_workload, workload_path
from harness.sweep.ground import data_folder, inspect_data
from harness.sweep.story import must_be_writable
from harness.sweep.watch import Watcher

PACKAGES = ("torch", "torchvision", "timm", "numpy", "pandas", "matplotlib")
BUSY = 0.75
"""Load per core above which timings are hardly worth taking."""
LITTLE_DISK_GIB = 2.0


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at."""

    what: str
    found: str
    good: bool
    remedy: str = ""

    @property
    def mark(self) -> str:
        """How the table shows it."""
        return "ok" if self.good else "missing" if self.remedy else "note"


def examine(
    workload: str, data: Path | None, devices: tuple[str, ...], results: Path, executor: Executor, watcher: Watcher
) -> list[Finding]:
    """Everything in the order in which a run would need it."""
    path = workload_path(workload)
    read = read_workload(path)

    def data_set() -> str:
        folder = data_folder(read, data)
        report = inspect_data(read, folder, executor, watcher)
        if report.problems:
            raise BadInput(f"{len(report.problems)} problems, the first: {report.problems[0]}")
        try:
            teachers.append(find_teacher(path.stem, path, read, report.sha256).miou)
        except BadInput as error:
            complaints.append(str(error))
        images = ", ".join(f"{split.name} {split.images}" for split in report.splits)
        return f"{folder or 'drawn by the program'}: {images}"

    teachers: list[float] = []
    complaints: list[str] = []
    return [
        *versions(),
        look("device", lambda: f"{devices[0]}: {device_class(devices[0], read.threads).label}; {len(devices)} at once"),
        busy(devices[0]),
        look(f"data of {workload}", data_set),
        look("teacher", lambda: told_teacher(teachers, complaints)),
        look("cache", lambda: writable(places.cache())),
        look("results", lambda: written(results)),
        room(results),
    ]


def look(what: str, question: Callable[[], str]) -> Finding:
    """The answer, or the error as what to do."""
    try:
        return Finding(what, question(), good=True)
    except BadInput as error:
        return Finding(what, "not usable", good=False, remedy=str(error))


def versions() -> Iterator[Finding]:
    """The packages that decide numbers and costs."""
    for name in PACKAGES:
        try:
            yield Finding(name, importlib.metadata.version(name), good=True)
        except importlib.metadata.PackageNotFoundError:
            yield Finding(name, "not installed", good=False, remedy="run `make setup`")


def busy(device: str) -> Finding:
    """The load: other work slows a measured run down, also by the CPU's own clock."""
    load = psutil.getloadavg()[0]
    note = "" if load <= BUSY * cores() else ": busy, costs will be uncertain"
    here = conditions(device)
    governor = f"; governor {here.governor}" if here.governor else ""
    return Finding("load", f"{load:.2f} on {cores()} cores{note}; driver {here.driver or 'none'}{governor}", good=True)


def told_teacher(mious: list[float], complaints: list[str]) -> str:
    """What is known of the teacher once the data set is."""
    if mious:
        return f"SHA-256 as expected, mIoU {100 * mious[0]:.1f} %"
    raise BadInput(complaints[0] if complaints else "known only once the data set is")


def writable(folder: Path) -> str:
    """The folder, or BadInput."""
    places.must_be_writable(folder)
    return str(folder)


def written(results: Path) -> str:
    """The results folder, or BadInput."""
    must_be_writable(results)
    return str(results.resolve())


def room(results: Path) -> Finding:
    """Space for records and students' weights."""
    place = next(folder for folder in (results.resolve(), *results.resolve().parents) if folder.exists())
    free = shutil.disk_usage(place).free / 2**30
    good = free > LITTLE_DISK_GIB
    return Finding("disk", f"{free:.0f} GiB free", good, "" if good else f"free some space on the disk of {place}")
