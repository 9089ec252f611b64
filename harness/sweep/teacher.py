"""A workload's teacher in the cache: found there, or trained or taken by the engine."""

from dataclasses import dataclass
from pathlib import Path

from harness.executors.job import Executor
from harness.ledger import places
from harness.ledger.errors import BadInput
from harness.ledger.findings import TeacherCard
from harness.ledger.spec import TeacherSpec
from harness.ledger.teacher import cached_card, checkpoint_sha256, how_to_come_by, teacher_recipe, teacher_weights
from harness.ledger.workload import Workload
from harness.sweep.ground import sound_data
from harness.sweep.watch import Watcher
from harness.sweep.working import call


@dataclass(frozen=True)
class Wanted:
    """The teacher of a workload, and what it is to be made with."""

    workload_name: str
    """As a person types it."""
    workload: Workload
    data: Path | None
    device: str
    checkpoint: Path | None
    """What `--from` names; None: it is trained."""


@dataclass(frozen=True)
class Kept:
    """A teacher in the cache."""

    weights: Path
    card: TeacherCard


def come_by(wanted: Wanted, executor: Executor, watcher: Watcher) -> Kept:
    """The teacher in the cache, which is made where there is none; BadInput when another one is there or meant."""
    workload = wanted.workload
    given = checkpoint_sha256(wanted.checkpoint, workload) if wanted.checkpoint is not None else None
    report = sound_data(workload, wanted.data, executor, watcher)
    weights = teacher_weights(teacher_recipe(workload, report.sha256))
    card = cached_card(weights)
    if card is None:
        return Kept(weights, make(wanted, given, weights.parent, executor, watcher))
    if given not in {None, card.taken_from, card.sha256}:
        raise BadInput(f"--from: {weights} holds another teacher: remove it, then take this one")
    watcher.say("there already; remove the file to make it anew")
    return Kept(weights, card)


def make(wanted: Wanted, given: str | None, folder: Path, executor: Executor, watcher: Watcher) -> TeacherCard:
    """The card of a teacher that the engine has trained, or taken from a checkpoint of the digest given."""
    workload, name = wanted.workload, wanted.workload_name
    if given is None and workload.teacher.checkpoint is not None:
        raise BadInput(f"no teacher for {name} in the cache: {how_to_come_by(name, workload)}")
    places.must_be_writable(folder)
    spec = TeacherSpec(
        workload=workload,
        data=str(wanted.data) if wanted.data is not None else None,
        device=wanted.device,
        checkpoint=str(wanted.checkpoint.resolve()) if wanted.checkpoint is not None else None,
    )
    title = "training" if given is None else "taking the checkpoint"
    return call(title, "teacher", spec, TeacherCard, wanted.device, workload.threads, executor, watcher)
