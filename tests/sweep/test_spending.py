"""Runs and what is recorded of them, with an executor whose jobs end as the test says."""

import json
from pathlib import Path

import pytest
from filelock import FileLock

from harness.executors.job import Job
from harness.ledger import claims
from harness.ledger import results as layout
from harness.ledger.files import read, write
from harness.ledger.findings import Refusal
from harness.ledger.plan import Plan
from harness.ledger.readings import Readings
from harness.ledger.record import Outcome, Record, Times
from harness.ledger.spec import Extras, RunSpec
from harness.sweep.concluding import marks_of
from harness.sweep.spending import spend
from tests.factories import device_class, ground, record, spec
from tests.ledger.test_plan import planned
from tests.sweep.fake import FakeExecutor, Listening

SCORES = record().outcome.scores


def done(job: Job) -> int:
    """An engine that succeeds."""
    spec = read(job.spec, RunSpec)
    write(job.out, Outcome(ending="done", iterations=spec.iterations, spent_seconds=90.0, scores=SCORES))
    job.out.with_name("counts.npz").write_bytes(b"per image")
    return 0


def ending(name: str):
    """An engine whose runs end so."""

    def engine(job: Job) -> int:
        write(job.out, Outcome(ending=name, reason="as the test says"))
        return 0

    return engine


def killed(job: Job) -> int:
    """An engine that is killed after a word in its log."""
    job.log.write_text("building\nwarm-up\n")
    return -9


def carry_out(results: Path, engine, plan: Plan | None = None, retry: bool = False) -> tuple[list[Record], Listening]:
    watcher = Listening()
    executor = FakeExecutor(engine)
    records = spend(plan or planned("90s"), results, retry, executor, watcher, results / "students")
    return list(records), watcher


def test_every_run_leaves_a_record(tmp_path: Path):
    """Two methods, two records, as files too; nothing stays in the work folder."""
    records, _ = carry_out(tmp_path, done)
    files = sorted(path.name for path in (tmp_path / "runs").glob("*.json"))
    assert files == sorted(f"{record.spec.name}.json" for record in records)
    assert all(layout.counts_path(tmp_path, record.spec.name).read_bytes() == b"per image" for record in records)
    assert [record.outcome.ending for record in records] == ["done", "done"]
    assert layout.unfinished(tmp_path) == []


def test_a_record_holds_what_was_seen_from_outside(tmp_path: Path):
    """CPU and wall seconds and the exit code are the executor's word, not the engine's."""
    records, _ = carry_out(tmp_path, done)
    assert (records[0].witness.cpu_seconds, records[0].witness.wall_seconds, records[0].witness.exit_code) == (1, 2, 0)


def test_a_record_names_no_folder_of_this_machine(tmp_path: Path):
    """It can be published: no path leads anywhere."""
    carry_out(tmp_path, done)
    text = "".join(path.read_text() for path in (tmp_path / "runs").glob("*.json"))
    assert str(tmp_path) not in text
    assert '"/' not in text


def painting(job: Job) -> int:
    """An engine that leaves pictures too, and says in them whose they are."""
    name = read(job.spec, RunSpec).name.encode()
    job.out.with_name("predictions.npz").write_bytes(name)
    job.out.with_name("scene.npz").write_bytes(name)
    return done(job)


def test_pictures_lie_with_the_results_a_workloads_own_once(tmp_path: Path):
    """Both runs left them: the first scene is kept, and no run's predictions are another's."""
    records, _ = carry_out(tmp_path, painting)
    names = [record.spec.name for record in records]
    assert [layout.predictions_path(tmp_path, name).read_text() for name in names] == names
    scene = layout.scene_path(tmp_path, records[0].spec.ground.workload_digest)
    assert scene.read_text() == names[0]
    assert len(list((tmp_path / "pictures").iterdir())) == 3


def test_what_runs_are_to_keep_reaches_the_engine_and_no_key(tmp_path: Path):
    """The same plan without it finds every run done."""
    asked = Extras(keeps_pictures=True, track="tensorboard")
    executor = FakeExecutor(done)
    records = spend(planned("90s"), tmp_path, False, executor, Listening(), tmp_path / "students", asked)
    assert [record.spec.extras for record in records] == [asked, asked]
    assert carry_out(tmp_path, done)[0] == []


def test_a_second_sweep_repeats_nothing_that_is_done(tmp_path: Path):
    """The same plan again: no job."""
    carry_out(tmp_path, done)
    records, watcher = carry_out(tmp_path, done)
    assert records == []
    assert watcher.lines == ["2 of 2 runs have ended already (--retry repeats diverged and out_of_memory)"]


