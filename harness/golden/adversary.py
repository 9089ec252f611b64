"""The adversarial term: the discriminator's weights are generated, not stored, and its gradients told by statistics."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from harness.distill.distiller import LOGITS
from harness.distill.draw import StoredDraw
from harness.distill.loading import load
from harness.golden.file import Golden
from harness.golden.objective import CIRKD, Computed, Other, Tolerance, shipped
from harness.ledger.errors import BadInput

SETTINGS = ("param_seed_base", "last_weight_multiplier", "gamma_attn1", "gamma_attn2", "leaky_slope")
SAID = ("seed", "u_converged", "conv_dim", "lambda_adv", "lambda_d")
"""Hyper-parameters that weigh nothing here, or that the code is built on."""
NORM = 1
"""The place of a norm among a gradient's statistics."""
LAYERS = ("l1", "l2", "l3", "l4")


SINGLE = replace(CIRKD, gradient=1e-6, other=1e-6)
"""The gradients are stored in single precision."""


@dataclass(frozen=True)
class AdversarialObjective:
    """Both sides of the game in the released order: D(student), then D(student detached) and D(teacher)."""

    tolerance: Tolerance = SINGLE
    graded: str = "adv_g"

    def used(self, golden: Golden) -> frozenset[str]:
        """The logits, the state of the power iteration, what generates the weights and what they add up to."""
        settings = {f"hparam/{name}" for name in (*SETTINGS, *SAID)}
        inputs = {"student_logits", "teacher_logits", *golden.names("buffer/", "paramcheck/")}
        return frozenset(inputs | settings)

    def meaningless(self, golden: Golden) -> frozenset[str]:
        """None."""
        return frozenset()

    def compute(self, golden: Golden) -> Computed:
        """The student's loss with its gradient, the discriminator's with its gradients' statistics, and the maps."""
        if golden.setting("conv_dim") != 64:
            raise BadInput(f"hparam/conv_dim: found {golden.setting('conv_dim')}: expected 64")
        student, teacher = golden.tensor("student_logits").requires_grad_(), golden.tensor("teacher_logits")
        loss = _loss(student, golden)
        discriminator: Any = loss.discriminator
        _fill(golden, discriminator)
        maps = _maps(discriminator)
        generator = loss(student, teacher, torch.full((len(student), 1, 1), 255), draw=StoredDraw({}))
        after = {f"buffer_after_g/{layer}.weight_u": Other(_u(discriminator, layer).clone()) for layer in LAYERS}
        discriminator.requires_grad_(True)
        other_side = loss.discriminator_loss(loss.seen)
        outputs = dict(zip(("d_student_step_g", "d_student_step_d", "d_teacher_step_d"), maps, strict=True))
        return Computed(
            {"adv_g": generator, "adv_d": other_side},
            {"student_logits": student},
            {
                **after,
                **{f"output/{name}": Other(tensor) for name, tensor in outputs.items()},
                **_statistics(golden, discriminator, other_side),
            },
        )


# A class of a method's own file.
def _loss(student: Tensor, golden: Golden) -> Any:  # noqa: ANN401
    (term,) = (term for term in shipped("skd").terms if term.taps[0].student == LOGITS and term.function != "kl")
    size = (student.shape[2], student.shape[3])
    slope = golden.number("leaky_slope")
    return load(term)(student_channels=student.shape[1], student_size=size, leaky_slope=slope).double()


def _names(golden: Golden) -> Mapping[str, str]:
    """`attn1.gamma` for `00/attn1.gamma`, in the order of their numbers."""
    numbered = sorted(name.removeprefix("paramcheck/") for name in golden.names("paramcheck/"))
    return {name: name.partition("/")[2] for name in numbered}


def _ours(name: str) -> str:
    """The file's `l1.0.module.bias` is our `l1.bias`, and `last.0.bias` our `last.bias`."""
    return name.replace(".0.module.", ".").replace("last.0.", "last.")


def _fill(golden: Golden, discriminator: nn.Module) -> None:
    """Generates the weights as the README says, and checks that they add up to what the file says."""
    own = dict(discriminator.named_parameters())
    names = _names(golden)
    if {_ours(name) for name in names.values()} != set(own):
        raise BadInput("paramcheck/: its names are not those of the shipped discriminator's parameters")
    for index, (key, name) in enumerate(names.items()):
        target = own[_ours(name)]
        random = np.random.RandomState(int(golden.number("param_seed_base")) + index).random_sample(tuple(target.shape))
        value = torch.from_numpy(_generated(name, random, golden).astype(np.float32).astype(np.float64))
        expected = golden.expected(f"paramcheck/{key}")
        if not np.allclose(_summary(value, len(expected) - 2), expected, rtol=1e-9, atol=1e-9):
            raise BadInput(f"paramcheck/{key}: the generated weights do not add up to it")
        target.data.copy_(value)
    for layer in LAYERS:
        _u(discriminator, layer).copy_(golden.tensor(f"buffer/{layer}.weight_u"))


def _generated(name: str, random: np.ndarray, golden: Golden) -> np.ndarray:
    """One parameter, from numbers uniform on [0, 1)."""
    if name.endswith(".gamma"):
        return np.full_like(random, golden.number(f"gamma_{name.removesuffix('.gamma')}"))
    if name == "preprocess_additional.weight":
        return np.asarray(0.8 + 0.4 * random)
    if name.endswith("bias"):
        return np.asarray((2 * random - 1) / np.sqrt(random.size))
    weight = (2 * random - 1) * 3 / np.sqrt(np.prod(random.shape[1:]))
    if name == "last.0.weight":  # multiplied after it was rounded
        return np.asarray(weight.astype(np.float32) * np.float32(golden.number("last_weight_multiplier")))
    return np.asarray(weight)


def _u(discriminator: nn.Module, layer: str) -> Tensor:
    return discriminator.get_buffer(f"{layer}.weight_u")


def _maps(discriminator: nn.Module) -> list[Tensor]:
    """Fills up with every map of scores that the discriminator gives."""
    maps: list[Tensor] = []
    discriminator.register_forward_hook(lambda module, given, scores: maps.extend(scores))
    return maps


def _summary(tensor: Tensor, first: int) -> np.ndarray:
    """Sum, norm, and the first few numbers."""
    flat = tensor.detach().flatten()
    return np.concatenate([[float(flat.sum()), float(flat.norm())], flat[:first].numpy()])


def _statistics(golden: Golden, discriminator: nn.Module, loss: Tensor) -> Mapping[str, Other]:
    """Of each parameter's gradient; before the power iteration has converged only norms mean anything."""
    names = [name.removeprefix("gradstat_adv_d/") for name in golden.names("gradstat_adv_d/")]
    own = dict(discriminator.named_parameters())
    if {_ours(name.partition("/")[2]) for name in names} != set(own):
        raise BadInput("gradstat_adv_d/: its names are not those of the shipped discriminator's parameters")
    parameters = [own[_ours(name.partition("/")[2])] for name in names]
    gradients = torch.autograd.grad(loss, parameters, retain_graph=True, allow_unused=True, materialize_grads=True)
    converged = bool(golden.number("u_converged"))
    found = {}
    for name, gradient in zip(names, gradients, strict=True):
        stored = golden.expected(f"gradstat_adv_d/{name}")
        summary = torch.from_numpy(_summary(gradient, len(stored) - 2))
        only = None if converged else NORM
        found[f"gradstat_adv_d/{name}"] = Other(summary, 1e-6 if converged else 1e-4, only)
    return found
