"""MasKD, masked distillation with receptive tokens (Huang et al., ICLR 2023, arXiv 2205.14589), its form for logits."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from copy import deepcopy
from typing import Any

import torch
from torch import Tensor, nn

from harness.distill.draw import Draw
from harness.distill.module import LossModule, Stages
from harness.distill.precision import full, full_precision
from harness.distill.shapes import expect_same_shape
from harness.distill.task import labelled_cross_entropy
from harness.ledger.errors import BadInput


class PreparedLoss(LossModule, ABC):
    """A loss whose parameters are learned from the teacher before distillation and are constants during it.

    A subclass makes its parameters, then calls `freeze` with the optimizer that is to learn them.
    """

    needs_preparation = True
    optimizer: torch.optim.Optimizer

    def freeze(self, optimizer: torch.optim.Optimizer) -> None:
        """From now on the parameters are constants for everyone but this optimizer."""
        self.requires_grad_(False)
        self.optimizer = optimizer

    @abstractmethod
    def preparation_loss(self, teacher: Tensor, labels: Tensor) -> Tensor:
        """What the parameters minimise before distillation."""

    @abstractmethod
    def learning_rate_at(self, progress: float) -> float:
        """The schedule of the preparation; `progress` goes from 0 to 1."""

    def prepare(self, student: Stages, teacher: Stages, labels: Tensor, *, draw: Draw, progress: float) -> None:
        """One update from the (first) teacher's stage alone; the student is not looked at."""
        source = full(teacher[0] if isinstance(teacher, tuple) else teacher)
        parameters = tuple(self.parameters())
        # Losses over a crop's positions, in single precision also inside a mixed-precision run.
        with self._learning(parameters), full_precision(source):
            gradients = torch.autograd.grad(self.preparation_loss(source, labels), parameters)
        for group in self.optimizer.param_groups:
            group["lr"] = self.learning_rate_at(progress)
        for parameter, gradient in zip(parameters, gradients, strict=True):
            parameter.grad = gradient
        self.optimizer.step()
        self.optimizer.zero_grad()

    def after_step(self) -> None:
        """The optimizer's state is let go once distillation has begun: for wide features it is hundreds of MB."""
        self.optimizer.state.clear()

    def get_extra_state(self) -> dict[str, Any]:
        """The optimizer's state, so that a preparation resumes bit for bit."""
        return self.optimizer.state_dict()

    def set_extra_state(self, state: dict[str, Any]) -> None:
        """Copied: an optimizer goes on working in the tensors that it is given."""
        self.optimizer.load_state_dict(deepcopy(state))

    @contextmanager
    def _learning(self, parameters: Iterable[nn.Parameter]) -> Iterator[None]:
        for parameter in parameters:
            parameter.requires_grad_(True)
        try:
            yield
        finally:
            for parameter in parameters:
                parameter.requires_grad_(False)


