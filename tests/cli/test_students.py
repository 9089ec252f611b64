"""`bench evaluate` and `bench export`, as a person types them after a run."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from harness.ledger.record import Record
from tests.factories import save
from tests.stored import keyed
from tests.story import bench, environment
from tests.students import leave_student

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder to stand in, with results and a cache."""
    return tmp_path_factory.mktemp("students")


@pytest.fixture(scope="module")
def record(place: Path) -> Record:
    """Of the run that is there."""
    left = leave_student(place)
    (place / "results" / "runs" / f"{left.spec.name}.json").unlink()
    save(place / "results", keyed(left))
    return keyed(left)


def refusal(answer: "subprocess.CompletedProcess[str]") -> str:
    """The one line of bad input."""
    assert answer.returncode == 2, answer.stdout + answer.stderr
    assert answer.stdout == ""
    (line,) = answer.stderr.splitlines()
    return line


def test_a_run_scored_again_equals_its_record(place: Path, record: Record):
    """The three means, every class, the pixel accuracy, and the verdict."""
    answer = bench(place / "cache", "evaluate", "tiny-base", "--device", "cpu", cwd=place)
    assert answer.returncode == 0, answer.stderr
    scores = record.outcome.scores
    assert scores is not None
    for value in (scores.miou, scores.miou_absent_zero, scores.miou_predicted, scores.pixel_accuracy):
        assert f"{100 * value:.2f}" in answer.stdout
    assert all(name in answer.stdout for name in record.spec.ground.workload.classes)
    first, *_, last = answer.stdout.splitlines()
    assert first == f"{record.spec.name} on tiny: 8 images of the score split"
    assert last == "equals the record's scores exactly"


@pytest.mark.slow
def test_programs_read_the_scores_of_a_file_as_json(place: Path, record: Record):
    """Every number of the record, to the last digit."""
    weights = place / "cache" / "students" / f"{record.outcome.student_sha256}.safetensors"
    flags = ("--workload", "tiny.yaml", "--device", "cpu", "--json")
    found = json.loads(bench(place / "cache", "evaluate", weights, *flags, cwd=place).stdout)
    assert found["scores"] == json.loads(record.outcome.scores.model_dump_json())
    assert (found["comparison"], found["not_compared"]) == (None, "a file has no record")


def test_what_is_misspelt_or_missing_is_one_line(place: Path, record: Record, tmp_path: Path):
    """A run, a file, a file's workload, a cache's weights: exit 2."""
    misspelt = refusal(bench(place / "cache", "evaluate", "tiny-baesline", cwd=place))
    assert misspelt == "bench: RUN: no run 'tiny-baesline' in results/runs (did you mean 'tiny-baseline'?)"
    assert refusal(bench(place / "cache", "evaluate", "no.safetensors", cwd=place)).startswith("bench: FILE: no.saf")
    elsewhere = refusal(bench(tmp_path, "export", record.spec.name, "--out", tmp_path / "out", cwd=place))
    assert f"looked for {tmp_path / 'students' / str(record.outcome.student_sha256)}.safetensors: " in elsewhere
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_an_exported_loader_runs_anywhere_and_prints_the_logits_shape(place: Path, record: Record, tmp_path: Path):
    """Eleven classes on a quarter of 64×128, from a folder that was moved away; a second export overwrites nothing."""
    flags = (record.spec.name, "--out", tmp_path / "out")
    answer = bench(place / "cache", "export", *flags, cwd=place)
    assert (answer.returncode, answer.stdout) == (0, f"{tmp_path / 'out'}\n"), answer.stderr
    assert "found a folder that is not empty" in refusal(bench(place / "cache", "export", *flags, cwd=place))
    moved = (tmp_path / "out").rename(tmp_path / "moved")
    outside = {**environment(tmp_path / "no-cache"), "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, str(moved / "load.py")]
    done = subprocess.run(command, cwd=tmp_path, env=outside, capture_output=True, text=True, check=False)
    assert done.stdout == "(1, 11, 16, 32)\n", done.stderr
    code = [line for line in (moved / "load.py").read_text().splitlines() if line and "import" not in line]
    assert len(code) <= 10
