"""The tidy frame: one row a run, the last attempt of every key."""

import re
from collections.abc import Iterable
from dataclasses import astuple, dataclass, fields
from pathlib import Path
from typing import get_args

import pandas as pd

from harness.ledger.budget import Budget
from harness.ledger.device import DeviceClass
from harness.ledger.endings import Mark
from harness.ledger.errors import BadInput
from harness.ledger.files import read, sha256
from harness.ledger.method import BASELINE
from harness.ledger.record import Record
from harness.ledger.spec import RunSpec

FILE = re.compile(r"^(?P<key>.+)\.(?P<attempt>\d+)\.json$")
BESIDE = re.compile(r"\.(status|spec)\.json$")
"""What the engine may leave beside a record."""

DTYPES = {
    "str": "object",
    "int": "int64",
    "int | None": "Int64",
    "float": "float64",
    "float | None": "float64",
    "bool": "bool",
}


@dataclass(frozen=True)
class Run:
    """A row of the frame: fractions are fractions, durations seconds, lists words set apart by spaces."""

    track: str
    """Workload digest × budget × device class × pace × rules version, as a short digest."""
    workload: str
    workload_title: str
    standing: str
    caveat: str
    workload_digest: str
    method: str
    method_digest: str
    title: str
    family: str
    sources: str
    """Where the weights of the method's terms come from."""
    current: bool
    """Whether no later version of the method (another digest) ran on this track."""
    seed: int
    budget: str
    pace: str
    device: str
    device_class: str
    device_detail: str
    rules: int
    ending: str
    reason: str
    marks: str
    planned_iterations: int
    replanned_iterations: int | None
    iterations: int
    epochs: float
    budget_seconds: float | None
    spent_seconds: float
    wall_seconds: float
    device_hours: float
    miou: float | None
    miou_absent_zero: float | None
    miou_predicted: float | None
    pixel_accuracy: float | None
    teacher_miou: float
    cost_seconds: float | None
    cost_ratio: float | None
    cost_ratio_low: float | None
    cost_ratio_high: float | None
    witness_cpu_seconds: float | None
    witness_wall_seconds: float | None
    disagreements: str
    """Where the run's own account of its time and the sweep's differ; nothing where they agree."""
    energy_joules: float | None
    parameters: int | None
    concurrency: int
    host: str
    key: str
    attempt: int
    started: str
    ended: str


COLUMNS = (*(field.name for field in fields(Run)), "baseline_miou", "gain")


def load(results: str | Path) -> pd.DataFrame:
    """One row a run: the last attempt of every key under RESULTS/runs; BadInput names a file that is no record."""
    last: dict[str, Record] = {}
    for record in read_records(Path(results)):
        known = last.get(record.spec.key)
        if known is None or known.spec.attempt < record.spec.attempt:
            last[record.spec.key] = record
    return frame_of(last.values())


def read_records(results: Path) -> list[Record]:
    """Every attempt of every run, in the order of the file names."""
    folder = results / "runs"
    if folder.exists() and not folder.is_dir():
        raise BadInput(f"{folder}: is no folder: expected one that holds KEY.ATTEMPT.json files")
    return [_read(path) for path in sorted(folder.glob("*.json")) if not BESIDE.search(path.name)]


def _read(path: Path) -> Record:
    if not FILE.match(path.name):
        raise BadInput(f"{path}: no record's name: expected KEY.ATTEMPT.json; move other files out of this folder")
    record = read(path, Record)
    try:
        Budget.parse(record.spec.budget)
    except BadInput as error:
        raise BadInput(f"{path}: spec.budget: {error}") from error
    if f"{record.spec.name}.json" != path.name:
        raise BadInput(
            f"{path}: spec.key: found the run {record.spec.name}: a record keeps the name it was written under"
        )
    if record.spec.scored_on != "score":
        raise BadInput(
            f"{path}: spec.scored_on: found '{record.spec.scored_on}': a trial of `bench tune`, which no board holds"
        )
    return record


def frame_of(records: Iterable[Record]) -> pd.DataFrame:
    """The records as a frame, in the order of track, method, seed, with each run's gain over the baseline's."""
    runs = [run_of(record) for record in records]
    frame = pd.DataFrame([astuple(run) for run in runs], columns=[field.name for field in fields(Run)])
    frame = frame.astype({field.name: DTYPES[_annotation(field.type)] for field in fields(Run)})
    frame["current"] = _is_current(frame)
    frame = frame.sort_values(["track", "method", "method_digest", "seed", "key"], ignore_index=True)
    return _with_gain(frame)


