"""What a stranger's files come to through the commands as a person types them: a line, and exit code 2."""

import json
import os
import struct
import sys
import tarfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from harness.cli import main
from harness.ledger import claims
from harness.ledger.device import device_class
from harness.ledger.endings import Ending
from harness.ledger.files import write
from harness.ledger.plan import Plan
from harness.ledger.record import Record
from harness.ledger.spec import PlannedRun
from harness.ledger.status import Status, status_path
from tests import layouts, stored
from tests.factories import ground, method, record, spec
from tests.security.test_images import claiming
from tests.story import TINY

HOSTILE = "\x1b]0;owned\x07\x1b[2J\x9b31m\r\nbench: all is well\u202e\u2066\u200b\t\x7f"
"""Sets a title, clears the screen, changes colours, forges a line, turns letters round."""
TOLD = r"\x1b]0;owned\x07\x1b[2J\x9b31m\r\nbench: all is well\u202e\u2066\u200b\t\x7f"


@dataclass(frozen=True)
class Said:
    """What a person saw."""

    code: int
    out: str
    error: str

    @property
    def line(self) -> str:
        """The one line of bad input."""
        assert (self.code, self.out) == (2, ""), self
        (line,) = self.error.splitlines()
        assert line.startswith("bench: ")
        return line.removeprefix("bench: ")


Bench = Callable[..., Said]

FOLDERS = f"""
title: Mine
standing: demonstration
caveat: made for tests
dataset: mine
classes: [a, b, c]
pictures: public
data:
  reader: folders
  train: {{count: 1, images: images/train, labels: masks/train}}
  tune: {{count: 1, images: images/val, labels: masks/val}}
  score: {{count: 2, images: images/test, labels: masks/test}}
  unlabelled: [3]
{TINY[TINY.index("image_size") :]}"""


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Bench:
    """`bench …` within this process, from an empty folder; nothing that is said there moves a cursor."""
    monkeypatch.setenv("SEGKD_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("COLUMNS", "400")
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")

    def typed(*arguments: object) -> Said:
        monkeypatch.setattr(sys, "argv", ["bench", *map(str, arguments)])
        with pytest.raises(SystemExit) as left:
            main()
        said = capsys.readouterr()
        assert all(letter.isprintable() or letter == "\n" for letter in said.out + said.err)
        assert not any((tmp_path / "here").iterdir())
        return Said(int(left.value.code or 0), said.out, said.err)

    return typed


@pytest.fixture
def results(tmp_path: Path) -> Path:
    """Two methods, two seeds."""
    stored.board(tmp_path / "results", "kd", "baseline", seeds=2)
    return tmp_path / "results"


def saying(words: str, ending: Ending = "failed") -> Record:
    """A record that says them wherever it is free to."""
    whole = record("kd", 7, None, ending=ending, reason=words)
    named = whole.spec.method.model_copy(update={"title": words})
    return whole.model_copy(
        update={"spec": whole.spec.model_copy(update={"method": named}), "log_tail": f"{words}\n{words}"}
    )


# What is shown


def test_words_of_a_record_move_no_cursor(results: Path, bench: Bench):
    """Its reason, its titles, the end of its log; each stays on a line of its own."""
    (left,) = stored.leave(results, saying(HOSTILE))
    shown = bench("results", "show", left.spec.name, "--results", results)
    assert (shown.code, shown.error) == (0, "")
    assert shown.out.splitlines()[0] == f"{left.spec.name}: failed: {TOLD}"
    assert "bench: all is well" not in [line.strip() for line in shown.out.splitlines()]
    for command in (["verify", results], ["merge", results, "--into", results.with_name("into")]):
        assert bench("results", *command).code in (0, 2)


@pytest.mark.parametrize("name", [HOSTILE, os.fsdecode(b"\xff\xfe")])
def test_names_of_files_move_no_cursor(results: Path, bench: Bench, name: str):
    """Nor do those that are no text; among records, among runs under way, and where they lead nowhere."""
    (results / "runs" / f"{name}.1.json").write_text("{")
    work = results / "work" / f"{name}.1"
    work.mkdir(parents=True)
    state = Status(pid=1, phase=HOSTILE, done=1, total=2, spent_seconds=1, budget_seconds=2, heartbeat=0)
    write(status_path(work / "out.json"), state)
    told = ascii(name)[1:-1]
    verified = bench("results", "verify", results)
    assert verified.code == 2
    (line, _) = verified.out.splitlines()
    assert line.startswith(f"{results}/runs/{told}.1.json: ")
    (line,) = bench("results", "merge", results, "--into", results.with_name("into")).out.splitlines()
    assert line.startswith(f"{results}/runs/{told}.1.json: ")
    assert f"left out: {told}.1.json: " in bench("compare", "kd", "baseline", "--results", results).out
    assert bench("status", "--results", results).code == 0
    assert bench("workloads", "check", f"{name}.yaml").line == f"{told}.yaml: cannot be read: No such file or directory"
    assert bench("run", "--plan", f"{name}.json").line == f"{told}.json: cannot be read: No such file or directory"
    assert f"{told}.safetensors" in bench("evaluate", f"{name}.safetensors").line


def test_words_of_a_workload_move_no_cursor(tmp_path: Path, bench: Bench):
    """As a key or as a value."""
    path = tmp_path / "mine.yaml"
    for text in ('"\\e[2J\\u202E": 1\n', TINY.replace("demonstration", '"\\e[2J\\u202E"')):
        path.write_text(text)
        assert r"\u202e" in bench("workloads", "check", path).line.lower()


def test_a_beginning_that_many_keys_share_is_told_in_a_line(results: Path, bench: Bench):
    """By the names of the files."""
    for number in range(3):
        (results / "runs" / f"zz{number}\x1b[2J\u202e.1.json").write_text("{}")
    told = bench("results", "show", "zz", "--results", results).line
    assert told.startswith(r"RUN: 3 runs begin with 'zz': zz0\x1b[2J\u202e, zz1")


# What is refused


def planned(**changes: object) -> Plan:
    """A run's plan, something of the run changed."""
    run = PlannedRun(**{name: getattr(spec(), name) for name in PlannedRun.model_fields})
    return Plan(ground=ground(), host="node1", runs=(run.model_copy(update=changes),), refused=())


@pytest.mark.parametrize("name", ["../../elsewhere", "/elsewhere", ""])
def test_a_plan_writes_nothing_beside_its_results(tmp_path: Path, bench: Bench, name: str):
    """By the name of a run, of its method or of its workload."""
    plans = {
        "runs[0].key": planned(key=name),
        "runs[0].method.name": planned(method=method().model_copy(update={"name": name})),
        "ground.workload_name": planned().model_copy(
            update={"ground": ground().model_copy(update={"workload_name": name})}
        ),
    }
    for key, plan in plans.items():
        write(tmp_path / "plan.json", plan)
        told = bench("run", "--plan", tmp_path / "plan.json", "--results", tmp_path / "made", "--device", "cpu").line
        assert told == f'{tmp_path}/plan.json: {key}: found "{name}": expected a name without / or NUL'
    assert sorted(path.name for path in tmp_path.iterdir()) == ["here", "plan.json"]


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("pipe.py", "pipe.py: is no plain file"),
        ("zeros.py", "/dev/zero: is no plain file"),
        ("long.py", "long.py: found 1,048,576 bytes: expected at most 262,144"),
        ("no\0ne.py", "expected a path without NUL"),
    ],
)
def test_python_that_a_plan_names_is_parsed_within_bounds(tmp_path: Path, bench: Bench, name: str, why: str):
    """To see whether it is what was planned; none of it is run for that."""
    os.mkfifo(tmp_path / "pipe.py")
    (tmp_path / "zeros.py").symlink_to("/dev/zero")
    (tmp_path / "long.py").write_bytes(b"(" * 2**20)
    of = method()
    term = of.terms[0].model_copy(update={"file": str(tmp_path / name)})
    on = ground(device=device_class("cpu", 1, "float32"))
    plan = planned(method=of.model_copy(update={"terms": (term,)})).model_copy(update={"ground": on})
    write(tmp_path / "plan.json", plan)
    told = bench("run", "--plan", tmp_path / "plan.json", "--results", tmp_path / "made", "--device", "cpu").line
    assert told.endswith(why)
    assert not (tmp_path / "made").exists()


