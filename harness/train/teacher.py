"""A workload's teacher: its own network, trained alone on the same images or taken from a file, kept in the cache."""

import datetime
import time
from pathlib import Path

import torch
from filelock import FileLock, Timeout

from harness.distill.distiller import Distiller
from harness.distill.draw import Draw
from harness.ledger.counts import scores_of
from harness.ledger.device import device_class
from harness.ledger.errors import BadInput
from harness.ledger.files import read, write
from harness.ledger.findings import TeacherCard
from harness.ledger.method import student_alone
from harness.ledger.results import LOCKED, checkpoint_files
from harness.ledger.spec import TeacherSpec
from harness.ledger.teacher import cached_card, checkpoint_sha256, teacher_recipe, teacher_weights
from harness.ledger.workload import Workload
from harness.segmentation.backbones import weights_sha256
from harness.segmentation.batches import Batches
from harness.segmentation.checkpoints import take
from harness.segmentation.data import content_sha256, load
from harness.segmentation.evaluate import EVALUATION_BATCH, evaluate
from harness.segmentation.networks import build
from harness.segmentation.weights import load_weights, save_weights
from harness.train.checkpoint import Checkpoint, Facts
from harness.train.clock import budget_clock
from harness.train.endings import Diverged
from harness.train.heartbeat import Heartbeat
from harness.train.keeping import Keeping
from harness.train.loop import Rest, spend
from harness.train.pace import IterationsPace
from harness.train.streams import batches_of, generator, seeded, stream_seed
from harness.train.trainee import Trainee, compile_networks, held_to, place, prepare

LOCK_SECONDS = 2.0
"""Whoever only looks whether the lock is held, holds it for a moment."""


def main(spec_path: Path, out: Path, heartbeat: Heartbeat) -> int:
    """The weights and their card stand in the cache afterwards, the card in OUT too; LOCKED where another is at it."""
    spec = read(spec_path, TeacherSpec)
    began = time.monotonic()
    device = torch.device(spec.device)
    prepare(device, spec.workload)
    heartbeat.enter("data")
    weights = teacher_weights(teacher_recipe(spec.workload, content_sha256(spec.workload, _data(spec))))
    here = device_class(spec.device, spec.workload.threads, spec.workload.engine.precision)
    key = f"{weights.stem} on {here.label} with torch {here.torch}"
    keeping = Keeping(weights.with_suffix(".checkpoint"), key, heartbeat, began)
    weights.parent.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(weights.with_suffix(".lock"), timeout=LOCK_SECONDS):
            if not is_made(out, weights):
                card = make(spec, weights, device, heartbeat, keeping)
                heartbeat.stop.mind()  # from here to its last word
                write(weights.with_suffix(".json"), card, durable=True)
                heartbeat.answer(card)
            for path in checkpoint_files(keeping.path):
                path.unlink(missing_ok=True)
    except Timeout:
        # No answer: where a queue started the job twice, OUT is that of the first start, which is at it.
        print(f"bench: {weights}: another process is making this teacher: wait until it is done", flush=True)
        return LOCKED
    return 0


def is_made(out: Path, weights: Path) -> bool:
    """Whether an earlier start of the same job has made the teacher: a queue may start a job twice."""
    try:
        return read(out, TeacherCard) == cached_card(weights)
    except BadInput:
        return False


def _data(spec: TeacherSpec) -> Path | None:
    return Path(spec.data) if spec.data else None


