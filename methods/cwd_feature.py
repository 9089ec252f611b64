"""Channel-wise distillation of features, as its authors have it.

irfanICMLL/TorchDistiller, SemSeg-distill/utils/criterion.py and networks/kd_model.py, commit 78bac7c.
"""

from torch import Tensor, nn
from torch.nn import functional

from harness.distill.draw import Draw
from harness.distill.module import LossModule
from harness.distill.precision import full, full_precision
from harness.distill.shapes import expect_same_positions
from methods.cwd import channel_divergence

EPSILON = 1e-5


class ProjectedDivergence(LossModule):
    """The channel divergence of the projected student, whose projection trains with it."""

    def __init__(
        self,
        *,
        student_channels: int,
        teacher_channels: int,
        norm: str = "channel",
        divergence: str = "kl",
        temperature: float = 4.0,
    ) -> None:
        super().__init__()
        self.projection = Projection(student_channels, teacher_channels)
        self.norm, self.divergence, self.temperature = norm, divergence, temperature

    def forward(self, student: Tensor, teacher: Tensor, labels: Tensor, *, draw: Draw) -> Tensor:
        """Of B×C_S×h×w against B×C_T×h×w."""
        expect_same_positions(student, teacher)
        projected = self.projection(student)
        settings = {"norm": self.norm, "divergence": self.divergence}
        with full_precision(projected):
            return channel_divergence(projected, teacher, labels, draw=draw, temperature=self.temperature, **settings)


class Projection(nn.Module):
    """B×C_S×h×w → B×C_T×h×w, not negative: a 1×1 convolution, a batch norm of the batch at hand, ReLU."""

    def __init__(self, student_channels: int, teacher_channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(student_channels, teacher_channels, kernel_size=1, bias=False)
        # It never normalises by a running mean, for it is gone when the student is evaluated.
        self.norm = nn.BatchNorm2d(teacher_channels, eps=EPSILON, track_running_stats=False)

    def forward(self, features: Tensor) -> Tensor:
        """In-place ABN scales by |γ| + 1e-5; its leaky slope of 0.01 does not survive the ReLU that follows."""
        scale = self.norm.weight.abs() + EPSILON
        normalised = functional.batch_norm(
            full(self.conv(features)), None, None, scale, self.norm.bias, training=True, eps=EPSILON
        )
        return functional.relu(normalised, inplace=True)
