"""Attention-guided feature distillation (Mansourian, Jalali, Ahmadi and Kasaei, arXiv 2403.05451)."""

import math
from collections.abc import Mapping
from copy import deepcopy
from typing import Any

import torch
from torch import Tensor, nn

from harness.distill.draw import Draw
from harness.distill.module import LossModule, Stages
from harness.distill.precision import full, full_precision
from harness.distill.shapes import expect_same_positions
from harness.ledger.errors import BadInput

EPOCHS = 120
"""Of the released training, the first of which prepares the connectors."""
TINY = 1e-12
"""A map whose squares sum up to no more has no direction."""


class AttentionDistance(LossModule):
    """How far the student's attended features point from the teacher's, at one place or several.

    As AmirMansurian/AttnFD has it (distiller.py and cbam.py, commit f090bbe), except that all of the student's side
    trains with the student. The teacher's attention is random and stays so, as theirs is.

    Settings:
        reduction: the channels over the width inside the channel gates.
    """

    def __init__(
        self,
        *,
        student_channels: int | tuple[int, ...],
        teacher_channels: int | tuple[int, ...],
        reduction: int = 16,
    ) -> None:
        super().__init__()
        student_widths, teacher_widths = _tuple(student_channels), _tuple(teacher_channels)
        self.student_cbam = nn.ModuleList(Attention(width, reduction) for width in student_widths)
        self.teacher_cbam = nn.ModuleList(Attention(width, reduction) for width in teacher_widths)
        self.connector = nn.ModuleList(map(Connector, student_widths, teacher_widths))
        self.teacher_cbam.requires_grad_(False)

    def forward(self, student: Stages, teacher: Stages, labels: Tensor, *, draw: Draw) -> Tensor:
        """Σ over places of ‖S/‖S‖ − T/‖T‖‖²/B, the norms over all images of the group: 2/B · (1 − cos(S, T)) each.

        Args:
            student: at each place B×C_S×h×w.
            teacher: at each place B×C_T×h×w.
            labels: not looked at.
            draw: not used.

        """
        distances = []
        for place, (ours, theirs) in enumerate(zip(_tuple(student), _tuple(teacher), strict=True)):
            expect_same_positions(ours, theirs)
            with full_precision(ours):
                distances.append(self._distance(place, full(ours), full(theirs)))
        return torch.stack(distances).sum()

    def _distance(self, place: int, student: Tensor, teacher: Tensor) -> Tensor:
        channel, spatial = self.student_cbam[place](student)
        attended = channel * spatial
        with torch.no_grad():
            target = self.teacher_cbam[place](teacher)
        cosine: Tensor = self.connector[place](attended, *target)
        return 2 * (1 - cosine) / student.shape[0]


class ReleasedAttentionDistance(AttentionDistance):
    """The same, trained as the released code trains it.

    Its optimizer has what belongs to convolutions and batch norms, so the student's channel gates stay as they were
    drawn. The connectors learn alone, in the first of 120 epochs, and stay as they are from then on.

    Settings:
        reduction: the channels over the width inside the channel gates.
        preparation_rate: the learning rate at the start of the preparation, for 6 images.
        preparation_weight: of the distance in the preparation.
    """

    needs_preparation = True
    prepares_with_student = True

    def __init__(
        self,
        *,
        student_channels: int | tuple[int, ...],
        teacher_channels: int | tuple[int, ...],
        reduction: int = 16,
        preparation_rate: float = 0.01,
        preparation_weight: float = 2.0,
    ) -> None:
        super().__init__(student_channels=student_channels, teacher_channels=teacher_channels, reduction=reduction)
        self.preparation_rate = preparation_rate
        self.preparation_weight = preparation_weight
        self.connector.requires_grad_(False)
        for attention in self.student_cbam:
            attention.channel_fc1.requires_grad_(False)
            attention.channel_fc2.requires_grad_(False)
        self.optimizer = torch.optim.SGD(
            self.connector.parameters(), lr=preparation_rate, momentum=0.9, weight_decay=5e-4, nesterov=True
        )

    def prepare(self, student: Stages, teacher: Stages, labels: Tensor, *, draw: Draw, progress: float) -> None:
        """One step of the connectors towards the teacher; the rate decays over 120 times the preparation."""
        connectors = list(self.connector.parameters())
        self.connector.requires_grad_(True)
        loss = self.preparation_weight * self(student, teacher, labels, draw=draw)
        gradients = torch.autograd.grad(loss, connectors)
        self.connector.requires_grad_(False)
        for connector, gradient in zip(connectors, gradients, strict=True):
            connector.grad = gradient
        # Their optimizer has one group of parameters, for which their schedule drops the heads' factor of 10.
        self.optimizer.param_groups[0]["lr"] = self.preparation_rate * (1 - progress / EPOCHS) ** 0.9
        self.optimizer.step()
        self.optimizer.zero_grad()

    def get_extra_state(self) -> dict[str, Any]:
        """The connectors' momentum."""
        return self.optimizer.state_dict()

    def set_extra_state(self, state: Mapping[str, Any]) -> None:
        """The connectors' momentum, as it was."""
        self.optimizer.load_state_dict(deepcopy(dict(state)))


