"""What `bench profile` says of where an iteration's time goes."""

import pytest

from harness.cli.profile import grouped_phases, reasons, show_phases
from harness.ledger.findings import Refusal
from tests.factories import cost

PHASES = {"data": 0.001, "teacher": 0.004, "kl@logits": 0.002, "mse@decoded": 0.003, "after step": 0.0005}
CPU = {"joules": "a CPU's energy is not metered"}
SEEN = cost(2.0).model_copy(update={"phases": PHASES, "phases_of": 0.0105, "why_not": CPU})


def test_terms_are_one_column_and_what_follows_the_step_is_other():
    """2 and 3 ms of two terms are 5; nothing that the method does not do is there."""
    expected = {"data": 0.001, "teacher": 0.004, "terms": 0.005, "other": 0.0005}
    assert grouped_phases(PHASES) == pytest.approx(expected)


def test_the_table_has_a_row_a_method_and_the_columns_that_some_method_has(capsys: pytest.CaptureFixture[str]):
    """A refused method and one of before there were phases have none; no column for a copy that nobody makes."""
    baseline = SEEN.model_copy(update={"phases": {"data": 0.001}, "phases_of": 0.001})
    lost = Refusal(ending="skipped", reason="no stage")
    show_phases({"baseline": baseline, "kd": SEEN, "old": cost(), "lost": lost})
    shown = capsys.readouterr().out
    cells = [[cell.strip() for cell in line.strip("│┃ ").split("│")] for line in shown.splitlines() if "│" in line]
    assert cells == [
        ["baseline", "1.00", "", "", "", "100.0 %"],
        ["kd", "1.00", "4.00", "5.00", "0.50", "100.0 %"],
    ]
    assert "data" in shown
    assert "copy" not in shown
    assert shown.count("no joules: a CPU's energy is not metered") == 1
    assert "expected within" not in shown


def test_memory_and_joules_have_columns_where_they_are_known(capsys: pytest.CaptureFixture[str]):
    """3 GiB, 50 J; nothing is said to be missing."""
    show_phases({"kd": SEEN.model_copy(update={"peak_memory_bytes": 3 * 2**30, "joules": 50.0, "why_not": {}})})
    shown = capsys.readouterr().out
    assert "GiB, peak" in shown
    assert "3.00" in shown
    assert "50.00" in shown
    assert "no joules" not in shown


def test_phases_that_do_not_add_up_are_told(capsys: pytest.CaptureFixture[str]):
    """10.5 of 11 ms are 95.5 %: over 3 % off."""
    show_phases({"kd": SEEN.model_copy(update={"phases_of": 0.011})})
    told = "kd: its phases add up to 95.5 % of an iteration: expected within 3 %"
    assert told in capsys.readouterr().out


def test_a_reason_is_told_once_with_names_where_it_is_not_all_of_them():
    """Two methods on a CPU; of one of them more is missing."""
    other = SEEN.model_copy(update={"why_not": {**CPU, "peak_memory_bytes": "not asked"}})
    assert reasons({"kd": SEEN, "cwd": other}) == [
        "no joules: a CPU's energy is not metered",
        "no peak memory: not asked (cwd)",
    ]


def test_without_phases_there_is_no_table(capsys: pytest.CaptureFixture[str]):
    """Costs of before say nothing."""
    show_phases({"old": cost()})
    assert capsys.readouterr().out == ""
