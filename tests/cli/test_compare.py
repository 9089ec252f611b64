"""`bench compare A B`, as a person types it, and the sentence it ends in."""

import json
import subprocess
from pathlib import Path

import pytest

from harness.ledger.errors import BadInput
from harness.score import comparing, over_images
from harness.score.comparing import Difference, compare, sentence
from harness.score.leaderboard import boards
from harness.score.stats import Interval
from harness.score.store import read_results
from tests.factories import device_class, ground, record
from tests.stored import board, checksums, leave
from tests.story import bench


def difference(results: Path, first: str = "kd", second: str = "cwd", **of) -> Difference:
    """On the one board of the folder."""
    (found,) = compare(read_results(results), first, second, of.get("workload"), of.get("budget"))
    return found


def seeds(name: str, *mious: float, **of):
    """A run a seed."""
    return [record(name, seed, miou, **of) for seed, miou in enumerate(mious)]


def refusal(answer: "subprocess.CompletedProcess[str]") -> str:
    """The one line of bad input."""
    assert answer.returncode == 2, answer.stdout + answer.stderr
    assert answer.stdout == ""
    (line,) = answer.stderr.splitlines()
    return line


def test_a_difference_is_paired_by_seed_and_has_three_intervals(tmp_path: Path):
    """By hand: differences of 3, 4 and 5 points; two methods, two degrees of freedom, t = 4.303."""
    leave(tmp_path, *seeds("kd", 0.53, 0.56, 0.59), *seeds("cwd", 0.50, 0.52, 0.54))
    found = difference(tmp_path)
    one, other = (
        [run.miou for run in row.scored] for row in (found.first, found.second)
    )  # as scored from the counts, a pixel or two beside what was asked for
    gaps = [mine - theirs for mine, theirs in zip(one, other, strict=True)]
    mean = sum(gaps) / 3
    sd = (sum((gap - mean) ** 2 for gap in gaps) / 2) ** 0.5
    assert found.mean == pytest.approx(mean, abs=1e-12)
    assert mean == pytest.approx(0.04, abs=1e-3)
    assert found.n == 3
    assert found.alone is not None
    assert found.alone.half == pytest.approx(4.302653 * sd / 3**0.5, rel=1e-5)
    assert found.together == pytest.approx(found.alone)  # of one pair there is nothing to hold together
    assert found.over_images is not None
    assert found.over_images.low < found.mean < found.over_images.high


def test_what_is_a_above_b_is_b_below_a(tmp_path: Path):
    """The other way round every sign changes and nothing else."""
    board(tmp_path, "kd", "cwd", "baseline")
    found, turned = difference(tmp_path), difference(tmp_path, "cwd", "kd")
    assert turned.mean == pytest.approx(-found.mean)
    assert (turned.alone.low, turned.alone.high) == pytest.approx((-found.alone.high, -found.alone.low))
    assert (turned.over_images.low, turned.over_images.high) == pytest.approx(
        (-found.over_images.high, -found.over_images.low), abs=1e-12
    )


def test_the_command_prints_a_table_and_a_sentence_and_touches_nothing(tmp_path: Path):
    """Three methods two points apart, whose residuals are a tenth of a point."""
    board(tmp_path / "results", "kd", "cwd", "baseline")
    before = checksums(tmp_path / "results")
    answer = bench(tmp_path / "cache", "compare", "kd", "cwd", cwd=tmp_path)
    assert answer.returncode == 0, answer.stderr
    last = answer.stdout.splitlines()[-1]
    assert last.startswith("On streets at 90s, Test CPU, 1 thread: kd is 2.")
    assert "points above cwd (95 % +" in last
    assert ", n = 3): more than seeds explain; over images " in last
    assert "95 % of all pairs" in answer.stdout
    assert checksums(tmp_path / "results") == before


def test_programs_get_fractions(tmp_path: Path):
    """As the frames have them, with the sentence beside."""
    board(tmp_path / "results", "kd", "cwd")
    (tmp_path / "results" / "runs" / "abc.1.json").write_text("{")
    found = json.loads(bench(tmp_path / "cache", "compare", "kd", "cwd", "--json", cwd=tmp_path).stdout)
    (each,) = found["differences"]
    assert (each["workload"], each["budget"], each["n"], each["pairs"]) == ("streets", "90s", 3, 1)
    assert 0.015 < each["difference"] < 0.025
    assert each["alone"][0] < each["difference"] < each["alone"][1]
    assert each["sentence"].startswith("On streets at 90s")
    assert found["left_out"] == [
        {"file": "abc.1.json", "why": "file: not JSON: EOF while parsing an object at line 1 column 1"}
    ]


class Shown:
    """A difference of kd and cwd somewhere."""

    where, over_images, notes = "here", None, ()
    first, second = type("Row", (), {"method": "kd"}), type("Row", (), {"method": "cwd"})

    def __init__(self, **of) -> None:
        self.__dict__.update(of)


