"""How every command ends."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from harness import cli


@pytest.fixture
def handlers() -> Iterator[None]:
    """The suite's own stay."""
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGHUP)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_command_that_is_told_to_stop_ends_in_order(number: signal.Signals, tmp_path: Path):
    """Exit 130, as with Ctrl-C; what it has to do at its end it does."""
    script = (
        "import os, signal, sys\nfrom harness import cli\n"
        f"signal.signal({int(number)}, signal.SIG_DFL)\n"
        "def work():\n"
        f"    try:\n        os.kill(os.getpid(), {int(number)}); sys.stdin.read()\n"
        "    finally:\n        print('in order')\n"
        "cli.app.command('work')(work)\nsys.argv = ['bench', 'work']\ncli.main()\n"
    )
    command = [sys.executable, "-c", script]
    ended = subprocess.run(command, cwd=tmp_path, input="", capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stdout) == (130, "in order\n"), ended.stderr


@pytest.mark.usefixtures("handlers")
def test_a_command_under_nohup_goes_on_without_its_terminal(monkeypatch: pytest.MonkeyPatch):
    """What was ignored stays ignored."""
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    monkeypatch.setattr(cli, "app", lambda **_: os.kill(os.getpid(), signal.SIGHUP))
    with pytest.raises(SystemExit):
        cli.main()
    assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN


def test_every_word_of_help_is_there_in_eighty_columns():
    """Nothing of --slurm is cut."""
    told = CliRunner().invoke(cli.app, ["run", "--help"], env={"COLUMNS": "80"}).stdout
    assert "partition=gpu,gres=gpu:1;" in told
    assert "limit=N" in told
    assert "grace=SECONDS" in told
    assert "…" not in told


@pytest.mark.usefixtures("handlers")
@pytest.mark.parametrize(
    ("typed", "line"),
    [
        ("plann", "no such command 'plann'. Did you mean 'plan'?: see `bench --help`"),
        ("plan --yes", "plan: no such option: --yes: see `bench plan --help`"),
        ("methods show", "methods show: missing argument 'name': see `bench methods show --help`"),
        (
            "run --executor slrum",
            "run: invalid value for '--executor': 'slrum' is not one of 'local', 'slurm': see `bench run --help`",
        ),
    ],
)
def test_a_command_that_is_none_is_told_in_one_line(
    typed: str, line: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    """Exit 2, and where it stands how it is meant."""
    monkeypatch.setattr(sys, "argv", ["bench", *typed.split()])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert (ended.value.code, capsys.readouterr().err) == (2, f"bench: {line}\n")


@pytest.mark.usefixtures("handlers")
def test_bench_alone_shows_its_help(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    """And no complaint beneath it."""
    monkeypatch.setattr(sys, "argv", ["bench"])
    with pytest.raises(SystemExit):
        cli.main()
    told = capsys.readouterr()
    assert "compare" in told.out
    assert "bench:" not in told.err