def made(folder: Path) -> Sequence[Path]:
    """A pipe, a device and a folder that never end or begin."""
    os.mkfifo(folder / "pipe")
    (folder / "zeros").symlink_to("/dev/zero")
    (folder / "folder").mkdir()
    return [folder / name for name in ("pipe", "zeros", "folder")]


def test_what_is_no_file_is_not_waited_for(tmp_path: Path, bench: Bench):
    """Where a workload, a method, a plan, weights or data are named."""
    for path in made(tmp_path):
        for suffix, command in (
            (".yaml", ["workloads", "check"]),
            (".yaml", ["workloads", "show"]),
            (".yaml", ["data", "check"]),
            (".yaml", ["methods", "show"]),
            (".json", ["run", "--device", "cpu", "--plan"]),
            (".safetensors", ["evaluate", "--device", "cpu", "--workload", "streets"]),
        ):
            named = path.rename(path.with_suffix(suffix))
            assert str(named) in bench(*command, named).line
            named.rename(path)


@pytest.mark.parametrize("content", [b"", b"\0" * 8, struct.pack("<Q", 2**63) + b"{}", struct.pack("<Q", 2) + b"[]"])
def test_weights_that_are_none_are_a_line(tmp_path: Path, bench: Bench, content: bytes):
    """Before anything of the data set is looked at."""
    path = tmp_path / "student.safetensors"
    path.write_bytes(content)
    told = bench("evaluate", path, "--device", "cpu", "--workload", "streets").line
    assert told.startswith(f"FILE: {path}: no whole .safetensors file: ")


