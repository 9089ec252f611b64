"""Jobs in a queue that outlive the sweep which submitted them."""

import os
from pathlib import Path

import pytest

from harness.executors.job import Finished, Job
from harness.ledger import claims
from harness.ledger import results as layout
from harness.ledger.cost import Profiled
from harness.ledger.files import read, write
from harness.ledger.findings import Refusal
from harness.ledger.plan import Plan
from harness.ledger.record import Outcome, Record
from harness.ledger.spec import ProfileSpec
from harness.ledger.ticket import SeenEnding, ending_path
from harness.sweep.spending import spend
from tests.factories import record
from tests.ledger.test_plan import planned
from tests.sweep.fake import FakeExecutor, Listening
from tests.sweep.queue import FakeQueue
from tests.sweep.test_costs import KD, measured, profiler

OUTCOME = record().outcome


def waits(job: Job) -> Finished | None:
    """A person loses patience while the job waits."""
    raise KeyboardInterrupt


def ends(job: Job) -> Finished | None:
    """The job is done at once."""
    write(job.out, Outcome(ending="done", iterations=900, spent_seconds=90.0, scores=OUTCOME.scores))
    return Finished(job, 0, 1.0, 2.0)


def left_behind(results: Path, plan: Plan) -> Listening:
    """A sweep that was interrupted while its jobs waited; its process is gone."""
    watcher = Listening()
    with pytest.raises(KeyboardInterrupt):
        spend(plan, results, False, FakeQueue(waits, results), watcher, results / "students")
    for name in layout.unfinished(results):
        owner = layout.work_folder(results, name) / claims.OWNER
        write(owner, read(owner, claims.Owner).model_copy(update={"started": 1.0}))
    return watcher


def endings(results: Path) -> list[tuple[str, int, str]]:
    records = [read(path, Record) for path in sorted((results / "runs").glob("*.json"))]
    return [(record.spec.method.name, record.spec.attempt, record.outcome.ending) for record in records]


def go_on(results: Path, plan: Plan, executor) -> Listening:
    watcher = Listening()
    spend(plan, results, False, executor, watcher, results / "students")
    return watcher


def test_jobs_stay_in_the_queue_when_their_sweep_is_interrupted(tmp_path: Path):
    """No record, no cancelled job, and a line for the person who interrupted."""
    watcher = left_behind(tmp_path, planned("90s"))
    assert watcher.lines[-1] == "2 jobs stay in the queue"
    assert len(layout.unfinished(tmp_path)) == 2
    assert endings(tmp_path) == []


def test_the_same_command_waits_for_the_jobs_that_are_in_the_queue_already(tmp_path: Path):
    """Nothing is submitted, and so nothing paid, a second time."""
    left_behind(tmp_path, planned("90s"))
    queue = FakeQueue(ends, tmp_path)
    watcher = go_on(tmp_path, planned("90s"), queue)
    assert queue.submitted == []
    assert watcher.lines[0] == "2 runs were in the queue already, and nothing is submitted twice"
    assert endings(tmp_path) == [("baseline", 1, "done"), ("kd", 1, "done")]


def test_another_executor_leaves_what_is_in_a_queue_alone(tmp_path: Path):
    """It cannot ask the queue: it says where the runs are, and neither starts nor records them."""
    left_behind(tmp_path, planned("90s"))
    local = FakeExecutor(lambda job: 0)
    watcher = go_on(tmp_path, planned("90s"), local)
    assert local.jobs == []
    assert "baseline seed 0 90s: slurm has it as 7_1: left to --executor slurm" in watcher.lines
    assert endings(tmp_path) == []