class MaskedDistillation(PreparedLoss):
    """½ · mean over images, tokens t and channels c of Σ_p m_t² (z_S − z_T)² / (Σ_p m_t + 1e-5), m = σ(E · z_T).

    As hunto/MasKD has it (segmentation/losses/maskd.py and train_mask_module.py, commit b5af34f), where the features
    are logits. The tokens E, learned on the first stage's teacher, also mask the stages after it.

    Settings:
        num_tokens: T.
        shares: of the first stage, the second and so on in the sum; a share of 0 is not computed.
        weight_dice: of the masks' overlap beside the task loss, while the tokens are learned.
        learning_rate, momentum, weight_decay, power: of the tokens' SGD, whose rate falls as (1 − progress)^power.
    """

    def __init__(
        self,
        *,
        teacher_channels: int | tuple[int, ...],
        num_tokens: int = 8,
        shares: tuple[float, ...] = (1.0, 0.4),
        weight_dice: float = 1.0,
        learning_rate: float = 0.1,
        momentum: float = 0.9,
        weight_decay: float = 1e-3,
        power: float = 0.9,
    ) -> None:
        super().__init__()
        widths = teacher_channels if isinstance(teacher_channels, tuple) else (teacher_channels,)
        if len(set(widths)) > 1 or len(widths) > len(shares):
            raise BadInput(f"maskd: stages of {widths} channels, shares {shares}: expected one width, a share a stage")
        self.shares, self.weight_dice = tuple(shares), weight_dice
        self.learning_rate, self.power = learning_rate, power
        self.mask_token = nn.Parameter(0.01 * torch.randn(num_tokens, widths[0]))
        self.freeze(torch.optim.SGD(self.parameters(), lr=learning_rate, momentum=momentum, weight_decay=weight_decay))

    def forward(self, student: Stages, teacher: Stages, labels: Tensor, *, draw: Draw) -> Tensor:
        """The sum over stages of share × loss; each stage B×C×h×w."""
        students = student if isinstance(student, tuple) else (student,)
        teachers = teacher if isinstance(teacher, tuple) else (teacher,)
        loss = full(students[0]).new_zeros(())
        for ours, theirs, share in zip(students, teachers, self.shares, strict=False):
            if share:
                loss = loss + share * self._distance(full(ours), full(theirs))
        return loss

    def mask_losses(self, teacher: Tensor, labels: Tensor) -> dict[str, Tensor]:
        """What the tokens are learned by, unweighted.

        `task` is the mean cross-entropy over labelled pixels of the logits Σ_t m_t · z_T, enlarged to the labels' size;
        `dice` is the overlap of the masks.
        """
        masks = token_masks(self.mask_token, teacher)
        return {"task": labelled_cross_entropy(masked(teacher, masks), labels), "dice": dice(masks)}

    def preparation_loss(self, teacher: Tensor, labels: Tensor) -> Tensor:
        """The sum task + weight · dice."""
        losses = self.mask_losses(teacher, labels)
        return losses["task"] + self.weight_dice * losses["dice"]

    def learning_rate_at(self, progress: float) -> float:
        """Polynomial, to zero."""
        return self.learning_rate * float(max(0.0, 1 - progress) ** self.power)

    def _distance(self, student: Tensor, teacher: Tensor) -> Tensor:
        """The masks know no channels, so that all tokens fold into one map of weights that the teacher alone gives."""
        expect_same_shape(student, teacher)
        with torch.no_grad(), full_precision(teacher):
            masks = token_masks(self.mask_token, teacher)
            shares = masks.square() / (masks.sum(dim=(2, 3), keepdim=True) + 1e-5)  # squared above, plain below
            scale = 0.5 / (masks.shape[0] * masks.shape[1] * teacher.shape[1])
            weights = scale * shares.sum(dim=1, keepdim=True)  # B×T×h×w → B×1×h×w
        # The root inside the square: one pass over the logits less.
        return (weights.sqrt() * (student - teacher)).square().sum()


def token_masks(tokens: Tensor, features: Tensor) -> Tensor:
    """σ(E · F): T×C and B×C×h×w → B×T×h×w, without bias or scale."""
    return torch.einsum("tc,bchw->bthw", tokens, features).sigmoid()


def masked(features: Tensor, masks: Tensor) -> Tensor:
    """Σ_t m_t · F: B×C×h×w and B×T×h×w → B×C×h×w, larger than F where several masks are open."""
    return masks.sum(dim=1, keepdim=True) * features


def dice(masks: Tensor) -> Tensor:
    """The mean over images and ordered pairs t ≠ u of 2⟨m_t, m_u⟩ / (‖m_t‖² + ‖m_u‖² + 2e-12); 0 for a single token."""
    flat = masks.flatten(2)  # B×T×h×w → B×T×N
    products = flat @ flat.transpose(1, 2)
    squares = products.diagonal(dim1=1, dim2=2)
    overlap = 2 * products / (squares[:, :, None] + squares[:, None, :] + 2e-12)
    images, tokens = masks.shape[:2]
    itself = torch.eye(tokens, dtype=torch.bool, device=masks.device)
    return overlap.masked_fill(itself, 0).sum() / max(1, images * tokens * (tokens - 1))
