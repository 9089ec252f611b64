"""From a budget and a cost to iterations, by hand."""

import pytest

from harness.ledger.budget import Budget
from harness.ledger.cost import Cost
from harness.ledger.errors import BadInput
from harness.ledger.findings import Refusal
from harness.ledger.plan import Plan, make_plan, shortest, smallest_budget_seconds
from tests.factories import cost, ground, method

BASELINE, KD = method("baseline"), method("kd")


def planned(
    text: str, *, seeds: int = 1, pace=None, methods=(BASELINE, KD), scored_on="score", slow=False, **costs
) -> Plan:
    prices = {"baseline": cost(1.0), "kd": cost(2.5), **costs}
    anchors = {name: price.seconds for name, price in prices.items() if isinstance(price, Cost)}
    return make_plan(ground(), methods, prices, Budget.parse_list(text), range(seeds), pace, scored_on, anchors, slow)


def test_a_time_budget_buys_what_the_cost_allows():
    """90 s at 0.1 s an iteration are 900, and at 0.25 s they are 360."""
    assert [run.iterations for run in planned("90s").runs] == [900, 360]


def test_a_budget_of_iterations_buys_every_method_as_many():
    """400 are 400."""
    runs = planned("400 it").runs
    assert [(run.iterations, run.budget_seconds) for run in runs] == [(400, None), (400, None)]


def test_an_anchored_budget_is_the_anchors_time():
    """1k iterations of kd are 250 s here, which buy the baseline 2,500; half of that is half of both."""
    runs = planned("0.5x, 1x of 1k it of kd").runs
    assert [run.budget_seconds for run in runs] == [125.0, 125.0, 250.0, 250.0]
    assert [run.iterations for run in runs] == [1250, 500, 2500, 1000]


def test_floating_point_operations_are_divided_by_their_price():
    """2 GFLOP at 0.5 GFLOP an iteration are 4."""
    priced = cost(1.0).model_copy(update={"flops": 500_000_000})
    assert planned("2 GFLOP", methods=(BASELINE,), baseline=priced).runs[0].iterations == 4


def test_seeds_are_outermost():
    """A sweep cut short leaves a balanced table: all methods of seed 0 before any of seed 1."""
    order = [(run.seed, run.method.name) for run in planned("90s", seeds=2).runs]
    assert order == [(0, "baseline"), (0, "kd"), (1, "baseline"), (1, "kd")]


def test_epochs_are_counted():
    """900 iterations of 8 images over 96 are 75 epochs."""
    assert planned("90s").runs[0].epochs == 75.0


def test_a_cpu_runs_by_the_clock_and_a_count_by_iterations():
    """The default pace is the device's and the budget's."""
    assert {run.pace for run in planned("90s").runs} == {"clock"}
    assert {run.pace for run in planned("400 it").runs} == {"iterations"}
    assert {run.pace for run in planned("90s", pace="iterations").runs} == {"iterations"}


def test_a_short_run_is_marked_and_the_smallest_budget_named():
    """Under 200 iterations is too short: 200 of the dearest marked method, at 0.25 s, are 50 s."""
    plan = planned("40s")
    assert [run.marks for run in plan.runs] == [(), ("too_short",)]
    assert shortest(plan.ground.workload) == 200
    assert smallest_budget_seconds(plan) == 50.0


def test_an_uncertain_cost_marks_its_runs():
    """± 2 % is wider than the rules' ± 1 %."""
    assert planned("90s", kd=cost(2.5, spread=0.02)).runs[1].marks == ("cost_uncertain",)


def test_a_method_that_cannot_run_is_planned_as_refused():
    """It keeps its key and its reason, and the others run."""
    refusal = Refusal(ending="skipped", reason="needs logits of 64×64")
    plan = planned("90s", kd=refusal)
    assert [run.method.name for run in plan.runs] == ["baseline"]
    assert [(refused.run.method.name, refused.refusal) for refused in plan.refused] == [("kd", refusal)]


def test_keys_differ_by_seed_budget_pace_and_method():
    """Eight runs, eight keys, each of which says in words what it is."""
    runs = [*planned("90s", seeds=2).runs, *planned("91s").runs, *planned("90s", pace="iterations").runs]
    assert len({run.key for run in runs}) == 8
    assert runs[0].key.startswith("streets-baseline-s0-")


def test_a_budget_that_buys_nothing_is_bad_input():
    """One line that names the method and what an iteration costs."""
    with pytest.raises(
        BadInput, match=r"^--budget: '0\.2s' buys no iteration of kd: one costs 0\.25 s on this device$"
    ):
        planned("0.2s")


