"""Whether a workload is sound: all that can be found wrong with it before anything is read or spent."""

from collections.abc import Iterator
from pathlib import Path

from harness.executors.job import Executor
from harness.ledger.errors import BadInput
from harness.ledger.findings import WorkloadReport
from harness.ledger.spec import WorkloadSpec
from harness.ledger.teacher import find_teacher
from harness.ledger.workload import Sliding, Workload, read_workload, shown_size, workload_path
from harness.sweep.doctor import Finding, look
from harness.sweep.ground import data_folder
from harness.sweep.watch import Watcher
from harness.sweep.working import call


def inspect(name: str, data: Path | None, executor: Executor, watcher: Watcher) -> list[Finding]:
    """Every part of a workload that can be read; BadInput when its file cannot."""
    path = workload_path(name)
    workload = read_workload(path)
    return [
        Finding("file", str(path), good=True),
        look("sizes", lambda: sizes(workload)),
        *built(workload, data_folder(workload, data), executor, watcher),
        teacher(name, path, workload),
    ]


def sizes(workload: Workload) -> str:
    """Crops, images and labels in a line; BadInput where a crop is more than there is to see."""
    crop, image = workload.augmentation.crop, workload.image_size
    high = workload.augmentation.scale[1]
    if image is not None and any(side > round(high * length) for side, length in zip(crop, image, strict=True)):
        largest = [round(high * length) for length in image]
        raise BadInput(
            f"augmentation.crop: found {list(crop)}: images of {list(image)} are scaled to {largest} at most, "
            "so that a part of every crop would be empty"
        )
    return "; ".join(_told_sizes(workload))


def _told_sizes(workload: Workload) -> Iterator[str]:
    crop, image, label = workload.augmentation.crop, workload.image_size, workload.label_size
    divides = all(side % workload.stride == 0 for side in crop)
    yield f"crop {shown_size(crop)}, {'a' if divides else 'no'} multiple of the stride, {workload.stride}"
    yield f"images {shown_size(image) if image else 'as their files have them'}"
    yield f"labels {shown_size(label) if label else 'as their files have them'}"
    if isinstance(workload.evaluation, Sliding):
        yield f"scored in windows of {shown_size(workload.evaluation.window)}"


def built(workload: Workload, data: Path | None, executor: Executor, watcher: Watcher) -> Iterator[Finding]:
    """What the engine says of the networks and of where the data lie."""
    spec, device = WorkloadSpec(workload=workload, data=str(data) if data is not None else None), executor.free()[0]
    title = "building the networks"
    report = call(title, "workload", spec, WorkloadReport, device, workload.threads, executor, watcher)
    for looked in report.looked:
        yield Finding(looked.what, looked.found, looked.good, looked.remedy)


def teacher(name: str, path: Path, workload: Workload) -> Finding:
    """Where its weights are, or how to come by them: what is in the cache is known only once the data are read."""
    held, what = workload.teacher, "teacher's weights"
    if held.weights is not None:
        return look(what, lambda: _shipped(path, workload))
    if held.checkpoint is not None:
        digest = f"SHA-256 {held.checkpoint.sha256[:12]}…"
        return Finding(what, f"taken from a checkpoint, {digest}: `bench teacher --workload {name} --from FILE`", False)
    steps = f"{held.training.iterations:,} iterations of {held.training.batch} images"
    return Finding(what, f"trained, {steps}: `bench teacher --workload {name}`", False)


def _shipped(path: Path, workload: Workload) -> str:
    file = find_teacher(path.stem, path, workload, "")
    return f"{workload.teacher.weights}, SHA-256 as expected, mIoU {100 * file.miou:.1f} %"
