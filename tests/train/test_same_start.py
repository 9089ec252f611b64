"""One seed: the same student, the same batches and the same dropout, whatever a method draws for itself."""

import hashlib
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch

from harness.contract.guard import Guard
from harness.ledger.errors import BadInput
from harness.ledger.method import student_alone
from harness.ledger.spec import Ground
from harness.segmentation.batches import Batches
from harness.segmentation.data import Split, load
from harness.segmentation.weights import state_sha256
from harness.train.streams import batches_of, stream_seed
from harness.train.trainee import Trainee, make_trainee
from tests.train.tiny import APPLICABLE, DEMANDING, MISSING_STAGES, resolved, roomy, standing

CPU = torch.device("cpu")
BATCHES, ITERATIONS = 100, 2


@dataclass(frozen=True)
class Start:
    """What a run begins with, and where its streams are after a while."""

    student: str
    batches: str
    """Digest of the pixels and labels of the first 100."""
    streams: str
    """Digest of the states of order, augmentation and dropout after them."""


@dataclass(frozen=True)
class Place:
    """Where runs take place."""

    ground: Ground
    split: Split

    def start(self, trainee: Trainee, seed: int = 0) -> Start:
        """Of a run whose method prepares once, trains twice, and draws more numbers of its own in between."""
        student = state_sha256(trainee.student)
        torch.manual_seed(stream_seed(seed, "dropout"))
        source, digest = batches_of(self.split, self.ground.workload, seed, CPU), hashlib.sha256()
        for number in range(BATCHES):
            images, labels = next(source)
            digest.update(images.numpy().tobytes() + labels.numpy().tobytes())
            if number == 0 and trainee.distiller.needs_preparation:
                trainee.prepare(images, labels, 0.0)
            if number < ITERATIONS:
                trainee.iterate(images, labels, 0.0)
            trainee.draw.uniform("more", (1 + number,))
        return Start(student, digest.hexdigest(), _streams(source))


def _streams(source: Batches) -> str:
    states = [source.order.get_state(), source.augment.get_state(), source.remaining, torch.get_rng_state()]
    return hashlib.sha256(b"".join(state.numpy().tobytes() for state in states)).hexdigest()


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory) -> dict[int, Place]:
    """By the crop's side."""
    found = {}
    for crop in (128, 256):
        folder: Path = tmp_path_factory.mktemp(f"crop{crop}")
        held = roomy(folder, crop)
        found[crop] = Place(standing(folder, held), load(held, None, "train"))
    return found


@pytest.fixture(scope="module")
def expected(places: dict[int, Place]) -> dict[int, Start]:
    """The baseline's."""
    return {crop: place.start(make_trainee(place.ground, student_alone(), 0, CPU)) for crop, place in places.items()}


@pytest.mark.parametrize("name", APPLICABLE)
def test_every_method_starts_as_the_baseline_does(places: dict[int, Place], expected: dict[int, Start], name: str):
    """Initial weights, the pixels of the first 100 batches, and what the next one and its dropout will be.

    A guard that watches meanwhile has nothing to say.
    """
    crop = 256 if name in DEMANDING else 128
    trainee = make_trainee(places[crop].ground, resolved(name), 0, CPU)
    drawn = trainee.draw.generator.get_state()
    with Guard(resolved(name)).armed():
        assert places[crop].start(trainee) == expected[crop]
    assert not torch.equal(trainee.draw.generator.get_state(), drawn)


def test_another_seed_is_another_start(places: dict[int, Place], expected: dict[int, Start]):
    """None of the three is the same by accident."""
    other = places[128].start(make_trainee(places[128].ground, student_alone(), 1, CPU), seed=1)
    first = expected[128]
    assert other.student != first.student
    assert other.batches != first.batches
    assert other.streams != first.streams


@pytest.mark.parametrize(("name", "said"), MISSING_STAGES.items())
def test_a_method_that_does_not_apply_says_why(places: dict[int, Place], name: str, said: str):
    """The networks here have no patch embeddings."""
    with pytest.raises(BadInput) as refused:
        make_trainee(places[256].ground, resolved(name), 0, CPU)
    assert str(refused.value).startswith(said)
