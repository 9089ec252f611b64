"""Where `bench` is started from changes nothing: what lies in the current folder is no part of the program."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from harness.executors.job import Job
from harness.executors.local import Local
from tests import stored
from tests.story import tiny

MODULES = ("yaml", "torch", "numpy", "pydantic", "typer", "json", "signal", "sitecustomize", "multiprocessing")
LISTED = ["methods", "list", "--json"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A stranger's: Python of known names that tells when it is run, and a `methods/` with a `kd` of its own."""
    for name in MODULES:
        (tmp_path / f"{name}.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'a').write({name!r} + ' ')\n")
    (tmp_path / "methods").mkdir()
    (tmp_path / "methods" / "__init__.py").write_text((tmp_path / "yaml.py").read_text())
    (tmp_path / "methods" / "evil.yaml").write_text("title: Evil\nfamily: general\nnotes: none\nterms: []\n")
    (tmp_path / "methods" / "kd.yaml").write_text("title: Evil\nfamily: general\nnotes: none\nterms: []\n")
    return tmp_path


def said(folder: Path, *command: str, cache: Path | None = None) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if name not in {"PYTHONPATH", "PYTHONSAFEPATH"}}
    environment |= {"SEGKD_CACHE": str(cache)} if cache else {}
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)


@pytest.mark.parametrize(
    "program",
    [
        [sys.executable, "-m", "harness"],
        pytest.param([str(Path(sys.executable).with_name("bench"))], marks=pytest.mark.thorough),
    ],
)
def test_a_folder_of_hostile_modules_and_methods_changes_nothing(folder: Path, tmp_path_factory, program: list[str]):
    """The shipped methods are listed as from an empty folder, and nothing that lies there is run."""
    found = said(folder, *program, *LISTED)
    assert (found.returncode, found.stderr) == (0, "")
    assert found.stdout == said(tmp_path_factory.mktemp("empty"), *program, *LISTED).stdout
    assert not (folder / "ran").exists()


def test_a_method_of_a_known_name_is_the_shipped_one(folder: Path):
    """Whoever wants the folder's own says so by a path."""
    found = said(folder, sys.executable, "-m", "harness", "methods", "show", "kd")
    assert "Evil" not in found.stdout
    assert found.returncode == 0


def test_the_engine_runs_nothing_of_the_folder(folder: Path, monkeypatch: pytest.MonkeyPatch):
    """It is started from wherever `bench` is; a spec that is not there is told by the shipped code."""
    monkeypatch.chdir(folder)
    for name in ("PYTHONPATH", "PYTHONSAFEPATH"):
        monkeypatch.delenv(name, raising=False)
    executor, job = Local(["cpu"]), Job("data", "data", *map(Path, ("none.json", "out.json", "log")), "cpu", 1)
    executor.submit(job)
    while not (ended := executor.poll()):
        pass
    assert (ended[0].exit_code, job.log.read_text()) == (
        2,
        "bench: none.json: cannot be read: No such file or directory\n",
    )
    assert not (folder / "ran").exists()


@pytest.mark.thorough
def test_a_run_takes_nothing_of_the_folder(folder: Path, tmp_path_factory):
    """Data, teacher, costs and the run itself, each an engine of its own; torch and all its modules are the real."""
    apart = tmp_path_factory.mktemp("apart")
    command = ["run", "--methods", "baseline", "--budget", "2it", "--seeds", "1", "--pace", "iterations"]
    where = ["--workload", str(tiny(apart)), "--results", str(apart / "results"), "--device", "cpu", "--yes"]
    bench = (sys.executable, "-m", "harness")
    made = said(folder, *bench, "teacher", *where[:2], "--device", "cpu", cache=apart)
    assert made.returncode == 0, made.stderr
    found = said(folder, *bench, *command, *where, "--profile-time", "0.2s", cache=apart)
    assert found.returncode == 0, found.stderr
    assert found.stdout.splitlines()[-1].startswith("1 done; ")
    assert not (folder / "ran").exists()


@pytest.mark.thorough
def test_a_report_runs_nothing_of_the_folder_and_looks_the_same(folder: Path, tmp_path_factory):
    """Nor do the processes that draw; a `matplotlibrc` lies there too, which matplotlib reads before a user's own."""
    apart = tmp_path_factory.mktemp("apart")
    stored.board(apart / "results", "kd", "baseline", seeds=2)
    (folder / "evil.py").write_text((folder / "yaml.py").read_text())
    (folder / "matplotlibrc").write_text("backend: module://evil\naxes.linewidth: 9\nsvg.fonttype: path\n")
    pages = []
    for start in (tmp_path_factory.mktemp("empty"), folder):
        out = apart / f"report-{len(pages)}"
        program = (str(Path(sys.executable).with_name("bench")), "report", "--results", str(apart / "results"))
        found = said(start, *program, "--out", str(out))
        assert found.returncode == 0, found.stderr
        pages.append({name: digest for name, digest in stored.checksums(out).items() if digest != "folder"})
    assert pages[0] == pages[1]
    assert any(name.endswith(".svg") for name in pages[0])
    assert not (folder / "ran").exists()
