"""What the names of golden vectors stand for: a shipped method's term or the task loss, recomputed as a run would."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

import torch
from torch import Tensor, nn

from harness.distill.distiller import AUXILIARY, LOGITS, Distiller
from harness.distill.draw import StoredDraw
from harness.distill.golden import Golden
from harness.distill.losses import IGNORED
from harness.ledger.errors import BadInput
from harness.ledger.method import BASELINE, ResolvedMethod, Setting, method_path, resolve_method
from harness.segmentation.staged import Staged

TOTAL = "total"
CIRKD, OTHERS = "README-cirkd.md", "README-others.md"
"""Which describes a name's files; tolerances go by it."""


@dataclass(frozen=True)
class Computed:
    """A loss, and the tensors by which its gradients are taken, named as the files name them."""

    loss: Tensor
    leaves: Mapping[str, Tensor]

    def gradient(self, name: str) -> Tensor:
        """Of the loss with respect to a leaf, zero where it has no influence."""
        if name not in self.leaves:
            known = ", ".join(self.leaves)
            raise BadInput(f"a gradient with respect to {name!r}: expected one of {known}")
        (gradient,) = torch.autograd.grad(
            self.loss, [self.leaves[name]], retain_graph=True, allow_unused=True, materialize_grads=True
        )
        return gradient


class Objective(Protocol):
    """How the files of one name are recomputed."""

    @property
    def readme(self) -> str:
        """The README that describes them."""

    def used(self, golden: Golden) -> frozenset[str]:
        """The arrays that go into the computation."""

    def compute(self, golden: Golden) -> Mapping[str, Computed]:
        """Each part that the file must hold, and the total."""


@dataclass(frozen=True)
class TermObjective:
    """One term of a shipped method.

    Args:
        stages: for each stage that the term taps, what the file's arrays are called after `student_`.
        settings: for each hyper-parameter of the file, the setting of the loss that it gives.
        weight: the hyper-parameter that weighs the total; 1 without one.
        parts: the losses inside the total, each by settings of its own, unweighted.
        parameters: for each parameter of the file, the term's; without any the taps' adapters are left away.

    """

    readme: str
    method: str
    term: str
    stages: Mapping[str, str]
    settings: Mapping[str, str] = field(default_factory=dict)
    weight: str | None = None
    parts: Mapping[str, Mapping[str, Setting]] = field(default_factory=dict)
    parameters: Mapping[str, str] = field(default_factory=dict)

    def used(self, golden: Golden) -> frozenset[str]:
        """Both networks' tensors, the parameters and the hyper-parameters."""
        inputs = {f"{owner}_{array}" for owner in ("student", "teacher") for array in self.stages.values()}
        settings = {f"hparam/{name}" for name in (*self.settings, *([self.weight] if self.weight else []))}
        return frozenset(inputs | settings | {f"param/{name}" for name in self.parameters})

    def compute(self, golden: Golden) -> Mapping[str, Computed]:
        """The parts and the total."""
        settings = {setting: golden.setting(name) for name, setting in self.settings.items()}
        weight = golden.number(self.weight) if self.weight else 1.0
        parts = {part: self._compute(golden, settings | dict(own), 1.0) for part, own in self.parts.items()}
        return parts | {TOTAL: self._compute(golden, settings, weight)}

    def _compute(self, golden: Golden, settings: Mapping[str, Setting], weight: float) -> Computed:
        student = {stage: golden.tensor(f"student_{array}", 4) for stage, array in self.stages.items()}
        teacher = {stage: golden.tensor(f"teacher_{array}", 4) for stage, array in self.stages.items()}
        method = self._resolved(settings, weight)
        images = len(next(iter(student.values())))
        distiller = Distiller(method, _network(student), _network(teacher), auxiliary_weight=0.0, batch=images).double()
        (term,) = distiller.terms
        self._fill(golden, term)
        leaves = {f"student_{array}": student[stage].requires_grad_() for stage, array in self.stages.items()}
        leaves |= {f"param/{name}": term.get_parameter(own) for name, own in self.parameters.items()}
        # None of these losses looks at labels, and no file of theirs holds any.
        labels = torch.full((images, 1, 1), IGNORED)
        (loss,) = distiller.distil(student, teacher, labels, StoredDraw({}))
        return Computed(loss, leaves)

    def _resolved(self, settings: Mapping[str, Setting], weight: float) -> ResolvedMethod:
        """The shipped method reduced to the term, with the file's settings and weight in place of the descriptor's."""
        method = _shipped(self.method)
        (term,) = (term for term in method.terms if term.name == self.term)
        changes: dict[str, object] = {"weight": weight, "settings": {**term.settings, **settings}}
        if not self.parameters:
            changes["taps"] = tuple(tap.model_copy(update={"adapter": None}) for tap in term.taps)
        return method.model_copy(update={"terms": (term.model_copy(update=changes),)})

    def _fill(self, golden: Golden, term: nn.Module) -> None:
        """Every parameter of the term gets the file's numbers."""
        own = dict(term.named_parameters())
        if set(own) != set(self.parameters.values()):
            raise BadInput(f"the shipped term's parameters are {', '.join(own) or 'none'}: the vectors give others")
        for name, target in self.parameters.items():
            value = golden.tensor(f"param/{name}", own[target].ndim)
            if value.shape != own[target].shape:
                raise BadInput(f"param/{name}: found {tuple(value.shape)}: expected {tuple(own[target].shape)}")
            own[target].data.copy_(value)


