"""A loss with weights or state of its own."""

from typing import Any, TypeAlias

from torch import Tensor, nn

from harness.distill.draw import Draw

Stages: TypeAlias = Tensor | tuple[Tensor, ...]
"""One stage B×C×h×w, or a tuple of them where the descriptor lists stages."""


class LossModule(nn.Module):
    """What a loss class may do besides giving a number in `forward(student, teacher, labels, *, draw)`.

    State lies in buffers, so that it is checkpointed. Parameters that require gradients train with the student's
    optimizer. All others are the loss's own business: it trains them in `prepare` or `after_step`, or never, and keeps
    an optimizer's state by `get_extra_state`.
    """

    needs_preparation: bool = False
    """Whether `prepare` has to be called before the first iteration; the descriptor says for how long."""
    prepares_with_student: bool = False
    """Whether `prepare` looks at the student; without it the student does not run then."""

    # A subclass says by its own annotations whether it takes one stage or a tuple of them.
    def prepare(self, student: Any, teacher: Any, labels: Tensor, *, draw: Draw, progress: float) -> None:  # noqa: ANN401
        """One update of what is learned before distillation; `progress` goes from 0 to 1 over the preparation."""

    def after_step(self) -> None:
        """What happens after the student's update: a step of another optimizer, for instance."""
