"""A run as scores see it: a record's facts, flat, and what its figures need."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple, get_args

from harness.ledger.budget import Budget
from harness.ledger.device import Conditions, DeviceClass
from harness.ledger.endings import Mark
from harness.ledger.files import sha256
from harness.ledger.method import BASELINE, ResolvedTerm
from harness.ledger.record import Record, Times
from harness.ledger.spec import RunSpec

MARKS = get_args(Mark)
JOULES_IN_KWH = 3.6e6


class Point(NamedTuple):
    """A point on a run's way, which is no end point: its schedule was not over."""

    iteration: int
    spent_seconds: float
    task_loss: float


Amounts = tuple[tuple[str, float], ...]
"""Named amounts, in order."""


@dataclass(frozen=True, slots=True)
class Run:
    """The last attempt of a key: fractions are fractions, durations seconds, lists words set apart by spaces."""

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
    variant_of: str | None
    """The method of which it is another form."""
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
    preparation_iterations: int
    images: int
    """Training images seen, repetitions counted."""
    epochs: float
    budget_seconds: float | None
    spent_seconds: float
    wall_seconds: float
    device_hours: float
    miou: float | None
    miou_absent_zero: float | None
    miou_predicted: float | None
    pixel_accuracy: float | None
    scored_images: int | None
    teacher_miou: float
    teacher_hours: float | None
    """Device-hours of the teacher's own training, which no run is charged for."""
    cost_seconds: float | None
    cost_ratio: float | None
    cost_ratio_low: float | None
    cost_ratio_high: float | None
    witness_cpu_seconds: float | None
    witness_wall_seconds: float | None
    disagreements: str
    warnings: str
    """Where the run's own account of its time and the sweep's differ; nothing where they agree."""
    energy_kwh: float | None
    peak_memory_bytes: int | None
    parameters: int | None
    concurrency: int
    host: str
    key: str
    attempt: int
    started: str
    ended: str
    class_names: tuple[str, ...]
    class_iou: tuple[float | None, ...]
    """Empty for a run that was not scored."""
    curve: tuple[Point, ...]
    times: Amounts
    """The ledger of time: wall seconds by what they went into; empty where the run left no account."""
    phases: Amounts
    """Of the cost: seconds an iteration by where they go."""
    phases_of: float | None
    """Seconds an iteration, timed without the marks between phases."""
    flops: int | None
    """Of an iteration."""
    gradient_shares: Amounts
    """Of each term, of the task loss's."""
    weights: Amounts
    """Of each term, as the run used it."""
    terms: tuple[ResolvedTerm, ...]
    log_tail: str
    student_sha256: str | None
    teacher_sha256: str
    data_sha256: str
    software: str
    """Versions and platform of the run's process."""

    @property
    def name(self) -> str:
        """KEY.ATTEMPT."""
        return f"{self.key}.{self.attempt}"


def runs_of(records: Iterable[Record]) -> tuple[Run, ...]:
    """The records' rows, of each key the last attempt, in the order of track, method, version, seed and key."""
    return in_order(last_attempts(map(run_of, records)))


def last_attempts(runs: Iterable[Run]) -> list[Run]:
    """Of each key the last attempt."""
    last: dict[str, Run] = {}
    for run in runs:
        known = last.get(run.key)
        if known is None or known.attempt < run.attempt:
            last[run.key] = run
    return list(last.values())


def in_order(runs: Iterable[Run]) -> tuple[Run, ...]:
    """Sorted by track, method, version, seed and key."""
    return tuple(sorted(runs, key=lambda run: (run.track, run.method, run.method_digest, run.seed, run.key)))


