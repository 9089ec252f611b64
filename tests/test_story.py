"""From a workload to the page, on a CPU, as a person would do it."""

import re
from pathlib import Path

import numpy as np
import pytest

from harness.ledger.files import read
from harness.ledger.pictures import read_pictures, read_student
from harness.ledger.record import Record
from harness.score import load
from tests.story import bench, tiny

pytestmark = pytest.mark.xdist_group("story")  # one sweep for all

RUN = ("--methods", "baseline,kd", "--budget", "1s", "--seeds", "2", "--profile-time", "0.2s")


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a workload, its trained teacher in a cache, and a whole sweep's results."""
    folder = tmp_path_factory.mktemp("story")
    tiny(folder)
    teacher = bench(folder / "cache", "teacher", "--workload", "tiny.yaml", cwd=folder)
    assert teacher.returncode == 0, teacher.stderr
    run = bench(folder / "cache", "run", "--workload", "tiny.yaml", *RUN, cwd=folder)
    (folder / "stdout.txt").write_text(run.stdout)
    (folder / "stderr.txt").write_text(run.stderr)
    assert run.returncode == 0, run.stderr
    return folder


@pytest.fixture(scope="module")
def records(place: Path) -> list[Record]:
    return [read(path, Record) for path in sorted((place / "results" / "runs").glob("*.json"))]


def test_every_method_and_seed_has_a_record_that_is_done(records: list[Record]):
    """Two methods, two seeds."""
    found = sorted((record.spec.method.name, record.spec.seed, record.outcome.ending) for record in records)
    assert found == [(name, seed, "done") for name in ("baseline", "kd") for seed in (0, 1)]


def test_every_run_stops_within_an_iteration_of_its_budget(records: list[Record]):
    """It goes on while less than the second is spent, and the iteration that reaches it is the last."""
    for record in records:
        *before, last = record.outcome.curve
        assert all(point.spent_seconds < 1.0 for point in before)
        assert last.iteration == record.outcome.iterations
        assert record.outcome.spent_seconds >= 1.0


def test_every_runs_ledger_of_time_adds_up_or_says_so(records: list[Record]):
    """The entries are read from one clock, the process's age from another."""
    for record in records:
        times, witness = record.outcome.times, record.witness
        assert times.process is not None
        agree = abs(times.total - times.process) <= max(0.5, 0.01 * times.process)
        seen = abs(times.total - witness.wall_seconds) <= max(0.5, 0.01 * witness.wall_seconds)
        assert (agree and seen) or record.disagreements
        assert abs(record.outcome.wall_seconds - times.preparation - times.data_wait - times.training) < 0.5
        assert times.data_wait > 0


def test_the_clock_charges_what_the_process_used_and_no_more(records: list[Record]):
    """Of the CPU time that the sweep saw, a run's second is a part."""
    assert all(record.outcome.spent_seconds < record.witness.cpu_seconds for record in records)


def test_a_seed_gives_every_method_the_same_student_and_batches(records: list[Record]):
    """Two seeds, two initial students, two orders of batches, over two methods."""
    students = {(record.spec.seed, record.outcome.initial_student_sha256) for record in records}
    batches = {(record.spec.seed, record.outcome.first_batches_sha256) for record in records}
    assert len(students) == 2
    assert len(batches) == 2


def test_the_scores_follow_from_the_counts_beside_the_record(place: Path, records: list[Record]):
    """MIoU again, by hand, from the stored intersections and unions."""
    for record in records:
        counts = np.load(place / "results" / "runs" / f"{record.spec.name}.npz", allow_pickle=False)
        present = counts["labelled"].sum(axis=0) > 0
        iou = counts["intersections"].sum(axis=0)[present] / counts["unions"].sum(axis=0)[present]
        assert record.outcome.scores is not None
        assert record.outcome.scores.miou == pytest.approx(iou.mean(), abs=1e-12)


def test_the_page_has_pictures_to_show_of_every_run(place: Path, records: list[Record]):
    """Three images, their labels and the teacher's word once; each student's beside; nothing else was left."""
    (digest,) = {record.spec.ground.workload_digest for record in records}
    scene = read_pictures(place / "results", digest)
    assert scene is not None
    assert [label.shape for label in scene.labels] == [(64, 128)] * 3
    for record in records:
        student = read_student(place / "results", record.spec.name)
        assert student is not None
        counts = np.load(place / "results" / "runs" / f"{record.spec.name}.npz", allow_pickle=False)
        right = [(label == prediction).sum() for label, prediction in zip(scene.labels, student, strict=True)]
        assert right == counts["intersections"][:3].sum(axis=1).tolist()
    assert len(list((place / "results" / "pictures").iterdir())) == 5


