"""Channel-wise distillation of features, as winycg/CIRKD has it (losses/cwd.py, commit dab64db)."""

from torch import Tensor, nn

from harness.distill.draw import Draw
from harness.distill.module import LossModule
from harness.distill.precision import full, full_precision
from harness.distill.shapes import expect_same_positions
from methods.cwd import channel_divergence


class UnprojectedMeanDivergence(LossModule):
    """T²/(B·c) · Σ KL over the maps of all the teacher's channels, c being the student's width before projection."""

    def __init__(self, *, student_channels: int, teacher_channels: int, temperature: float = 4.0) -> None:
        super().__init__()
        self.temperature = temperature
        self.excess = teacher_channels / student_channels
        """How much more the sum is divided by in the authors' own normalisation."""
        self.conv: nn.Module = nn.Identity()
        if student_channels != teacher_channels:
            self.conv = nn.Conv2d(student_channels, teacher_channels, kernel_size=1, bias=False)

    def forward(self, student: Tensor, teacher: Tensor, labels: Tensor, *, draw: Draw) -> Tensor:
        """Of B×C_S×h×w against B×C_T×h×w."""
        expect_same_positions(student, teacher)
        projected = full(self.conv(student))
        with full_precision(projected):
            loss = channel_divergence(projected, teacher, labels, draw=draw, temperature=self.temperature)
        return self.excess * loss
