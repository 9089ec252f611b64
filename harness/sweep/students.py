"""Students of runs that are over: found again, scored again, handed out."""

import os
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from safetensors import SafetensorError, safe_open

from harness.executors.job import Executor
from harness.ledger import places
from harness.ledger.datasets import Split
from harness.ledger.device import DeviceClass, device_class
from harness.ledger.errors import BadInput, nearest
from harness.ledger.files import Value, file_sha256, write
from harness.ledger.findings import Evaluation
from harness.ledger.record import Record, Scores
from harness.ledger.results import record_names, record_path
from harness.ledger.spec import EvaluateSpec
from harness.ledger.stored import must_be_results, read_named_record
from harness.ledger.student import card_of, student_sha256
from harness.ledger.workload import Workload, read_workload, workload_path
from harness.sweep.ground import data_folder, sound_data
from harness.sweep.watch import Watcher
from harness.sweep.working import call

SUFFIX = ".safetensors"
MOST_LISTED = 5


@dataclass(frozen=True)
class Student:
    """Weights, and what they are scored on."""

    name: str
    weights: Path
    sha256: str
    workload_name: str
    workload: Workload
    split: Split
    record: Record | None
    """Of the run that left them; None for a file of which nothing is known."""


class Comparison(Value):
    """A run's student scored again, beside what its record says."""

    is_equal: bool
    """Every score, to the last bit."""
    is_same_device_class: bool
    record_device: str
    record_miou: float
    miou_difference: float
    """Now, minus the record's."""


class Rescored(Value):
    """What `bench evaluate` tells."""

    format: Literal[1] = 1
    student: str
    student_sha256: str
    workload: str
    split: Split
    device: str
    classes: tuple[str, ...]
    scores: Scores
    comparison: Comparison | None
    not_compared: str | None
    """Why there is no comparison."""


# Finding


def find_record(results: Path, text: str) -> Record:
    """The record of KEY.ATTEMPT, or of its unique beginning: of a key's attempts the last."""
    attempts = {f"{key}.{attempt}": (key, attempt) for key, attempt in record_names(results)}
    if not attempts:
        must_be_results(results, "--results: ")
        raise BadInput(f"--results: {results}: found no records: expected those of `bench run`")
    begun = [attempts[name] for name in attempts if name.startswith(text)]
    keys = sorted({key for key, _ in begun})
    if not text or not keys:
        hint = nearest(text, (name[: len(text)] for name in attempts)) if text else ": expected its name, KEY.ATTEMPT"
        raise BadInput(f"RUN: no run {text!r} in {results / 'runs'}{hint}")
    if len(keys) > 1:
        some = ", ".join(keys[:MOST_LISTED]) + (", …" if len(keys) > MOST_LISTED else "")
        raise BadInput(f"RUN: {len(keys)} runs begin with {text!r}: {some}: expected more of the name")
    key, attempt = attempts.get(text, max(begun))
    return read_named_record(record_path(results, f"{key}.{attempt}"))


def student_of_run(results: Path, text: str, workload: str | None) -> Student:
    """A run's student, to be scored on its own workload unless another is named."""
    if os.path.isfile(text):
        raise BadInput(f"RUN|FILE: {text}: found a file of kind {Path(text).suffix!r}: expected {SUFFIX}, or a run")
    record = find_record(results, text)
    ground = record.spec.ground
    return Student(
        name=record.spec.name,
        weights=weights_of(record),
        sha256=student_sha256(record),
        workload_name=ground.workload_name if workload is None else workload_path(workload).stem,
        workload=ground.workload if workload is None else read_workload(workload_path(workload)),
        split=record.spec.scored_on,
        record=record,
    )


def student_of_file(path: Path, workload: str | None) -> Student:
    """The student in a file, which does not say of what workload it is."""
    if path.is_dir():
        raise BadInput(f"FILE: {path}: found a folder: expected a file of weights")
    if not path.is_file():
        beside = [each.name for each in path.parent.glob(f"*{SUFFIX}") if each.is_file()]
        raise BadInput(f"FILE: {path}: no such file{nearest(path.name, beside)}")
    if workload is None:
        raise BadInput(
            f"--workload: missing: {path.name} does not say of which workload's student it holds the weights"
        )
    found = workload_path(workload)
    return Student(path.name, path, sound_weights(path), found.stem, read_workload(found), "score", None)


def sound_weights(path: Path) -> str:
    """The file's SHA-256; BadInput, before any data are looked at, unless it is whole by what its header says."""
    try:
        with safe_open(path, framework="numpy"):  # reads the header alone
            pass
        return file_sha256(path)
    except SafetensorError as error:
        raise BadInput(f"FILE: {path}: no whole {SUFFIX} file: {str(error).splitlines()[0]}") from error
    except OSError as error:
        raise BadInput(f"FILE: {path}: cannot be read: {error.strerror or error}") from error


