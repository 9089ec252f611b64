"""Files of a results folder that are torn, empty or another's: said by name, and no other run is lost."""

from pathlib import Path

import pytest

from harness.cli.status import status
from harness.executors.job import Job
from harness.ledger import claims
from harness.ledger import results as layout
from harness.ledger.errors import BadInput
from harness.ledger.files import read, write
from harness.ledger.findings import Refusal
from harness.ledger.record import Outcome
from harness.ledger.spec import RunSpec
from harness.ledger.status import status_path
from harness.ledger.ticket import ticket_path
from harness.report.page import build
from harness.report.studio import Studio
from harness.score.store import read_results
from harness.score.verifying import verify
from harness.sweep.costs import anchor_seconds, measure
from tests.factories import cost, ground
from tests.ledger.test_plan import planned
from tests.sweep.fake import FakeExecutor, Listening
from tests.sweep.queue import FakeQueue
from tests.sweep.test_adopting import ends, go_on, left_behind
from tests.sweep.test_costs import BASELINE, KD, measured, profiler
from tests.sweep.test_spending import SCORES, carry_out, done, orphan

PLAN = planned("90s", seeds=2)
TORN = {
    "torn": b'{"format": 1, "spec": {"key": "str',
    "empty": b"",
    "number": b'{"format": 1, "ending": NaN}',
    "foreign": b'{"format": 1, "title": "something else"}',
    "bytes": bytes(range(256)),
}


def endings(results: Path) -> dict[tuple[str, int, int], str]:
    """By method, seed and attempt; of records that can be read."""
    found: dict[tuple[str, int, int], str] = {}
    for key, attempt in layout.record_names(results):
        try:
            record = layout.read_record(results, key, attempt)
        except BadInput:
            continue
        found[record.spec.method.name, record.spec.seed, attempt] = record.outcome.ending
    return found


ALL = {("baseline", 0, 1): "done", ("kd", 0, 1): "done", ("baseline", 1, 1): "done", ("kd", 1, 1): "done"}


def first_record(results: Path) -> Path:
    """That of the baseline with seed 0."""
    return layout.record_path(results, f"{PLAN.runs[0].key}.1")


@pytest.mark.parametrize("kind", [*TORN, "anothers", "folder"])
def test_a_broken_record_is_said_and_its_run_done_again(tmp_path: Path, kind: str, capsys: pytest.CaptureFixture[str]):
    """As another attempt, beside the file, which is left as it is; the other three are let be."""
    carry_out(tmp_path, done, PLAN)
    path = first_record(tmp_path)
    spoil(path, kind)
    records, watcher = carry_out(tmp_path, done, PLAN)
    assert [(record.spec.method.name, record.spec.seed, record.spec.attempt) for record in records] == [
        ("baseline", 0, 2)
    ]
    assert watcher.lines[0].startswith(f"{path}: ")
    assert watcher.lines[0].endswith("the run is done again, as another attempt")
    assert carry_out(tmp_path, done, PLAN)[0] == []
    assert {file.file for file in read_results(tmp_path).unreadable} == {path.name}
    assert f"runs/{path.name}" in {problem.place for problem in verify(tmp_path).problems}
    status(tmp_path)
    assert "0 under way; 4 ended: 4 done" in " ".join(capsys.readouterr().out.split())


def spoil(path: Path, kind: str) -> None:
    """Something else stands where the record stood."""
    content = TORN.get(kind)
    if kind == "anothers":
        content = layout.record_path(path.parent.parent, f"{PLAN.runs[1].key}.1").read_bytes()
    path.unlink()
    if content is None:
        path.mkdir()
    else:
        path.write_bytes(content)


