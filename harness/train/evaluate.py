"""A student scored again."""

from pathlib import Path

import torch

from harness.ledger.counts import scores_of
from harness.ledger.errors import BadInput
from harness.ledger.files import read
from harness.ledger.findings import Evaluation
from harness.ledger.networks import untrained
from harness.ledger.spec import EvaluateSpec
from harness.segmentation.data import load
from harness.segmentation.evaluate import EVALUATION_BATCH, evaluate
from harness.segmentation.networks import build
from harness.segmentation.staged import Staged
from harness.segmentation.weights import load_weights
from harness.train.heartbeat import Heartbeat
from harness.train.trainee import place, prepare

MOST_BYTES = 8
"""Of a number in a file of weights."""

HEADER = 2**20
"""Bytes that such a file may need for names and shapes."""


def main(spec_path: Path, out: Path, heartbeat: Heartbeat) -> int:
    """An Evaluation stands in OUT afterwards."""
    spec = read(spec_path, EvaluateSpec)
    workload, device = spec.workload, torch.device(spec.device)
    prepare(device, workload)
    heartbeat.enter("building")
    student = build(untrained(workload.student), len(workload.classes), workload.stride)
    must_not_be_larger(student, Path(spec.weights))
    load_weights(student, Path(spec.weights), spec.sha256)
    place(workload, device, student)
    heartbeat.enter("data")
    split = load(workload, Path(spec.data) if spec.data else None, spec.split)
    heartbeat.enter("evaluation", len(split.images))
    counts = evaluate(student, split, workload, device, EVALUATION_BATCH, heartbeat.tell)
    heartbeat.answer(Evaluation(scores=scores_of(counts)))
    return 0


def must_not_be_larger(student: Staged, path: Path) -> None:
    """BadInput for a file that cannot be the student's, before it is read into memory."""
    most = HEADER + MOST_BYTES * sum(tensor.numel() for tensor in student.state_dict().values())
    found = path.stat().st_size
    if found > most:
        raise BadInput(f"{path}: found {found:,} bytes: the workload's student needs no more than {most:,}")
