"""A workload's teacher: its own network, trained alone on the same images or taken from a file, kept in the cache."""

import datetime
import time
from pathlib import Path

import torch

from harness.distill.distiller import Distiller
from harness.distill.draw import Draw
from harness.ledger.counts import scores_of
from harness.ledger.device import device_class
from harness.ledger.files import read, write
from harness.ledger.findings import TeacherCard
from harness.ledger.method import student_alone
from harness.ledger.spec import TeacherSpec
from harness.ledger.teacher import checkpoint_sha256, teacher_recipe, teacher_weights
from harness.ledger.workload import Workload
from harness.segmentation.backbones import weights_sha256
from harness.segmentation.checkpoints import take
from harness.segmentation.data import content_sha256, load
from harness.segmentation.evaluate import EVALUATION_BATCH, evaluate
from harness.segmentation.networks import build
from harness.segmentation.weights import load_weights, save_weights
from harness.train.clock import budget_clock
from harness.train.endings import Diverged
from harness.train.heartbeat import Heartbeat
from harness.train.loop import spend
from harness.train.pace import IterationsPace
from harness.train.streams import batches_of, generator, seeded, stream_seed
from harness.train.trainee import Trainee, compile_networks, held_to, place, prepare


def main(spec_path: Path, out: Path, heartbeat: Heartbeat) -> int:
    """The weights and their card stand in the cache afterwards, the card in OUT too."""
    spec = read(spec_path, TeacherSpec)
    began = time.perf_counter()
    device = torch.device(spec.device)
    workload = spec.workload
    prepare(device, workload)
    data = Path(spec.data) if spec.data else None
    heartbeat.enter("data")
    weights = teacher_weights(teacher_recipe(workload, content_sha256(workload, data)))
    taken_from = backbone = None
    if spec.checkpoint is not None:
        heartbeat.enter("building")
        taken_from = checkpoint_sha256(Path(spec.checkpoint), workload)
        network = take(workload, Path(spec.checkpoint))
        place(workload, device, network)
    else:
        heartbeat.enter("backbone")
        backbone = weights_sha256(workload.teacher.network)
        network = train(workload, data, device, heartbeat, backbone).student
    sha256 = save_weights(network, weights, getattr(torch, workload.teacher.training.stored_as))
    load_weights(network, weights, sha256)  # what is scored is what is stored, rounded as it may be
    heartbeat.enter("data")
    split = load(workload, data, "score")
    heartbeat.enter("evaluation", len(split.images))
    found = scores_of(evaluate(network, split, workload, device, EVALUATION_BATCH, heartbeat.tell))
    card = TeacherCard(
        recipe=weights.stem,
        sha256=sha256,
        miou=found.miou,
        class_iou=found.class_iou,
        iterations=workload.teacher.training.iterations if taken_from is None else None,
        taken_from=taken_from,
        backbone_sha256=backbone,
        parameters=sum(parameter.numel() for parameter in network.parameters()),
        device=device_class(spec.device, workload.threads, workload.engine.precision).label,
        wall_seconds=time.perf_counter() - began,
        made=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
    )
    write(weights.with_suffix(".json"), card)
    write(out, card)
    return 0


def train(
    workload: Workload, data: Path | None, device: torch.device, heartbeat: Heartbeat, backbone: str | None
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
    batches = batches_of(split, alone, recipe.seed, device)
    clock = budget_clock(device)
    pace = IterationsPace(recipe.iterations, None, clock)

    def look() -> None:
        if not torch.isfinite(trainee.losses).all():
            raise Diverged(f"the teacher's loss was no number any more by iteration {pace.done}")
        trainee.losses.zero_()

    torch.manual_seed(stream_seed(recipe.seed, "dropout"))
    heartbeat.enter("training", recipe.iterations, lambda: pace.done)
    spend(trainee, batches, pace, clock, look)
    return trainee
