"""What each term weighs, by whose word, and its share of the gradient."""

import json

from harness.ledger.findings import Refusal
from harness.sweep.story import Prices
from harness.sweep.terms import term_rows, to_json, to_markdown
from tests.factories import cost, ground, method

SEEN = cost(2.0).model_copy(update={"gradient_shares": {"kl@logits": 0.25}, "weights": {"kl@logits": 3.0}})
METHODS = [method("baseline"), method("kd"), method("old", source="ours"), method("lost")]
PRICES = Prices(
    ground(),
    METHODS,
    {"baseline": cost(), "kd": SEEN, "old": cost(), "lost": Refusal(ending="skipped", reason="no stage")},
)


def shared(share: float) -> str:
    seen = SEEN.model_copy(update={"gradient_shares": {"kl@logits": share}})
    (row,) = term_rows(Prices(ground(), [method("kd")], {"kd": seen}))
    return row.warning


def test_a_row_a_weight():
    """What the engine told first; a cost from before shares were measured has none."""
    assert [row.cells for row in term_rows(PRICES)] == [
        ("kd", "kl@logits", "3", "authors", "0.25"),
        ("old", "kl@logits", "1", "ours", ""),
        ("lost", "kl@logits", "1", "authors", ""),
    ]


def test_a_share_outside_the_rules_is_warned_about():
    """From 0.01 to 100 nothing is said."""
    assert [shared(share) for share in (0.009, 0.01, 100.0, 101.0)] == ["(!) under 0.01", "", "", "(!) over 100"]


def test_the_table_is_markdown_for_a_document():
    """A heading, a rule, a row a weight."""
    heading, rule, first, *_ = to_markdown(term_rows(PRICES)).splitlines()
    assert heading == "| method | term | weight here | source | gradient share |"
    assert set(rule) <= set("|:- ")
    assert first == "| kd | kl@logits | 3 | authors | 0.25 |"


def test_json_holds_all_of_it():
    """Costs with what follows from them, and reasons where there is no cost."""
    found = json.loads(to_json(PRICES))
    assert list(found) == ["baseline", "kd", "old", "lost"]
    assert (found["kd"]["cost"]["ratio"], found["kd"]["uncertain"]) == (2.0, False)
    assert found["kd"]["terms"] == [
        {
            "method": "kd", "term": "kl@logits", "weight": 3.0, "source": "authors", "gradient_share": 0.25,
            "warning": "",
        }
    ]  # fmt: skip
    assert found["lost"]["refusal"]["reason"] == "no stage"
