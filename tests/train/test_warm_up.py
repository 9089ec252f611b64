"""A warm-up is free, so nothing of it may stay."""

import copy
from pathlib import Path

import pytest
import torch
from torch import Tensor

from harness.contract.guard import Cheating
from harness.contract.memory import remembered
from harness.contract.pupil import same
from harness.ledger.spec import Ground
from harness.segmentation.data import Split, load
from harness.train.loop import warm_up
from harness.train.streams import batches_of
from harness.train.trainee import Trainee, make_trainee
from tests.contract.cheaters import REMEMBERS, method_of
from tests.train.tiny import APPLICABLE, DEMANDING, resolved, roomy, standing

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory) -> dict[int, tuple[Ground, Split]]:
    """By the crop's side."""
    found = {}
    for crop in (128, 256):
        folder: Path = tmp_path_factory.mktemp(f"crop{crop}")
        held = roomy(folder, crop)
        found[crop] = (standing(folder, held), load(held, None, "train"))
    return found


def everything(trainee: Trainee) -> dict[str, object]:
    """All that the trainee's next iteration depends on, and the sums of its losses."""
    gradients = [parameter.grad for parameter in (*trainee.student.parameters(), *trainee.distiller.parameters())]
    return {
        "student": copy.deepcopy(trainee.student.state_dict()),
        "teacher": copy.deepcopy(trainee.teacher.state_dict()) if trainee.teacher is not None else None,
        "distiller": copy.deepcopy(trainee.distiller.state_dict()),
        "optimizer": copy.deepcopy(trainee.optimizer.state_dict()),
        "gradients": [None if gradient is None else gradient.clone() for gradient in gradients],
        "modes": [module.training for module in (*trainee.student.modules(), *trainee.distiller.modules())],
        "trained": [parameter.requires_grad for parameter in trainee.distiller.parameters()],
        "draw": trainee.draw.generator.get_state(),
        "global": torch.get_rng_state(),
        "losses": trainee.losses.clone(),
        "remembered": remembered(trainee.distiller),
    }


def course(trainee: Trainee, given: list[tuple[Tensor, Tensor]]) -> dict[str, object]:
    """Everything after a preparation, where there is one, and an iteration."""
    if trainee.distiller.needs_preparation:
        trainee.prepare(*given[0], progress=0.5)
    trainee.iterate(*given[1], progress=0.5)
    return everything(trainee)


def differing(one: dict[str, object], other: dict[str, object]) -> list[str]:
    """What is not equal bit for bit."""
    return [name for name in one if not same(one[name], other[name])]


@pytest.mark.parametrize("name", APPLICABLE)
def test_a_warm_up_leaves_everything_as_it_was(places: dict[int, tuple[Ground, Split]], name: str):
    """Banks, discriminators, their optimizers, plain attributes; and what comes next is as without a warm-up."""
    ground, split = places[256 if name in DEMANDING else 128]
    source = batches_of(split, ground.workload, 0, CPU)
    given = [next(source) for _ in range(2)]
    trainee = make_trainee(ground, resolved(name), 0, CPU)
    torch.manual_seed(1)
    cold = everything(trainee)
    expected = course(trainee, given)
    trainee = make_trainee(ground, resolved(name), 0, CPU)
    torch.manual_seed(1)
    warm_up(trainee, batches_of(split, ground.workload, 0, CPU), 2)
    assert differing(everything(trainee), cold) == []
    assert differing(course(trainee, given), expected) == []


def test_the_sums_of_the_losses_are_put_back(places: dict[int, tuple[Ground, Split]]):
    """Also where they were not 0."""
    ground, split = places[128]
    trainee = make_trainee(ground, resolved("kd"), 0, CPU)
    trainee.losses += 1.5
    warm_up(trainee, batches_of(split, ground.workload, 0, CPU), 1)
    assert trainee.losses.tolist() == [1.5, 1.5]


@pytest.mark.parametrize("kind", REMEMBERS)
def test_what_cannot_be_put_back_is_refused(places: dict[int, tuple[Ground, Split]], tmp_path: Path, kind: str):
    """A method that would enter the clock with something learned or stored for free."""
    ground, split = places[128]
    text, place = REMEMBERS[kind]
    trainee = make_trainee(ground, method_of(tmp_path, text), 0, CPU)
    with pytest.raises(Cheating) as refused:
        warm_up(trainee, batches_of(split, ground.workload, 0, CPU), 1)
    assert place in str(refused.value)