def test_a_folder_of_results_shows_nothing_that_lies_outside(tmp_path: Path, results: Path, bench: Bench):
    """Its folders and its records are none where they are links, nor are they read where they are pipes."""
    stranger = tmp_path / "stranger"
    (stranger / "runs").mkdir(parents=True)
    name = sorted(results.glob("runs/*.json"))[0].stem
    (stranger / "runs" / f"{name}.json").symlink_to(results / "runs" / f"{name}.json")
    os.mkfifo(stranger / "runs" / "pipe.1.json")
    for command in (["show"], ["show", "--json"]):
        told = bench("results", *command, name, "--results", stranger).line
        assert told == f"{stranger}/runs/{name}.json: is no plain file"
    assert bench("export", name, "--out", tmp_path / "out", "--results", stranger).line == told
    verified = bench("results", "verify", stranger)
    assert (verified.code, verified.out.count("is no plain file\n")) == (2, 2)
    merged = bench("results", "merge", stranger, "--into", tmp_path / "into")
    assert (merged.code, merged.out.count("is no plain file\n")) == (2, 2)
    linked = tmp_path / "linked"
    linked.mkdir()
    (linked / "runs").symlink_to(results / "runs")
    assert "is a link, and links are not followed" in bench("results", "verify", linked).line
    assert not any((tmp_path / name).exists() for name in ("out", "into"))


@pytest.mark.parametrize("digest", ["../../elsewhere", "/etc/passwd"])
def test_no_student_is_exported_from_elsewhere(tmp_path: Path, results: Path, bench: Bench, digest: str):
    """A record says by which digest the cache has its student."""
    path = sorted(results.glob("runs/*.json"))[0]
    text = path.read_text()
    assert text.count('"student_sha256": null') == 1
    path.write_text(text.replace('"student_sha256": null', f'"student_sha256": "{digest}"'))
    told = bench("export", path.stem, "--out", tmp_path / "out", "--results", results).line
    assert told.startswith(f"{path}: outcome.student_sha256: found ")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    "owner",
    [
        '{"system": "../../elsewhere", "pid": 1, "started": 0}',
        '{"system": "a\\u0000b", "pid": 1, "started": 0}',
        '{"system": "HERE", "pid": -1, "started": 0}',
        '{"system": "HERE", "pid": 99999999999999999999, "started": 0}',
        '{"system": "HERE", "pid": 1, "started": 1e400}',
        "[" * 100_000,
    ],
)
def test_whoever_is_said_to_own_a_run_the_status_is_told(tmp_path: Path, bench: Bench, owner: str):
    """The file may be a stranger's, or torn."""
    folder = tmp_path / "results" / "work" / "kd.1"
    folder.mkdir(parents=True)
    (folder / "owner.json").write_text(owner.replace("HERE", claims.this_system()))
    told = bench("status", "--results", tmp_path / "results")
    assert (told.code, told.error) == (0, "")
    assert told.out.splitlines()[-1] == f"{tmp_path}/results: 1 under way; 0 ended"


# Data sets, which an engine looks at


@pytest.mark.slow
def test_a_hostile_data_set_is_told_in_lines(tmp_path: Path, bench: Bench):
    """A picture that claims a billion pixels, a name that moves cursors; a pipe and an archive's link are passed by."""
    home = layouts.folders(tmp_path / "data", train=1)
    (tmp_path / "mine.yaml").write_text(FOLDERS)
    (home / "images/train/0.jpg").write_bytes(claiming(100_000, 10_000))
    (home / f"images/test/{HOSTILE}.jpg").write_bytes(b"")
    os.mkfifo(home / "images/val/pipe.png")
    (home / "images/val/1.jpg").symlink_to(home / "images/val/0.jpg")
    archives = [layouts.as_tar(tmp_path / name, home, mode) for name, mode in (("a.tar", "w"), ("a.tgz", "w:gz"))]
    (home / "images/val/1.jpg").unlink()
    for data in (home, *archives):
        told = bench("data", "check", tmp_path / "mine.yaml", "--data", data)
        assert (told.code, told.error) == (2, "reading the data set — starting\n")
        problems = [line for line in told.out.splitlines() if line.startswith("problem: ")]
        assert "problem: images/train/0.jpg: over 64 million pixels" in problems
        assert any(TOLD in line for line in problems)
        assert not any("val" in line for line in problems)
    told = bench("data", "check", tmp_path / "mine.yaml", "--data", home, "--json")
    assert any(TOLD in problem for problem in json.loads(told.out)["problems"])


@pytest.mark.slow
def test_an_archive_writes_nothing_anywhere(tmp_path: Path, bench: Bench):
    """Names that lead out of it are none of the data set's."""
    home = layouts.folders(tmp_path / "data", train=1, size=(64, 128))
    (tmp_path / "mine.yaml").write_text(FOLDERS)
    data = layouts.as_tar(tmp_path / "data.tar", home)
    with tarfile.open(data, "a") as archive:
        for name in ("images/val/../../../out.png", "/out.png", "../out.png"):
            archive.addfile(tarfile.TarInfo(name))
    before = sorted(tmp_path.iterdir())
    told = bench("data", "check", tmp_path / "mine.yaml", "--data", data)
    assert (told.code, told.out.splitlines()[-1]) == (0, "0 problems")
    assert sorted(tmp_path.iterdir()) == sorted([*before, tmp_path / "cache"])
