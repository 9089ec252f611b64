"""Cross-image relational distillation (Yang, Zhou, An, Jiang, Xu and Zhang, CVPR 2022, arXiv 2204.06986)."""

import torch
from torch import Tensor, nn
from torch.nn import functional

from harness.distill.draw import Draw
from harness.distill.module import LossModule
from harness.distill.precision import full, full_precision
from harness.distill.relations import similarity_divergence, unit
from harness.distill.shapes import IGNORED, expect_same_positions, nearest_labels
from harness.ledger.errors import BadInput

LARGE = 256
"""Maps with both sides as large are averaged 4×4 first, as winycg/CIRKD@dab64db does for crops of SegFormer's size."""


def minibatch(
    student: Tensor, teacher: Tensor, labels: Tensor, *, draw: Draw, temperature: float = 0.1, pooling: int = 0
) -> Tensor:
    """How differently the networks relate each pixel to all pixels of an image, over all ordered pairs of images.

    1/B² Σ over images i, j of the mean over pixels n of KL(softmax(t_in·t_j/τ) ‖ softmax(s_in·s_j/τ)), features unit
    over channels. As winycg/CIRKD@dab64db losses/cirkd_mini_batch.py has it: no τ², every pixel, labels unused.

    Args:
        student: B×C_S×h×w.
        teacher: B×C_T×h×w, of any width.
        labels: unused.
        draw: unused.
        temperature: τ.
        pooling: 0 averages 4×4 where both sides are at least 256; k averages k×k always (2 was an option at 2d8ad0f,
            off); 1 never.

    """
    expect_same_positions(student, teacher)
    kernel = pooling or (4 if min(student.shape[2:]) >= LARGE else 1)
    return cross_image(_directions(full(student), kernel), _directions(full(teacher), kernel), temperature)


def cross_image(student: Tensor, teacher: Tensor, temperature: float) -> Tensor:
    """1/B² Σ over ordered pairs of images of the divergence of one image's rows on the other's.

    Args:
        student: B×N×C_S, unit vectors.
        teacher: B×N×C_T, unit vectors.
        temperature: τ.

    """
    pairs = [
        similarity_divergence(student_i, teacher_i, student_j, teacher_j, temperature)
        for student_i, teacher_i in zip(student, teacher, strict=True)
        for student_j, teacher_j in zip(student, teacher, strict=True)
    ]
    return torch.stack(pairs).mean()


def _directions(feature: Tensor, kernel: int) -> Tensor:
    """B×C×h×w → B×N×C, averaged kernel×kernel and unit over channels."""
    if kernel > 1:
        feature = functional.avg_pool2d(feature, kernel, stride=kernel, ceil_mode=True)
    return unit(feature, dim=1).flatten(2).transpose(1, 2)


def projector(student_channels: int, teacher_channels: int) -> nn.Sequential:
    """From the student's width to the teacher's, by two 1×1 convolutions."""
    return nn.Sequential(
        nn.Conv2d(student_channels, teacher_channels, kernel_size=1, bias=False),
        nn.BatchNorm2d(teacher_channels),
        nn.ReLU(),
        nn.Conv2d(teacher_channels, teacher_channels, kernel_size=1, bias=False),
    )


def random_directions(*shape: int) -> Tensor:
    """Unit vectors along the last dimension, from the global generator."""
    directions = torch.randn(shape)
    # In place: the pixels' queue of 150 classes is 6 GB, and a copy would be another six.
    return directions.div_(torch.linalg.vector_norm(directions, dim=-1, keepdim=True))


