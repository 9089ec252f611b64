"""A method at work on the small networks of `scene`, and one line for whatever its Python does wrong."""

import copy
import traceback
from collections.abc import Iterable, Mapping
from io import BytesIO
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from harness.contract.scene import BATCH, CROP, STUDENT, TEACHER, batch, network
from harness.distill.distiller import Distiller
from harness.distill.draw import Draw
from harness.ledger.descriptor import SHIPPED
from harness.ledger.errors import BadInput
from harness.ledger.method import ResolvedMethod

CPU = torch.device("cpu")
LEARNING_RATE = 1e-3
Outputs = dict[str, Tensor]


class Broken(Exception):
    """A clause of the contract that a method does not keep: one line."""


class Pupil:
    """Student, teacher, distiller and optimizer; one seed makes one pupil, whatever was drawn before.

    Args:
        method: as it runs on a data set with `scene.BATCH` images an iteration.
        seed: of the distiller and of what it draws; the networks are always the same.
        more: whether the networks have the stages that not every network has.

    """

    def __init__(self, method: ResolvedMethod, seed: int = 0, more: bool = True) -> None:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(1)
            self.student = network(STUDENT, more).train()
            self.teacher = network(TEACHER, more).eval()
            torch.manual_seed(2 + seed)
            self.distiller = Distiller(
                method, self.student, self.teacher, crop=CROP, auxiliary_weight=0.0, batch=BATCH
            ).train()
        self.draw = Draw(torch.Generator().manual_seed(seed), CPU)
        self.images, self.labels = batch()
        self.learned = [own for own in self.distiller.parameters() if own.requires_grad]
        self.optimizer = torch.optim.SGD([*self.student.parameters(), *self.learned], lr=LEARNING_RATE, momentum=0.9)

    def look(self, images: Tensor | None = None) -> tuple[Outputs, Outputs]:
        """The stages of student and teacher that the method wants; the teacher's would take gradients if let."""
        images = self.images if images is None else images
        ours = self.student(images, self.distiller.student_stages)
        with torch.no_grad():
            theirs = self.teacher(images, self.distiller.teacher_stages) if self.distiller.teacher_stages else {}
        return ours, {stage: output.requires_grad_() for stage, output in theirs.items()}

    def losses(self, ours: Mapping[str, Tensor], theirs: Mapping[str, Tensor], labels: Tensor) -> dict[str, Tensor]:
        """The weighted terms by name; Broken unless each is a finite scalar."""
        values = self.distiller.distil(ours, theirs, labels, self.draw)
        found = dict(zip(self.distiller.names, values, strict=True))
        for name, value in found.items():
            must_be_finite_scalar(name, value)
        return found

    def gradients(self, loss: Tensor, ours: Mapping[str, Tensor]) -> list[Tensor | None]:
        """Of the student's stages, in their order, and of `learned`; Broken unless all are finite."""
        wanted = [*ours.values(), *self.learned]
        found: list[Tensor | None] = list(torch.autograd.grad(loss, wanted, retain_graph=True, allow_unused=True))
        if not all(gradient is None or bool(gradient.isfinite().all()) for gradient in found):
            raise Broken("the loss is finite, but its gradient is not")
        return found

    def prepare(self, progress: float) -> None:
        """One update of what is learned before distillation, where anything is."""
        if self.distiller.needs_preparation:
            with torch.no_grad():
                ours, theirs = self.student(self.images, self.distiller.student_stages), self.look()[1]
            self.distiller.prepare(ours, theirs, self.labels, self.draw, progress)

    def iterate(self) -> tuple[Tensor, ...]:
        """One update of the student; returns the task loss and the terms as they were."""
        ours, theirs = self.look()
        losses = self.distiller(ours, theirs, self.labels, self.draw)
        self.optimizer.zero_grad()
        torch.autograd.backward(losses.total)
        self.optimizer.step()
        self.distiller.after_step()
        return tuple(loss.detach().clone() for loss in (losses.task, *losses.terms))

    def saved(self) -> bytes:
        """All that an iteration changes, as a checkpoint holds it."""
        state = {
            "student": self.student.state_dict(),
            "distiller": self.distiller.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "draw": self.draw.generator.get_state(),
            "global": torch.get_rng_state(),
        }
        file = BytesIO()
        torch.save(state, file)
        return file.getvalue()

    def resume(self, saved: bytes) -> None:
        """Goes on from there; the checkpoint is read as data, never run."""
        state: dict[str, Any] = torch.load(BytesIO(saved), weights_only=True)
        self.student.load_state_dict(state["student"])
        self.distiller.load_state_dict(state["distiller"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.draw.generator.set_state(state["draw"])
        torch.set_rng_state(state["global"])

    def networks(self) -> dict[str, Tensor]:
        """A copy of both networks' parameters and buffers."""
        both = {"student": self.student.state_dict(), "teacher": self.teacher.state_dict()}
        return {f"{owner} {name}": value.clone() for owner, state in both.items() for name, value in state.items()}


def must_be_finite_scalar(name: str, value: object) -> None:
    """Broken unless a loss is one finite number that autograd knows of."""
    if not isinstance(value, Tensor):
        raise Broken(f"'{name}' is {type(value).__name__} {value!r}: expected a tensor")
    if value.ndim:
        raise Broken(f"'{name}' has the shape {'×'.join(map(str, value.shape))}: expected a scalar")
    if not value.is_floating_point():
        raise Broken(f"'{name}' is {value.dtype}: expected a floating-point number")
    if not bool(value.isfinite()):
        raise Broken(f"'{name}' is {value.item()}: expected a finite number")


def same(one: object, other: object) -> bool:
    """Whether two states are equal bit for bit."""
    if isinstance(one, Tensor) and isinstance(other, Tensor):
        if one.shape != other.shape or one.dtype != other.dtype:
            return False
        return bool(((one == other) | ((one != one) & (other != other))).all())
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if isinstance(one, list | tuple) and isinstance(other, list | tuple):
        return len(one) == len(other) and all(map(same, one, other))
    return bool(one == other)


def copied(state: Mapping[str, Any]) -> dict[str, Any]:
    """A state that no later step changes."""
    return copy.deepcopy(dict(state))


def blamed(error: Exception, files: Iterable[str]) -> str:
    """One line: the method's file and line where there is one, and what was raised there."""
    files = list(files)
    text = " ".join(str(error).split()) if isinstance(error, BadInput) else _first_line(error)
    said = text if isinstance(error, BadInput | Broken) else f"{type(error).__name__}: {text}"
    place = _place(error, files) or (_place(error.__cause__, files) if error.__cause__ else None)
    for file in files:
        if said.startswith(f"{file}:"):
            rest = said.removeprefix(f"{file}:")
            return said if place is None or rest[0].isdigit() else f"{place}:{rest}"
    if place is None and len(set(files)) == 1 and not isinstance(error, BadInput):
        place = files[0]
    return f"{place}: {said}" if place else said


def _place(error: BaseException, files: list[str]) -> str | None:
    """`file:line` of the last line of a method's own file that ran, or else of a shipped method's."""
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if frame.filename in files]
    lines = own or [frame for frame in frames if Path(frame.filename).parent == SHIPPED]
    return f"{lines[-1].filename}:{lines[-1].lineno}" if lines else None


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[0] if lines else "nothing was said"