def weights_of(record: Record) -> Path:
    """Where the cache keeps the weights that a run left."""
    path = places.cache() / "students" / f"{student_sha256(record)}{SUFFIX}"
    if not path.is_file():
        raise BadInput(
            f"{record.spec.name}: its student is not in the cache: looked for {path}: "
            "set SEGKD_CACHE to the cache of the machine that ran it"
        )
    return path


# Scoring


def rescore(student: Student, data: Path | None, device: str, executor: Executor, watcher: Watcher) -> Rescored:
    """The student's scores, and how they compare with those of its record."""
    workload = student.workload
    here = device_class(device, workload.threads, workload.engine.precision)
    folder = data_folder(workload, data)
    data_sha256 = sound_data(workload, folder, executor, watcher).sha256
    spec = EvaluateSpec(
        workload=workload,
        data=str(folder) if folder is not None else None,
        device=device,
        weights=str(student.weights.resolve()),
        sha256=student.sha256,
        split=student.split,
    )
    scores = call("scoring", "evaluate", spec, Evaluation, device, workload.threads, executor, watcher).scores
    why_not = not_compared(student, data_sha256)
    return Rescored(
        student=student.name,
        student_sha256=student.sha256,
        workload=student.workload_name,
        split=student.split,
        device=here.label,
        classes=workload.classes,
        scores=scores,
        comparison=compared(student, scores, here) if why_not is None else None,
        not_compared=why_not,
    )


def not_compared(student: Student, data_sha256: str) -> str | None:
    """Why scores cannot be held against the record's; None when they can."""
    if student.record is None:
        return "a file has no record"
    ground = student.record.spec.ground
    if student.record.outcome.scores is None:
        return "the run ended before it was scored"
    if ground.workload.content != student.workload.content:
        return f"the record is of the workload {ground.workload_name} as it was then"
    if ground.data_sha256 != data_sha256:
        return f"the data are not the record's, whose SHA-256 is {ground.data_sha256[:12]}…"
    return None


def compared(student: Student, scores: Scores, here: DeviceClass) -> Comparison | None:
    """The scores beside those of the student's record, where it has any."""
    if student.record is None or student.record.outcome.scores is None:
        return None
    held, there = student.record.outcome.scores, student.record.spec.ground.device_class
    return Comparison(
        is_equal=scores == held,
        is_same_device_class=here == there,
        record_device=there.label,
        record_miou=held.miou,
        miou_difference=scores.miou - held.miou,
    )


# Handing out


LOADER = '''"""Loads the student beside this file and prints its logits' shape; needs segkd-bench alone."""

from pathlib import Path

import torch

from harness.ledger.files import read
from harness.ledger.student import StudentCard
from harness.segmentation.networks import build
from harness.segmentation.weights import load_weights

folder = Path(__file__).resolve().parent
card = read(folder / "card.json", StudentCard)
student = build(card.network, len(card.classes), card.stride).eval()
load_weights(student, folder / "student.safetensors", card.student_sha256)
images = torch.zeros(1, 3, *card.image_size)  # N×3×H×W, from pixels of 0 to 1: (pixels - card.mean) / card.std
with torch.inference_mode():
    print(tuple(student(images)["logits"].shape))  # N×C×h×w, `card.stride` pixels of the image apart
'''


def export(record: Record, out: Path) -> None:
    """A folder of the run's weights, their card and a loader: all three, or no folder at all."""
    card, weights, target = card_of(record), weights_of(record), out.resolve()
    try:
        must_be_free(out)
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=target.parent, prefix=f".{target.name}.") as room:
            made = Path(room) / target.name
            made.mkdir()
            copied = Path(shutil.copyfile(weights, made / "student.safetensors"))
            if (found := file_sha256(copied)) != card.student_sha256:
                raise BadInput(f"{weights}: SHA-256 is {found[:12]}…, expected {card.student_sha256[:12]}…")
            write(made / "card.json", card)
            (made / "load.py").write_text(LOADER, encoding="utf-8")
            os.replace(made, target)
    except OSError as error:
        raise BadInput(f"--out: {out}: cannot be written: {error.strerror}") from error


def must_be_free(out: Path) -> None:
    """BadInput unless nothing is there, or an empty folder, and what it is to lie in is no file."""
    if file := next((place for place in out.parents if place.is_file()), None):
        raise BadInput(f"--out: {out}: {file} is a file: expected a folder, or nothing yet")
    if out.is_dir() and any(out.iterdir()):
        raise BadInput(f"--out: {out}: found a folder that is not empty: expected a new one, as nothing is overwritten")
    if out.exists() and not out.is_dir():
        raise BadInput(f"--out: {out}: found a file: expected a new folder")
