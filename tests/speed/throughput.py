"""Images a second, share of the device's peak, data wait and memory of each method; on a GPU beside an ordinary loop.

    PYTHONPATH=. python tests/speed/throughput.py [DEVICE [WORKLOAD [METHOD,METHOD…]]]

On a GPU the workload is cityscapes-pspnet-r18 on files made here, like Cityscapes' in layout, size and weight, and
beside it the same training as the field writes it (ordinary.py): float32 with TF32, channels first, decoding in
workers, a wait for the device every iteration. On a CPU it is `streets`. All weights are random: speed does not depend
on them.

The share (MFU) is of what this device reaches in one large matrix product at the workload's precision, in the same
process; FLOPs are convolutions and matrix products. On a CPU seconds are of process CPU time.
"""

import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import psutil
import torch

from harness.ledger.descriptor import method_path, resolve_method
from harness.ledger.device import device_class
from harness.ledger.files import file_sha256
from harness.ledger.method import ResolvedMethod
from harness.ledger.networks import untrained
from harness.ledger.spec import Ground, TeacherFile
from harness.ledger.workload import Workload, read_workload, workload_path
from harness.segmentation.data import Split, load
from harness.segmentation.networks import build
from harness.segmentation.weights import save_weights
from harness.train.clock import budget_clock, cpu_seconds
from harness.train.profile import counted_flops, peak_while
from harness.train.streams import batches_of
from harness.train.trainee import make_trainee, prepare
from harness.train.waiting import waiting
from tests.speed import ordinary, street_files

METHODS = ("baseline", "kd", "featl2norm", "cwd", "dist", "cirkd")
IMAGES = 64
SECONDS = {"cpu": 4.0, "cuda": 12.0}
WARM_UP = {"cpu": 5, "cuda": 20}
MATRIX = {"cpu": 1024, "cuda": 8192}


@dataclass(frozen=True)
class Speed:
    """What a training reached."""

    images: float
    """A second."""
    flops: float
    """A second; 0 where they were not counted."""
    waited: float
    """Share of the time."""
    peak_bytes: int | None

    def line(self, name: str, peak_flops: float) -> str:
        """A row of the table."""
        share = f"{100 * self.flops / peak_flops:5.1f} %" if self.flops else "      –"
        memory = f"{self.peak_bytes / 2**30:6.2f} GiB" if self.peak_bytes else "         –"
        return f"{name:22} {self.images:9.1f} images/s {share} MFU {100 * self.waited:6.2f} % data wait {memory}"


