"""Weights under the names that the engine gives them."""

from harness.ledger.method import ResolvedMethod, ResolvedPart, Tap, Transfer
from harness.ledger.weights import named_weights
from tests.factories import method

TERM = method().terms[0]
PARTS = (
    ResolvedPart(name="pixel", weight=0.1, source="ours"),
    ResolvedPart(name="idle", weight=0.0, source="ours"),
    ResolvedPart(name="region", weight=0.2, source="authors"),
)


def of(*terms) -> ResolvedMethod:
    return method().model_copy(update={"terms": terms})


def test_a_term_has_its_own_name_and_place():
    """kl@logits stands in terms[0]."""
    (found,) = named_weights(method())
    assert (found.name, found.place, found.part.weight) == ("kl@logits", "terms[0]", 1.0)


def test_the_baseline_has_none():
    assert named_weights(method("baseline")) == ()


def test_parts_have_a_name_each_and_those_that_weigh_nothing_have_none():
    """A part is named with the stage that its term taps first."""
    taps = (Tap(student="decoded", teacher="decoded"),)
    term = TERM.model_copy(update={"name": "memory@decoded", "parts": PARTS, "taps": taps})
    found = named_weights(of(TERM, term))
    assert [(each.name, each.place) for each in found] == [
        ("kl@logits", "terms[0]"),
        ("pixel@decoded", "terms[1].parts.pixel"),
        ("region@decoded", "terms[1].parts.region"),
    ]


def test_a_name_that_stood_before_is_numbered():
    """Two terms of one loss at one stage."""
    assert [each.name for each in named_weights(of(TERM, TERM))] == ["kl@logits", "kl@logits#2"]


def test_a_weight_that_has_to_be_moved_is_known_once_an_engine_has_moved_it():
    """Before, only what stands in the descriptor for this data set is known."""
    rule = Transfer(origin="cityscapes", scales_with="N", positions=100)
    (moved,) = named_weights(of(TERM.model_copy(update={"weight": 2.0, "source": "transferred", "transfer": rule})))
    (plain,) = named_weights(of(TERM))
    assert (moved.here({}), moved.here({"kl@logits": 0.5})) == (None, 0.5)
    assert plain.here({}) == 1.0
