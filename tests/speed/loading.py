"""How many images a second one core makes ready: decoded once and mapped, beside decoded and transformed each time.

    PYTHONPATH=. python tests/speed/loading.py

Both make crops of 512×1024 out of images of 1024×2048 at scales of 0.5 to 2, mirrored or not, normalised, with labels.
What is told is the median over turns of process CPU time on one thread; the files were read just before, so that the
disk has no part in it.
"""

import statistics
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import torch

from harness.ledger.workload import Workload, read_workload, workload_path
from harness.segmentation.data import load
from harness.train.clock import cpu_seconds
from harness.train.streams import batches_of
from tests.speed import ordinary, street_files

IMAGES, BATCH, TURNS = 16, 4, 9


def few(workload: Workload) -> Workload:
    """The workload with as many images as were made."""
    counts = {
        split: getattr(workload.data, split).model_copy(update={"count": count})
        for split, count in (("train", IMAGES), ("tune", IMAGES // 10), ("score", 1))
    }
    return workload.model_copy(
        update={
            "data": workload.data.model_copy(update=counts),
            "training": workload.training.model_copy(update={"batch": BATCH}),
            "augmentation": workload.augmentation.model_copy(update={"photometric": False}),
        }
    )


def seconds(work: Callable[[], object]) -> float:
    """Of this process's CPU time."""
    began = cpu_seconds()
    work()
    return cpu_seconds() - began


def compare(folder: Path) -> tuple[float, float]:
    """Seconds an image: ordinary, and the harness's."""
    workload = few(read_workload(workload_path("cityscapes-deeplabv3-r18")))
    values = workload.data.label_values
    street_files.write(folder, IMAGES, 1)
    files = ordinary.Files(folder, workload.augmentation.crop, values)
    plain: Iterator[object] = ordinary.batches(files, BATCH, workers=0)
    mapped = batches_of(load(workload, folder, "train"), workload, 0, torch.device("cpu"))
    found = []
    for _ in range(TURNS):
        found.append((seconds(lambda: next(plain)), seconds(lambda: [next(mapped) for _ in range(4)]) / 4))
    ordinary_seconds, mapped_seconds = (statistics.median(side) / BATCH for side in zip(*found, strict=True))
    return ordinary_seconds, mapped_seconds


def main() -> None:
    """Two lines."""
    torch.set_num_threads(1)
    print(f"load {psutil.getloadavg()[0]:.1f}, torch {torch.__version__}, {TURNS} turns, one thread")
    with tempfile.TemporaryDirectory() as folder:
        plain, mapped = compare(Path(folder))
    each, once = 1 / plain, 1 / mapped
    print(f"images/s a core: decoded each time {each:.1f}, decoded once {once:.1f}: {once / each:.1f} times as many")


if __name__ == "__main__":
    main()