def test_the_clock_cannot_spend_iterations():
    """--pace clock needs a time."""
    with pytest.raises(BadInput, match=r"^--pace: 'clock' spends time, and '400 it' is none"):
        planned("400 it", pace="clock")


def test_a_slow_node_is_held_against_every_run_of_the_plan():
    """What is known against the host is known before anything is spent."""
    assert [run.marks for run in planned("90s", slow=True).runs] == [("slow_node",), ("slow_node",)]


def test_a_plan_survives_its_file(tmp_path):
    """What is written is what is read."""
    from harness.ledger.files import read, write

    plan = planned("90s", seeds=2, kd=Refusal(ending="skipped", reason="no"))
    write(tmp_path / "plan.json", plan)
    assert read(tmp_path / "plan.json", Plan) == plan


def test_one_amount_is_one_run_however_it_is_written():
    """90s, 1.5m: one key, so that the second repeats nothing; the person's own words stay in the plan."""
    written = [planned(text, methods=(BASELINE,)).runs[0] for text in ("90s", "1.5m")]
    assert written[0].key == written[1].key
    assert written[1].budget == "1.5m"


def test_a_sweep_takes_at_least_as_long_as_its_longest_run():
    """Two runs of 90 s: 180 s one after the other, 90 s side by side, and no less on 64 cores."""
    plan = planned("90s")
    assert [plan.seconds_on(devices) for devices in (1, 2, 64)] == [180.0, 90.0, 90.0]


def test_a_run_is_on_one_device():
    """Three runs of 90 s on two devices take 180 s, for the third cannot be halved."""
    assert planned("90s", methods=(BASELINE, KD, method("cwd")), cwd=cost(1.0)).seconds_on(2) == 180.0


PREPARED = method("prepared", preparation_share=0.2)
ITS_COST = cost(1.0).model_copy(
    update={"preparation_seconds": 0.05, "flops": 500_000_000, "preparation_flops": 250_000_000}
)


def prepared(text: str) -> Plan:
    return planned(text, methods=(PREPARED,), prepared=ITS_COST)


@pytest.mark.parametrize(
    ("budget", "iterations", "preparation"),
    [
        ("10s", 80, 40),  # 8 s at 0.1 s, and 2 s at 0.05 s
        ("400 it", 320, 80),
        ("10 GFLOP", 16, 8),  # 8 GFLOP at 0.5, and 2 at 0.25
        ("0.2s", 1, 1),  # 0.04 s buy no update, and what must be learned first is learned at all
    ],
)
def test_preparation_has_its_share_of_the_budget(budget: str, iterations: int, preparation: int):
    """A share of 0.2 goes to the preparation, 0.8 to iterations."""
    (run,) = prepared(budget).runs
    assert (run.iterations, run.preparation_iterations) == (iterations, preparation)


def test_a_method_that_prepares_nothing_plans_no_updates():
    """The others have none."""
    assert [run.preparation_iterations for run in planned("90s").runs] == [0, 0]


def test_preparation_is_part_of_the_time_that_a_run_takes():
    """10 s are 10 s; 320 iterations at 0.1 s and 80 updates at 0.05 s are 36 s."""
    assert prepared("10s").device_seconds == 10.0
    assert prepared("400 it").device_seconds == pytest.approx(36.0)


def test_the_smallest_budget_has_room_for_the_preparation():
    """200 iterations at 0.1 s are 20 s, which are 0.8 of 25 s."""
    assert smallest_budget_seconds(prepared("10s")) == pytest.approx(25.0)
    assert prepared("25s").runs[0].marks == ()


def test_a_trial_is_another_run_than_the_one_that_is_scored():
    """Scored on tune: another key, and the run says so; which is what the score split has when nothing is said."""
    scored, trial = planned("90s").runs[0], planned("90s", scored_on="tune").runs[0]
    assert (scored.scored_on, trial.scored_on) == ("score", "tune")
    assert scored.key != trial.key
    assert scored.key == planned("90s", scored_on="score").runs[0].key


def test_seeds_are_those_that_are_asked_for():
    """One seed need not be 0."""
    (run,) = make_plan(ground(), (BASELINE,), {"baseline": cost()}, Budget.parse_list("90s"), (1000,), None).runs
    assert run.seed == 1000
    assert run.key.startswith("streets-baseline-s1000-")