def workload_on(device: torch.device, name: str) -> Workload:
    """The workload without pretrained weights, as large as the files that are made for it."""
    found = read_workload(workload_path(name))
    teacher = found.teacher.model_copy(update={"network": untrained(found.teacher.network)})
    found = found.model_copy(update={"student": untrained(found.student), "teacher": teacher})
    if found.data.reader != "cityscapes":
        return found
    counts = {"train": IMAGES, "tune": IMAGES // 10, "score": 1}
    splits = {split: getattr(found.data, split).model_copy(update={"count": n}) for split, n in counts.items()}
    return found.model_copy(update={"data": found.data.model_copy(update=splits)})


def ground_of(workload: Workload, name: str, device: torch.device, folder: Path) -> Ground:
    """What a run stands on, its teacher's weights random."""
    path = folder / "teacher.safetensors"
    save_weights(build(workload.teacher.network, len(workload.classes), workload.stride), path)
    teacher = TeacherFile(path=str(path), sha256=file_sha256(path), miou=0.5)
    here = device_class(str(device), workload.threads, workload.engine.precision)
    return Ground(
        workload_name=name, workload=workload, workload_digest="none", data=str(folder), data_sha256="none",
        teacher=teacher, device_class=here, concurrency=1,
    )  # fmt: skip


def by_the_harness(ground: Ground, method: ResolvedMethod, split: Split, device: torch.device) -> Speed:
    """What a run does while its clock runs, for some seconds."""
    torch.manual_seed(0)
    trainee = make_trainee(ground, method, 0, device)
    source = waiting(batches_of(split, ground.workload, 0, device), device)
    for _ in range(WARM_UP[device.type]):
        trainee.iterate(*next(source), progress=0.0)
    flops = counted_flops(lambda: trainee.iterate(*next(source), progress=0.0))
    if device.type == "cuda":
        torch.cuda.synchronize(device)  # the wait so far is read below
    before, clock, done = source.read(), budget_clock(device), 0

    def work() -> int:
        done = 0
        clock.start()
        while clock.spent < SECONDS[device.type]:
            trainee.iterate(*next(source), progress=0.5)
            clock.tick()
            done += 1
        clock.stop()
        return done

    peak, done = peak_while(work, device)
    return Speed(
        images=done * ground.workload.training.batch / clock.spent,
        flops=done * flops / clock.spent,
        waited=(source.read() - before) / clock.spent,
        peak_bytes=peak,
    )


def by_the_field(ground: Ground, folder: Path, device: torch.device, is_distilled: bool) -> Speed:
    """The ordinary loop on the same files, with a worker for each core but two."""
    workload = ground.workload
    student, teacher = (
        build(network, len(workload.classes), workload.stride).to(device)
        for network in (workload.student, workload.teacher.network)
    )
    files = ordinary.Files(folder, workload.augmentation.crop, workload.data.label_values)
    source = ordinary.batches(files, workload.training.batch, max(1, (psutil.cpu_count() or 2) - 2))
    taught_by = teacher.eval() if is_distilled else None
    rate = workload.training.learning_rate

    def train(iterations: int) -> float:
        torch.cuda.synchronize(device)
        began = time.perf_counter()
        ordinary.distil(student.train(), taught_by, source, iterations, rate)
        torch.cuda.synchronize(device)
        return (time.perf_counter() - began) / iterations

    iterations = max(5, int(SECONDS[device.type] / train(10)))
    peak, seconds = peak_while(lambda: train(iterations), device)
    return Speed(workload.training.batch / seconds, 0.0, 0.0, peak)


def peak_flops(device: torch.device, precision: str) -> float:
    """FLOP/s of a large matrix product: the best of some."""
    kind, size = getattr(torch, precision), MATRIX[device.type]
    left, right = (torch.randn(size, size, device=device, dtype=kind) for _ in range(2))
    best, on_device = float("inf"), device.type == "cuda"
    for _ in range(10):
        began = time.perf_counter() if on_device else cpu_seconds()
        _ = left @ right
        if on_device:
            torch.cuda.synchronize(device)
        best = min(best, (time.perf_counter() if on_device else cpu_seconds()) - began)
    return 2 * size**3 / best


def main() -> None:
    """A line a method, and on a GPU the ordinary loop's."""
    arguments = dict(enumerate(sys.argv[1:]))
    device = torch.device(arguments.get(0, "cpu"))
    name = arguments.get(1, "streets" if device.type == "cpu" else "cityscapes-pspnet-r18")
    methods = arguments[2].split(",") if 2 in arguments else METHODS
    workload = workload_on(device, name)
    print(f"load {psutil.getloadavg()[0]:.1f}, torch {torch.__version__}, {name}, crop {workload.augmentation.crop}")
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        if workload.data.reader == "cityscapes":
            street_files.write(folder, IMAGES, 1)
        ground = ground_of(workload, name, device, folder)
        prepare(device, workload)
        most = peak_flops(device, workload.engine.precision)
        print(f"{ground.device_class.label}: {most / 1e12:.2f} TFLOP/s in a {workload.engine.precision} product")
        split = load(workload, folder, "train")
        for each in methods:
            method = resolve_method(method_path(each), workload.dataset, workload.training.batch)
            print(by_the_harness(ground, method, split, device).line(each, most), flush=True)
        if device.type == "cuda":
            for each, is_distilled in (("ordinary baseline", False), ("ordinary kd", True)):
                print(by_the_field(ground, folder, device, is_distilled).line(each, most), flush=True)


if __name__ == "__main__":
    main()
