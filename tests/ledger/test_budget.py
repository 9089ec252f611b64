"""What one run may spend, and how a person writes it."""

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.ledger.budget import Budget, Unit
from harness.ledger.errors import BadInput

EXPECTED = "expected 90s, 45m, 8h, 2d, '40k it', '2 EFLOP' or '40k it of kd' (also '0.5x of 40k it of kd')"


@pytest.mark.parametrize(
    ("text", "amount", "unit", "anchor"),
    [
        ("90s", 90.0, Unit.SECONDS, None),
        ("45m", 2700.0, Unit.SECONDS, None),
        ("8h", 28800.0, Unit.SECONDS, None),
        ("2d", 172800.0, Unit.SECONDS, None),
        (" 1.5 h ", 5400.0, Unit.SECONDS, None),
        ("200 it", 200.0, Unit.ITERATIONS, None),
        ("40k it", 40000.0, Unit.ITERATIONS, None),
        ("40kit", 40000.0, Unit.ITERATIONS, None),
        ("2 EFLOP", 2e18, Unit.FLOPS, None),
        ("0.5PFLOP", 5e14, Unit.FLOPS, None),
        ("3 TFLOP", 3e12, Unit.FLOPS, None),
        ("7 GFLOP", 7e9, Unit.FLOPS, None),
        ("40k it of kd", 40000.0, Unit.ITERATIONS, "kd"),
        ("40k  it\tof  cwd_fixed", 40000.0, Unit.ITERATIONS, "cwd_fixed"),
        ("0.5x of 40k it of kd", 20000.0, Unit.ITERATIONS, "kd"),
        ("2x of 8h", 57600.0, Unit.SECONDS, None),
    ],
)
def test_a_budget_is_read_as_it_is_written(text, amount, unit, anchor):
    """Time, iterations, floating-point operations, another method's time, and multiples of each."""
    budget = Budget.parse(text)
    assert (budget.amount, budget.unit, budget.anchor) == (amount, unit, anchor)


@pytest.mark.parametrize(
    ("text", "iterations"), [("2.01k it", 2010), ("1.13k it", 1130), ("40.1k it", 40100), ("1.001k it", 1001)]
)
def test_thousands_are_decimal(text, iterations):
    """2.01 · 1000 is a hair less than 2010 in binary, and would lose an iteration."""
    assert Budget.parse(text).amount == iterations


@pytest.mark.parametrize(
    ("text", "spelled"),
    [
        ("90 s", "90s"),
        ("090.0s", "90s"),
        (".50 h", "0.5h"),
        ("40kit", "40k it"),
        ("2EFLOP", "2 EFLOP"),
        ("40k   it  of kd", "40k it of kd"),
        ("1.0x of 40k it of kd", "1x of 40k it of kd"),
        ("100s", "100s"),
    ],
)
def test_one_budget_has_one_spelling(text, spelled):
    """Blanks and idle zeros make no second track."""
    assert Budget.parse(text).text == spelled


@pytest.mark.parametrize(
    "text",
    [
        "", "8", "h", "8 hours", "-8h", "8H", "1e3s", "1.2.3s", ".s", "0s", "0.000s", "inf s", "nan s", "40k", "40 k",
        "40K it", "it", "2 FLOP", "2 eflop", "40k it of", "40k it of KD",
        "8h of kd", "x of 8h", "2x", "2x of", "0x of 8h",
        "2x of 2x of 8h", "8h,9h", "８h", "9" * 400 + "s", "9" * 308 + "d", "0." + "0" * 400 + "1s",
    ],
)  # fmt: skip
def test_what_is_no_budget_is_told_with_all_that_is(text):
    """One line: the flag, what was found, what was expected."""
    with pytest.raises(BadInput) as caught:
        Budget.parse(text)
    assert str(caught.value) == f"--budget: {text!r} is no budget: {EXPECTED}"


MOST = "expected at most 3650d, '1000000k it' or '1000000 EFLOP'"


@pytest.mark.parametrize("text", ["3650d", "87600h", "1000000k it", "1000000k it of kd", "1000000 EFLOP"])
def test_the_largest_budgets(text):
    """Ten years, 10⁹ iterations, 10²⁴ operations; a thousandth more is a slip of the pen, as is a multiple."""
    assert Budget.parse(text).text == text
    for more in (f"1.001x of {text}", f"99999999999x of {text}"):
        with pytest.raises(BadInput) as caught:
            Budget.parse(more)
        assert str(caught.value) == f"--budget: {more!r} is more than one run can spend: {MOST}"


