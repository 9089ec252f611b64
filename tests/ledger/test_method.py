"""A method with everything settled."""

import json

import pytest
from pydantic import ValidationError

from harness.ledger.errors import BadInput
from harness.ledger.files import read
from harness.ledger.method import ResolvedMethod, ResolvedPart, ResolvedTerm, Tap, Transfer, student_alone

LOGITS = Tap(student="logits", teacher="logits")
AT_VOC = {"origin": "voc", "positions": 4096, "channels": 512, "batch": 2}


def term(**changes: object) -> ResolvedTerm:
    whole = ResolvedTerm(
        name="kl@logits", file="losses.py", function="kl", taps=(LOGITS,), listed=False, weight=3.0, source="authors",
        settings={"temperature": 4, "sizes": (1, 2), "shares": (1.0, 0.4)},
    )  # fmt: skip
    return whole.model_copy(update=changes)


def method(*terms: ResolvedTerm) -> ResolvedMethod:
    return ResolvedMethod(name="mine", title="Mine", family="general", terms=terms, digest="d")


@pytest.mark.parametrize(
    ("rule", "factor"),
    [
        ("N", 1024 / 4096),
        ("1/N", 4096 / 1024),
        ("1/C", 512 / 2048),
        ("1/(C·N)", 1.0),
        ("C/N", (2048 / 512) / (1024 / 4096)),
        ("B", 8 / 2),
    ],
)
def test_a_weight_moves_by_its_rule(rule, factor):
    """A quarter of the positions, four times the channels, four times the images: each by hand."""
    assert Transfer(**AT_VOC, scales_with=rule).factor(positions=1024, channels=2048, batch=8) == factor


@pytest.mark.parametrize("rule", ["N", "1/N", "1/C", "1/(C·N)", "C/N", "B"])
def test_where_nothing_differs_nothing_moves(rule):
    """The factor at the origin is 1."""
    assert Transfer(**AT_VOC, scales_with=rule).factor(positions=4096, channels=512, batch=2) == 1.0


def test_a_rule_needs_only_what_it_names():
    """Half the positions half the channels: four times the weight of a sum over both."""
    both = Transfer(origin="voc", positions=4096, channels=512, scales_with="1/(C·N)")
    assert both.factor(positions=2048, channels=256, batch=1) == 4.0
    assert Transfer(origin="voc", batch=6, scales_with="B").factor(positions=1, channels=1, batch=3) == 0.5


@pytest.mark.parametrize(
    ("rule", "lacking"),
    [
        ("N", "positions"),
        ("1/N", "positions"),
        ("1/C", "channels"),
        ("1/(C·N)", "channels"),
        ("C/N", "positions"),
        ("B", "batch"),
    ],
)
def test_a_rule_without_its_number_at_the_origin_is_refused(rule, lacking):
    """Nothing is scaled by a guess."""
    given = {key: value for key, value in AT_VOC.items() if key != lacking}
    with pytest.raises(ValidationError, match=f"needs {lacking}"):
        Transfer(**given, scales_with=rule)


def test_a_term_adds_its_whole_or_its_parts():
    """One weight under the loss's name, or one a part."""
    pixel, region = (ResolvedPart(name=name, weight=0.5, source="ours") for name in ("pixel", "region"))
    assert term().weights == (ResolvedPart(name="kl", weight=3.0, source="authors"),)
    assert term(weight=1.0, parts=(pixel, region)).weights == (pixel, region)


@pytest.mark.parametrize(
    ("changes", "active"),
    [
        ({}, True),
        ({"weight": 0.0}, False),
        ({"weight": 1.0, "parts": (ResolvedPart(name="pixel", weight=0.0, source="ours"),)}, False),
        (
            {
                "parts": (
                    ResolvedPart(name="pixel", weight=0.0, source="ours"),
                    ResolvedPart(name="region", weight=0.1, source="ours"),
                )
            },
            True,
        ),
    ],
)
def test_a_term_is_active_when_something_of_it_weighs(changes, active):
    """The 1 that stands for the whole where there are parts does not count."""
    assert term(**changes).is_active is active
    assert method(term(**changes)).distils is active


def test_the_baseline_is_the_student_alone():
    """It has no terms, and no teacher is run for it."""
    alone = student_alone()
    assert (alone.terms, alone.distils, alone.family, alone.preparation_share) == ((), False, "baseline", 0.0)


def test_a_method_comes_back_from_json_as_it_went():
    """With tuples, whole numbers, parts and a transfer."""
    moved = Transfer(**AT_VOC, scales_with="1/(C·N)")
    part = ResolvedPart(name="pixel", weight=0.1, source="transferred", transfer=moved)
    whole = method(term(group=2), term(weight=1.0, parts=(part,), taps=(LOGITS, LOGITS), listed=True))
    assert ResolvedMethod.model_validate_json(whole.model_dump_json()) == whole


def old(**changes: object) -> dict[str, object]:
    """A method as records of rules version 1 have it."""
    old_term = json.loads(term().model_dump_json(exclude={"transfer", "parts", "group"}))
    del old_term["taps"][0]["optional"]
    old_term["optional"] = True
    whole = {"name": "mine", "title": "Mine", "family": "general", "group": 2, "terms": [old_term], "digest": "d"}
    return whole | changes


def test_an_old_record_is_read():
    """Its group moves to the terms, `optional` to the taps."""
    found = ResolvedMethod.model_validate_json(json.dumps(old()))
    optional = LOGITS.model_copy(update={"optional": True})
    assert found == method(term(group=2, taps=(optional,)))


def test_an_old_record_without_a_group_is_read():
    """Null at the method is null at its terms; the baseline has none."""
    assert ResolvedMethod.model_validate_json(json.dumps(old(group=None))).terms[0].group is None
    assert ResolvedMethod.model_validate_json(json.dumps(old(group=None, terms=[]))).terms == ()


@pytest.mark.parametrize(
    "terms", [None, 3, "terms", {}, [None], [3], [[]], [{}], [{"taps": None}], [{"taps": [3]}], [{"taps": [{}]}]]
)
def test_a_damaged_old_record_is_bad_input(tmp_path, terms):
    """Never a traceback, whatever stands where the terms should."""
    for damaged in (old(terms=terms), {"group": 2}, {"group": 2, "terms": terms}):
        (tmp_path / "method.json").write_text(json.dumps(damaged))
        with pytest.raises(BadInput) as caught:
            read(tmp_path / "method.json", ResolvedMethod)
        assert len(str(caught.value).splitlines()) == 1