def run_of(record: Record) -> Run:
    """The record's row."""
    spec, outcome, witness = record.spec, record.outcome, record.witness
    ground, method, workload, scores = spec.ground, spec.method, spec.ground.workload, outcome.scores
    cost, readings, images = spec.cost, outcome.readings, outcome.iterations * workload.training.batch
    device = _device(ground.device_class)
    joules, teaching = readings.energy_joules if readings else None, ground.teacher.training_seconds
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
        variant_of=method.variant_of,
        seed=spec.seed,
        budget=spec.budget,
        pace=spec.pace,
        device=device.label,
        device_class=device.digest,
        device_detail=device.detail,
        rules=spec.rules,
        ending=outcome.ending,
        reason=outcome.reason or "",
        marks=" ".join(mark for mark in MARKS if mark in record.marks),
        planned_iterations=spec.iterations,
        replanned_iterations=outcome.replanned_iterations,
        iterations=outcome.iterations,
        preparation_iterations=outcome.preparation_iterations,
        images=images,
        epochs=images / workload.data.train.count,
        budget_seconds=spec.budget_seconds,
        spent_seconds=outcome.spent_seconds,
        wall_seconds=outcome.wall_seconds,
        device_hours=outcome.spent_seconds / 3600 * ground.device_class.count,
        miou=scores.miou if scores else None,
        miou_absent_zero=scores.miou_absent_zero if scores else None,
        miou_predicted=scores.miou_predicted if scores else None,
        pixel_accuracy=scores.pixel_accuracy if scores else None,
        scored_images=scores.images if scores else None,
        teacher_miou=ground.teacher.miou,
        teacher_hours=None if teaching is None else teaching / 3600,
        cost_seconds=cost.seconds if cost else None,
        cost_ratio=cost.ratio if cost else None,
        cost_ratio_low=cost.ratio_low if cost else None,
        cost_ratio_high=cost.ratio_high if cost else None,
        witness_cpu_seconds=witness.cpu_seconds if witness else None,
        witness_wall_seconds=witness.wall_seconds if witness else None,
        disagreements="; ".join(record.disagreements),
        warnings="; ".join(record.outcome.warnings),
        energy_kwh=None if joules is None else joules / JOULES_IN_KWH,
        peak_memory_bytes=readings.peak_memory_bytes if readings else None,
        parameters=outcome.student_parameters,
        concurrency=ground.concurrency,
        host=outcome.conditions.host if outcome.conditions else "",
        key=spec.key,
        attempt=spec.attempt,
        started=record.started,
        ended=record.ended,
        class_names=workload.classes,
        class_iou=scores.class_iou if scores else (),
        curve=tuple(Point(point.iteration, point.spent_seconds, point.task_loss) for point in outcome.curve),
        times=_amounts(outcome.times),
        phases=tuple(cost.phases.items()) if cost else (),
        phases_of=cost.phases_of if cost else None,
        flops=cost.flops if cost else None,
        gradient_shares=tuple(cost.gradient_shares.items()) if cost else (),
        weights=tuple(outcome.weights.items()),
        terms=method.terms,
        log_tail=record.log_tail or "",
        student_sha256=outcome.student_sha256,
        teacher_sha256=ground.teacher.sha256,
        data_sha256=ground.data_sha256,
        software=_software(outcome.conditions),
    )


def _amounts(times: Times | None) -> Amounts:
    return tuple((entry, seconds) for entry, seconds in times if entry != "process") if times else ()


def _software(conditions: Conditions | None) -> str:
    if conditions is None:
        return ""
    driver = f"driver {conditions.driver}" if conditions.driver else ""
    parts = (f"Python {conditions.python}", f"torch {conditions.torch}", conditions.platform, driver)
    return ", ".join(part for part in parts if part)


def track(spec: RunSpec) -> str:
    """Names the board that a run stands on; `60m` and `1h` are one budget."""
    ground = spec.ground
    return _track(ground.workload_digest, spec.budget, _device(ground.device_class).digest, spec.pace, spec.rules)


@lru_cache(maxsize=4096)
def _track(workload_digest: str, budget: str, device_class: str, pace: str, rules: int) -> str:
    parsed = Budget.parse(budget)
    amount = f"{parsed.amount:.9g} {parsed.unit} of {parsed.anchor}"
    return sha256(workload_digest, amount, device_class, pace, str(rules))[:12]


class Device(NamedTuple):
    """A device class in words."""

    label: str
    digest: str
    detail: str


@lru_cache(maxsize=4096)
def _device(found: DeviceClass) -> Device:
    return Device(found.label, found.digest, device_detail(found))


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


Version = tuple[str, str, str]
"""Track, method, digest."""


def version_of(run: Run) -> Version:
    """What a run is a run of."""
    return run.track, run.method, run.method_digest


def current_versions(runs: Iterable[Run]) -> frozenset[Version]:
    """Of each method on each track the version that ended last; of two that ended together, both."""
    ended: dict[Version, str] = {}
    for run in runs:
        version = version_of(run)
        ended[version] = max(run.ended, ended.get(version, ""))
    latest: dict[tuple[str, str], str] = {}
    for (board, method, _), at in ended.items():
        latest[board, method] = max(at, latest.get((board, method), ""))
    return frozenset(version for version, at in ended.items() if at == latest[version[:2]])


def baseline_mious(runs: Sequence[Run]) -> dict[tuple[str, int], float]:
    """The current baseline's mIoU at each seed of each track."""
    current = current_versions(runs)
    return {
        (run.track, run.seed): run.miou
        for run in runs
        if run.method == BASELINE and run.miou is not None and version_of(run) in current
    }
