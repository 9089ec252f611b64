"""A grid of weights, with an executor whose trials score as the test says."""

from collections.abc import Mapping
from pathlib import Path

import pytest

from harness.executors.job import Job
from harness.ledger.budget import Budget
from harness.ledger.cost import Cost
from harness.ledger.descriptor import method_path, resolve_method
from harness.ledger.errors import BadInput
from harness.ledger.files import read, write
from harness.ledger.findings import Refusal
from harness.ledger.plan import Plan
from harness.ledger.record import Outcome, Scores
from harness.ledger.spec import RunSpec
from harness.sweep.spending import spend
from harness.sweep.story import Prices, Request, plan_at
from harness.sweep.tuning import Tuning, budget_of, centre_of, factor, grid, spelled, trials_folder, tunable, tunings
from tests.factories import cost, ground
from tests.sweep.fake import FakeExecutor, Listening

KD = resolve_method(method_path("kd"), "streets", 8)
BASELINE = resolve_method(method_path("baseline"), "streets", 8)


def request(factors=(1.0,), seeds=(1000,), scored_on="tune") -> Request:
    return Request(
        workload="streets", methods=["kd"], budgets=Budget.parse_list("20s"), seeds=seeds, pace=None, device="cpu",
        concurrency=2, data=None, results=Path("results"), profile_seconds=None, remeasure=False, factors=factors,
        scored_on=scored_on,
    )  # fmt: skip


def plan(centre: int = 0, kd: Cost | Refusal | None = None) -> Plan:
    prices = Prices(ground(), [KD], {"kd": kd or cost(1.0)})
    return plan_at(prices, request(tuple(factor(step) for step in grid(centre))))


def scores(miou: float) -> Scores:
    return Scores(
        miou=miou, miou_absent_zero=miou, miou_predicted=miou, class_iou=(miou,) * 4, pixel_accuracy=0.9, images=32
    )


def engine(mious: Mapping[str, float | None]):
    """Trials of the names score so; None diverges."""

    def run(job: Job) -> int:
        spec = read(job.spec, RunSpec)
        miou, weights = mious[spec.method.name], {term.name: term.weight for term in spec.method.terms}
        if miou is None:
            write(job.out, Outcome(ending="diverged", reason="no number any more", weights=weights))
        else:
            done = Outcome(ending="done", iterations=spec.iterations, scores=scores(miou), weights=weights)
            write(job.out, done)
        return 0

    return run


def tuned(results: Path, mious: Mapping[str, float | None], centre: int = 0) -> tuple[Tuning, FakeExecutor]:
    executor = FakeExecutor(engine(mious))
    spend(plan(centre), results, False, executor, Listening(), results / "students")
    (found,) = tunings(plan(centre), [KD], centre, results)
    return found, executor


HILL = {"kd_x0.111": 0.1, "kd_x0.333": 0.2, "kd": 0.3, "kd_x3": 0.4, "kd_x9": 0.35, "kd_x27": 0.3, "kd_x81": 0.2}
RISING = {**HILL, "kd_x9": 0.5}


def test_a_grid_is_five_weights_a_factor_3_apart():
    """Around the descriptor's, or around another centre."""
    assert [spelled(step) for step in grid(0)] == ["1/9", "1/3", "1", "3", "9"]
    assert [spelled(step) for step in grid(centre_of("9"))] == ["1", "3", "9", "27", "81"]
    assert [factor(step) for step in grid(0)] == pytest.approx([1 / 9, 1 / 3, 1, 3, 9])


@pytest.mark.parametrize("text", ["5", "0.33", "", "3^30", "nan"])
def test_a_centre_is_a_power_of_3(text: str):
    """Anything else is one line."""
    with pytest.raises(BadInput, match=r"^--centre: found .*: expected a power of 3, as 1/9, 1/3, 1, 3 or 9$"):
        centre_of(text)


def test_the_rules_fix_the_budget_on_streets_alone():
    """Elsewhere a person says it, the same for all methods."""
    assert (budget_of("streets", ""), budget_of("streets", "1s"), budget_of("camvid", "60s")) == ("20s", "1s", "60s")
    with pytest.raises(BadInput, match=r"^--budget: missing: the rules fix 20s for streets; for camvid name one"):
        budget_of("camvid", "")


def test_the_baseline_has_nothing_to_tune():
    """By name it is bad input, and `all` goes without it."""
    with pytest.raises(BadInput, match=r"^baseline is the student alone: it has no weights to tune$"):
        tunable(["kd", "baseline"])
    assert "baseline" not in tunable(["all"])
    assert "kd" in tunable(["all"])


def test_the_trials_of_a_grid_are_planned_on_the_tune_split_with_the_seed_of_the_rules():
    """Five, by their scaled names, at the cost that was measured once."""
    found = plan().runs
    assert [run.method.name for run in found] == ["kd_x0.111", "kd_x0.333", "kd", "kd_x3", "kd_x9"]
    assert {(run.seed, run.scored_on, run.iterations, run.cost.seconds) for run in found} == {(1000, "tune", 200, 0.1)}
    assert len({run.key for run in found}) == 5


