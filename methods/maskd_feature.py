"""MasKD, masked distillation with receptive tokens (ICLR 2023, arXiv 2205.14589), the form for features."""

from math import cos, pi, sqrt

import torch
from torch import Tensor, nn
from torch.nn import functional

from harness.distill.draw import Draw
from harness.distill.precision import full, full_precision
from harness.distill.shapes import expect_same_shape
from harness.distill.task import labelled_cross_entropy
from methods.maskd import PreparedLoss, dice, token_masks

AUTHORS_WIDTH = 256
"""Channels of the detectors' necks for which the released rate of Adam was chosen."""


class FeaturePreparation(PreparedLoss):
    """The released preparation on features (mmdetection/configs/maskd, commit b5af34f): Adam, its rate a half cosine.

    There the masked feature goes on through the teacher's remaining layers to the task loss. A loss sees no layers, so
    a linear classifier of the teacher's feature, learned beside by its own cross-entropy, stands for them (ours).
    """

    def __init__(self, *, learning_rate: float, teacher_channels: int, classes: int) -> None:
        super().__init__()
        # Adam moves every channel alike, whatever the gradient: the wider the feature, the further its masks move.
        self.learning_rate = learning_rate * AUTHORS_WIDTH / teacher_channels
        self.classifier = nn.Conv2d(teacher_channels, classes, kernel_size=1)
        nn.init.zeros_(self.classifier.weight)
        nn.init.zeros_(self.classifier.bias)  # type: ignore[arg-type]  # there is one

    def learning_rate_at(self, progress: float) -> float:
        """From the rate to 1e-6 along half a cosine."""
        return 1e-6 + (self.learning_rate - 1e-6) * (1 + cos(pi * progress)) / 2

    def classified(self, teacher: Tensor) -> Tensor:
        """What the linear classifier makes of a feature, without its bias: B×C×h×w → B×K×h×w."""
        # Pixels of length 1 on average, so that one rate suits every network's features.
        length = teacher.square().sum(dim=1).mean().sqrt().clamp(min=1e-6)
        return functional.conv2d(teacher / length, self.classifier.weight)

    def with_bias(self, classified: Tensor) -> Tensor:
        """Logits."""
        return classified + self.classifier.bias[:, None, None]  # type: ignore[index]  # there is one


class TokenWeight(nn.Module):
    """Softmax over tokens of conv1x1(mean over positions of conv3x3(F)); frozen in distillation."""

    def __init__(self, channels: int, num_tokens: int) -> None:
        super().__init__()
        self.conv3x3 = nn.Conv2d(channels, channels, kernel_size=3, padding=1)
        self.conv1x1 = nn.Conv2d(channels, num_tokens, kernel_size=1)
        for layer in (self.conv3x3, self.conv1x1):
            fan_out = layer.kernel_size[0] * layer.kernel_size[1] * layer.out_channels
            nn.init.normal_(layer.weight, std=sqrt(2 / fan_out))
            nn.init.zeros_(layer.bias)  # type: ignore[arg-type]  # there is one

    def forward(self, features: Tensor) -> Tensor:
        """B×C×h×w → B×T."""
        # Convolving and averaging are both linear: the mean of the convolution is a product with nine shifted means.
        pooled = functional.linear(shifted_means(features), self.conv3x3.weight.flatten(1), self.conv3x3.bias)
        return functional.linear(pooled, self.conv1x1.weight.flatten(1), self.conv1x1.bias).softmax(dim=1)


