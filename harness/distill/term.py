"""One term of a method at work: adapters, groups of images, parts, weights."""

import inspect
from collections.abc import Mapping
from functools import partial

import torch
from torch import Tensor, nn

from harness.distill.draw import Draw
from harness.distill.loading import Loss
from harness.distill.module import LossModule, Stages
from harness.distill.precision import full, full_precision
from harness.distill.sides import Sides
from harness.ledger.errors import BadInput
from harness.ledger.method import ResolvedPart, ResolvedTerm, Tap


class WeightedTerm(nn.Module):
    """One loss of a method at its taps, through its adapters, on groups of images one after the other."""

    def __init__(self, term: ResolvedTerm, found: Loss | type[nn.Module], sides: Sides, batch: int) -> None:
        super().__init__()
        if term.group and batch % term.group:
            raise BadInput(
                f"term '{term.name}': batch {batch} is no multiple of its group: expected whole groups of {term.group}"
            )
        self.taps = term.taps
        self.listed = term.listed
        self.adapters = nn.ModuleList(_adapter(tap, sides) for tap in term.taps)
        self.student_stages, self.teacher_stages = wanted_of(term, found)
        active = {part.name: part for part in term.weights if part.weight > 0}
        self.parts = tuple(active) if term.parts else ()
        self.names = tuple(f"{part}@{term.stage}" for part in self.parts) or (term.name,)
        self.weights = tuple(_weight(part, term, sides, batch) for part in active.values())
        asked = inspect.signature(found).parameters
        self.group = None if "group" in asked else term.group
        given = sides.asked(term.taps, term.listed) | {"group": term.group, "parts": frozenset(self.parts)}
        self.loss = _configured(term, found, {name: value for name, value in given.items() if name in asked})

    def forward(
        self, student: Mapping[str, Tensor], teacher: Mapping[str, Tensor], labels: Tensor, draw: Draw
    ) -> tuple[Tensor, ...]:
        """Weight × the mean over groups of the loss, for each part."""
        ours, theirs = self._tapped(student, teacher)
        size = self.group or len(labels)
        if size == len(labels):  # the rule: nothing is cut, and nothing stacked
            means = self._values(self._of(ours), self._of(theirs), labels, draw)
        else:
            groups = [slice(first, first + size) for first in range(0, len(labels), size)]
            values = [self._values(self._of(ours, some), self._of(theirs, some), labels[some], draw) for some in groups]
            means = [torch.stack(part).mean() for part in zip(*values, strict=True)]
        return tuple(weight * mean for weight, mean in zip(self.weights, means, strict=True))

    @property
    def needs_preparation(self) -> bool:
        """Whether its loss learns something before it distils."""
        return isinstance(self.loss, LossModule) and self.loss.needs_preparation

    @property
    def prepares_with_student(self) -> bool:
        """Whether what it learns first depends on the student."""
        return isinstance(self.loss, LossModule) and self.loss.prepares_with_student

    def prepare(
        self, student: Mapping[str, Tensor], teacher: Mapping[str, Tensor], labels: Tensor, draw: Draw, progress: float
    ) -> None:
        """One update of what is learned first."""
        assert isinstance(self.loss, LossModule)
        with torch.no_grad():
            ours, theirs = self._tapped(student if self.prepares_with_student else {}, teacher)
        # Without an adapter a tensor is still its network's own.
        ours = tuple(tensor.detach() for tensor in ours)
        size = self.group or len(labels)
        for first in range(0, len(labels), size):
            some = slice(first, first + size)
            self.loss.prepare(self._of(ours, some), self._of(theirs, some), labels[some], draw=draw, progress=progress)

    def after_step(self) -> None:
        """What its loss does once the student has been updated."""
        if isinstance(self.loss, LossModule):
            self.loss.after_step()

    def _tapped(
        self, student: Mapping[str, Tensor], teacher: Mapping[str, Tensor]
    ) -> tuple[tuple[Tensor, ...], tuple[Tensor, ...]]:
        """The stages of both networks, the student's adapted; none of a network that is not looked at."""
        pairs = zip(self.taps, self.adapters, strict=True)
        ours = tuple(full(adapter(student[tap.student])) for tap, adapter in pairs) if student else ()
        # Detached here too: a caller that forgot to freeze the teacher must not train it.
        theirs = tuple(full(teacher[tap.teacher]).detach() for tap in self.taps) if self.teacher_stages else ()
        return ours, theirs

    def _values(self, student: Stages | None, teacher: Stages | None, labels: Tensor, draw: Draw) -> list[Tensor]:
        """The loss, or its parts in order."""
        if isinstance(self.loss, nn.Module):
            found = self.loss(student, teacher, labels, draw=draw)
        else:
            with full_precision(labels):
                found = self.loss(student, teacher, labels, draw=draw)
        if not self.parts:
            return [found]
        if not isinstance(found, Mapping) or set(found) != set(self.parts):
            given = ", ".join(found) if isinstance(found, Mapping) else "one loss"
            raise BadInput(f"term '{self.names[0]}': found {given}: expected the parts {', '.join(self.parts)}")
        return [found[part] for part in self.parts]

    def _of(self, tensors: tuple[Tensor, ...], some: slice | None = None) -> Stages | None:
        """All or some images of the tensors, as the loss wants them: a tuple for a list of stages, None without any."""
        # Not cut where nothing is left out: a slice's gradient is a copy as large as the whole tensor.
        images = tensors if some is None else tuple(tensor[some] for tensor in tensors)
        if not images:
            return None
        return images if self.listed else images[0]


