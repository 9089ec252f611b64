"""The house stands as STYLE.md draws it: who may import whom, how long a file is, where imports are."""

import ast
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SOURCES = sorted(path.relative_to(ROOT) for folder in ("harness", "methods") for path in (ROOT / folder).rglob("*.py"))
LONGEST = 400
SLOW_TO_IMPORT = ("torch", "torchvision", "timm", "transformers", "pandas", "matplotlib", "numpy", "scipy")
# Of the repository's root, so that the tests also run where the project is not installed.
ENVIRONMENT = os.environ | {"PYTHONPATH": str(ROOT)}


def test_the_import_contracts_are_kept():
    """Desk and engine apart, arrows down, one door a library: [tool.importlinter] in pyproject.toml."""
    beside = Path(sys.executable).parent / "lint-imports"
    command = str(beside) if beside.exists() else shutil.which("lint-imports")
    assert command, "lint-imports is not installed: run `make setup`"
    done = subprocess.run([command, "--no-cache"], cwd=ROOT, env=ENVIRONMENT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_there_are_sources_to_look_at():
    """The tests below would pass on an empty folder."""
    assert Path("harness/ledger/budget.py") in SOURCES


@pytest.mark.parametrize("path", SOURCES, ids=str)
def test_a_file_can_be_read_in_one_sitting(path):
    """At most 400 lines."""
    assert len((ROOT / path).read_text(encoding="utf-8").splitlines()) <= LONGEST


def imports_in_functions(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """Line and function of every import below the top of a module."""
    for function in ast.walk(tree):
        if isinstance(function, (ast.FunctionDef, ast.AsyncFunctionDef)):
            for node in ast.walk(function):
                if isinstance(node, (ast.Import, ast.ImportFrom)):
                    yield node.lineno, function.name


LATE = {
    Path("harness/score/__init__.py"): ["load"],  # pandas, which boards and the page do without
    Path("harness/report/studio.py"): ["picture"],  # matplotlib, in a process of its own
}
"""Beside commands, whose body imports what it calls, so that `bench --help` is quick: who else does, for what."""


@pytest.mark.parametrize("path", [path for path in SOURCES if path.parts[:2] != ("harness", "cli")], ids=str)
def test_imports_stand_at_the_top(path):
    """But for commands and for two slow libraries that most callers do without."""
    tree = ast.parse((ROOT / path).read_text(encoding="utf-8"))
    assert sorted({function for _, function in imports_in_functions(tree)}) == LATE.get(path, [])


def test_an_import_in_a_function_would_be_found():
    """The check itself."""
    tree = ast.parse("import a\ndef f():\n    def g():\n        from b import c\n")
    assert sorted(set(imports_in_functions(tree))) == [(4, "f"), (4, "g")]


@pytest.mark.parametrize("path", SOURCES, ids=str)
def test_no_module_brings_its_names_by_a_star(path):
    """Where a name comes from can be read."""
    tree = ast.parse((ROOT / path).read_text(encoding="utf-8"))
    stars = [node.lineno for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and node.names[0].name == "*"]
    assert stars == []


HELP = f"""
import sys
from harness.cli import main
sys.argv = ["bench", "--help"]
try:
    main()
except SystemExit as end:
    assert not end.code, end.code
print("loaded:", *sorted(set({SLOW_TO_IMPORT!r}) & set(sys.modules)))
"""


def test_help_loads_nothing_heavy():
    """`bench --help` answers in a tenth of a second, as it leaves torch, pandas, matplotlib and numpy alone."""
    done = subprocess.run([sys.executable, "-c", HELP], cwd=ROOT, env=ENVIRONMENT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "loaded:"


def test_the_constraints_hold_versions_and_nothing_of_this_machine():
    """Every line pins a version; none names a host, a path or an index."""
    line = re.compile(r'^[a-z0-9][a-z0-9._-]*==[0-9][^ /:]*( ; [a-z_]+ == "[A-Za-z0-9_]+")?$')
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    assert [each for each in lines if not each.startswith("#") and not line.match(each)] == []
    assert len(lines) > 20
