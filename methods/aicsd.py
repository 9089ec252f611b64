"""Adaptive inter-class similarity distillation (Mansourian, Ahmadi and Kasaei, MTAP 2025, arXiv 2308.04243)."""

import math

import torch
from torch import Tensor
from torch.nn import functional

from harness.distill.draw import Draw
from harness.distill.losses import kl
from harness.distill.relations import unit
from harness.distill.shapes import expect_same_shape
from harness.ledger.errors import BadInput


def class_similarity(
    student: Tensor,
    teacher: Tensor,
    labels: Tensor,
    *,
    draw: Draw,
    parts: frozenset[str],
    arithmetic: str = "released",
    enlarged: bool = True,
) -> dict[str, Tensor]:
    """How differently the networks' classes resemble each other (`interclass`), and Hinton's term (`pixel`).

    As AmirMansurian/AICSD has it (distiller.py, commit f99949e), with both parts unweighted.

    Settings:
        arithmetic: `released`, or `intended` for the divergences of spatial distributions that the paper speaks of.
        enlarged: both networks' logits are first brought to the labels' size, bilinear with aligned corners, as the
            authors' networks do within.
    """
    expect_same_shape(student, teacher)
    if enlarged:
        student, teacher = _enlarged(student, labels), _enlarged(teacher, labels)
    losses = {}
    if "interclass" in parts:
        difference = _similarity(student, arithmetic) - _similarity(teacher, arithmetic)
        # The images are divided by once in the similarities and once more here.
        losses["interclass"] = difference.square().mean() / student.shape[0]
    if "pixel" in parts:
        # The mean over classes too, B·C·P numbers.
        losses["pixel"] = kl(student, teacher, labels, draw=draw) / student.shape[1]
    return losses


def _enlarged(logits: Tensor, labels: Tensor) -> Tensor:
    return functional.interpolate(logits, size=labels.shape[-2:], mode="bilinear", align_corners=True)


def _similarity(logits: Tensor, arithmetic: str) -> Tensor:
    """Each class against each, B×C×h×w → C×C, the rows of length 1.

    KL(i, j) = 1/B · Σ p_j·(log p_j − q_i), for i ≤ j and mirrored. Intended, p_j is class j's distribution over all
    positions and q_i is log p_i; as released, p_j is a distribution in each column of the image and q_i is p_i.
    """
    if arithmetic == "released":
        log_p = functional.log_softmax(logits, dim=2).flatten(2)  # B×C×P
        p = log_p.exp()
        first = p
    elif arithmetic == "intended":
        log_p = functional.log_softmax(logits.flatten(2), dim=2)
        p = log_p.exp()
        # Against the even distribution: the divergences are the same, and less is lost where all are nearly even.
        first = log_p = log_p + math.log(log_p.shape[2])
    else:
        raise BadInput(f"aicsd: arithmetic {arithmetic!r}: expected released or intended")
    entropies = torch.linalg.vecdot(p, log_p).sum(dim=0)  # of each class j, negative
    crossed = torch.bmm(first, p.transpose(1, 2)).sum(dim=0)  # C×P by P×C, all pairs (i, j) at once
    divergences = (entropies - crossed) / logits.shape[0]
    return unit(divergences.triu() + divergences.triu(1).T, dim=1)
