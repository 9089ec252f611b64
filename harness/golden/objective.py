"""How a file of golden vectors is recomputed: a shipped method reduced to what the file holds, built as for a run."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from harness.distill.distiller import LOGITS, Distiller
from harness.distill.draw import StoredDraw
from harness.distill.loading import load
from harness.distill.shapes import IGNORED
from harness.golden.file import Golden
from harness.ledger.descriptor import method_path, resolve_method
from harness.ledger.errors import BadInput
from harness.ledger.method import ResolvedMethod, ResolvedTerm, Setting, Stage, Tap
from harness.ledger.signatures import loss_signatures
from harness.segmentation.staged import Staged

TOTAL, TASK = "total", "task"


@dataclass(frozen=True)
class Tolerance:
    """What a README allows in double precision, as shares: of the loss, of the largest number in a gradient."""

    loss: float
    gradient: float
    floor: float
    """A gradient's largest number counts at least as this share of the largest in the file."""
    other: float
    """Of the largest number in a queue, a buffer or an output, or of 1."""


CIRKD = Tolerance(loss=1e-9, gradient=1e-8, floor=0.0, other=1e-9)
"""README-cirkd.md."""
OTHERS = Tolerance(loss=1e-9, gradient=1e-4, floor=1e-3, other=1e-6)
"""README-others.md: gradients and outputs are stored in single precision, and some are zero but for rounding."""


@dataclass(frozen=True)
class Other:
    """What else a file stores, as ours gives it.

    Args:
        ours: the tensor.
        tolerance: in place of the objective's.
        only: the one of the stored numbers that means anything, where not all do.

    """

    ours: Tensor
    tolerance: float | None = None
    only: int | None = None


@dataclass(frozen=True)
class Computed:
    """Losses by part, the tensors by which gradients are taken, and what else the file stores; named as in the file."""

    losses: Mapping[str, Tensor]
    leaves: Mapping[str, Tensor]
    others: Mapping[str, Other] = field(default_factory=dict)

    def gradients(self, part: str, names: Sequence[str]) -> Mapping[str, Tensor]:
        """Of a part with respect to leaves, zero where one has no influence."""
        for name in names:
            if name not in self.leaves:
                raise BadInput(f"a gradient with respect to {name!r}: expected one of {', '.join(self.leaves)}")
        leaves = [self.leaves[name] for name in names]
        found = torch.autograd.grad(
            self.losses[part], leaves, retain_graph=True, allow_unused=True, materialize_grads=True
        )
        return dict(zip(names, found, strict=True))


class Objective(Protocol):
    """How the files of one name are recomputed."""

    @property
    def tolerance(self) -> Tolerance:
        """What their README allows."""

    @property
    def graded(self) -> str:
        """The part of whose loss the file's `grad/` are."""

    def used(self, golden: Golden) -> frozenset[str]:
        """The arrays that go into the computation, and those that say again what others say."""

    def meaningless(self, golden: Golden) -> frozenset[str]:
        """Gradients of the file that its README says not to match."""

    def compute(self, golden: Golden) -> Computed:
        """Each part that the file must hold, and the total."""


@dataclass(frozen=True)
class Part:
    """A loss of a file: a term's, or a part's of a term, by its name in the distiller.

    Args:
        name: of the term, or PART@STAGE.
        weight: its share of the total: a number, or the hyper-parameter that holds one.
        stored_weighted: whether the file holds it times its weight.
        is_stored: whether the file holds it by itself at all.

    """

    name: str
    weight: float | str = 1.0
    stored_weighted: bool = False
    is_stored: bool = True

    def share(self, golden: Golden) -> float:
        """The weight in the total."""
        return golden.number(self.weight) if isinstance(self.weight, str) else self.weight


Arrays = Mapping[str, str]
"""For each stage what the file's arrays are called after `student_` and `teacher_`."""


def no_draws(golden: Golden) -> Mapping[str, Tensor]:
    """Most losses draw nothing."""
    return {}


@dataclass(frozen=True)
class Scene:
    """What a file's losses were computed from."""

    distiller: Distiller
    student: Mapping[str, Tensor]
    teacher: Mapping[str, Tensor]
    labels: Tensor
    golden: Golden


