"""Small builders of what the ledger holds, for tests: one workload, one device class, a record in a line."""

import re
from pathlib import Path

from harness.ledger.budget import Budget
from harness.ledger.cost import Cost
from harness.ledger.datasets import DrawnSplit, Split, StreetsData
from harness.ledger.device import Conditions, DeviceClass
from harness.ledger.endings import Ending, Mark
from harness.ledger.files import sha256, write
from harness.ledger.method import Family, ResolvedMethod, ResolvedTerm, Source, Tap
from harness.ledger.networks import LightNetwork
from harness.ledger.plan import RunKey
from harness.ledger.record import Outcome, Record, Scores, Witness
from harness.ledger.rules import RULES_VERSION
from harness.ledger.spec import Ground, Pace, RunSpec, TeacherFile
from harness.ledger.workload import Augmentation, Teacher, TeacherTraining, Training, Workload, workload_digest

DATA, WEIGHTS = "d" * 64, "e" * 64


def workload(**changes: object) -> Workload:
    """A workload like `streets`: 96 drawn scenes, batch 8, 12 iterations an epoch."""
    student = LightNetwork(architecture="light", widths=(8, 16, 24, 32), blocks=(1, 1, 1, 1), decoder=16, dropout=0.1)
    teacher = student.model_copy(update={"widths": (16, 32, 48, 64), "decoder": 32})
    whole = Workload(
        title="Streets, drawn scenes",
        standing="demonstration",
        caveat="Drawn scenes and small networks: shows how the benchmark works, says nothing about real data.",
        dataset="streets",
        classes=("road", "pavement", "building", "sky"),
        pictures="public",
        data=StreetsData(
            reader="streets",
            train=DrawnSplit(count=96, seed=1),
            tune=DrawnSplit(count=32, seed=2),
            score=DrawnSplit(count=32, seed=3),
        ),
        image_size=(64, 128),
        label_size=(64, 128),
        mean=(0.5, 0.5, 0.5),
        std=(0.25, 0.25, 0.25),
        stride=4,
        augmentation=Augmentation(scale=(0.5, 2.0), crop=(64, 64), flip=0.5),
        student=student,
        teacher=Teacher(
            network=teacher,
            weights="streets-teacher.safetensors",
            sha256=WEIGHTS,
            miou=0.72,
            band=0.01,
            training=TeacherTraining(iterations=4000, batch=8, learning_rate=0.05, seed=0, stored_as="float32"),
        ),
        training=Training(
            batch=8,
            learning_rate=0.05,
            momentum=0.9,
            weight_decay=1e-4,
            power=0.9,
            auxiliary_weight=0.0,
            recipe_epochs=40.0,
        ),
        threads=1,
    )
    return whole.model_copy(update=changes)


def device_class(**changes: object) -> DeviceClass:
    """One core of a CPU."""
    whole = DeviceClass(
        kind="cpu", model="Test CPU", memory_gib=None, mig=None, power_limit_watts=None, count=1,
        precision="float32", threads=1, torch="2.8", cuda=None,
    )  # fmt: skip
    return whole.model_copy(update=changes)


def ground(
    name: str = "streets", *, of: Workload | None = None, device: DeviceClass | None = None, teacher_miou: float = 0.72
) -> Ground:
    """What every run of a sweep stands on."""
    held = of or workload()
    return Ground(
        workload_name=name,
        workload=held,
        workload_digest=workload_digest(held, DATA, WEIGHTS),
        data=None,
        data_sha256=DATA,
        teacher=TeacherFile(path="teacher.safetensors", sha256=WEIGHTS, miou=teacher_miou),
        device_class=device or device_class(),
        concurrency=1,
    )


def method(
    name: str = "kd",
    *,
    title: str | None = None,
    family: Family | None = None,
    source: Source = "authors",
    digest: str | None = None,
    preparation_share: float = 0.0,
) -> ResolvedMethod:
    """A method of one term on the logits; `baseline` has none."""
    term = ResolvedTerm(
        name="kl@logits", file="losses.py", function="kl", taps=(Tap(student="logits", teacher="logits"),),
        listed=False, weight=1.0, source=source, settings={"temperature": 1.0},
    )  # fmt: skip
    is_baseline = name == "baseline"
    return ResolvedMethod(
        name=name,
        title=title or ("The student alone" if is_baseline else f"Method {name}"),
        family=family or ("baseline" if is_baseline else "canonical"),
        preparation_share=preparation_share,
        terms=() if is_baseline else (term,),
        digest=digest or sha256(name)[:16],
    )