@pytest.mark.parametrize("text", ["99999999999h", "3650.001d", "1000001k it of kd", "1000001 EFLOP"])
def test_a_budget_that_no_run_can_spend_is_refused(text):
    """Before anything is measured for it."""
    with pytest.raises(BadInput) as caught:
        Budget.parse(text)
    assert str(caught.value) == f"--budget: {text!r} is more than one run can spend: {MOST}"


def test_a_tower_of_multiples_is_refused_at_once():
    """Thousands of factors neither multiply nor exhaust the stack."""
    text = "1x of " * 5000 + "8h"
    with pytest.raises(BadInput, match="is no budget"):
        Budget.parse(text)


def test_several_budgets_are_parted_by_commas():
    """Each is one track."""
    assert [budget.text for budget in Budget.parse_list("90s, 45m,2 EFLOP")] == ["90s", "45m", "2 EFLOP"]


def test_multiples_share_what_follows_the_last_of():
    """`0.5x, 1x, 2x of …` is a scaling curve in one breath."""
    budgets = Budget.parse_list("0.5x, 1x,2x of 40k it of kd")
    assert [(budget.text, budget.amount, budget.anchor) for budget in budgets] == [
        ("0.5x of 40k it of kd", 20000.0, "kd"),
        ("1x of 40k it of kd", 40000.0, "kd"),
        ("2x of 40k it of kd", 80000.0, "kd"),
    ]


@pytest.mark.parametrize("text", ["8h, 8h", "60m, 1h", "1x, 1.0x of 8h", "20k it of kd, 0.5x of 40k it of kd"])
def test_a_budget_named_twice_is_refused(text):
    """However it is spelled: a track is run once."""
    with pytest.raises(BadInput) as caught:
        Budget.parse_list(text)
    assert str(caught.value) == f"--budget: {text!r} names a budget twice"


def test_the_same_number_of_another_thing_is_another_budget():
    """90 iterations, and the time that kd needs for them, are two tracks."""
    assert len(Budget.parse_list("90s, 90 it, 90 it of kd")) == 3


@pytest.mark.parametrize(("text", "found"), [("8h,", "''"), ("2x, 8h", "'2x'"), (",", "''")])
def test_a_hole_in_a_list_is_no_budget(text, found):
    """The part that cannot be read is named."""
    with pytest.raises(BadInput) as caught:
        Budget.parse_list(text)
    assert str(caught.value) == f"--budget: {found} is no budget: {EXPECTED}"


def test_seconds_of_a_time_need_no_anchor():
    """A time is itself."""
    assert (Budget.parse("2m").seconds(None), Budget.parse("2m").is_time) == (120.0, True)


def test_seconds_of_an_anchored_budget_are_the_anchors():
    """40k iterations of a method that takes 0.25 s an iteration are 10,000 s."""
    budget = Budget.parse("40k it of kd")
    assert (budget.seconds(0.25), budget.seconds(None), budget.is_time) == (10000.0, None, True)


@pytest.mark.parametrize("text", ["40k it", "2 EFLOP"])
def test_iterations_and_operations_are_no_time(text):
    """They buy the same on every device, in another time."""
    assert (Budget.parse(text).seconds(0.25), Budget.parse(text).is_time) == (None, False)


NUMBERS = st.decimals(min_value="0.001", max_value=3650, places=3).map(lambda number: format(number, "f"))
FACTORS = st.decimals(min_value="0.001", max_value=1, places=3).map(lambda number: format(number, "f"))
ANCHORS = st.text(alphabet="abcxyz_019", min_size=1, max_size=8)
SINGLES = st.one_of(
    st.builds("{}{}".format, NUMBERS, st.sampled_from("smhd")),
    st.builds("{}{} it".format, NUMBERS, st.sampled_from(["", "k"])),
    st.builds("{}{} it of {}".format, NUMBERS, st.sampled_from(["", "k"]), ANCHORS),
    st.builds("{} {}FLOP".format, NUMBERS, st.sampled_from("GTPE")),
)
BUDGETS = SINGLES | st.builds("{}x of {}".format, FACTORS, SINGLES)


@given(text=BUDGETS)
def test_a_budgets_text_reads_back_as_the_budget(text):
    """What a record holds is what was spent."""
    budget = Budget.parse(text)
    assert Budget.parse(budget.text) == budget


@given(text=st.text(alphabet="0123456789.xksmhdit ofFLOPGE,k_-", max_size=30) | st.text(max_size=20))
def test_any_text_is_budgets_or_bad_input(text):
    """Nothing else comes out, and no budget is nothing, less than nothing or endless."""
    budgets: tuple[Budget, ...] = ()
    with suppress(BadInput):
        budgets = Budget.parse_list(text)
    assert all(0 < budget.amount < float("inf") for budget in budgets)