@dataclass(frozen=True)
class TaskObjective:
    """The task loss, with the auxiliary head's where the file has one."""

    readme: str

    def used(self, golden: Golden) -> frozenset[str]:
        """The logits of both heads, the labels, the auxiliary weight and the ignored label."""
        head = {"student_aux_logits"} if self._has_auxiliary(golden) else set()
        return frozenset({"student_logits", "labels", "hparam/lambda_aux", "hparam/ignore_label"} | head)

    def compute(self, golden: Golden) -> Mapping[str, Computed]:
        """Each head alone, and the weighted sum."""
        if golden.setting("ignore_label") != IGNORED:
            raise BadInput(f"hparam/ignore_label: found {golden.setting('ignore_label')}: expected {IGNORED}")
        weight = golden.number("lambda_aux")
        main = {LOGITS: golden.tensor("student_logits", 4).requires_grad_()}
        if not self._has_auxiliary(golden):
            return {"main": _task(golden, main, 0.0), TOTAL: _task(golden, main, weight)}
        auxiliary = golden.tensor("student_aux_logits", 4).requires_grad_()
        return {
            "main": _task(golden, main, 0.0),
            "aux": _task(golden, {LOGITS: auxiliary}, 0.0),
            TOTAL: _task(golden, main | {AUXILIARY: auxiliary}, weight),
        }

    def _has_auxiliary(self, golden: Golden) -> bool:
        return "student_aux_logits" in golden.arrays


def _task(golden: Golden, student: Mapping[str, Tensor], auxiliary_weight: float) -> Computed:
    network = _network(student)
    images = len(student[LOGITS])
    distiller = Distiller(_shipped(BASELINE), network, network, auxiliary_weight=auxiliary_weight, batch=images)
    leaves = {f"student_{stage}": tensor for stage, tensor in student.items()}
    return Computed(distiller.task(student, golden.labels(images), StoredDraw({})), leaves)


def _network(tensors: Mapping[str, Tensor]) -> Staged:
    """A network that has the tensors' stages and widths: all that a distiller wants of one."""
    return Staged(
        {stage: nn.Identity() for stage in tensors},
        inputs=dict.fromkeys(tensors, ("image",)),
        channels={stage: tensor.shape[1] for stage, tensor in tensors.items()},
        stride=1,
    )


def _shipped(name: str) -> ResolvedMethod:
    # Cityscapes at 512×1024 and stride 8; the files bring their own weights.
    return resolve_method(method_path(name), "cityscapes", 8192)


LOGITS_ONLY = {LOGITS: "logits"}
OBJECTIVES: Mapping[str, Objective] = {
    "task": TaskObjective(CIRKD),
    "kd": TermObjective(CIRKD, "kd", "kl@logits", LOGITS_ONLY, settings={"temperature": "temperature"}),
    "fitnet": TermObjective(
        CIRKD,
        "fitnet",
        "mse@decoded_dropped",
        {"decoded_dropped": "feature"},
        parameters={"conv.weight": "adapters.0.weight"},
    ),
    "at": TermObjective(CIRKD, "at", "attention_transfer@decoded_dropped", {"decoded_dropped": "feature"}),
    "cwd-author-logits": TermObjective(
        OTHERS,
        "cwd",
        "channel_divergence@logits",
        LOGITS_ONLY,
        settings={"norm_type": "norm", "divergence": "divergence", "temperature": "temperature"},
        weight="loss_weight",
        parts={"cwd": {}},
    ),
    "dist": TermObjective(
        OTHERS,
        "dist",
        "relation@logits",
        LOGITS_ONLY,
        settings={"beta": "beta", "gamma": "gamma"},
        parts={"inter": {"beta": 1.0, "gamma": 0.0}, "intra": {"beta": 0.0, "gamma": 1.0}},
    ),
    "featmse": TermObjective(
        OTHERS,
        "featmse",
        "mse@stage4",
        {"stage4": "feature"},
        weight="loss_weight",
        parameters={"align.weight": "adapters.0.weight", "align.bias": "adapters.0.bias"},
    ),
    "featl2norm": TermObjective(
        OTHERS,
        "featl2norm",
        "normalized_l2@stage4",
        {"stage4": "feature"},
        settings={name: name for name in ("normalize", "mult", "div_element", "dist")},
        weight="loss_weight",
    ),
}
# Methods of the literature that the files cover and this version does not ship.
NOT_SHIPPED = frozenset(
    (
        *("adv", "afdcd", "aicsd", "attnfd", "bpkd-reconstructed", "cirkd_channel", "cirkd_memory", "cirkd_minibatch"),
        *("cirkdv2", "cwd", "cwd-author-feat", "cwd-mmrazor-feat", "cwd-mmrazor-logits", "diffkd", "dsd"),
        *("featpixnorm", "freekd", "freekd-prompt", "gcn", "ifvd", "maskd-distill", "maskd-feat", "maskd-mask"),
        *("mgd", "pkd", "skd", "transkd"),
    )
)
