"""What one iteration of a method shows, on the small networks."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.nn.modules import module as torch_module

from harness.contract.pupil import Broken, Pupil, blamed, copied, must_be_finite_scalar, same
from harness.distill.term import WeightedTerm
from harness.ledger.descriptor import SHARED_LOSSES
from harness.ledger.method import ResolvedMethod, ResolvedTerm


class FirstIteration:
    """What one iteration shows: each clause goes on from what the one before it computed."""

    VITAL = 2
    """Clauses without which the others mean nothing."""

    def __init__(self, method: ResolvedMethod) -> None:
        self.method = method
        self.terms = [term for term in method.terms if term.is_active]
        self.hooks = _global_hooks()

    def loads(self) -> str:
        """The file runs, and the method is built on both networks."""
        self.pupil = Pupil(self.method)
        return ", ".join(self.pupil.distiller.names) or "no losses: the student alone"

    def losses(self) -> str:
        """Each term, and each part of one, is a finite scalar."""
        pupil = self.pupil
        pupil.prepare(0.0)
        self.ours, self.theirs = pupil.look()
        self.before = {name: copied(given) for name, given in self.given().items()}
        self.states, random = pupil.networks(), torch.get_rng_state()
        self.values: list[tuple[Tensor, ...]] = []
        for term, weighted in zip(self.terms, self._weighted(), strict=True):
            with _known_as(term):
                if isinstance(weighted.loss, nn.Module) and type(weighted.loss).forward is nn.Module.forward:
                    raise Broken(f"'{term.function}' has no forward: expected (student, teacher, labels, *, draw)")
                values = weighted(self.ours, self.theirs, pupil.labels, pupil.draw)
                for name, value in zip(weighted.names, values, strict=True):
                    must_be_finite_scalar(name, value)
            self.values.append(values)
        self.drew = not same(random, torch.get_rng_state())
        numbers = [float(value.detach()) for values in self.values for value in values]
        return ", ".join(f"{name} {number:.3g}" for name, number in zip(pupil.distiller.names, numbers, strict=True))

    def _weighted(self) -> Iterator[WeightedTerm]:
        for term in self.pupil.distiller.terms:
            assert isinstance(term, WeightedTerm)
            yield term

    def given(self) -> dict[str, dict[str, Tensor]]:
        """What the losses are handed."""
        detached = {
            owner: {stage: output.detach() for stage, output in outputs.items()}
            for owner, outputs in (("student", self.ours), ("teacher", self.theirs))
        }
        return detached | {"labels": {"labels": self.pupil.labels}}

    def gradients(self) -> str:
        """They reach the student, all that is to be trained with it, and never the teacher."""
        reached = [False] * len(self.pupil.learned)
        for term, values in zip(self.terms, self.values, strict=True):
            with _known_as(term):
                found = self._gradients(torch.stack(values).sum())
            reached = [was or got is not None for was, got in zip(reached, found, strict=True)]
        if not all(reached):
            reached = [was or got for was, got in zip(reached, self._reached_by_one_image(), strict=True)]
        named = {id(own): name for name, own in self.pupil.distiller.named_parameters()}
        idle = [named[id(own)] for own, got in zip(self.pupil.learned, reached, strict=True) if not got]
        if idle:
            raise Broken(f"no gradient reaches {', '.join(idle)}: expected use, or requires_grad_(False)")
        if any(output.grad is not None for output in self.theirs.values()):
            raise Broken("the teacher got a gradient")
        return f"at the student and at {len(self.pupil.learned)} parameters of the method, none at the teacher"

    def _gradients(self, loss: Tensor) -> list[Tensor | None]:
        """Those of the method's own parameters; Broken when the student's are none or 0."""
        if not loss.requires_grad:
            raise Broken("the loss has no gradient: its student is detached, or it is computed under no_grad")
        found = self.pupil.gradients(loss, self.ours)
        ours = found[: len(self.ours)]
        if not any(gradient is not None and bool(gradient.any()) for gradient in ours):
            raise Broken("no gradient reaches the student")
        return found[len(self.ours) :]

    def _reached_by_one_image(self) -> list[bool]:
        """Which parameters a batch of one image reaches: some losses have a branch of its own for it."""
        pupil = Pupil(self.method)
        pupil.prepare(0.0)
        values = pupil.losses(*pupil.look(pupil.images[:1]), pupil.labels[:1]).values()
        found = torch.autograd.grad(torch.stack([*values]).sum(), pupil.learned, allow_unused=True)
        return [gradient is not None for gradient in found]

    def inputs(self) -> str:
        """No loss wrote into the tensors that other losses see."""
        for owner, given in self.given().items():
            for stage, value in given.items():
                if not same(value, self.before[owner][stage]):
                    named = "labels" if owner == "labels" else f"{owner}'s {stage}"
                    raise Broken(f"the {named} changed in place: expected a loss to leave what it is given")
        return "unchanged"

    def networks(self) -> str:
        """Parameters and buffers of both are as they were, also after the update of what is the method's own."""
        self.pupil.distiller.after_step()
        for name, value in self.pupil.networks().items():
            if not same(value, self.states[name]):
                raise Broken(f"the {name} changed while the losses were computed")
        return "unchanged"

    def no_hook_stays(self) -> str:
        """Neither at a module of the networks nor at all modules there are."""
        for owner, staged in (("student", self.pupil.student), ("teacher", self.pupil.teacher)):
            for name, part in staged.named_modules():
                if part._forward_hooks or part._forward_pre_hooks or part._backward_hooks:
                    raise Broken(f"a hook stays at the {owner}'s {name or 'network'}")
        for name, count in _global_hooks().items():
            if count > self.hooks[name]:
                raise Broken(f"a hook stays at every module there is ({name.removeprefix('_global_')})")
        return "none"

    def random_numbers(self) -> str:
        """Torch's global generator is the student's dropout's: a loss that drew from it would change the student."""
        if self.drew:
            raise Broken("torch's global generator moved: expected random numbers from `draw` alone")
        return "torch's own generator stood still"


@contextmanager
def _known_as(term: ResolvedTerm) -> Iterator[None]:
    """What goes wrong inside is told with the term's file, or with the term where its loss is a shared one."""
    try:
        yield
    except Exception as error:
        shared = term.file == str(SHARED_LOSSES)
        said = blamed(error, [] if shared else [term.file])
        raise Broken(f"term '{term.name}': {said}" if shared else said) from error


def _global_hooks() -> dict[str, int]:
    """How many hooks are registered for all modules, by kind."""
    found = vars(torch_module).items()
    return {name: len(hooks) for name, hooks in found if name.startswith("_global_") and isinstance(hooks, dict)}
