"""A sweep's time as text, by the letter."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.cli.timeline import timeline
from harness.ledger.budget import Budget
from harness.ledger.order import turns
from harness.ledger.plan import make_plan
from harness.ledger.spec import PlannedRun
from tests.factories import cost, ground, method

(RUN,) = make_plan(ground(), [method("kd")], {"kd": cost()}, Budget.parse_list("9s"), (0,), None).runs


def run(name: str, seconds: float, seed: int = 0) -> PlannedRun:
    named = RUN.method.model_copy(update={"name": name})
    return RUN.model_copy(update={"method": named, "budget_seconds": seconds, "seed": seed})


def drawn(runs: list[PlannedRun], devices: int, width: int = 80) -> list[str]:
    return timeline(turns(runs, devices), devices, width)


def test_a_block_is_a_run_as_long_as_it_takes():
    """60 s in 40 columns are 1.5 s a column; where all names fit, a block begins with its method's."""
    runs = [run("baseline", 30), run("kd", 15), run("cwd", 15, 1), run("baseline", 30, 1)]
    assert drawn(runs, 2, 49) == [
        "device 1 baseline░░░░░░░░░░░░baseline▒▒▒▒▒▒▒▒▒▒▒▒",
        "       2 kd░░░░░░░░cwd▒▒▒▒▒▒▒",
        "         0                 30 s              60 s",
        "each block is a run, as long as it takes;",
        "░ = seed 0, ▒ = seed 1",
    ]


def test_names_that_do_not_fit_become_letters_with_a_legend():
    """4 s in 20 columns leave `channelwise` 5 of them; letters follow the order in which methods start."""
    assert drawn([run("kd", 3), run("channelwise", 1)], 1, 29) == [
        "device 1 a░░░░░░░░░░░░░░b░░░░",
        "         0       2 s      4 s",
        "each block is a run, as long",
        "as it takes: a = kd,",
        "b = channelwise; ░ = seed 0",
    ]


def test_runs_too_short_for_a_column_are_counted():
    """A run of a hundredth of the time has no column of twenty, and the others are told apart all the same."""
    lines = drawn([run("channelwise_normalised", 99), run("kd", 1)], 1, 29)
    assert lines[0] == "device 1 a░░░░░░░░░░░░░░░░░░░"
    assert " ".join(lines[2:]) == (
        "each block is a run, as long as it takes (1 too short to draw): a = channelwise_normalised, b = kd; ░ = seed 0"
    )


def test_more_runs_than_columns_show_their_seeds_alone():
    """200 runs in 20 columns: the shades of two seeds, a half each."""
    lines = drawn([run("kd", 1, seed) for seed in (0, 1) for _ in range(100)], 1, 29)
    assert lines[0] == "device 1 ░░░░░░░░░░▒▒▒▒▒▒▒▒▒▒"
    assert " ".join(lines[2:]) == "200 runs, too many to tell apart here; ░ = seed 0, ▒ = seed 1"


def test_the_fourth_seed_has_the_firsts_shade():
    """Three shades take turns, and the legend says whose they are."""
    lines = drawn([run("kd", 1, seed) for seed in (7, 8, 9, 10)], 1, 100)
    assert lines[-1] == "each block is a run, as long as it takes; ░ = seeds 7 + 10, ▒ = seed 8, ▓ = seed 9"
    assert re.findall("kd(.)", lines[0]) == ["░", "▒", "▓", "░"]


def test_of_many_devices_those_that_work_longest_are_drawn():
    """20 devices with 1, 2, … 20 s: the four that are done first are one line."""
    lines = drawn([run("kd", seconds) for seconds in range(1, 21)], 20)
    assert [int(line[7:10]) for line in lines[:16]] == list(range(5, 21))
    assert lines[17] == "4 other devices are done sooner, after 1 s to 4 s"


@pytest.mark.parametrize(("devices", "told"), [(2, "1 more device has no run"), (9, "8 more devices have no run")])
def test_devices_without_a_run_are_a_line(devices: int, told: str):
    """One run has one device."""
    lines = drawn([run("kd", 9)], devices)
    assert lines[2] == told
    assert len(lines) == 4


def test_what_takes_no_time_is_not_drawn():
    """Nothing planned, or nothing whose time is known."""
    assert drawn([], 3) == drawn([run("kd", 0.0)], 3) == []


@given(
    st.lists(st.tuples(st.integers(0, 60), st.just(0.0) | st.floats(1e-3, 1e6), st.integers(0, 4)), max_size=60),
    st.integers(1, 300),
    st.integers(40, 120),
)
def test_a_chart_keeps_to_its_width_and_height(asked: list[tuple[int, float, int]], devices: int, width: int):
    """Any runs on any number of devices: 16 devices at most, their axis under them, and no line wider than asked."""
    lines = drawn([run(f"method{name}", seconds, seed) for name, seconds, seed in asked], devices, width)
    assert all(len(line) <= width for line in lines)
    heights = [height for height, line in enumerate(lines) if re.match(" +0 .* ", line)]
    assert [height for height in heights if not 1 <= height <= 16] == []
    assert bool(heights) == any(seconds for _, seconds, _ in asked)
