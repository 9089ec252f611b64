"""Prices, with an executor whose profiles say what the test wants."""

import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from harness.executors.job import Finished, Job
from harness.ledger.budget import Budget
from harness.ledger.cost import Cost, CostFile, Measurement, Profiled
from harness.ledger.device import conditions
from harness.ledger.errors import BadInput
from harness.ledger.files import read, write
from harness.ledger.findings import Refusal
from harness.ledger.spec import ProfileSpec
from harness.sweep import story
from harness.sweep.costs import anchor_seconds, home_baseline, is_slow_node, measure
from tests.factories import device_class, ground, method
from tests.sweep.fake import FakeExecutor, Listening

BASELINE, KD = method("baseline"), method("kd")


@pytest.fixture(autouse=True)
def a_host_and_its_torch(monkeypatch: pytest.MonkeyPatch):
    """So that no test depends on where it runs."""
    monkeypatch.setattr(socket, "gethostname", lambda: "node1")


def profiler(baseline: float = 0.1, ratio: float = 2.5) -> Callable[[Job], int]:
    """An engine whose processes measure so."""

    def engine(job: Job) -> int:
        spec = read(job.spec, ProfileSpec)
        own = baseline * (ratio if spec.method.distils else 1.0)
        found = Measurement(
            baseline_seconds=(baseline,) * 40, method_seconds=(own,) * 40, baseline_flops=10**9, method_flops=10**9,
            peak_memory_bytes=None, wall_seconds=1.0,
        )  # fmt: skip
        write(job.out, Profiled(measurement=found, conditions=conditions("cpu")))
        return 0

    return engine


def measured(results: Path, *methods, engine=None, again: bool = False, slots=("cpu", "cpu")):
    executor = FakeExecutor(engine or profiler(), slots)
    costs = measure(ground(), methods, 2.0, results, again, executor, Listening())
    return costs, executor


def test_a_method_that_is_measured_alone_has_company(tmp_path: Path):
    """Two slots and one method: the other slot measures the baseline meanwhile, and nobody hears of it."""
    costs, executor = measured(tmp_path, KD)
    assert [job.name for job in executor.jobs] == ["kd", "company-0"]
    assert list(costs) == ["kd"]
    assert len(list((tmp_path / "costs").glob("*.json"))) == 1


def test_methods_that_fill_all_slots_need_no_company(tmp_path: Path):
    """Two slots, two methods."""
    _, executor = measured(tmp_path, BASELINE, KD)
    assert [job.name for job in executor.jobs] == ["baseline", "kd"]


def test_one_slot_has_no_company(tmp_path: Path):
    """Nothing runs beside a run there either."""
    _, executor = measured(tmp_path, KD, slots=("cpu",))
    assert [job.name for job in executor.jobs] == ["kd"]


def test_a_measured_cost_is_used_again(tmp_path: Path):
    """No job the second time, but with --remeasure."""
    measured(tmp_path, BASELINE, KD)
    assert measured(tmp_path, BASELINE, KD)[1].jobs == []
    assert len(measured(tmp_path, BASELINE, KD, again=True)[1].jobs) == 2


def test_a_measurement_that_stood_still_is_no_price(tmp_path: Path):
    """Its refusal says what became of it."""

    def silent(job: Job) -> int:
        job.log.write_text("settling\n")
        return -9

    costs, _ = measured(tmp_path, KD, engine=silent)
    assert costs["kd"] == Refusal(
        ending="failed",
        reason="killed by signal 9 (SIGKILL: by a person, or for want of memory); the log ends with: settling",
    )


def is_slow(results: Path, engine=None) -> tuple[bool, FakeExecutor, Listening]:
    """Whether the host at hand is, and what was done to know it."""
    watcher, executor = Listening(), FakeExecutor(engine or profiler(), ("cpu",))
    found = is_slow_node(ground(), home_baseline(ground(), results), 2.0, results, False, executor, watcher)
    return found, executor, watcher


def test_the_host_that_measured_the_costs_needs_no_check(tmp_path: Path):
    """Neither does the first one."""
    assert is_slow(tmp_path)[:1] == (False,)
    measured(tmp_path, KD)
    found, executor, _ = is_slow(tmp_path)
    assert (found, executor.jobs) == (False, [])


