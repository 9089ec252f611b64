"""`bench results verify | merge | show`, as a person types them."""

import json
import shlex
import subprocess
from pathlib import Path

import numpy as np
import pytest

from harness.ledger.anchor import anchor_path
from harness.ledger.counts import Counts, read_counts
from harness.ledger.files import read
from harness.ledger.plan import Plan
from harness.ledger.record import Record
from harness.score.verifying import verify
from tests.factories import ground, record
from tests.stored import board, checksums, cost_of, leave, save
from tests.story import bench, tiny


@pytest.fixture
def results(tmp_path: Path) -> Path:
    """Two methods, two seeds, a run that failed once, a cost."""
    folder = tmp_path / "results"
    first, *_ = board(folder, "kd", "baseline", seeds=2)
    leave(folder, record("cwd", 0, None, ending="failed", reason="no disk"), record("cwd", 0, 0.4, attempt=2))
    cost_of(first, folder)
    return folder


def problems(results: Path) -> list[str]:
    """Place and problem of each."""
    return [f"{found.place}: {found.problem}" for found in verify(results).problems]


def refusal(answer: "subprocess.CompletedProcess[str]") -> str:
    """The one line of bad input."""
    assert answer.returncode == 2, answer.stdout + answer.stderr
    (line,) = answer.stderr.splitlines()
    return line


# verify


def test_a_sound_folder_is_said_to_be_sound_and_left_as_it_was(results: Path):
    """Six records, five of them scored, exit 0; nothing is written, moved or made."""
    before = checksums(results)
    answer = bench(results.parent / "cache", "results", "verify", cwd=results.parent)
    told = "6 records, 5 scored, 5 counts held against the records, 1 cost, 0 problems\n"
    assert (answer.returncode, answer.stdout) == (0, told), answer.stderr
    assert checksums(results) == before


def test_problems_are_told_by_file_and_counted(results: Path):
    """A line each under the path that was given, exit 2; programs get the same as JSON."""
    (results / "runs" / "streets-kd-s0-0123456789ab.1.json").write_text('{"format": 2}')
    (results / "runs" / "notes.txt").touch()
    answer = bench(results.parent / "cache", "results", "verify", results, cwd=results.parent)
    assert answer.returncode == 2
    assert answer.stdout.splitlines() == [
        f"{results}/runs/notes.txt: left over: no part of a results folder, and nothing here reads it",
        f"{results}/runs/streets-kd-s0-0123456789ab.1.json: format 2 is of a later version of bench: "
        "update it to read this file",
        "6 records, 5 scored, 5 counts held against the records, 1 cost, 2 problems",
    ]
    found = json.loads(bench(results.parent / "cache", "results", "verify", "--json", cwd=results.parent).stdout)
    assert (found["records"], found["counts_held"], len(found["problems"])) == (6, 5, 2)
    assert found["problems"][0]["place"] == "runs/notes.txt"


def test_counts_that_do_not_give_the_score_are_told(results: Path):
    """One pixel is enough; so is a class."""
    path = sorted((results / "runs").glob("*.npz"))[0]
    name = path.stem
    held = read(path.with_suffix(".json"), Record).outcome.scores
    assert held is not None
    whole = read_counts(path, held.images, 4)
    intersections = whole.intersections.copy()
    intersections[3, 2] -= 1
    save(path, Counts(intersections, whole.unions, whole.labelled))
    (told,) = problems(results)
    assert told.startswith(f"runs/{name}.npz: gives miou 0.")
    assert "but the record says 0." in told


def test_classes_that_change_places_are_told(results: Path):
    """The mean is the same to the last digit or two, and every class another's."""
    path = sorted((results / "runs").glob("*.npz"))[0]
    whole = read_counts(path, 32, 4)
    swapped = Counts(*(part[:, ::-1] for part in (whole.intersections, whole.unions, whole.labelled)))
    save(path, swapped)
    (told,) = problems(results)
    assert "class_iou[0]" in told


@pytest.mark.parametrize(
    ("spoil", "told"),
    [
        (lambda path: path.unlink(), ".json: counts missing: its scores cannot be derived again"),
        (lambda path: path.write_bytes(path.read_bytes()[:100]), ".npz: "),
        (lambda path: np.savez(path, intersections=np.array([object()])), ".npz: "),
        (lambda path: save(path, Counts(*np.ones((3, 1, 1), dtype=np.int64))), ".npz: "),
    ],
    ids=["missing", "torn", "pickled", "too few"],
)
def test_counts_that_are_missing_or_no_counts_are_told(results: Path, spoil, told: str):
    """By the record, or by their own name; objects are never unpickled."""
    path = sorted((results / "runs").glob("*.npz"))[0]
    spoil(path)
    (found,) = problems(results)
    assert found.startswith(f"runs/{path.stem}")
    assert told in found