@pytest.mark.parametrize(
    ("mean", "alone", "together", "expected"),
    [
        (
            *(0.013, Interval(0.002, 0.024), Interval(0.001, 0.025)),
            "kd is 1.3 points above cwd (95 % +0.2 to +2.4, n = 3): more than seeds explain.",
        ),
        (
            *(-0.013, Interval(-0.024, -0.002), Interval(-0.03, 0.004)),
            "kd is 1.3 points below cwd (95 % −2.4 to −0.2, n = 3): more than seeds explain for this pair alone, "
            "not for one picked from the board's 10.",
        ),
        (
            *(0.003, Interval(-0.01, 0.016), Interval(-0.02, 0.026)),
            "kd is 0.3 points above cwd (95 % −1.0 to +1.6, n = 3): no difference that three seeds could tell.",
        ),
        (
            *(0.0002, Interval(-0.01, 0.01), Interval(-0.01, 0.01)),
            "kd is within 0.05 points of cwd (95 % −1.0 to +1.0, n = 3): no difference that three seeds could tell.",
        ),
    ],
)
def test_the_sentence_says_no_more_than_the_intervals_do(mean, alone, together, expected: str):
    """Found for all pairs, for this one alone, or not at all."""
    shown = Shown(mean=mean, n=3, alone=alone, together=together, pairs=10)
    assert sentence(shown) == f"On here: {expected}"


def test_one_seed_has_no_interval(tmp_path: Path):
    """And the sentence says so; images are another matter."""
    leave(tmp_path, record("kd", 0, 0.55), record("cwd", 0, 0.5))
    found = difference(tmp_path)
    assert (found.n, found.alone, found.together) == (1, None, None)
    assert "(n = 1): one seed, and so no interval; over images +" in sentence(found)


def test_a_row_below_the_line_is_compared_and_said(tmp_path: Path):
    """Its reason stands beside."""
    leave(
        tmp_path, *seeds("kd", 0.53, 0.56, 0.59), *seeds("cwd", 0.50, 0.52), record("cwd", 2, None, ending="diverged")
    )
    found = difference(tmp_path)
    assert found.n == 2
    assert found.notes == ("cwd stands below the line: diverged: seed 2",)


def test_methods_that_share_no_seed_are_not_compared(tmp_path: Path):
    """There is no pair."""
    leave(tmp_path, record("kd", 0, 0.5), record("cwd", 1, 0.6), record("cwd", 0, None, ending="failed"))
    found = difference(tmp_path)
    assert (found.mean, found.n) == (None, 0)
    assert sentence(found).endswith("kd and cwd share no seed on which both finished: nothing to compare.")


def test_of_two_versions_of_a_method_the_current_is_compared(tmp_path: Path):
    """The one that ended last, whichever name sorts first."""
    leave(
        tmp_path,
        *seeds("kd", 0.6, 0.6, digest="aaaa", ended="2025-01-02T00:00:00Z"),
        *seeds("kd", 0.2, 0.2, digest="bbbb", ended="2025-01-01T00:00:00Z"),
        *seeds("cwd", 0.5, 0.5),
    )
    found = difference(tmp_path)
    assert found.first.digest == "aaaa"
    assert found.mean == pytest.approx(0.1, abs=1e-3)


def test_boards_are_told_apart_and_chosen(tmp_path: Path):
    """Two budgets: a difference each; `--budget 1m` is the board of 60s."""
    for budget in ("60s", "120s"):
        leave(tmp_path, *seeds("kd", 0.5, 0.51, budget=budget), *seeds("cwd", 0.4, 0.42, budget=budget))
    found = compare(read_results(tmp_path), "kd", "cwd", None, None)
    assert [each.board.budget for each in found] == ["60s", "120s"]
    assert difference(tmp_path, budget="1m").board.budget == "60s"
    assert difference(tmp_path, budget="120s", workload="streets").board.budget == "120s"


def test_missing_counts_leave_the_other_intervals(tmp_path: Path):
    """And are named."""
    board(tmp_path, "kd", "cwd")
    gone = sorted((tmp_path / "runs").glob("streets-kd-s1-*.npz"))[0]
    gone.unlink()
    found = difference(tmp_path)
    assert found.over_images is None
    assert found.alone is not None
    assert found.notes[0].startswith(f"no interval over images: {gone}: ")


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("kdd", "cwd"), "A B: no runs of 'kdd' (did you mean 'kd'?): found cwd, kd"),
        (("kd", "kd"), "A B: found 'kd' twice: expected two methods"),
        (
            ("kd", "cwd", "street"),
            "--workload: no runs on 'street' (did you mean 'streets'?): found streets",
        ),
        (("kd", "cwd", None, "20s"), "--budget: no runs at '20s': found 90s"),
    ],
)
def test_what_is_misspelt_is_one_line(tmp_path: Path, arguments: tuple[str, ...], told: str):
    """With the nearest name."""
    board(tmp_path, "kd", "cwd", seeds=1)
    with pytest.raises(BadInput) as refused:
        compare(read_results(tmp_path), *arguments, *(None,) * (4 - len(arguments)))
    assert str(refused.value) == told