def no_outputs(scene: Scene) -> Mapping[str, Tensor]:
    """Most files hold nothing else."""
    return {}


@dataclass(frozen=True)
class TermsObjective:
    """Some terms of a shipped method.

    Args:
        arrays: where each stage's tensors lie; stages that the file lacks are left out of the taps.
        parts: the losses of the file.
        settings: for each hyper-parameter of the file, the setting that it gives: SETTING of whichever loss takes it,
            or LOSS.SETTING.
        derived: settings that follow from the file's hyper-parameters in another way.
        facts: hyper-parameters that must be what the implementation is built on; None for those that only repeat
            what shapes say.
        parameters: the file's names after `param/`, by their beginnings, and ours in the distiller.
        state: arrays that fill buffers before the loss, and ours.
        after: arrays that buffers must hold after the loss, and ours.
        draws: the numbers to draw.
        outputs: further arrays of the file as ours gives them.
        unread: beginnings of arrays that repeat what others say.
        untouched: beginnings of our parameters that the file says nothing of, as they have no influence.
        classes: the hyper-parameter that says how many there are, where the file has no logits.
        places: the stages to tap where a file has its tensors at others than the descriptor, or at more.
        without_gradient: parameters that had none, as other branches were taken.
        has_labels: whether the losses look at labels, or the task loss does.
        has_task: whether the total holds the task loss.

    """

    tolerance: Tolerance
    method: str
    arrays: Arrays | Callable[[Golden], Arrays]
    parts: Mapping[str, Part]
    settings: Mapping[str, str] = field(default_factory=dict)
    derived: Mapping[str, Callable[[Golden], Setting]] = field(default_factory=dict)
    facts: Mapping[str, Setting | None] = field(default_factory=dict)
    parameters: Mapping[str, str] = field(default_factory=dict)
    state: Mapping[str, str] = field(default_factory=dict)
    after: Mapping[str, str] = field(default_factory=dict)
    draws: Callable[[Golden], Mapping[str, Tensor]] = no_draws
    outputs: Callable[[Scene], Mapping[str, Tensor]] = no_outputs
    unread: tuple[str, ...] = ()
    untouched: tuple[str, ...] = ()
    classes: str | None = None
    places: tuple[Stage, ...] = ()
    graded: str = TOTAL
    without_gradient: tuple[str, ...] = ()
    has_labels: bool = False
    has_task: bool = False

    def meaningless(self, golden: Golden) -> frozenset[str]:
        """Gradients of what is not read."""
        unread = golden.names(*self.unread) if self.unread else ()
        return frozenset(name for name in unread if name.startswith(("grad/", "grad_term/")))

    def used(self, golden: Golden) -> frozenset[str]:
        """Both networks' tensors, labels, parameters, state, random numbers and hyper-parameters."""
        suffixes = self._arrays(golden).values()
        inputs = {f"{owner}_{array}" for owner in ("student", "teacher") for array in suffixes}
        weights = [part.weight for part in self.parts.values() if isinstance(part.weight, str)]
        settings = {f"hparam/{name}" for name in (*self.settings, *self.facts, *weights)}
        labels = {"labels"} if self.has_labels else set[str]()
        repeated = golden.names(*self.unread) if self.unread else ()
        named = {name for name in golden.names("param/", "random/") if name.startswith("random/") or self._own(name)}
        return frozenset(inputs | settings | labels | named | set(self.state) | set(repeated))

    def compute(self, golden: Golden) -> Computed:
        """One forward pass; the parts, and their weighted sum."""
        self._expect_facts(golden)
        arrays = self._arrays(golden)
        student = {stage: golden.tensor(f"student_{array}").requires_grad_() for stage, array in arrays.items()}
        teacher = {stage: golden.tensor(f"teacher_{array}") for stage, array in arrays.items()}
        images = len(next(iter(student.values())))
        labels = golden.labels(images) if self.has_labels else torch.full((images, 1, 1), IGNORED)
        classes = int(golden.number(self.classes)) if self.classes else None
        distiller = self._distiller(golden, Recorded(student, classes), Recorded(teacher), images)
        parameters = self._fill(golden, distiller)
        draw = StoredDraw(self.draws(golden))
        values = dict(zip(distiller.names, distiller.distil(student, teacher, labels, draw), strict=True))
        parts = self._parts(golden)
        total = torch.stack([part.share(golden) * values[part.name] for part in parts.values()]).sum()
        losses = {name: self._stored(part, golden, values) for name, part in parts.items() if part.is_stored}
        if self.has_task:
            losses[TASK] = distiller.task(student, labels, draw)
            total = total + losses[TASK]
        state = {name: distiller.get_buffer(own).clone() for name, own in self.after.items() if name in golden.arrays}
        leaves = {f"student_{array}": student[stage] for stage, array in arrays.items()}
        outputs = self.outputs(Scene(distiller, student, teacher, labels, golden))
        others = {name: Other(tensor) for name, tensor in {**state, **outputs}.items()}
        return Computed({**losses, TOTAL: total}, {**leaves, **parameters}, others)

    def _parts(self, golden: Golden) -> Mapping[str, Part]:
        """The parts that the file has: all, but for those that its settings leave away."""
        there = golden.names("loss/")
        found = {name: part for name, part in self.parts.items() if not part.is_stored or f"loss/{name}" in there}
        if not found:
            raise BadInput(f"loss/{next(iter(self.parts))}: missing")
        return found

    def _stored(self, part: Part, golden: Golden, values: Mapping[str, Tensor]) -> Tensor:
        """The part as the file holds it."""
        return values[part.name] * part.share(golden) if part.stored_weighted else values[part.name]

    def _arrays(self, golden: Golden) -> Arrays:
        arrays = self.arrays(golden) if callable(self.arrays) else self.arrays
        there = {stage: array for stage, array in arrays.items() if f"student_{array}" in golden.arrays}
        if not there:
            raise BadInput(f"student_{next(iter(arrays.values()))}: missing")
        return there

    def _expect_facts(self, golden: Golden) -> None:
        for name, value in self.facts.items():
            if value is not None and golden.setting(name) != value:
                raise BadInput(f"hparam/{name}: found {golden.setting(name)}: expected {value}")

    def _distiller(self, golden: Golden, student: "Recorded", teacher: "Recorded", images: int) -> Distiller:
        """The shipped method reduced to the file's parts, each of weight 1, with the file's settings."""
        method = shipped(self.method)
        wanted = {part.name for part in self._parts(golden).values()}
        settings = {own: golden.setting(name) for name, own in self.settings.items()}
        settings |= {own: derive(golden) for own, derive in self.derived.items()}
        reduced = [self._reduced(term, wanted, settings, student) for term in method.terms]
        update: dict[str, Any] = {"terms": tuple(term for term in reduced if term is not None)}
        if not any(getattr(load(term), "needs_preparation", False) for term in update["terms"]):
            update["preparation_share"] = 0.0
        return Distiller(
            method.model_copy(update=update), student, teacher, crop=(1, 1), auxiliary_weight=0.0, batch=images
        ).double()

    def _reduced(
        self, term: ResolvedTerm, wanted: set[str], settings: Mapping[str, Setting], student: "Recorded"
    ) -> ResolvedTerm | None:
        """The term at the file's stages; None when the file holds nothing of it."""
        kept = {part.name for part in term.parts if f"{part.name}@{term.stage}" in wanted}
        if not kept and term.name not in wanted:
            return None
        own = loss_signatures(Path(term.file), term.file)[term.function].names
        given = {name: value for name, value in settings.items() if name in own}
        meant = {name.partition(".")[::2]: value for name, value in settings.items() if "." in name}
        given |= {name: value for (loss, name), value in meant.items() if loss == term.function}
        parts = tuple(
            part.model_copy(update={"weight": float(part.name in kept), "transfer": None}) for part in term.parts
        )
        taps = tuple(tap for tap in term.taps if tap.student in student.stages)
        if not taps:
            taps = tuple(Tap(student=stage, teacher=stage) for stage in self.places if stage in student.stages)
        if not any(".adapters." in path for path in self.parameters.values()):
            taps = tuple(tap.model_copy(update={"adapter": None}) for tap in taps)
        changes = {"weight": 1.0, "transfer": None, "group": None, "parts": parts, "taps": taps}
        return term.model_copy(update={**changes, "settings": {**term.settings, **given}})

    def _fill(self, golden: Golden, distiller: Distiller) -> Mapping[str, Tensor]:
        """Every parameter and the state get the file's numbers; returns the parameters by the file's names."""
        own = dict(distiller.named_parameters()) | dict(distiller.named_buffers())
        pairs = {name: self._own(name) for name in golden.names("param/")}
        unknown = [name for name, path in pairs.items() if path not in own]
        missing = set(dict(distiller.named_parameters())) - set(pairs.values())
        missing = {path for path in missing if not path.startswith(self.untouched)} if self.untouched else missing
        if unknown or missing:
            said = ", ".join([*unknown, *sorted(missing)])
            raise BadInput(f"{said}: the file's parameters are not those of the shipped term")
        for name, path in {**pairs, **self.state}.items():
            if path not in own:
                raise BadInput(f"{name}: the shipped term has no {path} with these losses")
            target = own[path]
            value = golden.whole(name) if not target.is_floating_point() else golden.tensor(name)
            if value.shape != target.shape:
                raise BadInput(f"{name}: found {tuple(value.shape)}: expected {tuple(target.shape)}")
            target.data.copy_(value)
        # What the authors' optimizer leaves alone is frozen here, and its gradient may be in the file nevertheless.
        graded = {
            name: own[path]
            for name, path in pairs.items()
            if f"grad/{name}" in golden.arrays or (own[path].requires_grad and name not in self.without_gradient)
        }
        return {name: parameter.requires_grad_() for name, parameter in graded.items()}

    def _own(self, name: str) -> str:
        """Our name of a parameter of the file; empty without one."""
        bare = name.removeprefix("param/")
        for begin, ours in self.parameters.items():
            if bare.startswith(begin):
                return ours + bare.removeprefix(begin)
        return ""


