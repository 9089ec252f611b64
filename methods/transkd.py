"""TransKD for transformers (Liu and others, arXiv 2202.13393): fused features, and embeddings of patches."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from harness.distill.draw import Draw
from harness.distill.module import LossModule
from harness.distill.precision import full
from harness.distill.shapes import expect_same_positions, expect_same_shape
from harness.ledger.errors import BadInput

LEVELS = (4, 2, 1)
"""Sides of the pooled maps that are compared besides the whole ones."""


class Fusion(LossModule):
    """The sum over stages of a mean of squared differences at several resolutions, deeper stages fused into shallower.

    As RuipingL/TransKD's Base has it (train/CSF.py, commit 39ab795).

    Settings:
        mid_channels: the width in which stages are fused.
        attention_channels: the width in which it is decided how much of each is taken.
    """

    def __init__(
        self,
        *,
        student_channels: tuple[int, ...],
        teacher_channels: tuple[int, ...],
        mid_channels: int = 64,
        attention_channels: int = 32,
    ) -> None:
        super().__init__()
        deepest = len(student_channels) - 1
        widths = enumerate(zip(student_channels, teacher_channels, strict=True))
        self.stage = nn.ModuleList(
            FusedStage(ours, mid_channels, theirs, attention_channels if index < deepest else 0)
            for index, (ours, theirs) in widths
        )

    def forward(
        self, student: tuple[Tensor, ...], teacher: tuple[Tensor, ...], labels: Tensor, *, draw: Draw
    ) -> Tensor:
        """The loss of stages B×C_i×h_i×w_i, the shallowest first."""
        fused: Tensor | None = None
        losses = []
        for stage, ours, theirs in reversed(list(zip(self.stage, student, teacher, strict=True))):
            expect_same_positions(ours, theirs)
            output, fused = stage(ours, fused)
            losses.append(at_all_levels(full(output), full(theirs)))
        return torch.stack(losses).sum()


class FusedStage(nn.Module):
    """One stage of the student in the common width, with what comes from below it, brought to the teacher's width."""

    def __init__(self, student_channels: int, mid_channels: int, teacher_channels: int, attention: int) -> None:
        super().__init__()
        self.reduce_conv = nn.Conv2d(student_channels, mid_channels, kernel_size=1, bias=False)
        self.reduce_norm = nn.BatchNorm2d(mid_channels)
        self.out_conv = nn.Conv2d(mid_channels, teacher_channels, kernel_size=3, padding=1, bias=False)
        self.out_norm = nn.BatchNorm2d(teacher_channels)
        if attention:
            self.att_conv = nn.Conv2d(mid_channels, attention, kernel_size=1, bias=False)
            self.att_norm = nn.BatchNorm2d(attention)
            # The released code's way out for one image, whose pooled values have no variance.
            self.att_conv_batch1 = nn.Conv2d(mid_channels, attention, kernel_size=1, bias=False)
            self.att_branch0 = nn.Conv2d(attention, mid_channels, kernel_size=1)
            self.att_branch1 = nn.Conv2d(attention, mid_channels, kernel_size=1)

    def forward(self, feature: Tensor, deeper: Tensor | None) -> tuple[Tensor, Tensor]:
        """B×C_S×h×w and the deeper stage's fused map, if any → B×C_T×h×w and this stage's fused map."""
        if feature.shape[0] * feature.shape[2] * feature.shape[3] == 1:
            raise BadInput("transkd: one image with one position: expected more, its batch norms have no variance")
        fused: Tensor = self.reduce_norm(self.reduce_conv(feature))
        if deeper is not None:
            deeper = functional.interpolate(deeper, size=fused.shape[2:], mode="nearest")
            share = self.attention(fused + deeper)
            fused = share[:, 0] * fused + share[:, 1] * deeper
        return self.out_norm(self.out_conv(fused)), fused

    def attention(self, both: Tensor) -> Tensor:
        """How much of each is taken, a channel: B×C×h×w → B×2×C×1×1, which sums to 1 over the two."""
        pooled = full(both).mean(dim=(2, 3), keepdim=True)
        hidden = self.att_conv_batch1(pooled) if len(pooled) == 1 else self.att_norm(self.att_conv(pooled))
        hidden = functional.relu(hidden, inplace=True)
        return full(torch.stack([self.att_branch0(hidden), self.att_branch1(hidden)], dim=1)).softmax(dim=1)


class Embeddings(LossModule):
    """Σ over stages of w_i · the mean of (Linear(E_S) − E_T)², on embeddings of patches.

    As RuipingL/TransKD has it (train/train_TransKDBase.py, commit 39ab795).

    Settings:
        embed_weights: w, the shallowest stage's first.
    """

    def __init__(
        self,
        *,
        student_channels: tuple[int, ...],
        teacher_channels: tuple[int, ...],
        embed_weights: tuple[float, ...] = (0.1, 0.1, 0.5, 1.0),
    ) -> None:
        super().__init__()
        if len(embed_weights) != len(student_channels) or not any(embed_weights):
            raise BadInput(
                f"transkd: embed_weights: found {list(embed_weights)} for {len(student_channels)} stages: "
                "expected one a stage, not all of them 0"
            )
        self.embed_weights = embed_weights
        widths = zip(student_channels, teacher_channels, strict=True)
        self.embed_proj = nn.ModuleList(nn.Linear(ours, theirs) for ours, theirs in widths)

    def forward(
        self, student: tuple[Tensor, ...], teacher: tuple[Tensor, ...], labels: Tensor, *, draw: Draw
    ) -> Tensor:
        """The loss of stages B×N_i×C_i, the shallowest first."""
        stages = zip(self.embed_weights, self.embed_proj, student, teacher, strict=True)
        losses = [
            weight * _squared(full(linear(ours)), full(theirs)) for weight, linear, ours, theirs in stages if weight
        ]
        return torch.stack(losses).sum()


def at_all_levels(output: Tensor, teacher: Tensor) -> Tensor:
    """The weighted mean of the squares' means, whole (1) and averaged to each of `LEVELS` below the height (½, ¼ …).

    Args:
        output: B×C×h×w.
        teacher: B×C×h×w.

    """
    squares = [functional.mse_loss(output, teacher)]
    for level in _below(LEVELS, output.shape[2]):
        ours, theirs = (functional.adaptive_avg_pool2d(feature, level) for feature in (output, teacher))
        squares.append(functional.mse_loss(ours, theirs))
    # Weights go to the levels that are used: where 4 is left out, 2 has the half.
    weights = [0.5**index for index in range(len(squares))]
    return torch.stack([weight * square for weight, square in zip(weights, squares, strict=True)]).sum() / sum(weights)


def _below(levels: Sequence[int], height: int) -> list[int]:
    return [level for level in levels if level < height]


def _squared(student: Tensor, teacher: Tensor) -> Tensor:
    """The mean of squared differences, of one shape."""
    expect_same_shape(student, teacher)
    return functional.mse_loss(student, teacher)
