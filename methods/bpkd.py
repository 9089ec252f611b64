"""Boundary privileged distillation (Liu, Wang, Phan, Zhang, Ge and Liu, WACV 2024, arXiv 2306.08075), reconstructed.

The authors released no training code. What stands here is what two public re-implementations agree on; nobody who
wrote the method has looked at it.
"""

from collections.abc import Iterator

import torch
from torch import Tensor
from torch.nn import functional

from harness.distill.draw import Draw
from harness.distill.shapes import IGNORED, expect_same_shape
from harness.ledger.errors import BadInput
from methods.cwd import channel_divergence

CLASSES_A_WORD = 31
"""Bits of a 32-bit integer without its sign."""


def boundary_privileged(
    student: Tensor,
    teacher: Tensor,
    labels: Tensor,
    *,
    draw: Draw,
    parts: frozenset[str],
    edge_kernel: int = 7,
    temperature: float = 1.0,
    alpha: float = 2.0,
) -> dict[str, Tensor]:
    """What the student's logits lack near the borders of classes (`edge`) and inside them (`body`).

    Settings:
        edge_kernel: pixels of the labels' resolution, odd; half of it lies on each side of a border.
        temperature: τ; the re-implementations have 1 and 4.
        alpha: scales the edge part.
    """
    expect_same_shape(student, teacher)
    mask = edge_mask(labels, student.shape[1], (student.shape[2], student.shape[3]), edge_kernel).to(student.dtype)
    losses = {}
    if "edge" in parts:
        losses["edge"] = alpha * _edge(student * mask, teacher * mask, mask, temperature)
    if "body" in parts:
        body = 1 - mask
        losses["body"] = channel_divergence(student * body, teacher * body, labels, draw=draw, temperature=temperature)
    return losses


def edge_mask(labels: Tensor, classes: int, size: tuple[int, int], kernel: int) -> Tensor:
    """How much of each cell of the logits' grid lies in each class's edge band: B×H×W → B×C×h×w, in [0, 1].

    The band of a class is its plane of the one-hot labels dilated minus eroded by a k×k square: the pixels whose
    window holds the class and something else besides, be it another class or what is ignored. Ignored pixels
    themselves are in no band, and what lies outside the image counts for nothing.
    """
    if kernel < 1 or kernel % 2 == 0:
        raise BadInput(f"bpkd: edge_kernel {kernel}: expected an odd number of pixels")
    # One pass over the image for up to 31 classes, where planes of their own would take as many passes.
    seen = [_any_in_window(word, kernel) for word in _words(labels, classes)]
    mixed = torch.stack([word & (word - 1) for word in seen]).any(dim=0)  # two bits of one word …
    mixed |= torch.stack([word != 0 for word in seen]).sum(dim=0) > 1  # … or bits of two words
    mixed &= labels != IGNORED
    bands = [word * mixed for word in seen]
    planes = (bands[index // CLASSES_A_WORD] >> index % CLASSES_A_WORD & 1 for index in range(classes))
    return torch.stack([functional.adaptive_avg_pool2d(plane.float(), size) for plane in planes], dim=1)


def _words(labels: Tensor, classes: int) -> Iterator[Tensor]:
    """The labels as sets of one class each: bit i of word w stands for class 31·w + i, the last bit for the ignored."""
    labels = torch.where(labels == IGNORED, classes, labels)
    for first in range(0, classes + 1, CLASSES_A_WORD):
        index = labels - first
        inside = (index >= 0) & (index < CLASSES_A_WORD)
        bit = torch.ones_like(index, dtype=torch.int32) << index.clamp(0, CLASSES_A_WORD - 1).int()
        yield bit * inside


def _any_in_window(sets: Tensor, kernel: int) -> Tensor:
    """The union of the sets in the k×k pixels around each, those outside the image being empty; B×H×W."""
    around = kernel // 2
    sets = functional.pad(sets, (around, around, around, around))
    for axis in (1, 2):
        spanned = 1
        while spanned < kernel:
            step = min(spanned, kernel - spanned)
            length = sets.shape[axis] - step
            sets = sets.narrow(axis, 0, length) | sets.narrow(axis, step, length)
            spanned += step
    return sets


def _edge(student: Tensor, teacher: Tensor, mask: Tensor, temperature: float) -> Tensor:
    """The mean over images of Σ over classes c of the mean over the n cells that c's band touches of φ·M."""
    log_p_student = functional.log_softmax(student / temperature, dim=1)
    log_p_teacher = functional.log_softmax(teacher / temperature, dim=1)
    divergence = functional.kl_div(log_p_student, log_p_teacher, reduction="none", log_target=True).sum(dim=1)
    touched = (mask > 0).sum(dim=(2, 3), keepdim=True).clamp(min=1)  # a class without a band has no mask either
    weights = (mask / touched).sum(dim=1)  # φ is common to the classes: B×C×h×w → B×h×w
    return temperature**2 * (divergence * weights).sum() / student.shape[0]
