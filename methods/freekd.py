"""FreeKD, distillation with semantic frequency prompts (Zhang et al., CVPR 2024, arXiv 2311.12079)."""

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from harness.distill.draw import Draw
from harness.distill.precision import full, full_precision
from harness.distill.shapes import expect_same_shape
from harness.distill.task import labelled_cross_entropy
from methods.maskd import dice
from methods.maskd_feature import FeaturePreparation

Details = tuple[Tensor, Tensor, Tensor]
"""What differs between rows, between columns, and along both diagonals: each B×C×⌈h/2⌉×⌈w/2⌉."""


class Bands(NamedTuple):
    """A feature by frequency: what is left at the coarsest scale, and each scale's details, finest first."""

    low: Tensor
    details: tuple[Details, ...]


class FrequencyDistillation(FeaturePreparation):
    """Parts `freq` and `mse` of one aligned feature.

    `freq` is the sum over scales j of the mean over images, tokens t, channels, orientations and positions of
    m_jt · |D_j(F_S) − D_j(F_T)|, where D_j are a Haar transform's details in three orientations and m_jt is
    σ(E_jt · the sum of D_j(F_T) over them); `mse` is the mean of (F_S − F_T)². The prompts E_0, of the low frequencies,
    act in preparation alone. As Gumpest/FreeKD has it (mmrazor/models/losses/freekd.py and mse.py,
    configs/distill/freekd, commit e0874f5).

    Settings:
        num_tokens: prompts a scale.
        levels: scales.
        weight_dice: of the masks' overlap beside the task loss, in preparation.
        learning_rate, weight_decay: of the preparation's Adam, the rate at 256 channels and 1/C otherwise.
    """

    def __init__(
        self,
        *,
        parts: frozenset[str],
        teacher_channels: int,
        classes: int,
        num_tokens: int = 6,
        levels: int = 3,
        weight_dice: float = 1.0,
        learning_rate: float = 0.01,
        weight_decay: float = 1e-3,
    ) -> None:
        super().__init__(learning_rate=learning_rate, teacher_channels=teacher_channels, classes=classes)
        self.parts, self.weight_dice = parts, weight_dice
        self.mask_token = nn.Parameter(0.01 * torch.randn(levels + 1, num_tokens, teacher_channels))
        self.freeze(torch.optim.Adam(self.parameters(), lr=self.learning_rate, weight_decay=weight_decay))

    def forward(self, student: Tensor, teacher: Tensor, labels: Tensor, *, draw: Draw) -> dict[str, Tensor]:
        """The wanted parts; both stages B×C×h×w, the student's already brought to the teacher's width."""
        expect_same_shape(student, teacher)
        difference = full(student) - full(teacher)
        losses = {}
        if "freq" in self.parts:
            losses["freq"] = self._frequency(difference, full(teacher))
        if "mse" in self.parts:
            losses["mse"] = difference.square().mean()
        return losses

    def masks(self, teacher: Tensor) -> tuple[Tensor, ...]:
        """Of the low frequencies and of each scale, finest first: each B×T×h_j×w_j."""
        low, details = self._responses(self.mask_token, teacher)
        return low[:, 0].sigmoid(), *(scale[:, index].sigmoid() for index, scale in enumerate(details, start=1))

    def prompted_feature(self, teacher: Tensor) -> Tensor:
        """The teacher's feature put together again from masked frequencies, summed over tokens: B×C×h×w."""
        return prompted(teacher, self.masks(teacher))

    def mask_losses(self, teacher: Tensor, labels: Tensor) -> dict[str, Tensor]:
        """What is learned before distillation, unweighted.

        `classifier` is the cross-entropy of the linear classifier; `task` that of its logits for the prompted feature,
        the classifier held; `dice` the overlap of the masks, summed over frequencies.
        """
        masks = self.masks(teacher)
        classified = self.classified(teacher)
        # Masks and transform are common to all channels: prompting the logits is classifying the prompted feature.
        masked = prompted(classified.detach(), masks) + self.classifier.bias[:, None, None].detach()  # type: ignore[index]
        return {
            "classifier": labelled_cross_entropy(self.with_bias(classified), labels),
            "task": labelled_cross_entropy(masked, labels),
            "dice": overlap(masks),
        }

    def preparation_loss(self, teacher: Tensor, labels: Tensor) -> Tensor:
        """The sum classifier + task + weight · dice."""
        losses = self.mask_losses(teacher, labels)
        return losses["classifier"] + losses["task"] + self.weight_dice * losses["dice"]

    def _responses(self, tokens: Tensor, teacher: Tensor) -> tuple[Tensor, tuple[Tensor, ...]]:
        """Every token's product with the low frequencies and with each scale's summed details: each B×J×T×h_j×w_j."""
        # The transform treats channels alike, so it may follow the product: J·T maps to transform instead of C.
        with full_precision(teacher):
            maps = torch.einsum("jtc,bchw->bjthw", tokens, teacher)
        bands = decompose(maps, levels=len(self.mask_token) - 1)
        return bands.low, tuple(rows + columns + diagonals for rows, columns, diagonals in bands.details)

    def _frequency(self, difference: Tensor, teacher: Tensor) -> Tensor:
        """Masks are positive and common to channels and orientations: their mean over tokens comes first."""
        with torch.no_grad():
            _, responses = self._responses(self.mask_token[1:], teacher)
            masks = [scale[:, index].sigmoid().mean(dim=1) for index, scale in enumerate(responses)]  # B×h_j×w_j
            slope = _slope(difference, masks)
        # Each |D| is linear in the difference but at 0: the loss is ⟨slope, difference⟩, in value and in gradient.
        return (slope * difference).sum()