@dataclass(frozen=True)
class EitherObjective:
    """One of two, by whether the file holds an array."""

    array: str
    there: TermsObjective
    absent: TermsObjective

    @property
    def tolerance(self) -> Tolerance:
        """The same for both."""
        return self.there.tolerance

    @property
    def graded(self) -> str:
        """The same for both."""
        return self.there.graded

    def of(self, golden: Golden) -> TermsObjective:
        """The one that the file is of."""
        return self.there if self.array in golden.arrays else self.absent

    def meaningless(self, golden: Golden) -> frozenset[str]:
        """Its own."""
        return self.of(golden).meaningless(golden)

    def used(self, golden: Golden) -> frozenset[str]:
        """Its own."""
        return self.of(golden).used(golden)

    def compute(self, golden: Golden) -> Computed:
        """Its own."""
        return self.of(golden).compute(golden)


class Recorded(Staged):
    """A network that has the stored tensors' stages, widths and sizes: all that a distiller wants of one."""

    def __init__(self, tensors: Mapping[str, Tensor], classes: int | None = None) -> None:
        super().__init__(
            {stage: nn.Identity() for stage in tensors},
            inputs=dict.fromkeys(tensors, ("image",)),
            channels={stage: tensor.shape[1 if tensor.ndim == 4 else 2] for stage, tensor in tensors.items()},
            stride=1,
        )
        # Some losses ask how many classes there are, also in files without logits or labels.
        self.channels.setdefault(LOGITS, classes or 2)
        self.shapes = {stage: tensor.shape for stage, tensor in tensors.items()}

    def sizes(self, images: tuple[int, int], wanted: frozenset[str]) -> dict[str, tuple[int, ...]]:
        """The stored tensors' positions."""
        return {
            stage: tuple(shape[2:]) if len(shape) == 4 else tuple(shape[1:2])
            for stage, shape in self.shapes.items()
            if stage in wanted
        }


def shipped(name: str) -> ResolvedMethod:
    """A shipped method on Cityscapes; the files bring their own weights."""
    return resolve_method(method_path(name), "cityscapes", 2)


LOGITS_ONLY = {LOGITS: "logits"}
