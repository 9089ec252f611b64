"""What MasKD and FreeKD learn before they distil: losses of the teacher alone, by the tokens."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from harness.distill.loading import load
from harness.golden.file import Golden
from harness.golden.objective import OTHERS, TOTAL, Computed, Other, Tolerance, shipped
from harness.ledger.errors import BadInput
from methods.maskd import masked, token_masks


@dataclass(frozen=True)
class MaskedLogitsObjective:
    """MasKD: cross-entropy of the masked logits, and the masks' overlap."""

    tolerance: Tolerance = OTHERS
    graded: str = TOTAL

    def used(self, golden: Golden) -> frozenset[str]:
        """The teacher's logits, the labels, the tokens."""
        settings = {"hparam/num_tokens", "hparam/ignore_index", "hparam/weight_dice"}
        return frozenset({"teacher_logits", "labels", "param/mask_token"} | settings)

    def meaningless(self, golden: Golden) -> frozenset[str]:
        """None."""
        return frozenset()

    def compute(self, golden: Golden) -> Computed:
        """Both, and their weighted sum."""
        if golden.setting("ignore_index") != 255:
            raise BadInput(f"hparam/ignore_index: found {golden.setting('ignore_index')}: expected 255")
        teacher = golden.tensor("teacher_logits")
        loss = _loss("maskd", teacher, golden, num_tokens=golden.setting("num_tokens"))
        losses: Mapping[str, Tensor] = loss.mask_losses(teacher, golden.labels(len(teacher)))
        total = losses["task"] + golden.number("weight_dice") * losses["dice"]
        others = {"output/masked_logits": Other(masked(teacher, token_masks(loss.mask_token, teacher)))}
        return Computed({**losses, TOTAL: total}, {"param/mask_token": loss.mask_token}, others)


@dataclass(frozen=True)
class PromptObjective:
    """FreeKD: the overlap of the masks of all frequencies, and the feature put together from masked ones."""

    tolerance: Tolerance = OTHERS
    graded: str = TOTAL

    def used(self, golden: Golden) -> frozenset[str]:
        """The teacher's feature and the prompts."""
        settings = {"hparam/num_tokens", "hparam/levels", "hparam/wavelet"}
        return frozenset({"teacher_feature", "param/mask_token"} | settings)

    def meaningless(self, golden: Golden) -> frozenset[str]:
        """None."""
        return frozenset()

    def compute(self, golden: Golden) -> Computed:
        """The overlap, which is the whole loss of the file."""
        if golden.setting("wavelet") != "haar":
            raise BadInput(f"hparam/wavelet: found {golden.setting('wavelet')!r}: expected 'haar'")
        teacher = golden.tensor("teacher_feature")
        sizes = {name: golden.setting(name) for name in ("num_tokens", "levels")}
        loss = _loss("freekd", teacher, golden, parts=frozenset({"freq"}), classes=2, **sizes)
        overlap = loss.mask_losses(teacher, torch.full((len(teacher), 1, 1), 255))["dice"]
        others = {"output/prompted_feature": Other(loss.prompted_feature(teacher))}
        return Computed({"dice": overlap, TOTAL: overlap}, {"param/mask_token": loss.mask_token}, others)


# A loss of a shipped method's file has methods that no common type knows.
def _loss(method: str, teacher: Tensor, golden: Golden, **settings: Any) -> Any:  # noqa: ANN401
    """The shipped method's loss with the file's tokens, which are learned here."""
    (term,) = shipped(method).terms
    made = load(term)(teacher_channels=teacher.shape[1], **settings)
    assert isinstance(made, torch.nn.Module)
    made.double()
    tokens = golden.tensor("param/mask_token")
    parameter = made.get_parameter("mask_token")
    if parameter.shape != tokens.shape:
        raise BadInput(f"param/mask_token: found {tuple(tokens.shape)}: expected {tuple(parameter.shape)}")
    parameter.data.copy_(tokens)
    parameter.requires_grad_()
    return made