def wanted_of(term: ResolvedTerm, found: Loss | type[nn.Module]) -> tuple[frozenset[str], frozenset[str]]:
    """The stages of student and teacher that it looks at; none of the teacher when its loss takes `teacher: None`."""
    if isinstance(found, type) and issubclass(found, nn.Module):
        _, *parameters = inspect.signature(found.forward).parameters.values()  # the first is `self`
    else:
        parameters = list(inspect.signature(found).parameters.values())
    blind = any(parameter.annotation in (None, "None") for parameter in parameters[1:2])
    student = frozenset(tap.student for tap in term.taps)
    return student, frozenset() if blind else frozenset(tap.teacher for tap in term.taps)


def _weight(part: ResolvedPart, term: ResolvedTerm, sides: Sides, batch: int) -> float:
    """The weight, moved from its data set to these sizes where the descriptor says how."""
    if part.transfer is None:
        return part.weight
    stage = term.taps[0].teacher
    side = sides.teacher if stage in sides.teacher.sizes else sides.student
    return part.weight * part.transfer.factor(side.positions(stage), side.channels[stage], term.group or batch)


def _configured(term: ResolvedTerm, found: Loss | type[nn.Module], given: Mapping[str, object]) -> Loss:
    """The loss with its settings and with what it asks of the engine."""
    try:
        if not isinstance(found, type):
            inspect.signature(found).bind(None, None, None, draw=None, **term.settings, **given)
            return partial(found, **term.settings, **given)
        inspect.signature(found).bind(**term.settings, **given)
        module: Loss = found(**term.settings, **given)
        return module
    except TypeError as error:
        raise BadInput(
            f"{term.file}: '{term.function}' does not take what it is given: {error}: "
            "expected (student, teacher, labels, *, draw) and the descriptor's settings"
        ) from error


def _adapter(tap: Tap, sides: Sides) -> nn.Module:
    """From the student's width to the teacher's, PyTorch's initialisation; the identity where the tap wants none."""
    if tap.adapter is None:
        return nn.Identity()
    bias = tap.adapter == "conv1x1"
    return nn.Conv2d(sides.student.channels[tap.student], sides.teacher.channels[tap.teacher], kernel_size=1, bias=bias)
