"""The task loss, which belongs to the trainer and to no method."""

from dataclasses import dataclass

from torch import Tensor

from harness.distill.distiller import AUXILIARY, LOGITS, Distiller
from harness.distill.draw import StoredDraw
from harness.distill.shapes import IGNORED
from harness.golden.file import Golden
from harness.golden.objective import CIRKD, TOTAL, Computed, Recorded, Tolerance
from harness.ledger.errors import BadInput
from harness.ledger.method import student_alone


@dataclass(frozen=True)
class TaskObjective:
    """Cross-entropy of the logits, and the auxiliary head's where the file has one."""

    tolerance: Tolerance = CIRKD
    graded: str = TOTAL

    def used(self, golden: Golden) -> frozenset[str]:
        """The logits of both heads, the labels, the auxiliary weight and the ignored label."""
        head = {"student_aux_logits"} if self._has_auxiliary(golden) else set[str]()
        return frozenset({"student_logits", "labels", "hparam/lambda_aux", "hparam/ignore_label"} | head)

    def meaningless(self, golden: Golden) -> frozenset[str]:
        """None."""
        return frozenset()

    def compute(self, golden: Golden) -> Computed:
        """Each head alone, and the weighted sum."""
        if golden.setting("ignore_label") != IGNORED:
            raise BadInput(f"hparam/ignore_label: found {golden.setting('ignore_label')}: expected {IGNORED}")
        weight = golden.number("lambda_aux")
        main = golden.tensor("student_logits").requires_grad_()
        labels = golden.labels(len(main))
        leaves = {"student_logits": main}
        losses = {"main": _task({LOGITS: main}, labels, 0.0), TOTAL: _task({LOGITS: main}, labels, weight)}
        if self._has_auxiliary(golden):
            auxiliary = golden.tensor("student_aux_logits").requires_grad_()
            leaves["student_aux_logits"] = auxiliary
            losses["aux"] = _task({LOGITS: auxiliary}, labels, 0.0)
            losses[TOTAL] = _task({LOGITS: main, AUXILIARY: auxiliary}, labels, weight)
        return Computed(losses, leaves)

    def _has_auxiliary(self, golden: Golden) -> bool:
        return "student_aux_logits" in golden.arrays


def _task(student: dict[str, Tensor], labels: Tensor, auxiliary_weight: float) -> Tensor:
    network = Recorded(student)
    images = len(student[LOGITS])
    distiller = Distiller(
        student_alone(), network, network, crop=(1, 1), auxiliary_weight=auxiliary_weight, batch=images
    )
    return distiller.task(student, labels, StoredDraw({}))