def test_a_job_that_ended_while_nobody_watched_is_recorded_as_its_node_saw_it(tmp_path: Path):
    """Whatever executor comes next: its exit code and usage lie beside its answer."""
    left_behind(tmp_path, planned("90s"))
    for name in layout.unfinished(tmp_path):
        out = layout.work_folder(tmp_path, name) / "out.json"
        write(out, Outcome(ending="done", iterations=900, spent_seconds=90.0, scores=OUTCOME.scores))
        write(ending_path(out), SeenEnding(exit_code=0, cpu_seconds=91.0, wall_seconds=95.0, host="n1"))
    local = FakeExecutor(lambda job: 0)
    go_on(tmp_path, planned("90s"), local)
    assert local.jobs == []
    assert endings(tmp_path) == [("baseline", 1, "done"), ("kd", 1, "done")]
    (found, _) = (read(path, Record) for path in sorted((tmp_path / "runs").glob("*.json")))
    assert (found.witness.cpu_seconds, found.witness.wall_seconds, found.witness.exit_code) == (91.0, 95.0, 0)


def test_jobs_of_a_living_sweep_are_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """A second `bench run` on the same folder neither takes them up nor submits the runs again."""
    left_behind(tmp_path, planned("90s"))
    monkeypatch.setattr(claims, "owner_is_gone", lambda folder: False)
    queue = FakeQueue(ends, tmp_path)
    go_on(tmp_path, planned("90s"), queue)
    assert (queue.submitted, endings(tmp_path)) == ([], [])


def test_a_job_that_its_queue_lost_is_interrupted_and_done_again_by_the_same_command(tmp_path: Path):
    """Cancelled, or its node lost: the record says so in the queue's words, and the run is due."""

    def lost(job: Job) -> Finished | None:
        refusal = Refusal(ending="interrupted", reason="Slurm: NODE_FAIL")
        return ends(job) if job.out.parent.name.endswith(".2") else Finished(job, None, None, None, refusal)

    queue = FakeQueue(lost, tmp_path)
    go_on(tmp_path, planned("90s"), queue)
    assert endings(tmp_path) == [("baseline", 1, "interrupted"), ("kd", 1, "interrupted")]
    assert read(min((tmp_path / "runs").glob("*.json")), Record).outcome.reason == "Slurm: NODE_FAIL"
    go_on(tmp_path, planned("90s"), queue)
    assert [ending for _, _, ending in endings(tmp_path)] == ["interrupted", "done"] * 2


@pytest.mark.parametrize(("there", "marks"), [(0.11, ()), (0.13, ("slow_node",)), (None, ("slow_node",))])
def test_a_run_is_held_against_the_baseline_of_the_node_that_did_it(tmp_path: Path, there: float | None, marks: tuple):
    """The queue chose n2: its job was sent with an errand, whose answer decides; without an answer nobody can vouch."""
    measured(tmp_path, KD)  # on node1, at 0.1 s an iteration

    def carried(job: Job) -> Finished | None:
        assert job.errand is not None
        if there is not None:
            answer = job.errand.answers / "n2.json"
            profiler(there)(Job("baseline", "profile", job.errand.spec, answer, job.log, "cpu", 1))
        here = OUTCOME.conditions.model_copy(update={"host": "n2"})
        scored = Outcome(ending="done", iterations=900, spent_seconds=90.0, scores=OUTCOME.scores, conditions=here)
        write(job.out, scored)
        return Finished(job, 0, 1.0, 2.0)

    go_on(tmp_path, planned("90s"), FakeQueue(carried, tmp_path))
    assert {read(path, Record).marks for path in (tmp_path / "runs").glob("*.json")} == {marks}
    assert (len(list((tmp_path / "costs" / "hosts").glob("n2-*.json"))) == 1) is (there is not None)