def test_bad_input_is_one_line_and_exit_2(tmp_path: Path):
    """A folder of results that is not there."""
    told = refusal(bench(tmp_path / "cache", "compare", "kd", "cwd", "--results", "none", cwd=tmp_path))
    assert told == "bench: --results: none: found nothing: expected a results folder"


def test_a_missing_seed_leaves_the_mean_over_the_seeds_that_both_have(tmp_path: Path):
    """Differences of 3 and 5 points: 4 of n = 2, whatever a third method did at the seed that kd has not."""
    kd = [record("kd", 0, 0.53), record("kd", 1, 0.57)]
    leave(tmp_path, *kd, *seeds("cwd", 0.50, 0.52, 0.52), *seeds("at", 0.50, 0.50, 0.30))
    found = difference(tmp_path)
    assert (found.mean, found.n) == (pytest.approx(0.04, abs=1e-3), 2)
    assert found.over_images.low < found.mean < found.over_images.high


def test_boards_that_would_read_alike_are_told_apart(tmp_path: Path):
    """Two versions of torch: all that the device class holds, the pace and the workload; another budget needs none."""
    for torch in ("2.7", "2.8"):
        on = ground(device=device_class(torch=torch))
        leave(tmp_path, *seeds("kd", 0.5, 0.5, on=on), *seeds("cwd", 0.4, 0.4, on=on))
    leave(tmp_path, *seeds("kd", 0.5, 0.5, budget="9s"), *seeds("cwd", 0.4, 0.4, budget="9s"))
    found = compare(read_results(tmp_path), "kd", "cwd", None, None)
    digest = found[0].board.workload_digest[:6]
    assert sorted(each.where for each in found) == [
        f"streets at 90s, Test CPU, 1 thread, clock pace, float32, torch 2.7, workload {digest}",
        f"streets at 90s, Test CPU, 1 thread, clock pace, float32, torch 2.8, workload {digest}",
        "streets at 9s, Test CPU, 1 thread",
    ]


def test_a_seed_that_is_not_the_boards_is_no_seed_to_compare_on(tmp_path: Path):
    """Both finished seed 7, which most methods have not: the sentence does not deny it, and the rows' notes say it."""
    others = [run for name in ("at", "baseline", "mgd") for run in seeds(name, 0.4, 0.4)]
    leave(tmp_path, *others, record("kd", 7, 0.5), record("cwd", 7, 0.4))
    found = difference(tmp_path)
    assert sentence(found).endswith(
        "kd and cwd share no seed of the board's (0, 1) on which both finished: nothing to compare."
    )
    assert "kd: seed 7 not in the mean: most methods have none" in found.notes


def test_the_images_of_as_many_seeds_are_drawn_as_on_the_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """The board's first; the counts of later ones are not even read."""
    board(tmp_path, "kd", "cwd", "baseline", seeds=3)
    whole = difference(tmp_path, "kd", "baseline").over_images
    for module in (comparing, over_images):
        monkeypatch.setattr(module, "MOST_SEEDS", 1)
    for path in (tmp_path / "runs").glob("*-s2-*.npz"):
        path.unlink()
    (page,) = boards(read_results(tmp_path).runs)
    gains = over_images.answer(over_images.question(page), tmp_path).gains
    found = difference(tmp_path, "kd", "baseline").over_images
    assert found != whole
    assert found == gains[next(at for at, row in enumerate(page.rows) if row.method == "kd")]


def test_methods_that_never_met_are_bad_input(tmp_path: Path):
    """Where each of them ran."""
    leave(tmp_path, record("kd", 0, 0.5, budget="60s"), record("cwd", 0, 0.5, budget="90s"))
    with pytest.raises(
        BadInput, match="no board has runs of both: kd ran on streets at 60s; cwd ran on streets at 90s"
    ):
        compare(read_results(tmp_path), "kd", "cwd", None, None)


def test_a_broken_record_is_named_beside_what_could_be_compared(tmp_path: Path):
    """Nothing is dropped without a line."""
    board(tmp_path / "results", "kd", "cwd", seeds=2)
    (tmp_path / "results" / "runs" / "streets-kd-s7-0123456789ab.1.json").write_text("{")
    answer = bench(tmp_path / "cache", "compare", "kd", "cwd", cwd=tmp_path)
    assert answer.returncode == 0
    assert answer.stdout.splitlines()[-1].startswith("left out: streets-kd-s7-0123456789ab.1.json: file: not JSON")
