"""A method on two networks: its terms, and what of the networks must be computed for them."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from torch import Tensor, nn

from harness.distill.draw import Draw
from harness.distill.loading import Loss, load
from harness.distill.losses import cross_entropy
from harness.distill.precision import full
from harness.distill.sides import Sides
from harness.distill.term import WeightedTerm, wanted_of
from harness.ledger.errors import BadInput, nearest
from harness.ledger.method import ResolvedMethod, ResolvedTerm
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
    """The task loss and a method's terms of weight above zero; what of it requires gradients trains with the student.

    Args:
        crop: height and width of the images in training.
        auxiliary_weight: of the task loss at the student's aux_logits, where it has them.
        batch: images an iteration; a loss that couples images needs whole groups of them.

    """

    def __init__(
        self,
        method: ResolvedMethod,
        student: Staged,
        teacher: Staged,
        *,
        crop: tuple[int, int],
        auxiliary_weight: float,
        batch: int,
    ) -> None:
        super().__init__()
        found = tuple((term, load(term)) for term in method.terms if term.is_active)
        active, self.left_out = _applicable(method.name, found, student, teacher)
        sides = Sides.of(student, teacher, crop, (wanted_of(term, loss) for term, loss in active))
        self.terms = nn.ModuleList(WeightedTerm(term, loss, sides, batch) for term, loss in active)
        self.names = _unique(name for term in self._terms() for name in term.names)
        self.weights = tuple(weight for term in self._terms() for weight in term.weights)
        self.auxiliary_weight = auxiliary_weight if AUXILIARY in student.stages else 0.0
        task = {LOGITS, AUXILIARY} if self.auxiliary_weight else {LOGITS}
        self.student_stages = frozenset(task.union(*(term.student_stages for term in self._terms())))
        self.teacher_stages = frozenset[str]().union(*(term.teacher_stages for term in self._terms()))
        self._expect_preparation(method)

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
        loss = cross_entropy(full(student[LOGITS]), None, labels, draw=draw)
        if self.auxiliary_weight:
            auxiliary = cross_entropy(full(student[AUXILIARY]), None, labels, draw=draw)
            loss = loss + self.auxiliary_weight * auxiliary
        return loss

    def distil(
        self, student: Mapping[str, Tensor], teacher: Mapping[str, Tensor], labels: Tensor, draw: Draw
    ) -> tuple[Tensor, ...]:
        """The weighted terms, in the order of `names`."""
        return tuple(loss for term in self._terms() for loss in term(student, teacher, labels, draw))

    @property
    def needs_preparation(self) -> bool:
        """Whether anything is learned before distillation."""
        return any(term.needs_preparation for term in self._terms())

    @property
    def preparation_stages(self) -> tuple[frozenset[str], frozenset[str]]:
        """The stages of student and teacher that the preparation looks at."""
        preparing = [term for term in self._terms() if term.needs_preparation]
        student = (term.student_stages for term in preparing if term.prepares_with_student)
        teacher = (term.teacher_stages for term in preparing)
        return frozenset[str]().union(*student), frozenset[str]().union(*teacher)

    def prepare(
        self, student: Mapping[str, Tensor], teacher: Mapping[str, Tensor], labels: Tensor, draw: Draw, progress: float
    ) -> None:
        """One update of what is learned before distillation, at a share of the preparation."""
        for term in self._terms():
            if term.needs_preparation:
                term.prepare(student, teacher, labels, draw, progress)

    def after_step(self) -> None:
        """What the terms do once the student has been updated."""
        for term in self._terms():
            term.after_step()

    def _expect_preparation(self, method: ResolvedMethod) -> None:
        """BadInput when the descriptor gives time to what needs none, or none to what needs some."""
        if method.preparation_share and not self.needs_preparation:
            raise BadInput(f"{method.name}: preparation: no loss that weighs anything here needs any: leave it out")
        if not method.preparation_share and self.needs_preparation:
            raise BadInput(f"{method.name}: preparation: missing: expected share, of the budget: its loss learns first")

    def _terms(self) -> Iterator[WeightedTerm]:
        for term in self.terms:
            assert isinstance(term, WeightedTerm)
            yield term


def _applicable(
    method: str, found: tuple[tuple[ResolvedTerm, Found], ...], student: Staged, teacher: Staged
) -> tuple[tuple[tuple[ResolvedTerm, Found], ...], tuple[str, ...]]:
    """The terms at those of their taps that both networks have, and the names of what optional had to be left out."""
    active, left_out = [], []
    for term, loss in found:
        kept = []
        for tap in term.taps:
            problem = _missing("student", tap.student, student)
            if wanted_of(term, loss)[1]:
                problem = problem or _missing("teacher", tap.teacher, teacher)
            if problem is None:
                kept.append(tap)
            elif not tap.optional:
                raise BadInput(f"{method}: term '{term.name}': {problem}")
            else:
                left_out.append(term.name if len(term.taps) == 1 else f"{term.name}: {tap.student}")
        if kept:
            active.append((term.model_copy(update={"taps": tuple(kept)}), loss))
    return tuple(active), tuple(left_out)


def _missing(owner: str, stage: str, network: Staged) -> str | None:
    """That a network lacks a stage, and which stages it has."""
    if stage in network.stages:
        return None
    known = ", ".join(network.stages)
    return f"the {owner} has no stage '{stage}'{nearest(stage, network.stages)}: it has {known}"


def _unique(names: Iterable[str]) -> tuple[str, ...]:
    """The names; `#2` and so on after one that stood before."""
    seen: Counter[str] = Counter()
    unique = []
    for name in names:
        seen[name] += 1
        unique.append(name if seen[name] == 1 else f"{name}#{seen[name]}")
    return tuple(unique)
