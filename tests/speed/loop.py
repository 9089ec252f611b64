"""The loop's own price: the same training by the harness and by a bare loop, in turns in one process.

    PYTHONPATH=. python tests/speed/loop.py [DEVICE]

Both train the student of `streets` by kd, from the same weights, on the same batches of the same seed, with the same
schedule. The harness does what a run does while its clock runs: pace, clock, the wait for data, the sums of its losses;
not the heartbeat's thread, which works a millisecond or so a second. What is told is the median over turns of the
ratio, by process CPU time on a CPU and by the wall (the device waited for) on a GPU, where crops are larger. The first
line says how far the two students lie apart afterwards: they did the same.
"""

import statistics
import sys
import time
from collections.abc import Callable

import psutil
import torch
from torch.nn import functional

from harness.ledger.cost import ratio_interval
from harness.ledger.descriptor import method_path, resolve_method
from harness.ledger.device import device_class
from harness.ledger.spec import Ground
from harness.ledger.teacher import find_teacher
from harness.ledger.workload import read_workload, workload_digest, workload_path
from harness.segmentation.data import Split, content_sha256, load
from harness.segmentation.networks import build
from harness.segmentation.weights import load_teacher
from harness.train.clock import budget_clock, cpu_seconds
from harness.train.loop import spend, warm_up
from harness.train.pace import IterationsPace
from harness.train.streams import batches_of, seeded
from harness.train.trainee import Trainee, make_trainee, prepare
from harness.train.waiting import waiting

SIZES = {"cpu": (5, 500), "cuda": (300, 8)}
"""Iterations a turn, and turns. Many short turns outlive a machine's moods; but a run pauses 20 times however long it
is, and on a GPU a pause waits for the device, so that a turn there must be as long as a short run.
"""
WEIGHT = 3.0
"""Of kd on streets."""


def bare(
    ground: Ground, split: Split, device: torch.device, iterations: int
) -> tuple[torch.nn.Module, Callable[[], None]]:
    """A student, and what trains it as one would write it for this case alone."""
    workload, recipe = ground.workload, ground.workload.training
    with seeded(0, "student"):
        student = build(workload.student, len(workload.classes), workload.stride).to(device).train()
    teacher = load_teacher(workload, ground.teacher).to(device)
    optimizer = torch.optim.SGD(
        student.parameters(), recipe.learning_rate, recipe.momentum, weight_decay=recipe.weight_decay, fused=True
    )

    batches = batches_of(split, ground.workload, 0, device)

    def train() -> None:
        for iteration in range(iterations):
            images, labels = next(batches)
            with torch.no_grad():
                taught = teacher(images)["logits"]
            logits = student(images)["logits"]
            enlarged = functional.interpolate(logits, size=labels.shape[1:], mode="bilinear", align_corners=True)
            task = functional.cross_entropy(enlarged, labels, ignore_index=255)
            kl = functional.kl_div(
                functional.log_softmax(logits, 1), functional.log_softmax(taught, 1), reduction="sum", log_target=True
            )
            loss = task + WEIGHT * kl * logits.shape[1] / logits.numel()
            for group in optimizer.param_groups:
                group["lr"] = recipe.learning_rate * (1 - iteration / iterations) ** recipe.power
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()

    return student, train


def by_the_harness(
    ground: Ground, split: Split, device: torch.device, iterations: int
) -> tuple[torch.nn.Module, Callable[[], None]]:
    """A student, and what a run does to it while its clock runs."""
    method = resolve_method(method_path("kd"), ground.workload.dataset, ground.workload.training.batch)
    assert [term.weight for term in method.terms] == [WEIGHT], "the bare loop weighs otherwise"
    trainee: Trainee = make_trainee(ground, method, 0, device)

    warm_up(trainee, batches_of(split, ground.workload, 0, device), 3)
    batches = waiting(batches_of(split, ground.workload, 0, device), device)

    def train() -> None:
        clock = budget_clock(device)
        pace = IterationsPace(iterations, None, clock)
        spend(trainee, batches, pace, clock, pace.pause)

    return trainee.student, train


def ground_of(name: str, device: str) -> Ground:
    """What a run of a drawn workload stands on."""
    path = workload_path(name)
    workload = read_workload(path)
    data = content_sha256(workload, None)
    teacher = find_teacher(name, path, workload, data)
    digest, here = (
        workload_digest(workload, data, teacher.sha256),
        device_class(device, workload.threads, workload.engine.precision),
    )
    return Ground(
        workload_name=name, workload=workload, workload_digest=digest, data=None, data_sha256=data, teacher=teacher,
        device_class=here, concurrency=1,
    )  # fmt: skip


def enlarged(ground: Ground) -> Ground:
    """Crops 8 times as high and wide: on those of `streets` a GPU does nothing but wait to be told what to do."""
    augmentation = ground.workload.augmentation
    height, width = augmentation.crop
    larger = augmentation.model_copy(update={"crop": (8 * height, 8 * width)})
    return ground.model_copy(update={"workload": ground.workload.model_copy(update={"augmentation": larger})})


def seconds(train: Callable[[], None], device: torch.device) -> float:
    """What a training takes, by the device's budget clock."""
    on_device = device.type == "cuda"
    now = time.perf_counter if on_device else cpu_seconds
    if on_device:
        torch.cuda.synchronize(device)
    began = now()
    train()
    if on_device:
        torch.cuda.synchronize(device)
    return now() - began


def compare(device: torch.device) -> tuple[float, list[float]]:
    """How far the students lie apart after some turns each, and harness over bare for each turn after those."""
    ground = ground_of("streets", str(device))
    if device.type == "cuda":
        ground = enlarged(ground)
    prepare(device, ground.workload)
    split = load(ground.workload, None, "train")
    iterations, turns = SIZES[device.type]
    sides = [by_the_harness(ground, split, device, iterations), bare(ground, split, device, iterations)]
    for _, train in sides:
        torch.manual_seed(0)  # the student's dropout
        train()
    apart = max(
        float((one - other).detach().abs().max() / one.detach().abs().max().clamp(min=1e-12))
        for one, other in zip(sides[0][0].parameters(), sides[1][0].parameters(), strict=True)
    )
    ratios = []
    for turn in range(turns):
        order = sides if turn % 2 else sides[::-1]
        took = {student: seconds(train, device) for student, train in order}
        ratios.append(took[sides[0][0]] / took[sides[1][0]])
    return apart, ratios


def ratio(device: torch.device) -> float:
    """The harness's time over the bare loop's."""
    return statistics.median(compare(device)[1])


def main() -> None:
    """Two lines."""
    device = torch.device(sys.argv[1] if len(sys.argv) > 1 else "cpu")
    iterations, turns = SIZES[device.type]
    print(f"load {psutil.getloadavg()[0]:.1f}, torch {torch.__version__}, {turns} turns of {iterations} iterations")
    apart, ratios = compare(device)
    ratio, low, high = ratio_interval([1.0] * len(ratios), ratios)
    print(f"students lie apart by {apart:.1e} of their largest weight")
    print(f"harness / bare loop: {ratio:.4f} (95 % {low:.4f} to {high:.4f})")


if __name__ == "__main__":
    main()