def cost(ratio: float = 1.0, spread: float = 0.005, baseline_seconds: float = 0.1) -> Cost:
    """A cost with an interval of ± spread, as a share of the ratio."""
    return Cost(
        seconds=ratio * baseline_seconds,
        ratio=ratio,
        ratio_low=ratio * (1 - spread),
        ratio_high=ratio * (1 + spread),
        rounds=40,
        flops=None,
    )


def key_of(on: Ground, of: ResolvedMethod, seed: int, budget: str, pace: Pace, scored_on: Split, rules: int) -> str:
    """As a plan makes it; of other rules another, and of names that are no names a file's all the same."""
    key = RunKey(on, of, seed, Budget.parse(budget), pace, scored_on).text
    return key if rules == RULES_VERSION else f"{re.sub('[^a-z0-9]+', '-', key)}-{rules}"


def spec(
    of: ResolvedMethod | None = None,
    *,
    on: Ground | None = None,
    seed: int = 0,
    budget: str = "90s",
    pace: Pace = "clock",
    iterations: int = 900,
    cost_ratio: float | None = 1.0,
    cost_spread: float = 0.005,
    marks: tuple[Mark, ...] = (),
    attempt: int = 1,
    rules: int = RULES_VERSION,
    scored_on: Split = "score",
) -> RunSpec:
    """One run: a method, a budget, a seed."""
    held, stands = of or method(), on or ground()
    return RunSpec(
        key=key_of(stands, held, seed, budget, pace, scored_on, rules),
        attempt=attempt,
        ground=stands,
        method=held,
        seed=seed,
        scored_on=scored_on,
        budget=budget,
        budget_seconds=Budget.parse(budget).seconds(None),
        pace=pace,
        iterations=iterations,
        epochs=iterations * stands.workload.training.batch / stands.workload.data.train.count,
        cost=cost(cost_ratio, cost_spread) if cost_ratio is not None else None,
        marks=marks,
        device="cpu",
        students="students",
        rules=rules,
    )


def record(
    method_name: str = "kd",
    seed: int = 0,
    miou: float | None = 0.5,
    *,
    title: str | None = None,
    family: Family | None = None,
    source: Source = "authors",
    digest: str | None = None,
    on: Ground | None = None,
    budget: str = "90s",
    pace: Pace = "clock",
    iterations: int = 900,
    cost_ratio: float | None = 1.0,
    cost_spread: float = 0.005,
    spent_seconds: float | None = None,
    ending: Ending = "done",
    reason: str | None = None,
    marks: tuple[Mark, ...] = (),
    attempt: int = 1,
    rules: int = RULES_VERSION,
    host: str = "node1",
    ended: str = "2025-01-01T00:02:00Z",
) -> Record:
    """What a run leaves behind; one that is not done has no mIoU."""
    of = method(method_name, title=title, family=family, source=source, digest=digest)
    held = spec(
        of, on=on, seed=seed, budget=budget, pace=pace, iterations=iterations, cost_ratio=cost_ratio,
        cost_spread=cost_spread, attempt=attempt, rules=rules,
    )  # fmt: skip
    scores = None
    if ending == "done" and miou is not None:
        scores = Scores(
            miou=miou, miou_absent_zero=miou, miou_predicted=miou, class_iou=(miou,) * 4, pixel_accuracy=0.9, images=32
        )
    spent = (
        spent_seconds if spent_seconds is not None else held.budget_seconds or 0.1 * (cost_ratio or 1.0) * iterations
    )
    outcome = Outcome(
        ending=ending,
        reason=reason,
        iterations=0 if ending == "skipped" else iterations,
        spent_seconds=0.0 if ending == "skipped" else spent,
        wall_seconds=0.0 if ending == "skipped" else spent * 1.05,
        scores=scores,
        student_parameters=123_456,
        conditions=Conditions(
            host=host, uuid=None, driver=None, load=0.5, python="3.11.7", torch="2.8.0", platform="Linux"
        ),
    )
    return Record(
        spec=held,
        outcome=outcome,
        witness=Witness(cpu_seconds=spent * 1.1, wall_seconds=spent * 1.2, exit_code=0),
        marks=marks,
        log_tail=None,
        started="2025-01-01T00:00:00Z",
        ended=ended,
    )


def save(results: Path, *records: Record) -> None:
    """Writes RESULTS/runs/KEY.ATTEMPT.json, as a sweep does."""
    for each in records:
        write(results / "runs" / f"{each.spec.name}.json", each)
