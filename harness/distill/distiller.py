"""A method on two networks: its terms, their adapters, and what of the networks must be computed for them."""

import inspect
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor, nn

from harness.distill.draw import Draw
from harness.distill.loading import Loss, load
from harness.distill.losses import cross_entropy
from harness.ledger.errors import BadInput, nearest
from harness.ledger.method import ResolvedMethod, ResolvedTerm, Tap
from harness.segmentation.staged import Staged

LOGITS, AUXILIARY = "logits", "aux_logits"
Found = Loss | type[nn.Module]


@dataclass(frozen=True)
class Losses:
    """What one iteration minimises: scalars, the terms already weighted."""

    task: Tensor
    terms: tuple[Tensor, ...]

    @property
    def total(self) -> Tensor:
        """The task loss and all terms."""
        return sum(self.terms, self.task)


class Distiller(nn.Module):
    """The task loss and a method's terms of weight above zero; its parameters train with the student's optimizer.

    What is no sum of terms overrides `distil`.

    Args:
        auxiliary_weight: of the task loss at the student's aux_logits, where it has them.
        batch: images an iteration; a method with groups needs whole groups.

    """

    def __init__(
        self, method: ResolvedMethod, student: Staged, teacher: Staged, *, auxiliary_weight: float, batch: int
    ) -> None:
        super().__init__()
        if method.group and batch % method.group:
            raise BadInput(
                f"{method.name}: batch {batch} is no multiple of its group: expected whole groups of {method.group} "
                "images, as its authors had on one device; another group is another method"
            )
        found = tuple((term, load(term)) for term in method.terms if term.weight > 0)
        active, self.left_out = _applicable(method.name, found, student, teacher)
        self.terms = nn.ModuleList(WeightedTerm(term, loss, student, teacher, method.group) for term, loss in active)
        self.names = _unique(term.name for term, _ in active)
        self.auxiliary_weight = auxiliary_weight if AUXILIARY in student.stages else 0.0
        task = {LOGITS, AUXILIARY} if self.auxiliary_weight else {LOGITS}
        self.student_stages = frozenset(task.union(*(term.student_stages for term in self._terms())))
        self.teacher_stages = frozenset[str]().union(*(term.teacher_stages for term in self._terms()))

    def forward(
        self, student: Mapping[str, Tensor], teacher: Mapping[str, Tensor], labels: Tensor, draw: Draw
    ) -> Losses:
        """The losses of a batch.

        Args:
            student: `student_stages`, each B×C×h×w.
            teacher: `teacher_stages`; nothing is read from it when there are none.
            labels: B×H×W, int64, 255 = ignore.
            draw: the method's own random numbers.

        """
        return Losses(self.task(student, labels, draw), self.distil(student, teacher, labels, draw))

    def task(self, student: Mapping[str, Tensor], labels: Tensor, draw: Draw) -> Tensor:
        """Cross-entropy of the logits, and its share of the auxiliary head's."""
        loss = cross_entropy(_full(student[LOGITS]), None, labels, draw=draw)
        if self.auxiliary_weight:
            auxiliary = cross_entropy(_full(student[AUXILIARY]), None, labels, draw=draw)
            loss = loss + self.auxiliary_weight * auxiliary
        return loss

    def distil(
        self, student: Mapping[str, Tensor], teacher: Mapping[str, Tensor], labels: Tensor, draw: Draw
    ) -> tuple[Tensor, ...]:
        """The weighted terms, in the order of `names`."""
        return tuple(term(student, teacher, labels, draw) for term in self._terms())

    def _terms(self) -> Iterator["WeightedTerm"]:
        for term in self.terms:
            assert isinstance(term, WeightedTerm)
            yield term


class WeightedTerm(nn.Module):
    """One loss of a method at its taps, through its adapters, on groups of images one after the other."""

    def __init__(self, term: ResolvedTerm, found: Found, student: Staged, teacher: Staged, group: int | None) -> None:
        super().__init__()
        self.taps = term.taps
        self.listed = term.listed
        self.weight = term.weight
        self.group = group
        self.adapters = nn.ModuleList(_adapter(tap, student, teacher) for tap in term.taps)
        self.loss = _configured(term, found, student, teacher)
        self.student_stages = frozenset(tap.student for tap in term.taps)
        self.teacher_stages = _teacher_stages(term, found)

    def forward(
        self, student: Mapping[str, Tensor], teacher: Mapping[str, Tensor], labels: Tensor, draw: Draw
    ) -> Tensor:
        """Weight × the mean over groups of the loss."""
        taps = zip(self.taps, self.adapters, strict=True)
        adapted = tuple(_full(adapter(student[tap.student])) for tap, adapter in taps)
        # Detached here too: a caller that forgot to freeze the teacher must not train it.
        targets = tuple(_full(teacher[tap.teacher]).detach() for tap in self.taps if self.teacher_stages)
        size = self.group or len(labels)
        groups = [slice(first, first + size) for first in range(0, len(labels), size)]
        values = [
            self.loss(self._of(adapted, some), self._of(targets, some), labels[some], draw=draw) for some in groups
        ]
        return self.weight * torch.stack(values).mean()

    def _of(self, tensors: tuple[Tensor, ...], some: slice) -> Tensor | tuple[Tensor, ...] | None:
        """Some images of the tensors, as the loss wants them: a tuple for a list of stages, None without a teacher."""
        images = tuple(tensor[some] for tensor in tensors)
        if not images:
            return None
        return images if self.listed else images[0]


