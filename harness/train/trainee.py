"""A student with everything that trains it, and the one iteration that is paid for."""

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from harness.contract.building import building
from harness.contract.memory import must_be_forgotten, remembered
from harness.distill.distiller import Distiller, Losses
from harness.distill.draw import Draw
from harness.ledger.method import ResolvedMethod
from harness.ledger.spec import Ground
from harness.ledger.workload import Training
from harness.segmentation.networks import build
from harness.segmentation.staged import Staged
from harness.segmentation.weights import load_teacher
from harness.train.streams import generator, seeded


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
        self, student: Staged, teacher: Staged | None, distiller: Distiller, training: Training, draw: Draw
    ) -> None:
        self.student = student
        self.teacher = teacher
        self.distiller = distiller
        self.training = training
        self.draw = draw
        self.device = next(student.parameters()).device
        self.optimizer = torch.optim.SGD(
            # What of a loss requires no gradient is frozen, or has an optimizer of its own.
            [*student.parameters(), *(own for own in distiller.parameters() if own.requires_grad)],
            lr=training.learning_rate,
            momentum=training.momentum,
            weight_decay=training.weight_decay,
            fused=True,
        )
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
        taught = self.taught(images)
        outputs = self.student(images, self.distiller.student_stages)
        losses: Losses = self.distiller(outputs, taught, labels, self.draw)
        return losses

    def prepare(self, images: Tensor, labels: Tensor, progress: float) -> None:
        """One update of what the method learns before it distils; the student learns nothing."""
        student_stages, teacher_stages = self.distiller.preparation_stages
        with torch.no_grad():
            outputs = self.student(images, student_stages) if student_stages else {}
            taught = self.teacher(images, teacher_stages) if self.teacher is not None and teacher_stages else {}
        self.distiller.prepare(outputs, taught, labels, self.draw, progress)

    def taught(self, images: Tensor) -> Mapping[str, Tensor]:
        """The teacher's stages that a term looks at; without such a term the teacher does not run."""
        if self.teacher is None or not self.distiller.teacher_stages:
            return {}
        with torch.no_grad():
            outputs: Mapping[str, Tensor] = self.teacher(images, self.distiller.teacher_stages)
        return outputs

    def learning_rate(self, progress: float) -> float:
        """The polynomial schedule, stretched over the run's own budget."""
        return float(self.training.learning_rate * max(0.0, 1.0 - progress) ** self.training.power)

    def set_learning_rate(self, progress: float) -> None:
        """One rate for all parameters."""
        for group in self.optimizer.param_groups:
            group["lr"] = self.learning_rate(progress)

    def snapshot(self) -> Snapshot:
        """A copy of all that `iterate` changes."""
        on_device = self.device.type == "cuda"
        return Snapshot(
            student=copy.deepcopy(self.student.state_dict()),
            distiller=copy.deepcopy(self.distiller.state_dict()),
            optimizer=copy.deepcopy(self.optimizer.state_dict()),
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


def make_trainee(ground: Ground, method: ResolvedMethod, seed: int, device: torch.device) -> Trainee:
    """The student of a seed under a method, in train mode; the same seed gives every method the same student."""
    workload = ground.workload
    classes = len(workload.classes)
    with seeded(seed, "student"):
        student = build(workload.student, classes, workload.stride)
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
    if teacher is not None:
        teacher.to(device)
    draw = Draw(generator(seed, "method", device), device)
    student.to(device).train()
    distiller.to(device).train()
    return Trainee(student, teacher, distiller, workload.training, draw)


def prepare(device: torch.device, threads: int) -> None:
    """Makes the process compute as its device class says: on this device, in float32 proper, with so many threads."""
    if device.type == "cuda":
        torch.cuda.set_device(device)
        torch.backends.cuda.matmul.allow_tf32 = False
        torch.backends.cudnn.allow_tf32 = False
    else:
        torch.set_num_threads(threads)