def test_a_broken_last_record_is_counted_as_such(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    """`bench status` goes on past it."""
    carry_out(tmp_path, done, PLAN)
    first_record(tmp_path).write_bytes(b"")
    status(tmp_path)
    assert "4 ended: 3 done, 1 unreadable" in " ".join(capsys.readouterr().out.split())


@pytest.mark.parametrize("kind", TORN)
def test_a_broken_cost_is_said_and_measured_again(tmp_path: Path, kind: str):
    """The other method's is used as it is."""
    measured(tmp_path, BASELINE, KD)
    (path,) = (tmp_path / "costs").glob("kd-*.json")
    path.write_bytes(TORN[kind])
    watcher, executor = Listening(), FakeExecutor(profiler(), ("cpu",))
    costs = measure(ground(), [BASELINE, KD], 2.0, tmp_path, False, executor, watcher)
    assert [job.name for job in executor.jobs] == ["kd"]
    assert costs["kd"].ratio == 2.5
    assert watcher.lines[0].startswith(f"{path}: ")
    assert verify(tmp_path).problems == ()


@pytest.mark.parametrize("kind", TORN)
def test_a_broken_anchor_stops_what_would_be_spent_by_another(tmp_path: Path, kind: str):
    """Runs that have ended spent by it: it is not priced anew behind anybody's back."""
    anchor_seconds(ground(), KD, cost(2.5), tmp_path)
    (path,) = (tmp_path / "costs" / "anchors").glob("*.json")
    path.write_bytes(TORN[kind])
    with pytest.raises(BadInput, match=rf"^{path}: "):
        anchor_seconds(ground(), KD, cost(2.5), tmp_path)
    assert path.read_bytes() == TORN[kind]
    assert [f"costs/anchors/{path.name}"] == [problem.place for problem in verify(tmp_path).problems]


@pytest.mark.slow
def test_a_report_tells_what_it_could_not_count(tmp_path: Path):
    """By the file's name."""
    carry_out(tmp_path / "results", done, PLAN)
    path = first_record(tmp_path / "results")
    path.write_bytes(TORN["torn"])
    with Studio(processes=1) as studio:
        made = build(tmp_path / "results", tmp_path / "reports", studio)
    assert path.name in {file.file for file in made.unreadable}


def test_a_broken_record_of_a_run_that_cannot_be_had_stops_nothing(tmp_path: Path):
    """Its reason is recorded again; the others are done."""
    plan = planned("90s", kd=Refusal(ending="skipped", reason="needs logits of 64×64"))
    carry_out(tmp_path, done, plan)
    (path,) = (tmp_path / "runs").glob("*-kd-*.json")
    path.write_bytes(TORN["torn"])
    records, watcher = carry_out(tmp_path, done, plan)
    assert [(record.spec.attempt, record.outcome.ending) for record in records] == [(2, "skipped")]
    assert str(path) in watcher.lines[0]


def left(results: Path) -> Path:
    """An attempt at the first run, whose engine had ended and whose sweep was killed."""
    folder = orphan(results, PLAN)
    write(folder / "out.json", Outcome(ending="done", iterations=900, spent_seconds=90.0, scores=SCORES))
    return folder


@pytest.mark.parametrize("kind", TORN)
@pytest.mark.parametrize("file", ["owner.json", "spec.json", "out.json", "out.json.status.json", "ticket.json"])
def test_a_broken_file_of_an_attempt_costs_no_other_run(tmp_path: Path, file: str, kind: str, monkeypatch, capsys):
    """What the engine left is kept where it can be read, and is done again where not; all four runs are done."""
    monkeypatch.setattr(claims, "TORN_SECONDS", -1.0)  # nothing has changed in the folder for long
    folder = left(tmp_path)
    (folder / file).write_bytes(TORN[kind])
    status(tmp_path)
    assert "1 under way" in capsys.readouterr().out
    _, watcher = carry_out(tmp_path, done, PLAN)
    found = endings(tmp_path)
    match file:
        case "spec.json":
            assert found == {("baseline", 0, 2): "done", **{key: ALL[key] for key in ALL if key != ("baseline", 0, 1)}}
            assert f"{folder / file}: " in watcher.lines[0]
        case "out.json":
            assert found == {**ALL, ("baseline", 0, 1): "interrupted", ("baseline", 0, 2): "done"}
        case _:
            assert found == ALL
    if file == "ticket.json":
        assert watcher.lines[0].startswith(f"{folder / file}: ")
    assert carry_out(tmp_path, done, PLAN)[0] == []


def test_a_spec_of_another_run_is_no_spec(tmp_path: Path):
    """A folder that somebody copied: nothing is recorded under another run's name."""
    folder = left(tmp_path)
    spec = read(folder / "spec.json", RunSpec)
    write(folder / "spec.json", spec.model_copy(update={"key": PLAN.runs[1].key}))
    _, watcher = carry_out(tmp_path, done, PLAN)
    assert "as its folder is named: this attempt is left as it is, and its run is done again" in watcher.lines[0]
    assert endings(tmp_path)["kd", 0, 1] == "done"
    assert ("baseline", 0, 1) not in endings(tmp_path)


def test_a_broken_ticket_takes_one_run_out_of_the_queue(tmp_path: Path):
    """The other is waited for; the one is said, and done again."""
    plan = planned("90s")
    left_behind(tmp_path, plan)
    name = next(name for name in layout.unfinished(tmp_path) if "-kd-" in name)
    ticket = ticket_path(layout.work_folder(tmp_path, name) / "out.json")
    ticket.write_bytes(TORN["torn"])
    queue = FakeQueue(ends, tmp_path)
    watcher = go_on(tmp_path, plan, queue)
    assert [job.name for job in queue.submitted] == ["kd seed 0 90s"]
    assert any(line.startswith(f"{ticket}: ") and line.endswith("which is done again") for line in watcher.lines)


def test_a_status_that_cannot_be_read_stops_no_sweep(tmp_path: Path):
    """It is written while it is read, by a node whose disk fails."""

    def engine(job: Job) -> int:
        status_path(job.out).write_bytes(TORN["bytes"])
        return done(job)

    records, _ = carry_out(tmp_path, engine, PLAN)
    assert len(records) == 4


def test_a_refusal_that_nobody_saw_is_a_failure(tmp_path: Path):
    """The engine refused, and its sweep was killed before it read so: tried again, as when it had been seen."""
    folder = orphan(tmp_path, PLAN)
    (folder / "out.json").write_text('{"format": 1, "ending": "skipped", "reason": "the driver is gone"}')
    carry_out(tmp_path, done, PLAN)
    found = endings(tmp_path)
    assert (found["baseline", 0, 1], found["baseline", 0, 2]) == ("failed", "done")