def _applicable(
    method: str, found: tuple[tuple[ResolvedTerm, Found], ...], student: Staged, teacher: Staged
) -> tuple[tuple[tuple[ResolvedTerm, Found], ...], tuple[str, ...]]:
    """The terms whose stages both networks have, and the names of the optional ones that have to be left out."""
    active, left_out = [], []
    for term, loss in found:
        problem = _missing(term, loss, student, teacher)
        if problem is None:
            active.append((term, loss))
        elif term.optional:
            left_out.append(term.name)
        else:
            raise BadInput(f"{method}: term '{term.name}': {problem}")
    return tuple(active), tuple(left_out)


def _missing(term: ResolvedTerm, found: Found, student: Staged, teacher: Staged) -> str | None:
    """Which stage a network lacks for the term, and which stages it has."""
    wanted = (
        ("student", student, {tap.student for tap in term.taps}),
        ("teacher", teacher, _teacher_stages(term, found)),
    )
    for owner, network, stages in wanted:
        for stage in sorted(stages.difference(network.stages)):
            known = ", ".join(network.stages)
            return f"the {owner} has no stage '{stage}'{nearest(stage, network.stages)}: it has {known}"
    return None


def _teacher_stages(term: ResolvedTerm, found: Found) -> frozenset[str]:
    """What the term needs of the teacher: nothing when its loss takes `teacher: None`."""
    if isinstance(found, type) and issubclass(found, nn.Module):
        _, *parameters = inspect.signature(found.forward).parameters.values()  # the first is `self`
    else:
        parameters = list(inspect.signature(found).parameters.values())
    blind = any(parameter.annotation in (None, "None") for parameter in parameters[1:2])
    return frozenset() if blind else frozenset(tap.teacher for tap in term.taps)


def _configured(term: ResolvedTerm, found: Found, student: Staged, teacher: Staged) -> Loss:
    """The loss with its settings; a module class is also told the widths that it asks for, those after the adapters."""
    try:
        if not isinstance(found, type):
            inspect.signature(found).bind(None, None, None, draw=None, **term.settings)
            return partial(found, **term.settings)
        asked = inspect.signature(found).parameters
        widths = {name: width for name, width in _widths(term, student, teacher).items() if name in asked}
        inspect.signature(found).bind(**term.settings, **widths)
        module: Loss = found(**term.settings, **widths)
        return module
    except TypeError as error:
        raise BadInput(
            f"{term.file}: '{term.function}' does not take what it is given: {error}: "
            "expected (student, teacher, labels, *, draw) and the descriptor's settings"
        ) from error


def _widths(term: ResolvedTerm, student: Staged, teacher: Staged) -> dict[str, int | tuple[int, ...]]:
    theirs = tuple(teacher.channels[tap.teacher] for tap in term.taps)
    ours = tuple(
        width if tap.adapter else student.channels[tap.student] for tap, width in zip(term.taps, theirs, strict=True)
    )
    if term.listed:
        return {"student_channels": ours, "teacher_channels": theirs}
    return {"student_channels": ours[0], "teacher_channels": theirs[0]}


def _adapter(tap: Tap, student: Staged, teacher: Staged) -> nn.Module:
    """From the student's width to the teacher's, PyTorch's initialisation; the identity where the tap wants none."""
    if tap.adapter is None:
        return nn.Identity()
    bias = tap.adapter == "conv1x1"
    return nn.Conv2d(student.channels[tap.student], teacher.channels[tap.teacher], kernel_size=1, bias=bias)


def _full(tensor: Tensor) -> Tensor:
    """At least single precision: sums over a crop's positions do not fit the half formats of mixed precision."""
    return tensor.float() if tensor.dtype in (torch.float16, torch.bfloat16) else tensor


def _unique(names: Iterable[str]) -> tuple[str, ...]:
    """The names; `#2` and so on after one that stood before."""
    seen: Counter[str] = Counter()
    unique = []
    for name in names:
        seen[name] += 1
        unique.append(name if seen[name] == 1 else f"{name}#{seen[name]}")
    return tuple(unique)
