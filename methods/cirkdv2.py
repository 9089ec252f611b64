"""Cross-image relational distillation with contextual modelling (Yang and others, CIRKDv2, 2025)."""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional

from harness.distill.draw import Draw
from harness.distill.losses import mse
from harness.distill.module import LossModule
from harness.distill.precision import full, full_precision
from harness.distill.relations import similarity_divergence, unit
from harness.distill.shapes import expect_same_positions
from harness.ledger.errors import BadInput
from methods.cirkd import Memory, cross_image, minibatch, projector, random_directions, write

POOL = 4
"""Channels are compared on maps averaged 4×4."""
PIXEL_PARTS = frozenset({"pixel", "region"})
CHANNEL_PARTS = frozenset({"channel_minibatch", "channel_memory", "channel_mse"})


class Contextual(LossModule):
    """The losses on what a context module makes of the student's feature; as train_cirkdv2.py of winycg/CIRKD@dab64db.

    Parts: `fitnet`, the mean of (A·F̃ − F_T)²; `minibatch`, `pixel` and `region` as in cirkd.py; `channel_minibatch`,
    `channel_memory` and `channel_mse`. F̃ is shared by all of them; what no wanted part needs is not built.

    Settings:
        context: whether there is a context module; without one F̃ is the student's feature, as the authors have it for
            SegFormer, and in any run without `fitnet`.
        temperature, kd_temperature: τ and T₂ of all parts.
        pixel_size … own_pixels: of `cirkd.py:Memory`.
        channel_size … channels_a_batch: of `Channel`.

    """

    def __init__(
        self,
        *,
        student_channels: int,
        teacher_channels: int,
        student_size: tuple[int, int],
        teacher_size: tuple[int, int],
        classes: int,
        parts: frozenset[str],
        group: int | None = None,
        context: bool = True,
        temperature: float = 0.1,
        kd_temperature: float = 1.0,
        pixel_size: int = 20000,
        region_size: int = 2000,
        pixel_samples: int = 4096,
        region_samples: int = 1024,
        pixels_an_image: int = 16,
        own_pixels: bool = False,
        channel_size: int = 10000,
        channel_samples: int = 2048,
        channels_a_batch: int = 256,
    ) -> None:
        super().__init__()
        self.parts, self.group, self.temperature = parts, group, temperature
        self.gcn = Context(student_channels) if context else nn.Identity()
        self.fitnet = Hint(student_channels, teacher_channels) if "fitnet" in parts else None
        self.memory = self.channel = None
        if parts & PIXEL_PARTS:
            self.memory = Memory(
                student_channels=student_channels,
                teacher_channels=teacher_channels,
                classes=classes,
                parts=parts & PIXEL_PARTS,
                temperature=temperature,
                kd_temperature=kd_temperature,
                pixel_size=pixel_size,
                region_size=region_size,
                pixel_samples=pixel_samples,
                region_samples=region_samples,
                pixels_an_image=pixels_an_image,
                own_pixels=own_pixels,
            )
        if parts & CHANNEL_PARTS:
            self.channel = Channel(
                student_channels=student_channels,
                teacher_channels=teacher_channels,
                student_size=student_size,
                teacher_size=teacher_size,
                parts=parts & CHANNEL_PARTS,
                group=group,
                temperature=temperature,
                kd_temperature=kd_temperature,
                channel_size=channel_size,
                channel_samples=channel_samples,
                channels_a_batch=channels_a_batch,
            )

    def forward(self, student: Tensor, teacher: Tensor, labels: Tensor, *, draw: Draw) -> dict[str, Tensor]:
        """The wanted parts; batch norms see the whole batch, pairs of images lie within groups.

        Args:
            student: B×C_S×h×w.
            teacher: B×C_T×h×w.
            labels: B×H×W, int64, 255 = ignore.
            draw: what `cirkd.py:Memory` and `Channel` draw.

        """
        expect_same_positions(student, teacher)
        refined = self.gcn(student)
        losses: dict[str, Tensor] = {}
        if self.fitnet is not None:
            losses["fitnet"] = mse(full(self.fitnet(refined)), full(teacher), labels, draw=draw)
        if "minibatch" in self.parts:

            def pixels(student: Tensor, teacher: Tensor) -> Tensor:
                return minibatch(student, teacher, labels, draw=draw, temperature=self.temperature)

            losses["minibatch"] = by_group(pixels, refined, teacher, self.group)
        for module in (self.memory, self.channel):
            if module is not None:
                losses |= module(refined, teacher, labels, draw=draw)
        return losses


