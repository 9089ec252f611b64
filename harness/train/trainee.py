"""A student with everything that trains it, and the one iteration that is paid for."""

import copy
from collections.abc import Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any, TypeVar

import torch
import torch._dynamo
from torch import Tensor, nn

from harness.contract.building import building
from harness.contract.memory import must_be_forgotten, remembered
from harness.distill.distiller import Distiller, Losses
from harness.distill.draw import Draw
from harness.ledger.method import ResolvedMethod
from harness.ledger.networks import Network
from harness.ledger.spec import Ground
from harness.ledger.workload import Training, Workload
from harness.segmentation.batches import layout_of
from harness.segmentation.networks import build
from harness.segmentation.staged import Staged
from harness.segmentation.weights import load_teacher
from harness.train.streams import generator, seeded

T = TypeVar("T")

ADAMW_BETA2 = 0.999

MOST_COMPILED = 128
"""Stages of two networks, each with and without gradients, and as much again."""


@dataclass(frozen=True)
class Snapshot:
    """All that an iteration changes, as it was at one moment."""

    student: dict[str, Tensor]
    distiller: dict[str, Tensor]
    optimizer: dict[str, Any]
    draw: Tensor
    global_cpu: Tensor
    global_device: Tensor | None
    losses: Tensor
    remembered: Mapping[str, str] | None
    """What the method holds besides: it cannot be put back, only be found changed. None of another process's."""


class Trainee:
    """Student, frozen teacher, distiller and optimizer. The loop calls `iterate` and nothing else."""

    def __init__(
        self, student: Staged, teacher: Staged | None, distiller: Distiller, workload: Workload, draw: Draw
    ) -> None:
        self.student = student
        self.teacher = teacher
        self.distiller = distiller
        self.training = workload.training
        self.is_mixed = workload.engine.precision == "bfloat16"
        self.draw = draw
        self.device = next(student.parameters()).device
        # What of a loss requires no gradient is frozen, or has an optimizer of its own.
        learned = [*student.parameters(), *(own for own in distiller.parameters() if own.requires_grad)]
        self.optimizer = optimizer_of(learned, workload.training)
        self.losses = torch.zeros(1 + len(distiller.names), device=self.device)
        """Sums of the task loss and of each weighted term since they were last read."""

    def iterate(self, images: Tensor, labels: Tensor, progress: float) -> None:
        """One optimizer update at the learning rate that `progress`, the share of the budget used, asks for."""
        self.set_learning_rate(progress)
        losses = self.losses_of(images, labels)
        self.optimizer.zero_grad(set_to_none=True)
        torch.autograd.backward(losses.total)
        self.optimizer.step()
        self.distiller.after_step()
        self.losses += torch.stack([losses.task.detach(), *(term.detach() for term in losses.terms)])

    def losses_of(self, images: Tensor, labels: Tensor) -> Losses:
        """Both networks' forward passes, as deep as the losses look, and the losses."""
        with self.precision():
            taught = self.taught(images, self.distiller.teacher_stages)
            outputs = self.student(images, self.distiller.student_stages)
            losses: Losses = self.distiller(outputs, taught, labels, self.draw)
        return losses

    def precision(self) -> AbstractContextManager[object]:
        """Inside, convolutions and matrix products are bfloat16 where the workload says so."""
        return torch.autocast(self.device.type, torch.bfloat16) if self.is_mixed else nullcontext()

    def prepare(self, images: Tensor, labels: Tensor, progress: float) -> None:
        """One update of what the method learns before it distils; the student learns nothing."""
        student_stages, teacher_stages = self.distiller.preparation_stages
        with self.precision():
            with torch.no_grad():
                outputs = self.student(images, student_stages) if student_stages else {}
            taught = self.taught(images, teacher_stages)
            self.distiller.prepare(outputs, taught, labels, self.draw, progress)

    def taught(self, images: Tensor, stages: frozenset[str]) -> Mapping[str, Tensor]:
        """The teacher's stages that a term looks at; without such a term the teacher does not run."""
        if self.teacher is None or not stages:
            return {}
        with torch.inference_mode():
            outputs: dict[str, Tensor] = self.teacher(images, stages)
        # Copies may be kept for a backward pass, tensors of the inference mode may not; one of each is there at a time.
        return {stage: outputs.pop(stage).clone() for stage in tuple(outputs)}

    def learning_rate(self, progress: float) -> float:
        """The polynomial schedule, stretched over the run's own budget."""
        highest, lowest = self.training.learning_rate, self.training.floor
        return float(lowest + (highest - lowest) * max(0.0, 1.0 - progress) ** self.training.power)

    def set_learning_rate(self, progress: float) -> None:
        """One rate for all parameters."""
        for group in self.optimizer.param_groups:
            group["lr"] = self.learning_rate(progress)

    def snapshot(self) -> Snapshot:
        """A copy of all that `iterate` changes."""
        on_device = self.device.type == "cuda"
        return Snapshot(
            student=_copied(self.student.state_dict()),
            distiller=_copied(self.distiller.state_dict()),
            optimizer=_copied(self.optimizer.state_dict()),
            draw=self.draw.generator.get_state(),
            global_cpu=torch.get_rng_state(),
            global_device=torch.cuda.get_rng_state(self.device) if on_device else None,
            losses=self.losses.clone(),
            remembered=remembered(self.distiller),
        )

    def restore(self, snapshot: Snapshot) -> None:
        """Puts everything back as it was; Cheating where the method remembers what is no part of its state."""
        self.student.load_state_dict(snapshot.student)
        self.distiller.load_state_dict(snapshot.distiller)
        # A copy: an optimizer goes on working in the tensors that it is given.
        self.optimizer.load_state_dict(copy.deepcopy(snapshot.optimizer))
        self.optimizer.zero_grad(set_to_none=True)
        self.draw.generator.set_state(snapshot.draw)
        torch.set_rng_state(snapshot.global_cpu)
        if snapshot.global_device is not None:
            torch.cuda.set_rng_state(snapshot.global_device, self.device)
        self.losses.copy_(snapshot.losses)
        if snapshot.remembered is not None:
            must_be_forgotten(snapshot.remembered, remembered(self.distiller))


