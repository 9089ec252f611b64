"""The adversarial term of structured knowledge distillation (Liu et al., arXiv 1903.04197), as winycg/CIRKD has it.

losses/adv.py and utils/sagan.py, commit dab64db: the discriminator of SAGAN (arXiv 1805.08318), spectrally normalised
(arXiv 1802.05957), on raw logits, with hinge losses.
"""

from copy import deepcopy
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from harness.distill.draw import Draw
from harness.distill.module import LossModule
from harness.distill.precision import full, full_precision
from harness.distill.shapes import expect_same_shape
from harness.ledger.errors import BadInput

SMALLEST_SIDE = 64
"""Four halvings leave four positions, which the last convolution takes together."""


@dataclass(frozen=True)
class Seen:
    """The logits of an iteration, until the discriminator has learned from them, and the precision of that pass."""

    student: Tensor
    teacher: Tensor
    half: torch.dtype | None


class Adversarial(LossModule):
    """−mean D(z_S), D telling the teacher's logits from the student's; D learns after each of the student's steps.

    Settings:
        learning_rate: of the discriminator's Adam, which has no schedule.
        betas: of the same.
        discriminator_weight: of its loss, and nearly without influence, for Adam is free of scale.
        leaky_slope: of the discriminator's activations.
    """

    def __init__(
        self,
        *,
        student_channels: int,
        student_size: tuple[int, int],
        learning_rate: float = 4e-4,
        betas: tuple[float, ...] = (0.9, 0.99),
        discriminator_weight: float = 0.1,
        leaky_slope: float = 0.1,
    ) -> None:
        super().__init__()
        if min(student_size) < SMALLEST_SIDE:
            raise BadInput(
                f"adv: the discriminator needs logits of at least {SMALLEST_SIDE}×{SMALLEST_SIDE}: "
                f"found {student_size[0]}×{student_size[1]}"
            )
        if len(betas) != 2:
            raise BadInput(f"adv: betas: found {len(betas)} numbers: expected 2")
        # Frozen but for its own step: the student's optimizer must not train it, nor the student's loss reach it.
        self.discriminator = Discriminator(student_channels, leaky_slope).requires_grad_(False)
        self.discriminator_weight = discriminator_weight
        self.optimizer = torch.optim.Adam(self.discriminator.parameters(), lr=learning_rate, betas=(betas[0], betas[1]))
        self.seen: Seen | None = None

    def forward(self, student: Tensor, teacher: Tensor, labels: Tensor, *, draw: Draw) -> Tensor:
        """The student's side, of logits B×K×h×w."""
        expect_same_shape(student, teacher)
        if self.discriminator_weight:
            self.seen = Seen(student.detach(), teacher.detach(), _half(student))
        (score,) = self.discriminator(student)
        loss: Tensor = -score.mean()
        return loss

    def after_step(self) -> None:
        """One step of the discriminator on the logits of the iteration that is now over."""
        if self.seen is None:
            return
        parameters = tuple(self.discriminator.parameters())
        self.discriminator.requires_grad_(True)
        with torch.enable_grad():
            loss = self.discriminator_weight * self.discriminator_loss(self.seen)
        gradients = torch.autograd.grad(loss, parameters)
        self.discriminator.requires_grad_(False)
        for parameter, gradient in zip(parameters, gradients, strict=True):
            parameter.grad = gradient
        self.optimizer.step()
        self.optimizer.zero_grad()
        self.seen = None

    def discriminator_loss(self, seen: Seen) -> Tensor:
        """Unweighted: mean max(0, 1 + D(z_S)) + mean max(0, 1 − D(z_T)), the student first."""
        with torch.autocast(seen.student.device.type, dtype=seen.half, enabled=seen.half is not None):
            student, teacher = self.discriminator(seen.student, seen.teacher)
        return functional.relu(1 - teacher).mean() + functional.relu(1 + student).mean()

    def get_extra_state(self) -> dict[str, Any]:
        """Adam's moments, as they are now: an optimizer's own state dict would change with its next step."""
        return deepcopy(self.optimizer.state_dict())

    def set_extra_state(self, state: dict[str, Any]) -> None:
        """Adam's moments, copied, so that the giver's do not change with the next step."""
        self.optimizer.load_state_dict(deepcopy(state))