class MaskedFeatures(FeaturePreparation):
    """Mean over images of Σ_t ω_t · mean over channels of Σ_p m_t² (F_S − F_T)² / Σ_p m_t.

    As hunto/MasKD has it (mmrazor/mmrazor/models/losses/maskd.py, commit b5af34f); m = σ(E · F_T), ω a small head's
    weights of the tokens for an image.

    Settings:
        num_tokens: T.
        use_student_mask: m is multiplied by σ(E · F_S), through which no gradient flows.
        weight_dice: of the masks' overlap beside the task loss, in preparation.
        learning_rate, weight_decay: of the preparation's Adam, the rate at 256 channels and 1/C otherwise.
    """

    def __init__(
        self,
        *,
        teacher_channels: int,
        classes: int,
        num_tokens: int = 6,
        use_student_mask: bool = True,
        weight_dice: float = 1.0,
        learning_rate: float = 0.01,
        weight_decay: float = 1e-3,
    ) -> None:
        super().__init__(learning_rate=learning_rate, teacher_channels=teacher_channels, classes=classes)
        self.use_student_mask, self.weight_dice = use_student_mask, weight_dice
        self.mask_token = nn.Parameter(0.01 * torch.randn(num_tokens, teacher_channels))
        self.token_weight = TokenWeight(teacher_channels, num_tokens)
        self.freeze(torch.optim.Adam(self.parameters(), lr=self.learning_rate, weight_decay=weight_decay))

    def forward(self, student: Tensor, teacher: Tensor, labels: Tensor, *, draw: Draw) -> Tensor:
        """Both B×C×h×w, the student's already brought to the teacher's width."""
        expect_same_shape(student, teacher)
        student, teacher = full(student), full(teacher)
        with torch.no_grad():
            weights = self._weights(student, teacher)
        # The root inside the square: one pass less, and one tensor of the feature's size less to keep.
        return (weights.sqrt() * (student - teacher)).square().sum()

    def mask_losses(self, teacher: Tensor, labels: Tensor) -> dict[str, Tensor]:
        """What is learned before distillation, unweighted.

        `classifier` is the cross-entropy of the linear classifier; `task` that of its logits for the feature
        Σ_t ω_t m_t · F_T, the classifier held; `dice` the overlap of the masks.
        """
        masks = token_masks(self.mask_token, teacher)
        attention = torch.einsum("bt,bthw->bhw", self.token_weight(teacher), masks)[:, None]
        classified = self.classified(teacher)
        # Masks are common to all channels, so that masking the classifier's output is classifying the masked feature.
        masked = attention * classified.detach() + self.classifier.bias[:, None, None].detach()  # type: ignore[index]
        return {
            "classifier": labelled_cross_entropy(self.with_bias(classified), labels),
            "task": labelled_cross_entropy(masked, labels),
            "dice": dice(masks),
        }

    def preparation_loss(self, teacher: Tensor, labels: Tensor) -> Tensor:
        """The sum classifier + task + weight · dice."""
        losses = self.mask_losses(teacher, labels)
        return losses["classifier"] + losses["task"] + self.weight_dice * losses["dice"]

    def _weights(self, student: Tensor, teacher: Tensor) -> Tensor:
        """All tokens folded into one map: B×1×h×w."""
        with full_precision(teacher):
            masks = token_masks(self.mask_token, teacher)
            if self.use_student_mask:
                masks = masks * token_masks(self.mask_token, student)
            token_weights = self.token_weight(teacher)
        # The released sum has no floor, and masks that are zero everywhere give NaN; above it the value is the same.
        area = masks.sum(dim=(2, 3), keepdim=True).clamp(min=torch.finfo(masks.dtype).tiny)
        folded: Tensor = (token_weights[:, :, None, None] * masks.square() / area).sum(dim=1, keepdim=True)
        folded /= teacher.shape[0] * teacher.shape[1]
        return folded


def shifted_means(features: Tensor) -> Tensor:
    """The means over positions that the taps of a 3×3 convolution padded with zeros see: B×C×h×w → B×(C·9)."""
    columns = features.sum(dim=2)  # B×C×w
    # A tap above the centre never sees the last row, one below it never the first; so with columns.
    lines = (columns - features[:, :, -1], columns, columns - features[:, :, 0])
    taps = [part for line in lines for part in (line[..., :-1].sum(-1), line.sum(-1), line[..., 1:].sum(-1))]
    return torch.stack(taps, dim=2).flatten(1) / (features.shape[2] * features.shape[3])