def _slope(difference: Tensor, masks: list[Tensor]) -> Tensor:
    """The gradient of Σ_j mean of mask_j · |D_j(difference)| in the difference: the inverse transform of signs."""
    bands = decompose(difference, levels=len(masks))
    details = []
    for mask, orientations in zip(masks, bands.details, strict=True):
        weight = mask[:, None] / (3 * orientations[0].numel())
        rows, columns, diagonals = (weight * detail.sign_() for detail in orientations)
        details.append((rows, columns, diagonals))
    return recompose(Bands(torch.zeros_like(bands.low), tuple(details)), difference.shape[-2:])


def prompted(feature: Tensor, masks: tuple[Tensor, ...]) -> Tensor:
    """The inverse transform of the frequencies, each times the sum over tokens of its masks: B×C×h×w → B×C×h×w."""
    low, *scales = (mask.sum(dim=1, keepdim=True) for mask in masks)
    bands = decompose(feature, levels=len(scales))
    details = []
    for mask, (rows, columns, diagonals) in zip(scales, bands.details, strict=True):
        details.append((mask * rows, mask * columns, mask * diagonals))
    return recompose(Bands(low * bands.low, tuple(details)), feature.shape[-2:])


def overlap(masks: tuple[Tensor, ...]) -> Tensor:
    """The dice of MasKD, summed over the low frequencies and the scales."""
    return torch.stack([dice(scale) for scale in masks]).sum()


def decompose(feature: Tensor, levels: int) -> Bands:
    """The orthonormal Haar transform of the last two sizes, odd ones padded with a zero at the bottom or the right."""
    details = []
    for _ in range(levels):
        height, width = feature.shape[-2:]
        if height % 2 or width % 2:
            feature = functional.pad(feature, (0, width % 2, 0, height % 2))
        feature, scale = _halves(feature)
        details.append(scale)
    return Bands(feature, tuple(details))


def recompose(bands: Bands, size: tuple[int, ...]) -> Tensor:
    """The inverse of `decompose` for a feature of that height and width."""
    feature = bands.low
    for scale in reversed(bands.details):
        # A scale below may have been padded; its padding is cut off.
        height, width = scale[0].shape[-2:]
        feature = _doubled(feature[..., :height, :width], scale)
    return feature[..., : size[0], : size[1]]


def _halves(feature: Tensor) -> tuple[Tensor, Details]:
    """Blocks a b / c d of an even feature → (a+b+c+d)/2 and the details (a+b−c−d)/2, (a−b+c−d)/2, (a−b−c+d)/2."""
    height, width = feature.shape[-2:]
    top, bottom = feature.reshape(*feature.shape[:-2], height // 2, 2, width).unbind(-2)
    pairs = (*feature.shape[:-2], height // 2, width // 2, 2)
    left, right = (0.5 * (top + bottom)).view(pairs).unbind(-1)
    above, beside = (0.5 * (top - bottom)).view(pairs).unbind(-1)
    return left + right, (above + beside, left - right, above - beside)


def _doubled(low: Tensor, details: Details) -> Tensor:
    """The inverse of `_halves`."""
    rows, columns, diagonals = details
    total = torch.stack((low + columns, low - columns), dim=-1).flatten(-2)  # (top + bottom), columns interleaved
    change = torch.stack((rows + diagonals, rows - diagonals), dim=-1).flatten(-2)  # (top − bottom)
    return 0.5 * torch.stack((total + change, total - change), dim=-2).flatten(-3, -2)