def test_the_best_inside_the_grid_is_what_the_descriptor_is_to_say(tmp_path: Path):
    """At 3 times the shipped weight, which is 3 on streets: 9."""
    found, _ = tuned(tmp_path, HILL)
    assert found.best.step == 1
    assert found.next_centre is None
    assert found.advice() == [
        "kd: best at 3, mIoU 40.0 % on tune; the descriptor says so with",
        "  terms[0]: weight: {streets: 9}, source: {streets: ours}",
    ]


def test_a_best_at_the_edge_moves_the_grid(tmp_path: Path):
    """It becomes the middle; the three trials that both grids have are not repeated."""
    found, _ = tuned(tmp_path, RISING)
    assert found.advice() == [
        "kd: best at 9, mIoU 50.0 % on tune, at the grid's edge: the grid must move to 1, 3, 9, 27, 81: add --centre 9"
    ]
    moved, executor = tuned(tmp_path, RISING, centre=found.next_centre)
    assert [job.name for job in executor.jobs] == [f"kd_x{factor} seed 1000 20s" for factor in (27, 81)]
    assert moved.best.step == 2
    assert moved.next_centre is None


def test_the_grid_moves_down_too(tmp_path: Path):
    """A ninth is best: the next middle."""
    found, _ = tuned(tmp_path, {**HILL, "kd_x0.111": 0.9})
    assert found.advice()[0].endswith("the grid must move to 1/81, 1/27, 1/9, 1/3, 1: add --centre 1/9")


def test_a_second_call_repeats_nothing(tmp_path: Path):
    """Trials that ended stay as they are, those that diverged too."""
    tuned(tmp_path, {**HILL, "kd_x9": None})
    found, executor = tuned(tmp_path, HILL)
    assert executor.jobs == []
    assert [trial.ending for trial in found.trials] == [*["done"] * 4, "diverged"]


def test_a_trial_that_diverged_encloses_the_best(tmp_path: Path):
    """Beyond 3 there is no number: 3 is not at the edge."""
    found, _ = tuned(tmp_path, {**HILL, "kd_x9": None})
    assert (found.best.step, found.next_centre, found.missing) == (1, None, ())


def test_of_equals_the_one_nearest_the_middle_is_best(tmp_path: Path):
    """Nothing is gained by moving."""
    found, _ = tuned(tmp_path, dict.fromkeys(HILL, 0.3))
    assert found.best.step == 0
    assert "; these are the descriptor's weights" in found.advice()[0]


def test_nothing_is_said_of_the_best_before_every_trial_has_ended(tmp_path: Path):
    """A trial that an accident took might have been it."""
    killed = FakeExecutor(lambda job: -9 if "_x9 " in job.name else engine(HILL)(job))
    spend(plan(), tmp_path, False, killed, Listening(), tmp_path / "students")
    (found,) = tunings(plan(), [KD], 0, tmp_path)
    assert found.advice() == ["kd: no score yet at 9: the same command tries again"]


def test_a_method_that_cannot_run_says_so(tmp_path: Path):
    """Five trials skipped, none scored."""
    refused = plan(kd=Refusal(ending="skipped", reason="needs logits of 64×64"))
    spend(refused, tmp_path, False, FakeExecutor(engine({})), Listening(), tmp_path / "students")
    (found,) = tunings(refused, [KD], 0, tmp_path)
    assert [trial.ending for trial in found.trials] == ["skipped"] * 5
    assert found.advice() == ["kd: no trial has a score"]


def test_trials_have_a_results_folder_of_their_own():
    """Beside the records that boards are made of."""
    assert trials_folder(Path("results")) == Path("results/tuning")


def test_every_method_but_the_baseline_is_planned_once_a_factor():
    """With the prices of the methods themselves; the plain name stays with 1."""
    prices = Prices(ground(), [BASELINE, KD], {"baseline": cost(1.0), "kd": cost(2.5)})
    found = plan_at(prices, request((0.3, 1.0, 3.0), seeds=(0,), scored_on="score")).runs
    assert [(run.method.name, run.iterations) for run in found] == [
        ("baseline", 200),
        ("kd_x0.3", 80),
        ("kd", 80),
        ("kd_x3", 80),
    ]


def test_a_scaled_name_that_another_method_has_is_bad_input():
    """kd_x3 cannot be two things."""
    other = KD.model_copy(update={"name": "kd_x3", "digest": "other"})
    prices = Prices(ground(), [KD, other], {"kd": cost(1.0), "kd_x3": cost(1.0)})
    with pytest.raises(BadInput, match="two different methods are named 'kd_x3'"):
        plan_at(prices, request((1.0, 3.0)))