class Memory(LossModule):
    """How differently the networks relate each labelled pixel to what the teacher has seen of every class.

    T₂² times the mean over labelled pixels of KL(softmax(t·X/(τT₂)) ‖ softmax(g(s)·X/(τT₂))), g a projector and X a
    random share of the classes' queues, which take the batch in first; as winycg/CIRKD@dab64db losses/cirkd_memory.py
    has it. Parts: `pixel` and `region`; a part that is not wanted has no queue.

    Settings:
        temperature, kd_temperature: τ and T₂.
        pixel_size, region_size: slots of a class's queue; they start as random directions and are used as such.
        pixel_samples, region_samples: about how many slots X has, ⌊samples/K⌋ + 1 of each class, the same ones.
        pixels_an_image: how many pixels an image gives to each of its classes' queues, at most.
        own_pixels: whether these are pixels of the class. The released code draws them among an image's first m raster
            positions where the class has m pixels, whatever their class.

    """

    def __init__(
        self,
        *,
        student_channels: int,
        teacher_channels: int,
        classes: int,
        parts: frozenset[str],
        temperature: float = 0.1,
        kd_temperature: float = 1.0,
        pixel_size: int = 20000,
        region_size: int = 2000,
        pixel_samples: int = 4096,
        region_samples: int = 1024,
        pixels_an_image: int = 16,
        own_pixels: bool = False,
    ) -> None:
        super().__init__()
        if "pixel" in parts and pixel_size < pixels_an_image:
            raise BadInput(f"pixel_size {pixel_size}: expected at least the {pixels_an_image} pixels an image gives")
        self.parts, self.classes = parts, classes
        self.temperature, self.kd_temperature = temperature, kd_temperature
        self.samples = {"pixel": pixel_samples // classes + 1, "region": region_samples // classes + 1}
        self.pixels_an_image, self.own_pixels = pixels_an_image, own_pixels
        self.project_head = projector(student_channels, teacher_channels)
        self.teacher_pixel_queue: Tensor
        self.pixel_queue_ptr: Tensor
        self.teacher_segment_queue: Tensor
        self.segment_queue_ptr: Tensor
        if "pixel" in parts:
            self._add_queue("teacher_pixel_queue", "pixel_queue_ptr", pixel_size, teacher_channels)
        if "region" in parts:
            self._add_queue("teacher_segment_queue", "segment_queue_ptr", region_size, teacher_channels)

    def forward(self, student: Tensor, teacher: Tensor, labels: Tensor, *, draw: Draw) -> dict[str, Tensor]:
        """The wanted ones of `pixel` and `region`, after the queues have taken in the batch.

        Args:
            student: B×C_S×h×w.
            teacher: B×C_T×h×w.
            labels: B×H×W, int64, 255 = ignore; the nearest of them label the features.
            draw: `enqueue/0` … for the images' pixels, `pixel_index` and `region_index` for the slots of X.

        """
        expect_same_positions(student, teacher)
        small = nearest_labels(labels, *teacher.shape[2:]).flatten(1)  # B×N
        targets = unit(full(teacher).detach(), dim=1).flatten(2).transpose(1, 2)  # B×N×C_T
        for image in range(len(targets)):
            self._enqueue(targets[image], small[image], f"enqueue/{image}", draw)
        projected = unit(full(self.project_head(student)), dim=1).flatten(2).transpose(1, 2)
        rows = projected.flatten(0, 1), targets.flatten(0, 1), (small != IGNORED).flatten()
        losses = {}
        if "pixel" in self.parts:
            losses["pixel"] = self._divergence(*rows, self.teacher_pixel_queue, "pixel", draw)
        if "region" in self.parts:
            losses["region"] = self._divergence(*rows, self.teacher_segment_queue, "region", draw)
        return losses

    def _add_queue(self, queue: str, pointer: str, size: int, channels: int) -> None:
        self.register_buffer(queue, random_directions(self.classes, size, channels))
        self.register_buffer(pointer, torch.zeros(self.classes, dtype=torch.int64))

    def _divergence(
        self, student: Tensor, teacher: Tensor, labelled: Tensor, queue: Tensor, part: str, draw: Draw
    ) -> Tensor:
        """T₂² times the mean over labelled pixels of KL on the drawn slots of every class."""
        size = queue.shape[1]
        slots = draw.choice(f"{part}_index", min(self.samples[part], size), size)
        keys = queue.index_select(1, slots).flatten(0, 1).to(student.dtype)  # K×n×C → (K·n)×C
        temperature = self.temperature * self.kd_temperature
        # Unlabelled pixels weigh 0 instead of being left out: their number would have to be waited for.
        divergence = similarity_divergence(student, teacher, keys, keys, temperature, weights=labelled)
        return self.kd_temperature**2 * divergence

    @torch.no_grad()
    def _enqueue(self, targets: Tensor, labels: Tensor, name: str, draw: Draw) -> None:
        """Every class that the image shows takes its mean direction, and some of its pixels, into its queues.

        Args:
            targets: N×C, the teacher's directions.
            labels: N.
            name: what the pixels' draw is called.
            draw: where it comes from.

        """
        members = labels == torch.arange(self.classes, device=labels.device)[:, None]  # K×N
        counts = members.sum(dim=1)
        if "region" in self.parts:
            with full_precision(targets):
                sums = members.to(targets.dtype) @ targets
            means = unit(sums / counts.clamp(min=1)[:, None], dim=1)
            write(self.teacher_segment_queue, self.segment_queue_ptr, means[:, None], counts.clamp(max=1))
        if "pixel" in self.parts:
            chosen = draw.subsets(name, counts, self.pixels_an_image, len(labels))
            if self.own_pixels:
                chosen = _members(members, chosen)
            taken = counts.clamp(max=self.pixels_an_image)
            # Where a class has fewer pixels than are drawn, the rest of its draw may lie anywhere: it is not written.
            write(self.teacher_pixel_queue, self.pixel_queue_ptr, targets[chosen], taken)


def write(queue: Tensor, pointer: Tensor, vectors: Tensor, counts: Tensor) -> None:
    """Writes each queue's first `counts` vectors in place, at its pointer; nothing waits for the device.

    Where they would reach or pass the end they take the last slots instead, and the pointer goes back to the start:
    so it is released.

    Args:
        queue: K×size×C.
        pointer: K, the next slot of each; it is moved on.
        vectors: K×n×C.
        counts: K, how many of the n vectors are written, none above size.

    """
    size, given = queue.shape[1], vectors.shape[1]
    wraps = pointer + counts >= size
    start = torch.where(wraps, size - counts, pointer)
    # What a queue does not take is its last vector once more, to the same slot, or the slot's own where it takes none.
    order = torch.minimum(torch.arange(given, device=queue.device), (counts - 1).clamp(min=0)[:, None])  # K×n
    own = torch.arange(len(queue), device=queue.device)[:, None]
    slots = start[:, None] + order
    new = vectors[own, order].to(queue.dtype)
    queue[own, slots] = torch.where((counts > 0)[:, None, None], new, queue[own, slots])
    pointer.copy_(torch.where(wraps, 0, pointer + counts))


def _members(members: Tensor, ranks: Tensor) -> Tensor:
    """K×n positions of each class's pixels of these ranks, rank 0 being its first in raster order.

    Args:
        members: K×N, which pixels are a class's.
        ranks: K×n; one that a class has no pixel for gives some position or other.

    """
    until = members.cumsum(dim=1)
    return torch.searchsorted(until, ranks + 1).clamp(max=members.shape[1] - 1)
