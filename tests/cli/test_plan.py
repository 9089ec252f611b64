"""What `bench plan` says of time and devices."""

from pathlib import Path

import pytest

from harness.cli.plan import show_plan, show_timeline
from harness.ledger.budget import Budget
from harness.ledger.plan import Plan, make_plan
from tests.factories import cost, ground, method
from tests.story import bench

METHODS = ("baseline", "kd", "cwd")


def planned(budget: str, seeds: int = 1) -> Plan:
    """An iteration of kd costs two of the baseline's 0.1 s, and one of cwd three."""
    prices = {name: cost(ratio) for name, ratio in zip(METHODS, (1.0, 2.0, 3.0), strict=True)}
    return make_plan(
        ground(), [method(name) for name in METHODS], prices, Budget.parse_list(budget), range(seeds), None
    )


def told(plan: Plan, devices: int, capsys: pytest.CaptureFixture[str]) -> list[str]:
    show_plan(plan, devices)
    show_timeline(plan, devices)
    return capsys.readouterr().out.splitlines()


def test_longest_first_is_said_where_it_was_applied(capsys: pytest.CaptureFixture[str]):
    """6,000 iterations take 10, 20 and 30 min: 30 min on two devices, 40 in the order of the table."""
    lines = told(planned("6k it"), 2, capsys)
    said = "longest first within a seed, done 25 % sooner than in the order above: 30 min instead of 40 min"
    assert said in lines
    assert next(line for line in lines if "on 2 devices until about" in line).endswith(
        " (30 min, and each run's start and scoring)"
    )


def test_what_reads_the_same_is_not_told_twice(capsys: pytest.CaptureFixture[str]):
    """Runs of 0.3, 0.3 and 3 s take 3 s on two devices instead of 3.3: the share alone says something."""
    plan = planned("9s")
    runs = tuple(plan.runs[0].model_copy(update={"budget_seconds": seconds}) for seconds in (0.3, 0.3, 3.0))
    lines = told(plan.model_copy(update={"runs": runs}), 2, capsys)
    assert [line for line in lines if line.startswith("longest")] == [
        "longest first within a seed, done 9.1 % sooner than in the order above"
    ]


def test_nothing_is_said_of_an_order_that_stayed(capsys: pytest.CaptureFixture[str]):
    """Every run has 60 s, or there is one device."""
    assert "longest" not in " ".join([*told(planned("60s"), 2, capsys), *told(planned("6k it"), 1, capsys)])


def test_the_timeline_follows_with_the_share_that_devices_are_idle(capsys: pytest.CaptureFixture[str]):
    """60 of 90 device-minutes on three devices; a row a device, in the order of the plan."""
    lines = told(planned("6k it"), 3, capsys)
    start = lines.index("3 devices, idle for 33 % of the time:")
    assert lines[start + 1 :] == [
        "device 1 baseline" + 16 * "░",
        "       2 kd" + 45 * "░",
        "       3 cwd" + 68 * "░",
        "         0                                15 min                          30 min",
        "each block is a run, as long as it takes; ░ = seed 0",
    ]


def test_devices_that_are_never_idle_are_idle_for_no_time(capsys: pytest.CaptureFixture[str]):
    """Twelve runs of one length on three devices: rounding makes no time of it that is under none."""
    show_timeline(planned("0.7s", seeds=4), 3)
    assert "3 devices, idle for 0 % of the time:" in capsys.readouterr().out


def test_an_end_beyond_all_calendars_is_told_too(capsys: pytest.CaptureFixture[str]):
    """A thousand seeds of ten years: 10,000 years for each of three methods."""
    show_plan(planned("3650d", seeds=1000), 1)
    assert "on 1 device until about the year 10000" in capsys.readouterr().out


def test_a_plan_of_nothing_has_no_timeline(capsys: pytest.CaptureFixture[str]):
    """Where every method is refused."""
    show_timeline(planned("6k it").model_copy(update={"runs": ()}), 3)
    assert capsys.readouterr().out == ""


def test_a_plan_needs_a_device(tmp_path: Path):
    """--devices 0 is bad input, and nothing is written."""
    answer = bench(tmp_path / "cache", "plan", "--methods", "kd", "--budget", "9s", "--devices", "0", cwd=tmp_path)
    assert answer.returncode == 2
    line = "plan: invalid value for '--devices': expected greater than or equal to 1: see `bench plan --help`"
    assert answer.stderr == f"bench: {line}\n"
    assert list(tmp_path.iterdir()) == []
