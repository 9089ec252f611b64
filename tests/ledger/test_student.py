"""The card of a student, which needs nothing of the run but its weights."""

import pytest

from harness.ledger.errors import BadInput
from harness.ledger.networks import DilatedNetwork, PspNetwork, untrained
from harness.ledger.record import Record
from harness.ledger.student import card_of
from tests.factories import ground, record, workload

PSPNET = PspNetwork(
    architecture="pspnet", backbone="resnet18.tv_in1k", pretrained=True, decoder=128, dropout=0.1, auxiliary=True
)


def with_student(**changes: object) -> Record:
    """A run that left weights."""
    found = record(on=ground(of=workload(**changes)), seed=2)
    return found.model_copy(update={"outcome": found.outcome.model_copy(update={"student_sha256": "a" * 64})})


def test_a_card_says_what_was_trained_how_and_what_it_scores():
    """As the record has it."""
    run = with_student()
    card = card_of(run)
    assert (card.run, card.method, card.seed, card.budget) == (run.spec.name, "kd", 2, "90s")
    assert (card.workload, card.data_sha256) == ("streets", run.spec.ground.data_sha256)
    assert (card.scores, card.student_sha256) == (run.outcome.scores, "a" * 64)
    assert (card.network, card.classes, card.stride) == (workload().student, workload().classes, 4)
    assert card.image_size == (64, 128)


def test_where_images_differ_in_size_the_card_has_that_of_the_crops():
    """Some size has to be tried first."""
    assert card_of(with_student(image_size=None, label_size=None)).image_size == (64, 64)


def test_a_cards_network_begins_without_its_backbones_published_weights():
    """The student's own are all that is needed, on a machine without a network too; nothing else is changed."""
    card = card_of(with_student(student=PSPNET))
    assert isinstance(card.network, DilatedNetwork)
    assert card.network == untrained(PSPNET) == PSPNET.model_copy(update={"pretrained": False})
    assert untrained(workload().student) == workload().student


def test_a_run_without_a_student_has_no_card():
    """It says how it ended."""
    with pytest.raises(BadInput, match="left no student: it ended as diverged"):
        card_of(record(ending="diverged", reason="no number"))
