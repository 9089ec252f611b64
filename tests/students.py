"""A run of the tiny workload, done in this process: its record and its student, as `bench run` leaves them."""

import importlib
from pathlib import Path

from harness.executors.job import Job
from harness.ledger.descriptor import method_path, resolve_method
from harness.ledger.device import device_class
from harness.ledger.errors import BadInput
from harness.ledger.files import write
from harness.ledger.findings import Refusal
from harness.ledger.record import Record, Witness
from harness.ledger.spec import RunSpec
from harness.ledger.workload import read_workload
from harness.segmentation.data import content_sha256
from harness.train.__main__ import ROOMS
from harness.train.heartbeat import Heartbeat
from harness.train.run import Run
from tests.factories import ground, spec
from tests.story import tiny

ITERATIONS = 30


def leave_student(folder: Path) -> Record:
    """The record of a run of FOLDER/tiny.yaml, kept in FOLDER/results; its student is in FOLDER/cache."""
    planned, out = plan(folder), folder / "work" / "out.json"
    out.parent.mkdir()
    outcome = Run(planned, out, Heartbeat(out), folder / "work").carry_out()
    assert outcome.ending == "done", outcome.reason
    record = Record(
        spec=planned.without_places(),
        outcome=outcome,
        witness=Witness(cpu_seconds=1.0, wall_seconds=2.0, exit_code=0),
        marks=("too_short",),
        log_tail=None,
        started="2025-01-01T00:00:00Z",
        ended="2025-01-01T00:02:00Z",
    )
    write(folder / "results" / "runs" / f"{planned.name}.json", record)
    return record


def plan(folder: Path) -> RunSpec:
    """A run on this machine's CPU."""
    workload = read_workload(tiny(folder))
    here = ground("tiny", of=workload, device=device_class("cpu", workload.threads, workload.engine.precision))
    on = here.model_copy(update={"data_sha256": content_sha256(workload, None)})
    baseline = resolve_method(method_path("baseline"), workload.dataset, workload.training.batch)
    planned = spec(baseline, on=on, seed=1, budget=f"{ITERATIONS} it", pace="iterations", iterations=ITERATIONS)
    return planned.model_copy(
        update={"key": "tiny-baseline-s1-0123abcd", "students": str(folder / "cache" / "students")}
    )


def engine(job: Job) -> int:
    """The engine's door, in this process and without its heart beating."""
    try:
        return int(importlib.import_module(ROOMS[job.verb]).main(job.spec, job.out, Heartbeat(job.out)))
    except BadInput as error:
        write(job.out, Refusal(ending=error.ending, reason=str(error)))
        return 2