class Discriminator(nn.Module):
    """Logits B×K×h×w → B×1×(h/16−3)×(w/16−3), halvings rounded down; large for what looks like the teacher's.

    Each batch is one step of power iteration, and has a batch norm of its own. Several at once have what they would
    have one after the other, but share the convolutions.
    """

    def __init__(self, classes: int, leaky_slope: float) -> None:
        super().__init__()
        self.preprocess_additional = nn.BatchNorm2d(classes)
        self.l1 = SpectralConvolution(classes, 64)
        self.l2 = SpectralConvolution(64, 128)
        self.l3 = SpectralConvolution(128, 256)
        self.attn1 = SelfAttention(256)
        self.l4 = SpectralConvolution(256, 512)
        self.attn2 = SelfAttention(512)
        self.last = nn.Conv2d(512, 1, kernel_size=4)
        self.leaky_slope = leaky_slope

    def train(self, mode: bool = True) -> "Discriminator":
        """Always training, as the released one: a student being evaluated has no use for it."""
        return super().train(True)

    def forward(self, *batches: Tensor) -> tuple[Tensor, ...]:
        """A map of scores for each batch, all of one size, at least in single precision."""
        count = len(batches)
        maps = torch.cat([self.preprocess_additional(logits) for logits in batches])
        for convolution in (self.l1, self.l2, self.l3):
            maps = functional.leaky_relu(convolution(maps, count), self.leaky_slope)
        maps = self.attn1(maps)
        maps = functional.leaky_relu(self.l4(maps, count), self.leaky_slope)
        return full(self.last(self.attn2(maps))).chunk(count)


class SpectralConvolution(nn.Module):
    """A 4×4 convolution of stride 2 whose weight, as a matrix out×(in·16), is divided by its largest singular value.

    The singular value is that of one step of power iteration from where the last call left off.
    """

    weight_u: Tensor

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        # PyTorch's initialisation of a convolution, whose parameters these are.
        convolution = nn.Conv2d(inputs, outputs, kernel_size=4)
        self.weight_bar = convolution.weight
        self.bias = convolution.bias
        self.register_buffer("weight_u", functional.normalize(torch.randn(outputs), dim=0, eps=1e-12))

    def forward(self, maps: Tensor, batches: int) -> Tensor:
        """Of so many batches together, (batches·B)×in×h×w → (batches·B)×out×⌊h/2⌋×⌊w/2⌋."""
        assert self.bias is not None
        sigmas = torch.stack([self._largest_singular_value() for _ in range(batches)])
        maps = functional.conv2d(maps, self.weight_bar, stride=2, padding=1)
        maps = maps.view(batches, -1, *maps.shape[1:])
        # Weight/σ, divided after the convolution: there are fewer numbers, and each batch has a σ of its own.
        return (maps / sigmas[:, None, None, None, None] + self.bias[:, None, None]).flatten(0, 1)

    def _largest_singular_value(self) -> Tensor:
        """σ = uᵀMv, u and v constants: what is left for the weight is ∂σ/∂M = u·vᵀ."""
        matrix = self.weight_bar.flatten(1)
        with full_precision(matrix):
            with torch.no_grad():
                v = functional.normalize(matrix.T @ self.weight_u, dim=0, eps=1e-12)
                u = functional.normalize(matrix @ v, dim=0, eps=1e-12)
            # σ keeps this step's u, and the buffer gets a copy. The released code lets the next step write into the
            # very tensor that σ's backward pass multiplies by: with two steps before one backward pass, the first
            # σ's gradient is then taken at the second's u, and is the gradient of neither.
            self.weight_u.copy_(u)
            sigma: Tensor = u @ (matrix @ v)
        return sigma


class SelfAttention(nn.Module):
    """X + γ · what each position gathers from all others; γ starts at 0."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.query_conv = nn.Conv2d(channels, channels // 8, kernel_size=1)
        self.key_conv = nn.Conv2d(channels, channels // 8, kernel_size=1)
        self.value_conv = nn.Conv2d(channels, channels, kernel_size=1)
        self.gamma = nn.Parameter(torch.zeros(1))

    def forward(self, maps: Tensor) -> Tensor:
        """B×C×h×w → B×C×h×w; a softmax over keys, without the root of the width."""
        queries, keys, values = (
            full(convolution(maps)).flatten(2) for convolution in (self.query_conv, self.key_conv, self.value_conv)
        )
        with full_precision(maps):
            attention = (queries.mT @ keys).softmax(dim=2)  # B×M×M, a row a query
            gathered = values @ attention.mT
        return maps + self.gamma * gathered.view_as(maps)


def _half(tensor: Tensor) -> torch.dtype | None:
    """The half format of the mixed precision that is on, None where it is off."""
    device = tensor.device.type
    return torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else None
