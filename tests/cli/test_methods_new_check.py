"""bench methods new and check, as a person types them."""

import json
from pathlib import Path

import pytest

from harness.ledger.descriptor import read_method
from tests.story import bench


@pytest.mark.parametrize(
    ("flags", "files"), [((), {"mine.yaml"}), (("--python",), {"mine.yaml", "mine.py", "test_mine.py"})]
)
def test_a_new_method_reads_as_it_is(tmp_path: Path, flags: tuple[str, ...], files: set[str]):
    """What is written is named, what to do next is told, and the descriptor has no fault."""
    answer = bench(tmp_path, "methods", "new", "mine", *flags, cwd=tmp_path)
    assert answer.returncode == 0, answer.stderr
    assert {path.name for path in tmp_path.iterdir()} == files
    assert "bench methods check mine.yaml" in answer.stdout
    assert "bench run --methods baseline,mine.yaml --budget 10s --seeds 1" in answer.stdout
    assert [term.loss for term in read_method(tmp_path / "mine.yaml").terms] == (
        ["mine.py:misalignment"] if flags else ["kl", "mse"]
    )


def test_a_new_method_goes_where_it_is_told(tmp_path: Path):
    """The folder is made."""
    bench(tmp_path, "methods", "new", "mine", "--out", "some/where", cwd=tmp_path)
    assert (tmp_path / "some" / "where" / "mine.yaml").exists()


def test_nothing_is_overwritten(tmp_path: Path):
    """One file in the way is enough for none to be written."""
    (tmp_path / "mine.py").write_text("precious")
    answer = bench(tmp_path, "methods", "new", "mine", "--python", cwd=tmp_path)
    assert answer.returncode == 2
    assert answer.stderr == "bench: mine.py: is there already: nothing was written; choose another name or --out\n"
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {"mine.py": "precious"}


@pytest.mark.parametrize(
    ("name", "message"),
    [
        (
            "My-Method",
            "found 'My-Method' (did you mean 'my_method'?): a method's name is its file's, of a-z, 0-9 and _",
        ),
        ("../mine", "found '../mine' (did you mean 'mine'?): a method's name is its file's, of a-z, 0-9 and _"),
        ("é", "found 'é': a method's name is its file's, of a-z, 0-9 and _"),
        ("cwd", "'cwd' ships already (bench methods list): choose another name"),
    ],
)
def test_a_bad_name_is_refused_with_the_rule(tmp_path: Path, name: str, message: str):
    """One line, exit 2, nothing written."""
    answer = bench(tmp_path, "methods", "new", name, cwd=tmp_path)
    assert (answer.returncode, answer.stderr) == (2, f"bench: NAME: {message}\n")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("flags", [(), ("--python",)], ids=["shared", "own"])
def test_a_new_method_keeps_the_contract(tmp_path: Path, flags: tuple[str, ...]):
    """All clauses, none left out."""
    bench(tmp_path, "methods", "new", "mine", *flags, cwd=tmp_path)
    answer = bench(tmp_path, "methods", "check", "mine.yaml", "--json", cwd=tmp_path)
    report = json.loads(answer.stdout)
    assert answer.returncode == 0, answer.stdout
    assert [result for result in report["results"] if not result["passed"]] == report["unchecked"] == []
    assert report["cost_ratio"] > 0


def test_a_broken_method_is_one_line_and_exit_1(tmp_path: Path):
    """The clause, the file and its line, no traceback; what could not be looked at is named."""
    bench(tmp_path, "methods", "new", "mine", "--python", cwd=tmp_path)
    (tmp_path / "mine.py").write_text((tmp_path / "mine.py").read_text().replace("dim=1)", "dim=9)"))
    answer = bench(tmp_path, "methods", "check", "mine.yaml", cwd=tmp_path)
    assert answer.returncode == 1
    assert "Traceback" not in answer.stdout + answer.stderr
    assert "mine.py:22: IndexError: Dimension out of range" in answer.stdout
    assert "not looked at, as it cannot be computed: gradients arrive; " in answer.stdout
    assert answer.stdout.splitlines()[-1] == "2 clauses looked at, 1 broken"


def test_a_descriptor_with_a_fault_is_exit_2(tmp_path: Path):
    """It is found by reading, before any Python runs."""
    bench(tmp_path, "methods", "new", "mine", cwd=tmp_path)
    text = (tmp_path / "mine.yaml").read_text()
    (tmp_path / "mine.yaml").write_text(text.replace("at: logits ", "at: logit  "))
    answer = bench(tmp_path, "methods", "check", "mine.yaml", cwd=tmp_path)
    assert answer.returncode == 2
    assert answer.stderr.startswith("bench: mine.yaml:9: terms[0].at: ")
    assert len(answer.stderr.splitlines()) == 1


def test_weights_that_a_workload_lacks_are_exit_2(tmp_path: Path):
    """A method for one data set is checked with that data set's workload."""
    bench(tmp_path, "methods", "new", "mine", cwd=tmp_path)
    text = (tmp_path / "mine.yaml").read_text()
    (tmp_path / "mine.yaml").write_text(text.replace("{default: ", "{camvid: "))
    refused = bench(tmp_path, "methods", "check", "mine.yaml", cwd=tmp_path)
    assert refused.returncode == 2
    assert "no weight for 'streets' and no default: add one of the two" in refused.stderr.splitlines()[-1]
    assert bench(tmp_path, "methods", "check", "mine.yaml", "--workload", "camvid", cwd=tmp_path).returncode == 0