def make(spec: TeacherSpec, weights: Path, device: torch.device, heartbeat: Heartbeat, keeping: Keeping) -> TeacherCard:
    """What the card will say of the teacher whose weights stand in their file afterwards."""
    workload = spec.workload
    taken_from = backbone = None
    if spec.checkpoint is not None:
        heartbeat.enter("building")
        taken_from = checkpoint_sha256(Path(spec.checkpoint), workload)
        network = take(workload, Path(spec.checkpoint))
        place(workload, device, network)
    else:
        heartbeat.enter("backbone")
        backbone = weights_sha256(workload.teacher.network)
        network = train(workload, _data(spec), device, heartbeat, backbone, keeping).student
    sha256 = save_weights(network, weights, getattr(torch, workload.teacher.training.stored_as))
    load_weights(network, weights, sha256)  # what is scored is what is stored, rounded as it may be
    heartbeat.enter("data")
    split = load(workload, _data(spec), "score")
    heartbeat.enter("evaluation", len(split.images))
    found = scores_of(evaluate(network, split, workload, device, EVALUATION_BATCH, heartbeat.tell))
    return TeacherCard(
        recipe=weights.stem,
        sha256=sha256,
        miou=found.miou,
        class_iou=found.class_iou,
        iterations=workload.teacher.training.iterations if taken_from is None else None,
        taken_from=taken_from,
        backbone_sha256=backbone,
        parameters=sum(parameter.numel() for parameter in network.parameters()),
        device=device_class(spec.device, workload.threads, workload.engine.precision).label,
        wall_seconds=keeping.lived_seconds,
        made=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
    )


def train(
    workload: Workload,
    data: Path | None,
    device: torch.device,
    heartbeat: Heartbeat,
    backbone: str | None,
    keeping: Keeping,
) -> Trainee:
    """The teacher's network after its recipe's iterations, begun from the backbone's file of that digest if any."""
    recipe = workload.teacher.training
    alone = workload.model_copy(
        update={
            "training": workload.training.model_copy(
                update={"batch": recipe.batch, "learning_rate": recipe.learning_rate}
            )
        }
    )
    heartbeat.enter("data")
    split = load(alone, data, "train")
    heartbeat.enter("building")

    def begin() -> tuple[Trainee, Batches]:
        begun = pupil(alone, device, backbone), batches_of(split, alone, recipe.seed, device)
        torch.manual_seed(stream_seed(recipe.seed, "dropout"))
        return begun

    clock = budget_clock(device)
    pace = IterationsPace(recipe.iterations, None, clock)
    trainee, batches, found = keeping.resume(*begin(), begin)
    if found is not None:
        pace.go_on_from(found.facts.reached)
        clock.carry(found.facts.spent_seconds, found.facts.wall_seconds)

    def keep() -> None:
        def take() -> Checkpoint:
            facts = Facts(
                key=keeping.key,
                reached=pace.reached,
                spent_seconds=clock.spent,
                wall_seconds=clock.wall_seconds,
                lived_seconds=keeping.lived_seconds,
                curve=(),
            )
            return Checkpoint(facts, trainee.snapshot(), batches.state())

        keeping.keep(take, pace.reached, is_over=pace.is_over)

    def look() -> None:
        if not torch.isfinite(trainee.losses).all():
            raise Diverged(f"the teacher's loss was no number any more by iteration {pace.done}")
        trainee.losses.zero_()
        keep()

    heartbeat.enter("training", recipe.iterations, lambda: pace.done)
    heartbeat.iterations = lambda: pace.done
    heartbeat.stop.mind()
    spend(trainee, batches, pace, clock, look, Rest(keeping.is_due, keep))
    heartbeat.stop.no_longer_mind()
    return trainee


def pupil(alone: Workload, device: torch.device, backbone: str | None) -> Trainee:
    """The teacher's network before its first iteration, as the only one that learns."""
    recipe = alone.teacher.training
    with seeded(recipe.seed, "student"):
        network = build(held_to(alone.teacher.network, backbone), len(alone.classes), alone.stride)
    network.train()
    distiller = Distiller(
        student_alone(),
        network,
        network,
        crop=alone.augmentation.crop,
        auxiliary_weight=alone.training.auxiliary_weight,
        batch=recipe.batch,
    )
    draw = Draw(generator(recipe.seed, "method", device), device)
    place(alone, device, network, distiller)
    trainee = Trainee(network, None, distiller, alone, draw)
    if alone.engine.compile:
        compile_networks(trainee, alone)
    return trainee