def _copied(state: T) -> T:
    """The same, a copy: of a card's tensors one in the machine's memory, as the card may have no room for another."""
    return copy.deepcopy(state, {id(tensor): tensor.to("cpu", copy=True) for tensor in _on_cards(state)})


def _on_cards(state: object) -> Iterator[Tensor]:
    """The tensors in it, however deep, that lie on a card; parameters are left to be copied as what they are."""
    if type(state) is Tensor and state.is_cuda and not state.requires_grad:
        yield state
    elif isinstance(state, Mapping | list | tuple):
        for held in state.values() if isinstance(state, Mapping) else state:
            yield from _on_cards(held)


def optimizer_of(learned: Iterable[nn.Parameter], training: Training) -> torch.optim.Optimizer:
    """The workload's optimizer of these parameters, one update of all of them a few kernels."""
    rate, decay = training.learning_rate, training.weight_decay
    if training.optimizer == "adamw":
        betas = (training.momentum, ADAMW_BETA2)
        return torch.optim.AdamW(learned, lr=rate, betas=betas, weight_decay=decay, fused=True)
    return torch.optim.SGD(learned, lr=rate, momentum=training.momentum, weight_decay=decay, fused=True)


def make_trainee(ground: Ground, method: ResolvedMethod, seed: int, device: torch.device) -> Trainee:
    """The student of a seed under a method, in train mode; the same seed gives every method the same student."""
    workload = ground.workload
    classes = len(workload.classes)
    with seeded(seed, "student"):
        student = build(held_to(workload.student, ground.backbone_sha256), classes, workload.stride)
    teacher = load_teacher(workload, ground.teacher) if method.distils else None
    with seeded(seed, "method"), building(method):
        distiller = Distiller(
            method,
            student,
            teacher if teacher is not None else student,
            crop=workload.augmentation.crop,
            auxiliary_weight=workload.training.auxiliary_weight,
            batch=workload.training.batch,
        )
    draw = Draw(generator(seed, "method", device), device)
    place(workload, device, student.train(), distiller.train(), *([teacher] if teacher is not None else []))
    trainee = Trainee(student, teacher, distiller, workload, draw)
    if workload.engine.compile:
        compile_networks(trainee, workload)
    return trainee


def held_to(network: Network, backbone_sha256: str | None) -> Network:
    """The network; weights that it starts from are held to what the plan was drawn up with."""
    return network.model_copy(update={"backbone_sha256": backbone_sha256}) if backbone_sha256 else network


def place(workload: Workload, device: torch.device, *modules: nn.Module) -> None:
    """The modules are on the device, their weights laid out as the workload says."""
    for module in modules:
        module.to(device)
        module.to(memory_format=layout_of(workload))


def compile_networks(trainee: Trainee, workload: Workload) -> None:
    """Both networks' stages are compiled, for all that an iteration does with them; nothing else has changed.

    No method's code runs here: what a compiler does, with processes and files of its own, nobody else may do.
    """
    student, teacher, distiller = trainee.student, trainee.teacher, trainee.distiller
    # To torch all stages of one kind, as Sequential, are one function compiled again, which it gives up after eight.
    torch._dynamo.config.recompile_limit = MOST_COMPILED
    size = (workload.training.batch, 3, *workload.augmentation.crop)
    images = torch.zeros(size, device=trainee.device).contiguous(memory_format=layout_of(workload))
    before = copy.deepcopy(student.state_dict())
    devices = [trainee.device] if trainee.device.type == "cuda" else []
    for network in (student, *([teacher] if teacher is not None else [])):
        network.compile_stages()
    with torch.random.fork_rng(devices=devices), trainee.precision():
        outputs = student(images, distiller.student_stages)
        torch.autograd.backward(sum(output.float().mean() for output in outputs.values()))
        trainee.taught(images, distiller.teacher_stages)
        with torch.no_grad():
            student(images, distiller.preparation_stages[0])
    student.zero_grad(set_to_none=True)
    student.load_state_dict(before)


def prepare(device: torch.device, workload: Workload) -> None:
    """Makes the process compute as its device class says: on this device, in this precision, with so many threads."""
    if device.type != "cuda":
        torch.set_num_threads(workload.threads)
        return
    torch.cuda.set_device(device)
    # What autocast leaves in float32 is as exact as that says, unless the workload asks for less anyway.
    is_mixed = workload.engine.precision == "bfloat16"
    torch.backends.cuda.matmul.allow_tf32 = is_mixed
    torch.backends.cudnn.allow_tf32 = is_mixed
    # Crops have one size, for which the quickest convolutions are found while the run warms up.
    torch.backends.cudnn.benchmark = True