def test_a_missing_attempt_is_told_unless_it_is_under_way(results: Path):
    """Attempt 2 alone says that there was a first one."""
    (path,) = (results / "runs").glob("streets-cwd-*.1.json")
    path.unlink()
    told = f"runs/{path.name}: missing, though there is attempt 2: a record was lost or moved away"
    assert problems(results) == [told]
    (results / "work" / path.stem).mkdir(parents=True)
    assert problems(results) == []


def test_what_is_left_over_is_told(results: Path):
    """A file that was never finished, counts and pictures of no run, a folder that nobody reads."""
    (results / "old").mkdir()
    (results / "runs" / ".streets.json.x7").touch()
    (results / "runs" / "streets-kd-s0-0123456789ab.1.npz").touch()
    (results / "pictures").mkdir()
    (results / "pictures" / "streets-kd-s0-0123456789ab.1.npz").touch()
    found = [told.split(": left over: ") for told in problems(results) if "left over" in told]
    assert [place for place, _ in found] == [
        "old",
        "pictures/streets-kd-s0-0123456789ab.1.npz",
        "runs/.streets.json.x7",
        "runs/streets-kd-s0-0123456789ab.1.npz",
    ]


def test_what_no_run_leaves_behind_is_told(tmp_path: Path):
    """Times that are none, a number beyond all bounds, counts of a run that is done and has no scores."""
    (made,) = leave(tmp_path, record("kd", 0, 0.5))
    path = tmp_path / "runs" / f"{made.spec.name}.json"
    whole = json.loads(path.read_text())
    path.write_text(json.dumps({**whole, "started": "yesterday", "ended": "2025-02-30T00:00:00Z"}))
    assert problems(tmp_path) == [
        f'runs/{path.name}: started: found "yesterday": expected a time in UTC, by ISO 8601',
        f'runs/{path.name}: ended: found "2025-02-30T00:00:00Z": expected a time in UTC, by ISO 8601',
    ]
    path.write_text(json.dumps({**whole, "outcome": {**whole["outcome"], "iterations": 10**400}}))
    assert problems(tmp_path) == [f"runs/{path.name}: a number in it is beyond anything that a run can have done"]
    path.write_text(json.dumps({**whole, "outcome": {**whole["outcome"], "scores": None}}))
    assert problems(tmp_path) == [
        f"runs/{path.name}: outcome.scores: none, though the run is done and its counts lie beside its record"
    ]
    path.with_suffix(".npz").unlink()
    assert problems(tmp_path) == []


def test_a_budget_that_is_none_is_told_by_its_key(tmp_path: Path):
    """Not by a flag that nobody typed, nor with the file named twice."""
    (made,) = leave(tmp_path, record("kd", 0, 0.5))
    path = tmp_path / "runs" / f"{made.spec.name}.json"
    whole = json.loads(path.read_text())
    path.write_text(json.dumps({**whole, "spec": {**whole["spec"], "budget": "60 bananas"}}))
    (told,) = problems(tmp_path)
    assert told.startswith(f"runs/{path.name}: spec.budget: '60 bananas' is no budget: expected 90s")


def test_costs_and_anchors_that_cannot_be_read_are_told(results: Path):
    """A cost under another's name; an anchor with a number that is none."""
    (path,) = (results / "costs").glob("*.json")
    path.rename(path.with_name("kd-0000000000000000.json"))
    anchor = anchor_path(results, "kd", ground())
    anchor.parent.mkdir()
    anchor.write_text('{"format": 1, "method": "kd", "seconds": NaN}')
    first, second = problems(results)
    assert first.startswith(f"costs/anchors/{anchor.name}: ")
    assert second == (
        f"costs/kd-0000000000000000.json: key: found that of {path.name}: a cost keeps the name it was written under"
    )


def test_a_trial_among_runs_is_told_and_among_trials_is_not(results: Path):
    """Boards hold no trials."""
    trial = record("kd", 1000, 0.4)
    trial = trial.model_copy(update={"spec": trial.spec.model_copy(update={"scored_on": "tune"})})
    leave(results / "tuning", trial)
    assert problems(results) == []
    (left,) = leave(results, trial)
    assert problems(results) == [
        f"runs/{left.spec.name}.json: spec.scored_on: a trial of `bench tune` among runs: expected it in tuning/runs"
    ]


def test_a_folder_that_is_not_there_is_bad_input(tmp_path: Path):
    """Nothing found is not soundness."""
    answer = bench(tmp_path, "results", "verify", "none", cwd=tmp_path)
    assert refusal(answer) == "bench: none: found nothing: expected a results folder"


# merge


def test_merging_tells_what_it_did_and_does_it_once(results: Path, tmp_path: Path):
    """Six records and six other files; again: nothing; the source is as it was."""
    before = checksums(results)
    first = bench(tmp_path, "results", "merge", "results", "--into", "all", cwd=tmp_path)
    again = bench(tmp_path, "results", "merge", "results", "--into", "all", cwd=tmp_path)
    assert first.stdout == "all: 6 records and 6 other files copied, 0 already there\n", first.stderr
    assert again.stdout == "all: 0 records and 0 other files copied, 12 already there\n"
    assert checksums(results) == before == checksums(tmp_path / "all")