@pytest.mark.parametrize(("here", "slow"), [(0.1, False), (0.115, False), (0.125, True), (0.075, True)])
def test_another_host_is_checked_by_a_fresh_baseline(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, here: float, slow: bool
):
    """Within 20 % on a CPU it is of the track; beyond, either way, it is a slow node, and said to be one."""
    measured(tmp_path, KD)
    monkeypatch.setattr(socket, "gethostname", lambda: "node2")
    found, executor, watcher = is_slow(tmp_path, profiler(here))
    assert found is slow
    assert [job.name for job in executor.jobs] == ["baseline"]
    assert any(line.startswith("slow_node: node2") for line in watcher.lines) is slow
    (kept,) = (tmp_path / "costs" / "hosts").glob("node2-*.json")
    assert read(kept, CostFile).measurement.baseline_seconds[0] == here


def test_a_slow_host_stays_one_when_more_is_measured_on_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Its own costs join neither what it is held against nor the price of what the first host measured."""
    before = measured(tmp_path, KD)[0]["kd"]
    monkeypatch.setattr(socket, "gethostname", lambda: "node2")
    assert is_slow(tmp_path, profiler(0.2))[0]
    measured(tmp_path, method("cwd"), engine=profiler(0.2))
    found, executor, _ = is_slow(tmp_path, profiler(0.2))
    assert (found, executor.jobs) == (True, [])
    assert home_baseline(ground(), tmp_path) == 0.1
    monkeypatch.setattr(socket, "gethostname", lambda: "node1")
    assert not is_slow(tmp_path)[0]
    assert measured(tmp_path, KD)[0]["kd"] == before


def test_measuring_anew_on_a_guest_leaves_alone_what_the_first_host_measured(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """Only its own measurements are renewed, so that it stays the guest."""
    measured(tmp_path, KD)
    monkeypatch.setattr(socket, "gethostname", lambda: "node2")
    assert is_slow(tmp_path, profiler(0.2))[0]
    cwd = method("cwd")
    measured(tmp_path, cwd, engine=profiler(0.2))
    _, executor = measured(tmp_path, KD, cwd, engine=profiler(0.3), again=True)
    assert [job.name for job in executor.jobs if not job.name.startswith("company")] == ["cwd"]
    assert home_baseline(ground(), tmp_path) == 0.1
    assert is_slow(tmp_path, profiler(0.2))[0]


def test_a_plan_is_held_against_what_this_host_measured_before(tmp_path: Path):
    """Drawn up at 0.1 s an iteration elsewhere; here, where all costs are this host's own, it takes 0.2 s."""
    from tests.ledger.test_plan import planned

    measured(tmp_path, KD, engine=profiler(0.2))
    plan = planned("90s").model_copy(update={"host": "node2"})
    executor = FakeExecutor(profiler(0.2), ("cpu",))
    here = story.on_this_host(plan, tmp_path, executor, Listening())
    assert ({run.marks for run in here.runs}, executor.jobs) == ({("slow_node",)}, [])


def test_an_anchor_keeps_the_price_at_which_it_was_first_used(tmp_path: Path):
    """A pool that grows, another number of slots, an edit of kd move its cost; they must not move a track's budget."""
    first, later = (
        Cost(seconds=seconds, ratio=2.5, ratio_low=2.5, ratio_high=2.5, rounds=40, flops=None)
        for seconds in (0.25, 0.26)
    )
    assert anchor_seconds(ground(), KD, first, tmp_path) == 0.25
    assert anchor_seconds(ground(), KD, later, tmp_path) == 0.25
    alone = ground().model_copy(update={"concurrency": 8})
    assert anchor_seconds(alone, method("kd", digest="f" * 16), later, tmp_path) == 0.25
    other = ground(device=device_class(model="Another CPU"))
    assert anchor_seconds(other, KD, later, tmp_path) == 0.26


