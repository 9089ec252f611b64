"""Augmentation-free dense contrastive distillation (Fan, Li, Liu, Song and Yao, NeurIPS 2023, arXiv 2312.04168)."""

import torch
from torch import Tensor, nn
from torch.nn import functional

from harness.distill.draw import Draw
from harness.distill.module import LossModule
from harness.distill.precision import full, full_precision
from harness.distill.shapes import expect_same_positions
from harness.ledger.errors import BadInput
from methods.mgd import Generator, alignment, expect_share, random_mask, summed_squares

LARGEST_DIFFERENCES = 2**26
"""Elements of the N·M × N·M × D differences that are alive at once: the gradient of the distances on a GPU has them."""


class Contrast(LossModule):
    """What a generator makes of the masked student, against the teacher: squares, and a contrast within patches.

    As OSVAI/Af-DCD has it (losses/ocmgd.py, commit 5b086a7); Y is the generated feature, F_T the teacher's.

    Parts:
        feature: 1/B · Σ (Y − F_T)², the masked generative term.
        contrastive: both pooled and cut into patches of N positions and M groups of channels. In a patch, −log of the
            softmax of −‖·‖₁/τ at the same group and position, among it and the other groups at all positions; a mean
            over images and pooled positions, a sum over the groups.

    Settings:
        channel_groups: M, which divides the teacher's channels.
        pool_size: of the max-pooling, whose stride it is; 0 pools nothing.
        patch_size: height and width, which divide the pooled feature's.
        crop: compares the first `crop` rows and columns and pools nothing, as on CamVid (44); 0 pools.
        random_mask: positions are masked at random; else the middle third, in rows and columns, of every image.
        enhanced_projector: the generator with four convolutions.
    """

    middle: Tensor
    excluded: Tensor

    def __init__(
        self,
        *,
        parts: frozenset[str],
        student_channels: int,
        teacher_channels: int,
        student_size: tuple[int, int],
        teacher_size: tuple[int, int],
        channel_groups: int = 16,
        pool_size: int = 4,
        patch_size: tuple[int, ...] = (4, 4),
        crop: int = 0,
        tau: float = 0.07,
        random_mask: bool = True,
        mask_ratio: float = 0.75,
        enhanced_projector: bool = False,
    ) -> None:
        super().__init__()
        self.parts = parts
        self.groups, self.pool_size, self.crop, self.tau = channel_groups, pool_size, crop, tau
        self.patch_size = _expect_pair(patch_size)
        self.random_mask, self.mask_ratio = random_mask, expect_share(mask_ratio)
        if "contrastive" in parts:
            _expect_groups(teacher_channels, channel_groups)
            _expect_patches(teacher_size, pool_size, crop, self.patch_size)
        self.align = alignment(student_channels, teacher_channels)
        generator = EnhancedGenerator if enhanced_projector else Generator
        self.generator = generator(teacher_channels)
        # Neither changes while training; both follow from the settings, so that a checkpoint need not hold them.
        self.register_buffer("middle", _outside_the_middle(student_size), persistent=False)
        self.register_buffer("excluded", _same_group_elsewhere(channel_groups, self.patch_size), persistent=False)

    def forward(self, student: Tensor, teacher: Tensor, labels: Tensor, *, draw: Draw) -> dict[str, Tensor]:
        """The wanted parts for B×C_S×h×w against B×C_T×h×w."""
        expect_same_positions(student, teacher)
        generated = full(self.generator(self.align(student) * self._mask(student, draw)))
        teacher = full(teacher)
        losses = {}
        if "feature" in self.parts:
            losses["feature"] = summed_squares(generated, teacher)
        if "contrastive" in self.parts:
            losses["contrastive"] = self.contrast(generated, teacher)
        return losses

    def contrast(self, generated: Tensor, teacher: Tensor) -> Tensor:
        """Σ over patches, groups and positions of the term, by images and positions: both B×C_T×h×w."""
        anchors, candidates = self._vectors(generated), self._vectors(teacher)  # patches × M·N × D
        with full_precision(generated):
            distances = manhattan(anchors, candidates) / self.tau  # patches × M·N × M·N
            positive = distances.diagonal(dim1=1, dim2=2)
            among = torch.logsumexp((-distances).masked_fill(self.excluded, -torch.inf), dim=2)
        # Every position has M anchors: their sum over all positions is M times the mean of all anchors.
        return self.groups * (positive + among).mean()

    def _mask(self, student: Tensor, draw: Draw) -> Tensor:
        """1 where kept, B×1×h×w."""
        if not self.random_mask:
            return self.middle
        return random_mask(draw, (len(student), 1, *student.shape[2:]), self.mask_ratio)

    def _vectors(self, feature: Tensor) -> Tensor:
        """B×C×h×w → (B·patches) × (M·N) × D, groups of channels outermost within a patch."""
        if self.crop:
            feature = feature[:, :, : self.crop, : self.crop]
        elif self.pool_size:
            feature = functional.max_pool2d(feature, self.pool_size)
        images, _, rows, columns = feature.shape
        height, width = self.patch_size
        sizes = (images, self.groups, -1, rows // height, height, columns // width, width)
        patches = feature.reshape(sizes).permute(0, 3, 5, 1, 4, 6, 2)  # B × rows × columns × M × height × width × D
        return patches.flatten(3, 5).flatten(0, 2).contiguous()


class EnhancedGenerator(nn.Module):
    """The mean of a 3×3 convolution of one and of two rectified ones: B×C×h×w → B×C×h×w."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, channels, kernel_size=3, padding=1)
        self.conv2 = nn.Conv2d(channels, channels, kernel_size=3, padding=1)
        self.out1 = nn.Conv2d(channels, channels, kernel_size=3, padding=1)
        self.out2 = nn.Conv2d(channels, channels, kernel_size=3, padding=1)

    def forward(self, feature: Tensor) -> Tensor:
        """The generated feature."""
        first = functional.relu(self.conv1(feature), inplace=True)
        second = functional.relu(self.conv2(first), inplace=True)
        generated: Tensor = (self.out1(first) + self.out2(second)) / 2
        return generated


def manhattan(first: Tensor, second: Tensor) -> Tensor:
    """The L1 distances of all pairs within a patch, P×K×D and P×K×D → P×K×K, ties without a gradient.

    Some patches at a time: what torch.cdist's gradient keeps on a GPU is as large as all differences.
    """
    _, vectors, channels = first.shape
    patches = max(1, LARGEST_DIFFERENCES // (vectors**2 * channels))
    pairs = zip(torch.split(first, patches), torch.split(second, patches), strict=True)
    return torch.cat([torch.cdist(some, others, p=1.0) for some, others in pairs])


def _outside_the_middle(size: tuple[int, int]) -> Tensor:
    """1×1×h×w, 0 in the middle third of rows and columns."""
    height, width = size
    kept = torch.ones(1, 1, height, width, dtype=torch.bool)
    kept[:, :, height // 3 : 2 * height // 3, width // 3 : 2 * width // 3] = False
    return kept


def _same_group_elsewhere(groups: int, patch_size: tuple[int, int]) -> Tensor:
    """M·N × M·N: the pairs of one group at different positions, which are neither positive nor negative."""
    positions = patch_size[0] * patch_size[1]
    group = torch.arange(groups).repeat_interleave(positions)
    return (group[:, None] == group) & ~torch.eye(groups * positions, dtype=torch.bool)


def _expect_pair(patch_size: tuple[int, ...]) -> tuple[int, int]:
    """The patch's height and width."""
    if len(patch_size) != 2 or min(patch_size) < 1:
        raise BadInput(f"patch_size: found {list(patch_size)}: expected a height and a width")
    return patch_size[0], patch_size[1]


def _expect_groups(channels: int, groups: int) -> None:
    """BadInput unless the teacher's channels are whole groups, and the negatives some."""
    if groups < 2 or channels % groups:
        raise BadInput(
            f"afdcd: {channels} channels of the teacher in {groups} groups: "
            "expected channel_groups of at least 2 that divides them"
        )


def _expect_patches(size: tuple[int, int], pool_size: int, crop: int, patch_size: tuple[int, int]) -> None:
    """BadInput unless whole patches cover what is compared of the teacher's feature."""
    if crop:
        compared = tuple(min(length, crop) for length in size)
    else:
        compared = tuple(length // pool_size for length in size) if pool_size else size
    whole = zip(compared, patch_size, strict=True)
    if any(length < 1 or length % side for length, side in whole):
        raise BadInput(
            f"afdcd: a feature of {size[0]}×{size[1]}, of which {compared[0]}×{compared[1]} are compared "
            f"(pool_size {pool_size}, crop {crop}), in patches of {patch_size[0]}×{patch_size[1]}: "
            "expected whole patches: another crop of the images, pool_size, crop or patch_size"
        )
