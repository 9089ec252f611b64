"""Weights, chosen and tried: `bench tune`, `--weight-scale`, and what `bench profile` says of them."""

import json
from pathlib import Path

import pytest

from harness.ledger.files import read
from harness.ledger.record import Record
from harness.ledger.results import record_names
from harness.score import load
from tests.story import bench, tiny

pytestmark = pytest.mark.xdist_group("tune")  # one place for all

TUNE = ("tune", "kd", "--workload", "tiny.yaml", "--budget", "5 it")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("tune", "baseline"), "baseline is the student alone: it has no weights to tune"),
        (("tune", "kd", "--centre", "5"), "--centre: found '5': expected a power of 3, as 1/9, 1/3, 1, 3 or 9"),
        (
            ("tune", "kd", "--workload", "camvid"),
            "--budget: missing: the rules fix 20s for streets; for camvid name one, the same for all methods",
        ),
        (("tune", "kdd"), "no method 'kdd' (did you mean 'kd'?): see `bench methods list`"),
        (
            ("plan", "--methods", "kd", "--budget", "9s", "--weight-scale", "a"),
            "--weight-scale: found 'a': expected factors from 1e-06 to 1e+06, comma-separated, as 0.3,1,3",
        ),
        (
            ("run", "--plan", "p.json", "--weight-scale", "3"),
            "--plan: a plan names its methods and budgets: leave --methods, --budget and --weight-scale out",
        ),
        (("profile", "--json", "--markdown"), "--json and --markdown: one or the other"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(tmp_path: Path, arguments: tuple[str, ...], message: str):
    """What was found, what was expected; nothing is written."""
    answer = bench(tmp_path / "cache", *arguments, cwd=tmp_path)
    assert answer.returncode == 2
    assert answer.stderr.splitlines()[-1] == f"bench: {message}"
    assert "Traceback" not in answer.stderr
    assert not (tmp_path / "results").exists()


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a workload, its trained teacher in a cache, and kd tuned."""
    folder = tmp_path_factory.mktemp("tune")
    tiny(folder)
    teacher = bench(folder / "cache", "teacher", "--workload", "tiny.yaml", cwd=folder)
    assert teacher.returncode == 0, teacher.stderr
    tuned = bench(folder / "cache", *TUNE, cwd=folder)
    assert tuned.returncode == 0, tuned.stderr
    (folder / "stdout.txt").write_text(tuned.stdout)
    return folder


def records(results: Path) -> list[Record]:
    return [read(results / "runs" / f"{key}.{attempt}.json", Record) for key, attempt in record_names(results)]


@pytest.mark.slow
def test_five_trials_are_recorded_apart(place: Path):
    """Five about the shipped weight, 3 on streets; seed 1000, on the tune split: four images there, and no eight."""
    found = records(place / "results" / "tuning")
    names = {record.spec.method.name for record in found}
    assert names == {"kd_x0.111", "kd_x0.333", "kd", "kd_x3", "kd_x9"}
    assert {(record.spec.seed, record.spec.scored_on, record.outcome.ending) for record in found} == {
        (1000, "tune", "done")
    }
    assert {record.outcome.scores.images for record in found} == {4}
    assert sorted(record.outcome.weights["kl@logits"] for record in found) == pytest.approx([1 / 3, 1, 3, 9, 27])
    assert not (place / "results" / "runs").exists()


@pytest.mark.slow
def test_the_table_says_what_was_found(place: Path):
    """A row a factor, and what follows from the best."""
    printed = (place / "stdout.txt").read_text()
    assert "tiny on the tune split on" in printed
    assert all(f"kl@logits {weight}" in printed for weight in ("0.3333", "1", "3", "9", "27"))
    assert "kd: best at " in printed
    assert ("source: {streets: ours}" in printed) != ("the grid must move to" in printed)


@pytest.mark.slow
def test_a_second_call_repeats_nothing(place: Path):
    """The cost is known, the trials are done, the table is the same."""
    again = bench(place / "cache", *TUNE, cwd=place)
    assert again.returncode == 0
    assert "5 of 5 runs have ended already" in again.stderr
    assert "measuring costs" not in again.stderr
    assert again.stdout.splitlines()[-10:] == (place / "stdout.txt").read_text().splitlines()[-10:]


@pytest.mark.slow
def test_weights_are_scaled_and_no_board_sees_a_trial(place: Path):
    """`bench run` at three factors leaves three rows of kd beside one of the baseline; the trials are elsewhere."""
    flags = ("--workload", "tiny.yaml", "--methods", "baseline,kd", "--budget", "5 it", "--seeds", "1")
    run = bench(place / "cache", "run", *flags, "--weight-scale", "0.3,1,3", "--profile-time", "0.2s", cwd=place)
    assert run.returncode == 0, run.stderr
    assert sorted(load(place / "results")["method"]) == ["baseline", "kd", "kd_x0.3", "kd_x3"]
    assert {record.spec.scored_on for record in records(place / "results")} == {"score"}
    report = bench(place / "cache", "report", cwd=place)
    assert report.returncode == 0, report.stderr
    assert "kd_x0.3" in report.stdout
    assert "kd_x9" not in report.stdout
    refused = bench(place / "cache", "report", "--results", "results/tuning", cwd=place)
    assert refused.returncode == 2
    assert "spec.scored_on: found 'tune': a trial of `bench tune`, which no board holds" in refused.stderr


@pytest.mark.slow
def test_profile_says_what_terms_weigh_and_how_loud_they_are(place: Path):
    """As tables, as JSON, and as Markdown."""
    flags = ("profile", "--workload", "tiny.yaml", "--methods", "kd", "--profile-time", "0.2s")
    tables = bench(place / "cache", *flags, cwd=place)
    assert "gradient share" in tables.stdout
    found = json.loads(bench(place / "cache", *flags, "--json", cwd=place).stdout)
    (term,) = found["kd"]["terms"]
    assert (term["term"], term["weight"], term["source"]) == ("kl@logits", 3.0, "ours")
    assert term["gradient_share"] > 0
    markdown = bench(place / "cache", *flags, "--markdown", cwd=place).stdout
    assert markdown.splitlines()[2].startswith("| kd | kl@logits | 3 | ours | ")