class Context(nn.Module):
    """A non-local block: each position's feature beside what all positions say to it; the repository calls it GCN."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        inner = channels // 2
        self.node_k, self.node_v, self.node_q = (nn.Conv2d(channels, inner, 1, bias=False) for _ in range(3))
        self.conv1 = _convolved(inner, channels)
        self.out_conv = _convolved(2 * channels, channels)

    def forward(self, feature: Tensor) -> Tensor:
        """B×C×h×w → F̃ of the same shape, ReLU of a batch norm.

        A = softmax over j of Q_i·K_j/√C', G = ReLU(BN(W·A·V)), F̃ = ReLU(BN(W'·[F; G])), as losses/gcn.py has it.
        """
        query, key, value = (_positions(full(node(feature))) for node in (self.node_q, self.node_k, self.node_v))
        with full_precision(feature):
            # Fused, so that the N×N matrix A need not be there as a whole.
            attended = functional.scaled_dot_product_attention(query, key, value)
        images, _, height, width = feature.shape
        context = attended.transpose(2, 3).reshape(images, -1, height, width)  # B×1×N×C' → B×C'×h×w
        refined: Tensor = self.out_conv(torch.cat([feature, self.conv1(context)], dim=1))
        return refined


def _convolved(inputs: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(inputs, outputs, 1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU())


def _positions(feature: Tensor) -> Tensor:
    """B×C×h×w → B×1×N×C, contiguous, which the fused attention wants."""
    return feature.flatten(2).transpose(1, 2).contiguous()[:, None]


class Hint(nn.Module):
    """FitNets' adapter: a 1×1 convolution without bias to the teacher's width."""

    def __init__(self, student_channels: int, teacher_channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(student_channels, teacher_channels, kernel_size=1, bias=False)

    def forward(self, feature: Tensor) -> Tensor:
        """B×C_S×h×w → B×C_T×h×w."""
        adapted: Tensor = self.conv(feature)
        return adapted


class Channel(LossModule):
    """How differently the networks' channels, as unit maps, relate to each other; of losses/cirkd_channel.py.

    Parts: `channel_minibatch`, to the channels of each of a group's images; `channel_memory`, to teacher's channels of
    batches past, T₂² times the mean of KL; `channel_mse`, the mean of (s − t)². The student passes a projector first.

    Settings:
        temperature, kd_temperature: τ and T₂.
        channel_size: slots of the queue; they start as random directions and are used as such.
        channel_samples: how many slots are drawn.
        channels_a_batch: how many of the teacher's channels a batch gives to the queue, at most.

    """

    def __init__(
        self,
        *,
        student_channels: int,
        teacher_channels: int,
        student_size: tuple[int, int],
        teacher_size: tuple[int, int],
        parts: frozenset[str],
        group: int | None = None,
        temperature: float = 0.1,
        kd_temperature: float = 1.0,
        channel_size: int = 10000,
        channel_samples: int = 2048,
        channels_a_batch: int = 256,
    ) -> None:
        super().__init__()
        height, width = _expect_poolable(student_size, teacher_size)
        self.parts, self.group = parts, group
        self.temperature, self.kd_temperature = temperature, kd_temperature
        self.samples, self.channels_a_batch = min(channel_samples, channel_size), channels_a_batch
        self.project_head = projector(student_channels, teacher_channels)
        self.teacher_channel_queue: Tensor
        self.channel_queue_ptr: Tensor
        if "channel_memory" in parts:
            positions = height // POOL * (width // POOL)
            self.register_buffer("teacher_channel_queue", random_directions(channel_size, positions))
            self.register_buffer("channel_queue_ptr", torch.zeros(1, dtype=torch.int64))

    def forward(self, student: Tensor, teacher: Tensor, labels: Tensor, *, draw: Draw) -> dict[str, Tensor]:
        """The wanted parts.

        Args:
            student: B×C_S×h×w, h and w as they were at construction.
            teacher: B×C_T×h×w.
            labels: unused.
            draw: `channel_enqueue_perm` for the teacher's channels that are kept, `channel_index` for the slots.

        """
        projected = self.project_head(functional.avg_pool2d(full(student), POOL))
        maps = unit(full(projected).flatten(2), dim=2)  # B×C_T×D
        targets = unit(functional.avg_pool2d(full(teacher), POOL).flatten(2), dim=2)
        losses = {}
        if "channel_minibatch" in self.parts:

            def channels(student: Tensor, teacher: Tensor) -> Tensor:
                return cross_image(student, teacher, self.temperature)

            losses["channel_minibatch"] = by_group(channels, maps, targets, self.group)
        if "channel_memory" in self.parts:
            losses["channel_memory"] = self._memory(maps.flatten(0, 1), targets.flatten(0, 1), draw)
        if "channel_mse" in self.parts:
            losses["channel_mse"] = functional.mse_loss(maps, targets)
        return losses

    def _memory(self, maps: Tensor, targets: Tensor, draw: Draw) -> Tensor:
        """T₂² times the mean over channels of KL on drawn slots, the queue having taken some of the targets in.

        Args:
            maps: R×D, the student's unit maps.
            targets: R×D, the teacher's.
            draw: where the rows to keep and the slots come from.

        """
        self._enqueue(targets, draw)
        size = len(self.teacher_channel_queue)
        slots = draw.choice("channel_index", self.samples, size)
        keys = self.teacher_channel_queue.index_select(0, slots).to(maps.dtype)
        temperature = self.temperature * self.kd_temperature
        return self.kd_temperature**2 * similarity_divergence(maps, targets, keys, keys, temperature)

    @torch.no_grad()
    def _enqueue(self, targets: Tensor, draw: Draw) -> None:
        """Some of the batch's R×D targets are written at the pointer."""
        count, size = min(len(targets), self.channels_a_batch), len(self.teacher_channel_queue)
        if count > size:
            raise BadInput(f"channel_size {size}: expected at least the {count} channels a batch gives")
        kept = draw.choice("channel_enqueue_perm", count, len(targets))
        counts = torch.full_like(self.channel_queue_ptr, count)
        write(self.teacher_channel_queue[None], self.channel_queue_ptr, targets[kept][None], counts)


def by_group(loss: Callable[[Tensor, Tensor], Tensor], student: Tensor, teacher: Tensor, group: int | None) -> Tensor:
    """The mean of a loss over consecutive groups of so many images, or the loss of the whole batch."""
    images = group or len(student)
    groups = zip(torch.split(student, images), torch.split(teacher, images), strict=True)
    return torch.stack([loss(*pair) for pair in groups]).mean()


def _expect_poolable(student: tuple[int, int], teacher: tuple[int, int]) -> tuple[int, int]:
    """BadInput unless both features have one height and width, multiples of four."""
    if student != teacher or student[0] % POOL or student[1] % POOL:
        raise BadInput(
            f"cirkdv2: student's feature {student[0]}×{student[1]}, teacher's {teacher[0]}×{teacher[1]}: expected one "
            f"height and width, multiples of {POOL}: the channel losses keep maps averaged {POOL}×{POOL}"
        )
    return student
