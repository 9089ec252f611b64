"""What every run of a sweep stands on: workload, data, teacher, device. Found once, before anything is spent."""

from pathlib import Path

from harness.executors.job import Executor
from harness.ledger import places
from harness.ledger.descriptor import must_be_as_planned
from harness.ledger.device import DeviceClass, device_class
from harness.ledger.errors import BadInput
from harness.ledger.findings import BackboneReport, DataReport, DeviceReport
from harness.ledger.networks import is_pretrained
from harness.ledger.plan import Plan
from harness.ledger.spec import BackboneSpec, DataSpec, DeviceSpec, Ground
from harness.ledger.teacher import find_teacher, must_be_the_teacher
from harness.ledger.workload import Workload, read_workload, workload_digest, workload_path
from harness.sweep.watch import Watcher
from harness.sweep.working import call


def survey(
    name: str, data_flag: Path | None, device: str, concurrency: int, executor: Executor, watcher: Watcher
) -> Ground:
    """The ground of a workload on a device; BadInput for whatever of it is missing."""
    path = workload_path(name)
    workload = read_workload(path)
    found = class_where_jobs_run(device, workload, executor, watcher)
    data = data_folder(workload, data_flag)
    report = sound_data(workload, data, executor, watcher)
    teacher = find_teacher(path.stem, path, workload, report.sha256)
    backbone = backbone_of(workload, executor, watcher)
    return Ground(
        workload_name=path.stem,
        workload=workload,
        workload_digest=workload_digest(workload, report.sha256, teacher.sha256, backbone),
        backbone_sha256=backbone,
        data=str(data) if data is not None else None,
        data_sha256=report.sha256,
        split_sha256={split.name: split.sha256 for split in report.splits if split.sha256 is not None},
        teacher=teacher,
        device_class=found,
        concurrency=concurrency,
    )


def must_stand(plan: Plan, data_flag: Path | None, device: str, executor: Executor, watcher: Watcher) -> Plan:
    """The plan, its data where they lie now; BadInput when it was drawn up for another ground than the one here."""
    ground = plan.ground
    found = class_where_jobs_run(device, ground.workload, executor, watcher)
    if ground.device_class != found:
        raise BadInput(f"--plan: made for {ground.device_class.label}, but this is {found.label}: plan anew")
    for run in plan.runs:
        must_be_as_planned(run.method)
    data = data_folder(ground.workload, data_flag or (Path(ground.data) if ground.data else None))
    if sound_data(ground.workload, data, executor, watcher).sha256 != ground.data_sha256:
        raise BadInput(f"--plan: {data or ground.workload_name}: the data have changed since the plan: plan anew")
    weights = Path(ground.teacher.path)
    if not weights.exists():
        raise BadInput(f"--plan: {weights}: the teacher that the plan was made with is gone: plan anew")
    must_be_the_teacher(weights, ground.teacher.sha256, "the plan")
    here = ground.model_copy(update={"data": str(data) if data is not None else None})
    return plan.model_copy(update={"ground": here})


def class_where_jobs_run(device: str, workload: Workload, executor: Executor, watcher: Watcher) -> DeviceClass:
    """The class of the device that runs will have: seen from here, or asked of a job where a queue chooses the node."""
    threads, precision = workload.threads, workload.engine.precision
    if executor.is_here:
        return device_class(device, threads, precision)
    spec = DeviceSpec(device=device, threads=threads, precision=precision)
    return call(
        "asking a node for its device", "device", spec, DeviceReport, device, threads, executor, watcher
    ).device_class


def data_folder(workload: Workload, flag: Path | None) -> Path | None:
    """Where the data set lies; drawn scenes lie nowhere."""
    if workload.data.reader == "streets":
        return None
    folder = places.data(flag)
    return folder.resolve() if folder is not None else None


def sound_data(workload: Workload, data: Path | None, executor: Executor, watcher: Watcher) -> DataReport:
    """The report on a data set in which nothing is wrong; else BadInput for the first of its problems."""
    report = inspect_data(workload, data, executor, watcher)
    if report.problems:
        more = f" (and {len(report.problems) - 1} more: `bench data check`)" if len(report.problems) > 1 else ""
        raise BadInput(f"{data}: {report.problems[0]}{more}")
    return report


def backbone_of(workload: Workload, executor: Executor, watcher: Watcher) -> str | None:
    """The SHA-256 of what the student starts from; None where that is random weights."""
    if not is_pretrained(workload.student):
        return None
    spec, device = BackboneSpec(workload=workload), executor.free()[0]
    title = "finding the student's first weights"
    return call(title, "backbone", spec, BackboneReport, device, workload.threads, executor, watcher).sha256


def inspect_data(
    workload: Workload, data: Path | None, executor: Executor, watcher: Watcher, is_thorough: bool = False
) -> DataReport:
    """The engine's report on a data set, decoded into the cache by then."""
    spec = DataSpec(workload=workload, data=str(data) if data is not None else None, is_thorough=is_thorough)
    device = executor.free()[0]
    return call("reading the data set", "data", spec, DataReport, device, workload.threads, executor, watcher)