def test_a_killed_run_is_failed_with_its_logs_tail_and_the_sweep_goes_on(tmp_path: Path):
    """SIGKILL leaves no outcome: the sweep writes one."""
    records, _ = carry_out(tmp_path, lambda job: killed(job) if "kd" in job.name else done(job))
    by_method = {record.spec.method.name: record for record in records}
    assert by_method["baseline"].outcome.ending == "done"
    assert by_method["kd"].outcome.ending == "failed"
    assert (
        by_method["kd"].outcome.reason
        == "killed by signal 9 (SIGKILL: by a person, or for want of memory); the log ends with: warm-up"
    )
    assert by_method["kd"].log_tail == "building\nwarm-up"


@pytest.mark.parametrize(
    ("name", "retry", "again"),
    [
        ("done", False, 0),
        ("done", True, 0),
        ("failed", False, 2),
        ("hung", False, 2),
        ("interrupted", False, 2),
        ("diverged", False, 0),
        ("diverged", True, 2),
        ("out_of_memory", False, 0),
        ("out_of_memory", True, 2),
    ],
)
def test_which_endings_are_tried_again(tmp_path: Path, name: str, retry: bool, again: int):
    """Accidents by themselves, results of the method itself only with --retry, done never."""
    carry_out(tmp_path, ending(name))
    records, _ = carry_out(tmp_path, done, retry=retry)
    assert len(records) == again
    assert {record.spec.attempt for record in records} == ({2} if again else set())


def test_records_are_never_edited(tmp_path: Path):
    """A second attempt is a second file; the first stays as it is."""
    carry_out(tmp_path, ending("failed"))
    before = {path: path.read_bytes() for path in (tmp_path / "runs").iterdir()}
    carry_out(tmp_path, done)
    assert {path: path.read_bytes() for path in before} == before
    assert len(list((tmp_path / "runs").glob("*.json"))) == 4


def orphan(results: Path, plan: Plan) -> Path:
    """What a sweep leaves that was killed in the middle of the plan's first run."""
    from harness.sweep.spending import make_spec

    run = plan.runs[0]
    attempt = claims.claim(results, run.key)
    folder = layout.work_folder(results, f"{run.key}.{attempt}")
    write(folder / "spec.json", make_spec(run, plan.ground, attempt, "cpu", results / "students"))
    owner = json.loads((folder / claims.OWNER).read_text())
    (folder / claims.OWNER).write_text(
        json.dumps({**owner, "started": owner["started"] - 100})
    )  # a process that is gone
    return folder


def test_a_killed_sweep_is_picked_up(tmp_path: Path):
    """Its run becomes `interrupted`, and the same command does it anew."""
    plan = planned("90s")
    orphan(tmp_path, plan)
    records, _ = carry_out(tmp_path, done, plan)
    endings = [(record.spec.method.name, record.spec.attempt, record.outcome.ending) for record in records]
    assert endings == [("baseline", 1, "interrupted"), ("baseline", 2, "done"), ("kd", 1, "done")]


def test_a_run_that_finished_without_its_sweep_is_kept(tmp_path: Path):
    """The outcome was written: no work is lost."""
    plan = planned("90s")
    write(orphan(tmp_path, plan) / "out.json", Outcome(ending="done", scores=SCORES))
    records, _ = carry_out(tmp_path, done, plan)
    assert [(record.spec.attempt, record.outcome.ending) for record in records] == [(1, "done"), (1, "done")]
    assert records[0].witness is None