def test_the_students_weights_are_in_the_cache_and_known_by_digest(place: Path, records: list[Record]):
    """One safetensors a run, named by the SHA-256 that the record holds."""
    from harness.ledger.files import file_sha256

    for record in records:
        weights = place / "cache" / "students" / f"{record.outcome.student_sha256}.safetensors"
        assert file_sha256(weights) == record.outcome.student_sha256


def test_the_frame_is_tidy(place: Path):
    """One row a run, with the promised columns."""
    frame = load(place / "results")
    promised = {
        *("workload", "method", "seed", "budget", "pace", "device", "ending", "marks"),
        *("planned_iterations", "iterations", "budget_seconds", "spent_seconds", "wall_seconds", "device_hours"),
        *("miou", "teacher_miou", "cost_seconds", "cost_ratio"),
    }
    assert promised <= set(frame.columns)
    assert len(frame) == 4
    assert frame.loc[frame["method"] == "baseline", "cost_ratio"].tolist() == [1.0, 1.0]


def test_the_plan_is_printed_before_anything_is_spent(place: Path):
    """Iterations, totals, and the line that names the smallest budget that is not too short."""
    printed = (place / "stdout.txt").read_text()
    assert "tiny on" in printed
    assert re.search(r"4 runs, 0\.00111 device-hours on the clock", printed)
    assert "4 done; records in results/runs; see them with: bench report" in printed


def test_the_same_command_again_repeats_nothing(place: Path):
    """Costs are known, runs are done."""
    again = bench(place / "cache", "run", "--workload", "tiny.yaml", *RUN, cwd=place)
    assert again.returncode == 0
    assert "4 of 4 runs have ended already" in again.stderr
    assert "measuring costs" not in again.stderr
    assert "nothing was due" in again.stdout


def test_the_page_is_made(place: Path):
    """`bench report` prints the board and where the page is; the page stands alone."""
    report = bench(place / "cache", "report", cwd=place)
    assert report.returncode == 0, report.stderr
    page = (place / "reports" / "index.html").read_text()
    assert f"page: {(place / 'reports' / 'index.html').resolve().as_uri()}" in report.stdout
    assert all(name in page for name in ("baseline", "kd"))
    assert not re.search(r'(?:src|href)="https?://[^"]*\.(?:js|css|png|svg)', page)


def test_status_counts_endings(place: Path):
    """Four done, none under way."""
    status = bench(place / "cache", "status", cwd=place)
    assert status.stdout.strip() == "results: 0 under way; 4 ended: 4 done"


