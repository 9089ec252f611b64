"""Masked generative distillation (Yang, Li, Shao, Shi, Yuan and Yuan, ECCV 2022, arXiv 2205.01529)."""

from torch import Tensor, nn
from torch.nn import functional

from harness.distill.draw import Draw
from harness.distill.module import LossModule
from harness.distill.precision import full
from harness.distill.shapes import expect_same_positions
from harness.ledger.errors import BadInput


class Generator(nn.Module):
    """Two 3×3 convolutions that fill in what a mask has taken out: B×C×h×w → B×C×h×w."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, channels, kernel_size=3, padding=1)
        self.conv2 = nn.Conv2d(channels, channels, kernel_size=3, padding=1)

    def forward(self, feature: Tensor) -> Tensor:
        """The generated feature."""
        generated: Tensor = self.conv2(functional.relu(self.conv1(feature), inplace=True))
        return generated


class MaskedGeneration(LossModule):
    """1/B · Σ over channels and positions of (G(M ⊙ A(F_S)) − F_T)², kept positions and masked ones alike.

    As yzd-v/MGD has it (seg/mmseg/distillation/losses/mgd.py, commit 2c9da0b), α being the term's weight. A, a 1×1
    convolution with a bias, is left out where the widths agree, and what survives the mask is not rescaled.

    Settings:
        mask_ratio: λ, the share of positions that the mask drops.
        mask_on_channel: whole channels are dropped instead, an option of mmrazor's copy (which has λ 0.65).
    """

    def __init__(
        self, *, student_channels: int, teacher_channels: int, mask_ratio: float = 0.75, mask_on_channel: bool = False
    ) -> None:
        super().__init__()
        self.mask_ratio = expect_share(mask_ratio)
        self.mask_on_channel = mask_on_channel
        self.align = alignment(student_channels, teacher_channels)
        self.generator = Generator(teacher_channels)

    def forward(self, student: Tensor, teacher: Tensor, labels: Tensor, *, draw: Draw) -> Tensor:
        """The loss of B×C_S×h×w against B×C_T×h×w."""
        expect_same_positions(student, teacher)
        images, channels, *positions = teacher.shape
        shape = (images, channels, 1, 1) if self.mask_on_channel else (images, 1, *positions)
        masked = self.align(student) * random_mask(draw, shape, self.mask_ratio)
        return summed_squares(self.generator(masked), teacher)


def alignment(student_channels: int, teacher_channels: int) -> nn.Module:
    """From the student's width to the teacher's: a 1×1 convolution with a bias, or nothing where they agree."""
    if student_channels == teacher_channels:
        return nn.Identity()
    return nn.Conv2d(student_channels, teacher_channels, kernel_size=1)


def expect_share(mask_ratio: float) -> float:
    """The ratio; BadInput unless it is a share."""
    if not 0 <= mask_ratio <= 1:
        raise BadInput(f"mask_ratio: found {mask_ratio}: expected a share, from 0 to 1")
    return mask_ratio


def random_mask(draw: Draw, shape: tuple[int, ...], ratio: float) -> Tensor:
    """1 where kept, 0 where the draw exceeds 1 − ratio."""
    return draw.uniform("uniform", shape) <= 1 - ratio


def summed_squares(generated: Tensor, teacher: Tensor) -> Tensor:
    """1/B · Σ (generated − teacher)²."""
    return functional.mse_loss(full(generated), full(teacher), reduction="sum") / len(teacher)