def test_company_that_dies_is_told_and_not_replaced(tmp_path: Path):
    """What keeps a slot busy never ends by itself: the concurrency is not what the cost will say."""
    watcher = Listening()
    polls = iter(range(3))

    class Slow(FakeExecutor):
        """The measurement takes three polls; company dies in the first."""

        def poll(self):
            if next(polls, None) == 2:
                return super().poll()
            dead = [job for job in self._running if job.name.startswith("company")]
            for job in dead:
                job.log.write_text("no memory\n")
                self._running.remove(job)
            return [Finished(job, 1, 1.0, 1.0) for job in dead]

    executor = Slow(profiler(), ("cpu", "cpu"))
    measure(ground(), [KD], 2.0, tmp_path, False, executor, watcher)
    assert [job.name for job in executor.jobs] == ["kd", "company-0"]
    assert watcher.lines == [
        "nothing keeps company any more: the process ended with code 1 and no answer; the log ends with: no memory"
    ]


def request(budget: str, results: Path, seeds: int = 3) -> story.Request:
    return story.Request(
        workload="streets", methods=["kd"], budgets=Budget.parse_list(budget), seeds=range(seeds), pace=None,
        device="cpu", concurrency=2, data=None, results=results, profile_seconds=None, remeasure=False,
    )  # fmt: skip


def time_for_measuring(budget: str, results: Path, engine=None) -> tuple[float, FakeExecutor]:
    executor = FakeExecutor(engine or profiler(), ("cpu",))
    known = {"kd": KD}
    return story.profile_seconds(request(budget, results), ground(), known, executor, Listening()), executor


def test_the_time_for_measuring_is_two_percent_of_what_the_sweep_spends_on_a_method(tmp_path: Path):
    """Three seeds of 10 minutes: 36 s; of 10 s: 2 s, the least. No price is needed to know that."""
    assert time_for_measuring("600s", tmp_path)[0] == pytest.approx(36.0)
    seconds, executor = time_for_measuring("10s", tmp_path)
    assert (seconds, executor.jobs) == (2.0, [])


def test_a_budget_that_is_no_plain_time_is_reckoned_at_a_quick_price(tmp_path: Path):
    """Three seeds of 40,000 iterations at 0.1 s: 240 s; of kd at 0.25 s: 600 s; of 4 PFLOP at 1 GFLOP: 24,000 s.

    The quick measurement is not kept.
    """
    assert time_for_measuring("40k it", tmp_path)[0] == pytest.approx(240.0)
    assert time_for_measuring("40k it of kd", tmp_path)[0] == pytest.approx(600.0)
    assert time_for_measuring("4 PFLOP", tmp_path)[0] == pytest.approx(24_000.0)
    assert not (tmp_path / "costs").exists()


def test_an_anchor_without_a_price_is_bad_input(tmp_path: Path):
    """The reason comes along."""
    refusal = Refusal(ending="failed", reason="it crashed")
    with pytest.raises(BadInput, match=r"^--budget: kd has no price here: it crashed$"):
        story.anchor_price(ground(), KD, refusal, request("1k it of kd", tmp_path))


def test_a_plan_is_held_against_another_hosts_baseline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Drawn up on node1 at 0.1 s an iteration, carried out on a node2 that takes twice that: every run is marked."""
    from tests.ledger.test_plan import planned

    plan = planned("90s")
    executor = FakeExecutor(profiler(0.2), ("cpu",))
    assert story.on_this_host(plan, tmp_path, executor, Listening()) is plan
    monkeypatch.setattr(socket, "gethostname", lambda: "node2")
    there = story.on_this_host(plan, tmp_path, executor, Listening())
    assert {run.marks for run in there.runs} == {("slow_node",)}


def test_a_slow_hosts_mark_does_not_follow_its_plan_to_a_good_one(tmp_path: Path):
    """Drawn up on a slow node2, carried out on the node1 that the costs are from."""
    from tests.ledger.test_plan import planned

    measured(tmp_path, KD)
    plan = planned("90s", slow=True).model_copy(update={"host": "node2"})
    executor = FakeExecutor(profiler(), ("cpu",))
    here = story.on_this_host(plan, tmp_path, executor, Listening())
    assert ({run.marks for run in here.runs}, executor.jobs) == ({()}, [])