def test_a_conflict_is_told_and_nothing_is_merged(results: Path, tmp_path: Path):
    """The line on stdout, what became of it on stderr, exit 2."""
    leave(tmp_path / "other", record("kd", 0, 0.7), record("kd", 9, 0.7))
    before = checksums(results)
    answer = bench(tmp_path, "results", "merge", "other", "--into", "results", cwd=tmp_path)
    assert refusal(answer) == "bench: --into: results: 1 file in the way: nothing was copied"
    assert "both are attempt 1 of streets-kd-s0-" in answer.stdout
    assert checksums(results) == before


# show


def test_a_run_is_shown_with_all_that_a_reviewer_asks_for(results: Path):
    """By its beginning; the last attempt; nothing is written."""
    before = checksums(results)
    answer = bench(results.parent / "cache", "results", "show", "streets-cwd", cwd=results.parent)
    assert answer.returncode == 0, answer.stderr
    (latest,) = (results / "runs").glob("streets-cwd-*.2.json")
    held = read(latest, Record)
    scores = held.outcome.scores
    assert scores is not None
    assert answer.stdout.splitlines()[0] == f"{latest.stem}: done"
    for told in (
        f"{100 * scores.miou:.2f}",
        *(f"{100 * value:.2f}" for value in scores.class_iou if value is not None),
        "about 900 planned",
        "95 % 0.995 to 1.005",
        held.spec.method.digest,
        held.spec.ground.data_sha256,
        held.spec.ground.teacher.sha256,
        "kl@logits",
        "Test CPU",
    ):
        assert told in answer.stdout, told
    assert checksums(results) == before


def test_a_run_that_failed_is_shown_with_its_log(tmp_path: Path):
    """Reason and log, in which nothing moves the terminal's cursor."""
    failed = record("kd", 0, None, ending="failed", reason="no disk")
    leave(tmp_path / "results", failed.model_copy(update={"log_tail": "first\n\x1b[2Jlast"}))
    told = bench(tmp_path, "results", "show", "streets-kd", cwd=tmp_path).stdout.splitlines()
    assert told[0].endswith(": failed: no disk")
    assert "log: first" in told
    assert "log: \\x1b[2Jlast" in told


def test_programs_get_the_record_and_the_command(results: Path):
    """The record as it lies there."""
    answer = bench(results.parent / "cache", "results", "show", "streets-cwd", "--json", cwd=results.parent)
    found = json.loads(answer.stdout)
    path = results / "runs" / f"{found['run']}.json"
    assert found["record"] == json.loads(path.read_text())
    assert shlex.split(found["command"])[:2] == ["bench", "run"]


def test_a_misspelt_run_is_answered_with_the_nearest(results: Path):
    """As by `bench evaluate`: there is one way to find a run."""
    answer = bench(results.parent / "cache", "results", "show", "streets-cdw", cwd=results.parent)
    assert refusal(answer) == "bench: RUN: no run 'streets-cdw' in results/runs (did you mean 'streets-cwd'?)"


@pytest.mark.slow
def test_a_run_is_repeated_to_the_last_bit_from_what_show_writes(tmp_path: Path):
    """In iterations pace on a CPU: another folder, the same key, the same student, the same scores."""
    tiny(tmp_path)
    here = ("--workload", "tiny.yaml")
    cache = tmp_path / "cache"
    assert bench(cache, "teacher", *here, cwd=tmp_path).returncode == 0
    asked = ("--methods", "kd", "--weight-scale", "3", "--budget", "1s", "--seed", "5", "--profile-time", "0.2s")
    run = bench(cache, "run", *here, *asked, "--pace", "iterations", "--device", "cpu", cwd=tmp_path)
    assert run.returncode == 0, run.stderr
    before = checksums(tmp_path / "results")
    shown = bench(cache, "results", "show", "tiny-kd_x3-s5", "--plan", "replay.json", *here, cwd=tmp_path)
    assert shown.stdout == "replay.json: bench run --plan replay.json --device cpu --results replay\n", shown.stderr
    assert checksums(tmp_path / "results") == before
    (planned,) = read(tmp_path / "replay.json", Plan).runs
    assert planned.replay is not None
    done = bench(cache, "run", "--plan", "replay.json", "--device", "cpu", "--results", "replay", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    (first, second) = (
        read(next((tmp_path / folder / "runs").glob("*.json")), Record) for folder in ("results", "replay")
    )
    assert second.spec.key == first.spec.key
    assert second.outcome.student_sha256 == first.outcome.student_sha256
    assert second.outcome.scores == first.outcome.scores
    assert second.outcome.replanned_iterations == first.outcome.replanned_iterations
    assert second.spec.replay == planned.replay


def test_a_report_leaves_the_results_as_they_were(results: Path):
    """Raw results are read and never touched: the page lies elsewhere."""
    before = checksums(results)
    answer = bench(results.parent / "cache", "report", cwd=results.parent)
    assert answer.returncode == 0, answer.stderr
    assert (results.parent / "reports" / "index.html").is_file()
    assert checksums(results) == before