class Attention(nn.Module):
    """CBAM: which channels and which positions of a map count, each by a number between 0 and 1."""

    def __init__(self, channels: int, reduction: int) -> None:
        super().__init__()
        if channels < reduction:
            raise BadInput(f"attnfd: a stage of {channels} channels: expected at least {reduction}, the reduction")
        self.channel_fc1 = nn.Linear(channels, channels // reduction)
        self.channel_fc2 = nn.Linear(channels // reduction, channels)
        self.spatial_conv = nn.Conv2d(2, 1, kernel_size=7, padding=3, bias=False)
        # Their momentum is 0.01, but the attention never leaves training: no running statistics are ever used.
        self.spatial_norm = nn.BatchNorm2d(1, eps=1e-5, track_running_stats=False)

    def forward(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """The features times their channel gates, B×C×h×w, and the spatial gate, B×1×h×w."""
        # max and not amax, which would share a gradient among equals: the released code gives it to one of them.
        pooled = torch.stack([features.mean(dim=(2, 3)), features.flatten(2).max(dim=2).values])  # 2×B×C
        gate = self.channel_fc2(self.channel_fc1(pooled).relu()).sum(dim=0).sigmoid()
        gated = features * gate[:, :, None, None]
        summary = torch.stack([gated.max(dim=1).values, gated.mean(dim=1)], dim=1)  # B×2×h×w
        return gated, self.spatial_norm(self.spatial_conv(summary)).sigmoid()


class Connector(nn.Module):
    """A 1×1 convolution without bias and a batch norm with the batch's own statistics, on the way to a cosine.

    Neither its output nor the teacher's map is ever written down: both enter the cosine by sums over positions, which
    follow from the student's covariance and from its products with the teacher's channels.
    """

    def __init__(self, student_channels: int, teacher_channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(student_channels, teacher_channels, kernel_size=1, bias=False)
        nn.init.normal_(self.conv.weight, std=math.sqrt(2 / teacher_channels))
        self.norm = nn.BatchNorm2d(teacher_channels, track_running_stats=False)

    def forward(self, student: Tensor, teacher: Tensor, spatial: Tensor) -> Tensor:
        """cos(S, T) over all of B×C_T×h×w, S being norm(conv(student)) and T = teacher·spatial.

        Args:
            student: B×C_S×h×w.
            teacher: B×C_T×h×w.
            spatial: B×1×h×w.

        """
        weight = self.conv.weight.flatten(1)  # C_T×C_S×1×1 → C_T×C_S
        centred = (student - student.mean(dim=(0, 2, 3), keepdim=True)).flatten(2)  # B×C_S×P
        count = centred.shape[0] * centred.shape[2]
        covariance = torch.bmm(centred, centred.transpose(1, 2)).sum(dim=0) / count
        # Rounding may leave a channel that does not vary a little below 0.
        variance = ((weight @ covariance) * weight).sum(dim=1).clamp(min=0)
        scale = self.norm.weight * (variance + self.norm.eps).rsqrt()

        teacher, spatial = teacher.flatten(2), spatial.flatten(2)  # B×C_T×P, B×1×P
        products = torch.bmm(teacher, (centred * spatial).transpose(1, 2)).sum(dim=0)  # C_T×C_S
        sums = torch.bmm(teacher, spatial.transpose(1, 2)).sum(dim=(0, 2))  # of each of T's channels
        squares = (torch.linalg.vecdot(teacher, teacher, dim=1) * spatial.squeeze(1).square()).sum()  # ‖T‖²

        dot = scale @ (weight * products).sum(dim=1) + self.norm.bias @ sums
        own = count * (scale.square() @ variance + self.norm.bias.square().sum())  # ‖S‖²
        cosine: Tensor = dot * _inverse_root(own) * _inverse_root(squares)
        return cosine


def _inverse_root(squares: Tensor) -> Tensor:
    """1 where there is no length to divide by; the released form divides by 0."""
    return torch.where(squares > TINY, squares, 1.0).rsqrt()


def _tuple(places: Any) -> tuple[Any, ...]:  # noqa: ANN401 - widths or maps, one or several
    """One place is a tuple of one."""
    return places if isinstance(places, tuple) else (places,)