def _annotation(annotation: object) -> str:
    return annotation.__name__ if isinstance(annotation, type) else str(annotation)


def run_of(record: Record) -> Run:
    """The record's row."""
    spec, outcome, witness = record.spec, record.outcome, record.witness
    ground, method, workload, scores = spec.ground, spec.method, spec.ground.workload, outcome.scores
    return Run(
        track=track(spec),
        workload=ground.workload_name,
        workload_title=workload.title,
        standing=workload.standing,
        caveat=workload.caveat,
        workload_digest=ground.workload_digest,
        method=method.name,
        method_digest=method.digest,
        title=method.title,
        family=method.family,
        sources=" ".join(sorted({part.source for term in method.terms for part in term.weights})),
        current=True,
        seed=spec.seed,
        budget=spec.budget,
        pace=spec.pace,
        device=ground.device_class.label,
        device_class=ground.device_class.digest,
        device_detail=device_detail(ground.device_class),
        rules=spec.rules,
        ending=outcome.ending,
        reason=outcome.reason or "",
        marks=" ".join(mark for mark in get_args(Mark) if mark in record.marks),
        planned_iterations=spec.iterations,
        replanned_iterations=outcome.replanned_iterations,
        iterations=outcome.iterations,
        epochs=outcome.iterations * workload.training.batch / workload.data.train.count,
        budget_seconds=spec.budget_seconds,
        spent_seconds=outcome.spent_seconds,
        wall_seconds=outcome.wall_seconds,
        device_hours=outcome.spent_seconds / 3600 * ground.device_class.count,
        miou=scores.miou if scores else None,
        miou_absent_zero=scores.miou_absent_zero if scores else None,
        miou_predicted=scores.miou_predicted if scores else None,
        pixel_accuracy=scores.pixel_accuracy if scores else None,
        teacher_miou=ground.teacher.miou,
        cost_seconds=spec.cost.seconds if spec.cost else None,
        cost_ratio=spec.cost.ratio if spec.cost else None,
        cost_ratio_low=spec.cost.ratio_low if spec.cost else None,
        cost_ratio_high=spec.cost.ratio_high if spec.cost else None,
        witness_cpu_seconds=witness.cpu_seconds if witness else None,
        witness_wall_seconds=witness.wall_seconds if witness else None,
        disagreements="; ".join(record.disagreements),
        energy_joules=outcome.readings.energy_joules if outcome.readings else None,
        parameters=outcome.student_parameters,
        concurrency=ground.concurrency,
        host=outcome.conditions.host if outcome.conditions else "",
        key=spec.key,
        attempt=spec.attempt,
        started=record.started,
        ended=record.ended,
    )


def track(spec: RunSpec) -> str:
    """Names the board that a run stands on; `60m` and `1h` are one budget."""
    budget = Budget.parse(spec.budget)
    amount = f"{budget.amount:.9g} {budget.unit} of {budget.anchor}"
    ground = spec.ground
    return sha256(ground.workload_digest, amount, ground.device_class.digest, spec.pace, str(spec.rules))[:12]


def device_detail(device: DeviceClass) -> str:
    """What the device class holds beyond its label."""
    parts = (
        f"{device.count} devices" if device.count > 1 else "",
        f"{device.memory_gib} GiB" if device.memory_gib is not None else "",
        f"MIG {device.mig}" if device.mig else "",
        f"{device.power_limit_watts} W" if device.power_limit_watts is not None else "",
        device.precision,
        f"torch {device.torch}",
        f"CUDA {device.cuda}" if device.cuda else "",
    )
    return ", ".join(part for part in parts if part)


def _is_current(frame: pd.DataFrame) -> pd.Series:
    """Whether a run is of the version of its method that ended last on its track."""
    version = frame.groupby(["track", "method", "method_digest"])["ended"].transform("max")
    latest = frame.groupby(["track", "method"])["ended"].transform("max")
    return version == latest


def _with_gain(frame: pd.DataFrame) -> pd.DataFrame:
    """Adds the current baseline's mIoU at the same seed of the same track, and the difference to it."""
    baseline = frame[(frame.method == BASELINE) & frame.current].set_index(["track", "seed"])["miou"]
    paired = frame[["track", "seed"]].join(baseline.rename("baseline_miou"), on=["track", "seed"])
    frame["baseline_miou"] = paired["baseline_miou"].astype("float64")
    frame["gain"] = frame["miou"] - frame["baseline_miou"]
    return frame