def test_the_host_that_the_costs_are_from_is_sent_on_no_errand(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Its answer lies there before the job starts."""
    import socket

    monkeypatch.setattr(socket, "gethostname", lambda: "node1")
    measured(tmp_path, KD)
    queue = FakeQueue(ends, tmp_path)
    go_on(tmp_path, planned("90s"), queue)
    errand = queue.submitted[0].errand
    assert read(errand.answers / "node1.json", Profiled).measurement.baseline_seconds[0] == 0.1
    assert read(errand.spec, ProfileSpec).method.name == "baseline"


def test_a_queue_that_starts_a_job_twice_costs_nobody_the_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """The second start finds the run locked; while the first one's status goes on changing, its folder stays."""
    from harness.sweep import spending

    beats = iter(range(100))
    monkeypatch.setattr(spending, "BEATS_SECONDS", 0.0)
    monkeypatch.setattr(spending, "_status", lambda folder: b"%d" % next(beats))
    queue = FakeQueue(lambda job: Finished(job, layout.LOCKED, 1.0, 2.0), tmp_path)
    go_on(tmp_path, planned("90s"), queue)
    assert len(layout.unfinished(tmp_path)) == 2
    assert all((layout.work_folder(tmp_path, name) / "spec.json").exists() for name in layout.unfinished(tmp_path))


def test_what_cannot_be_read_of_an_attempt_is_said_and_its_run_done_again(tmp_path: Path):
    """A disk that tore the spec takes that attempt, and no other run."""
    left_behind(tmp_path, planned("90s"))
    for name in layout.unfinished(tmp_path):
        out = layout.work_folder(tmp_path, name) / "out.json"
        write(ending_path(out), SeenEnding(exit_code=-9, cpu_seconds=1.0, wall_seconds=1.0, host="n1"))
    torn = next(name for name in layout.unfinished(tmp_path) if "baseline" in name)
    (layout.work_folder(tmp_path, torn) / "spec.json").write_text('{"format": 1, "at')
    watcher = go_on(tmp_path, planned("90s"), FakeQueue(ends, tmp_path))
    assert any("is left as it is, and its run is done again" in line for line in watcher.lines)
    assert endings(tmp_path) == [("baseline", 2, "done"), ("kd", 1, "failed"), ("kd", 2, "done")]


def test_of_two_sweeps_that_take_up_at_once_one_does(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """The other was quicker between the look and the signature: this one waits for nothing."""
    left_behind(tmp_path, planned("90s"))
    monkeypatch.setattr(claims, "take_over", lambda results, name: False)
    queue = FakeQueue(ends, tmp_path)
    go_on(tmp_path, planned("90s"), queue)
    assert (queue.mine, endings(tmp_path)) == ([], [])


def test_a_run_in_the_queue_is_not_refused_by_a_later_plan(tmp_path: Path):
    """Its method has lost its price since: the job that is on its way counts, and no second attempt follows it."""
    left_behind(tmp_path, planned("90s"))
    later = planned("90s", kd=Refusal(ending="skipped", reason="it has no price any more"))
    go_on(tmp_path, later, FakeQueue(ends, tmp_path))
    assert endings(tmp_path) == [("baseline", 1, "done"), ("kd", 1, "done")]


def test_a_job_that_found_its_run_locked_while_nobody_watched_leaves_nothing(tmp_path: Path):
    """Another process had the run: this attempt is none."""
    left_behind(tmp_path, planned("90s"))
    for name in layout.unfinished(tmp_path):
        out = layout.work_folder(tmp_path, name) / "out.json"
        write(ending_path(out), SeenEnding(exit_code=layout.LOCKED, cpu_seconds=1.0, wall_seconds=1.0, host="n1"))
    go_on(tmp_path, planned("90s"), FakeQueue(ends, tmp_path))
    assert endings(tmp_path) == [("baseline", 1, "done"), ("kd", 1, "done")]


def test_what_another_sweep_took_over_meanwhile_is_its_own(tmp_path: Path):
    """This one was asleep for longer than a minute: it records nothing of it, and goes on."""

    def ends_elsewhere(job: Job) -> Finished | None:
        owner = claims.Owner(system="another-host", pid=1, started=1.0)
        write(job.out.parent / claims.OWNER, owner)
        return ends(job)

    watcher = go_on(tmp_path, planned("90s"), FakeQueue(ends_elsewhere, tmp_path))
    assert endings(tmp_path) == []
    assert "kd seed 0 90s: another sweep has taken it over" in watcher.lines


def test_a_record_tells_when_its_node_worked(tmp_path: Path):
    """Not when the job was submitted, nor when somebody looked: 95 s up to the date of the node's word."""
    left_behind(tmp_path, planned("90s"))
    for name in layout.unfinished(tmp_path):
        out = layout.work_folder(tmp_path, name) / "out.json"
        write(out, Outcome(ending="done", iterations=900, spent_seconds=90.0, scores=OUTCOME.scores))
        write(ending_path(out), SeenEnding(exit_code=0, cpu_seconds=91.0, wall_seconds=95.0, host="n1"))
        os.utime(ending_path(out), (1_700_000_000,) * 2)
    go_on(tmp_path, planned("90s"), FakeExecutor(lambda job: 0))
    records = [read(path, Record) for path in (tmp_path / "runs").glob("*.json")]
    assert {(each.started, each.ended) for each in records} == {
        ("2023-11-14T22:11:45+00:00", "2023-11-14T22:13:20+00:00")
    }


def test_what_a_queue_needed_a_week_ago_is_gone_unless_a_run_waits_by_it(tmp_path: Path):
    """Scripts and logs of batches would else pile up; the batch of the runs in the queue is kept however old."""
    left_behind(tmp_path, planned("90s"))
    folders = {name: tmp_path / "work" / "slurm" / name for name in ("bench-1", "bench-old", "bench-new")}
    for name, folder in folders.items():
        folder.mkdir(parents=True)
        if name != "bench-new":
            os.utime(folder, (1_700_000_000,) * 2)
    go_on(tmp_path, planned("90s"), FakeExecutor(lambda job: 0))
    assert {name for name, folder in folders.items() if folder.exists()} == {"bench-1", "bench-new"}


def end(results: Path) -> None:
    """What the queue has is over, and its nodes have said so."""
    for name in layout.unfinished(results):
        out = layout.work_folder(results, name) / "out.json"
        write(out, Outcome(ending="done", iterations=900, spent_seconds=90.0, scores=OUTCOME.scores))
        write(ending_path(out), SeenEnding(exit_code=0, cpu_seconds=91.0, wall_seconds=95.0, host="n1"))


@pytest.mark.parametrize("after", ["take_up", "adopt_orphans"])
def test_a_job_that_ends_while_its_next_sweep_starts_is_recorded_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, after: str
):
    """Taken up, and over a moment later: it is the executor's to tell, and not done a second time."""
    from harness.sweep import spending

    left_behind(tmp_path, planned("90s"))
    step = getattr(spending, after)

    def then_over(*arguments):
        found = step(*arguments)
        end(tmp_path)
        return found

    monkeypatch.setattr(spending, after, then_over)
    queue = FakeQueue(ends, tmp_path)
    go_on(tmp_path, planned("90s"), queue)
    assert queue.submitted == []
    assert endings(tmp_path) == [("baseline", 1, "done"), ("kd", 1, "done")]


def test_what_another_sweep_tidies_at_the_same_time_is_gone(tmp_path: Path):
    """Of a batch's folder there is a name still, and nothing behind it."""
    gone = tmp_path / "work" / "slurm" / "bench-old"
    gone.parent.mkdir(parents=True)
    gone.symlink_to(tmp_path / "nowhere")
    go_on(tmp_path, planned("90s"), FakeQueue(ends, tmp_path))
    assert endings(tmp_path) == [("baseline", 1, "done"), ("kd", 1, "done")]


def test_a_run_that_its_queue_never_had_leaves_nothing_when_a_person_interrupts(tmp_path: Path):
    """All but the first were refused: that one stays, and the other was no attempt."""

    class Refusing(FakeQueue):
        def submit(self, job: Job) -> None:
            if not self.submitted:
                super().submit(job)

    with pytest.raises(KeyboardInterrupt):
        go_on(tmp_path, planned("90s"), Refusing(waits, tmp_path))
    (name,) = layout.unfinished(tmp_path)
    assert "-baseline-" in name
    assert endings(tmp_path) == []