def test_a_plan_file_is_carried_out(place: Path):
    """`bench plan --out`, then `bench run --plan`: the same run, in iterations pace to the letter, and tracked."""
    flags = ("--workload", "tiny.yaml", "--methods", "kd", "--budget", "7 it", "--seeds", "1")
    planned = bench(
        place / "cache", "plan", *flags, "--results", "again", "--profile-time", "0.1s", "--out", "p.json", cwd=place
    )
    assert planned.returncode == 0, planned.stderr
    tracked = ("--track", "tensorboard")
    run = bench(place / "cache", "run", "--plan", "p.json", "--results", "again", *tracked, cwd=place)
    assert run.returncode == 0, run.stderr
    (path,) = (place / "again" / "runs").glob("*.json")
    outcome = read(path, Record).outcome
    assert (outcome.ending, outcome.iterations, outcome.replanned_iterations) == ("done", 7, None)
    assert list((place / "again" / "tensorboard").glob("*/events.out.tfevents.*"))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--methods", "kdd", "--budget", "1s"), "no method 'kdd' (did you mean 'kd'?): see `bench methods"),
        (("--methods", "kd", "--budget", "1 lightyear"), "--budget: '1 lightyear' is no budget: expected 90s,"),
        (("--methods", "kd", "--budget", "0.0001s"), "--budget: '0.0001s' buys no iteration of kd: one costs "),
        (("--methods", "kd"), "--budget: missing: name what to run, for instance --budget 60s"),
        (("--methods", "kd", "--budget", "1s", "--track", "tensorbord"), "--track: no tracker 'tensorbord' (did you "),
        (("--methods", "kd", "--budget", "1s", "--device", "gpu"), "--device: found 'gpu': expected cpu, or cuda:0"),
        (("--methods", "kd", "--budget", "1s", "--results", "/proc/no"), "--results: /proc/no: cannot be written: "),
        (("--methods", "broken.yaml", "--budget", "1s"), "terms[0].wieght: unknown key (did you mean 'weight'?)"),
        (("--methods", "kd", "--budget", "1s", "--workload", "street"), "no workload 'street'"),
        (("--methods", "kd", "--budget", "1s", "--workload", "camvid-small"), "SEGKD_DATA"),
        (("--methods", "kd", "--budget", "1s", "--plan", "p.json"), "--plan: a plan names its methods and budgets"),
    ],
)  # fmt: skip
def test_bad_input_is_one_line_and_exit_code_2(place: Path, arguments: tuple[str, ...], message: str):
    """What was found, where, what was expected; no traceback, nothing half-written."""
    (place / "broken.yaml").write_text(
        "title: t\nfamily: general\nnotes: n\nterms:\n"
        "  - {loss: kl, at: logits, wieght: {default: 1.0}, source: ours}\n"
    )
    workload = () if "--workload" in arguments or "--plan" in arguments else ("--workload", "tiny.yaml")
    results = () if "--results" in arguments else ("--results", "results")
    before = sorted(path.name for path in (place / "results").rglob("*"))
    answer = bench(place / "cache", "run", *workload, *arguments, *results, cwd=place)
    complaint = [line for line in answer.stderr.splitlines() if line.startswith("bench: ")]
    assert answer.returncode == 2
    assert len(complaint) == 1
    assert message in complaint[0]
    assert "Traceback" not in answer.stderr
    assert sorted(path.name for path in (place / "results").rglob("*")) == before


def test_a_teacher_that_is_there_is_kept(place: Path):
    """The command a second time trains nothing and tells the same card."""
    (weights,) = (place / "cache" / "teachers").glob("*.safetensors")
    before = weights.stat().st_mtime_ns
    again = bench(place / "cache", "teacher", "--workload", "tiny.yaml", cwd=place)
    assert again.returncode == 0
    assert "there already; remove the file to make it anew" in again.stderr
    assert str(weights) in again.stdout
    assert weights.stat().st_mtime_ns == before


def test_a_wrong_teacher_is_refused(place: Path):
    """One byte more in its file: the digest no longer is the card's, and nothing runs."""
    (weights,) = (place / "cache" / "teachers").glob("*.safetensors")
    content = weights.read_bytes()
    weights.write_bytes(content + b"\0")
    try:
        answer = bench(place / "cache", "run", "--workload", "tiny.yaml", *RUN, cwd=place)
    finally:
        weights.write_bytes(content)
    assert answer.returncode == 2
    assert "this is not the teacher that is meant" in answer.stderr


def test_a_plan_of_another_ground_is_refused(place: Path):
    """A loss whose Python changed after the plan: one line, nothing runs."""
    (place / "mine.py").write_text(
        "def half(student, teacher, labels, *, draw):\n    return (student - teacher).mean() / 2\n"
    )
    (place / "mine.yaml").write_text(
        "title: t\nfamily: general\nnotes: n\nterms:\n"
        "  - {loss: mine.py:half, at: logits, weight: {default: 1.0}, source: ours}\n"
    )
    flags = ("--workload", "tiny.yaml", "--methods", "mine.yaml", "--budget", "3 it", "--seeds", "1")
    planned = bench(
        place / "cache", "plan", *flags, "--results", "mine", "--profile-time", "0.1s", "--out", "m.json", cwd=place
    )
    assert planned.returncode == 0, planned.stderr
    (place / "mine.py").write_text(
        "def half(student, teacher, labels, *, draw):\n    return (student - teacher).mean() / 3\n"
    )
    answer = bench(place / "cache", "run", "--plan", "m.json", "--results", "mine", cwd=place)
    assert answer.returncode == 2
    assert "bench: mine: its Python, or harness/distill, has changed since it was planned: plan anew" in answer.stderr
    assert not (place / "mine" / "runs").exists()
