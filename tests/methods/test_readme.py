"""methods/README.md does what it says: its commands run, and its tables know every key."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from harness.ledger.descriptor import Method, Term
from harness.ledger.signatures import GIVEN
from tests.story import environment

ROOT = Path(__file__).parents[2]
README = (ROOT / "methods" / "README.md").read_text(encoding="utf-8")
COMMANDS = [line for block in re.findall(r"```sh\n(.*?)```", README, re.DOTALL) for line in block.splitlines()]
SLOW = ("bench run", "bench report")


def enter(folder: Path) -> dict[str, str]:
    """The environment of a person who has `bench` and `python` on the path and the repository's tests beside."""
    programs = folder / "bin"
    programs.mkdir()
    for name, arguments in (("bench", "-m harness"), ("python", "")):
        (programs / name).write_text(f'#!/bin/sh\nexec "{sys.executable}" {arguments} "$@"\n')
        (programs / name).chmod(0o755)
    (folder / "tests").symlink_to(ROOT / "tests")
    held = environment(folder / "cache")
    return held | {"PATH": f"{programs}{os.pathsep}{held['PATH']}", "PYTHONPATH": str(ROOT)}


def carry_out(commands: list[str], folder: Path) -> None:
    """Each command in order, in one folder; a failure shows what was said."""
    held = enter(folder)
    for command in commands:
        done = subprocess.run(command, shell=True, cwd=folder, env=held, capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"


def test_the_commands_are_those_of_ten_minutes():
    """New, look, edit, check, run, verify."""
    verbs = [" ".join(command.split()[:3]) for command in COMMANDS]
    assert [verb for verb in verbs if verb.startswith("bench methods")] == [
        "bench methods new",
        "bench methods show",
        "bench methods list",
        "bench methods check",
        "bench methods verify",
    ]
    assert any(command.startswith("bench run --methods baseline,kd,mine.yaml") for command in COMMANDS)


@pytest.mark.thorough  # each command has tests of its own
def test_every_command_that_takes_seconds_runs(tmp_path: Path):
    """From an empty folder, in the order in which they stand."""
    carry_out([command for command in COMMANDS if not command.startswith(SLOW)], tmp_path)
    assert {path.name for path in tmp_path.glob("*mine*")} == {"mine.yaml", "mine.py", "test_mine.py"}


@pytest.mark.thorough  # as in tests/test_story.py, on a larger workload
def test_the_run_and_its_page(tmp_path: Path):
    """Three methods at 5 s, and the page."""
    carry_out([command for command in COMMANDS if "new" in command or command.startswith(SLOW)], tmp_path)
    assert len(list((tmp_path / "results" / "runs").glob("*.json"))) == 3


@pytest.mark.parametrize("model", [Method, Term], ids=lambda model: model.__name__)
def test_the_tables_know_every_key(model):
    """Each field of the descriptor and of a term begins a row, or stands in one."""
    rows = "\n".join(re.findall(r"^\| (.*?) \|", README, re.MULTILINE))
    fields = {field.alias or name for name, field in model.model_fields.items()}
    assert {field for field in fields if f"`{field}" not in rows} == set()


def test_the_tables_know_what_the_engine_gives():
    """Every keyword argument that is no setting."""
    rows = "\n".join(re.findall(r"^\| (.*?) \|", README, re.MULTILINE))
    assert {name for name in GIVEN if f"`{name}`" not in rows} == set()