def test_a_run_that_another_sweep_is_at_is_let_be(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Its lock is held: no second start, no record."""
    plan = planned("90s")
    lock = layout.lock_path(tmp_path, plan.runs[0].key)
    lock.parent.mkdir(parents=True)
    with FileLock(lock):
        records, watcher = carry_out(tmp_path, done, plan)
    assert [record.spec.method.name for record in records] == ["kd"]
    said = "baseline seed 0 90s is another process's; this command again does what that one leaves undone"
    assert watcher.lines[-1] == said


def test_a_run_that_another_process_took_first_is_its_own(tmp_path: Path):
    """The engine found the lock held: no record, and nothing for the next sweep to adopt."""
    records, _ = carry_out(tmp_path, lambda job: 75 if "kd" in job.name else done(job))
    assert [record.spec.method.name for record in records] == ["baseline"]
    assert layout.unfinished(tmp_path) == []


def test_a_method_that_cannot_run_leaves_its_reason(tmp_path: Path):
    """Skipped is a row too."""
    plan = planned("90s", kd=Refusal(ending="skipped", reason="needs logits of 64×64"))
    records, _ = carry_out(tmp_path, done, plan)
    assert [(r.spec.method.name, r.outcome.ending, r.outcome.reason) for r in records] == [
        ("kd", "skipped", "needs logits of 64×64"),
        ("baseline", "done", None),
    ]


def test_off_budget_is_marked_in_iterations_pace_alone(tmp_path: Path):
    """120 s of 90 s is over the 20 % that a CPU is allowed; by the clock it cannot happen."""

    def slow(job: Job) -> int:
        write(job.out, Outcome(ending="done", iterations=900, spent_seconds=120.0, scores=SCORES))
        return 0

    by_iterations, _ = carry_out(tmp_path / "a", slow, planned("90s", pace="iterations"))
    by_clock, _ = carry_out(tmp_path / "b", slow, planned("90s"))
    assert {record.marks for record in by_iterations} == {("off_budget",)}
    assert {record.marks for record in by_clock} == {()}


def test_an_interrupt_ends_the_processes_and_records_them(tmp_path: Path):
    """Ctrl-C while a run is under way: it is cancelled, its record says interrupted, the exception goes on."""

    def interrupt(job: Job) -> int:
        raise KeyboardInterrupt

    executor = FakeExecutor(interrupt)
    with pytest.raises(KeyboardInterrupt):
        spend(planned("90s"), tmp_path, False, executor, Listening(), tmp_path / "students")
    endings = [read(path, Record).outcome.ending for path in sorted((tmp_path / "runs").glob("*.json"))]
    assert executor.cancelled == 1
    assert endings == ["interrupted", "interrupted"]


def test_what_was_done_decides_what_is_too_short(tmp_path: Path):
    """Planned 900 and 360, done 150 and 250: the first alone is too short."""

    def drifting(job: Job) -> int:
        iterations = 150 if "baseline" in job.name else 250
        write(job.out, Outcome(ending="done", iterations=iterations, spent_seconds=90.0, scores=SCORES))
        return 0

    records, _ = carry_out(tmp_path, drifting)
    assert {record.spec.method.name: record.marks for record in records} == {"baseline": ("too_short",), "kd": ()}


def test_a_run_that_another_sweep_did_meanwhile_is_not_repeated(tmp_path: Path):
    """Both had the plan; when this one comes to kd, its record is there."""
    plan = planned("90s")

    class Slow(FakeExecutor):
        def free(self):
            return [] if self._running else ["cpu"]

    def engine(job: Job) -> int:
        if "baseline" in job.name:
            carry_out(tmp_path / "other", done, plan.model_copy(update={"runs": plan.runs[1:]}))
            (record,) = (tmp_path / "other" / "runs").glob("*.json")
            (tmp_path / "runs").mkdir()
            record.rename(tmp_path / "runs" / record.name)
        return done(job)

    records = spend(plan, tmp_path, False, Slow(engine), Listening(), tmp_path / "students")
    assert [record.spec.method.name for record in records] == ["baseline"]
    assert len(list((tmp_path / "runs").glob("*-kd-*.json"))) == 1


def test_what_an_engine_refuses_has_failed(tmp_path: Path):
    """A run that was planned and begun is no method that does not apply, whatever it calls it: it is tried again."""

    def refusing(job: Job) -> int:
        write(job.out, Refusal(ending="skipped", reason="the driver is gone"))
        return 2

    records, _ = carry_out(tmp_path, refusing)
    assert {(record.outcome.ending, record.outcome.reason) for record in records} == {("failed", "the driver is gone")}


CUDA = ground(device=device_class(kind="cuda", model="H200"))


@pytest.mark.parametrize(
    ("data_wait", "readings", "marks"),
    [
        (4.0, {}, ()),
        (6.0, {}, ("data_bound",)),
        (0.0, {"throttled": 0.04, "shared": 0.05}, ()),
        (0.0, {"throttled": 0.06}, ("throttled",)),
        (0.0, {"shared": 0.5}, ("shared_device",)),
    ],
)
def test_what_kept_an_accelerator_from_its_work_is_marked(data_wait: float, readings: dict, marks: tuple):
    """Over 5 % of 100 s of training, or of the looks at the device."""
    times = Times(
        start_up=1.0,
        loading=1.0,
        warm_up=1.0,
        data_wait=data_wait,
        training=100.0 - data_wait,
        evaluation=1.0,
        other=0.0,
    )
    outcome = Outcome(
        ending="done", iterations=900, spent_seconds=90.0, scores=SCORES, times=times, readings=Readings(**readings)
    )
    assert marks_of(spec(on=CUDA), outcome) == marks
    assert marks_of(spec(), outcome) == ()
