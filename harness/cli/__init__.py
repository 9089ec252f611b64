"""The command line: `bench`. Each command imports what it calls inside its body, so that `--help` costs nothing."""

import signal
import sys
from typing import NoReturn

import typer

from harness.cli import (
    compare,
    data,
    doctor,
    methods,
    plan,
    profile,
    report,
    results,
    run,
    status,
    students,
    tune,
    workloads,
)
from harness.ledger.errors import BadInput

app = typer.Typer(
    name="bench",
    help="Compute-matched knowledge distillation for semantic segmentation: equal budgets, then mIoU.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.command("run")(run.run)
app.command("plan")(plan.plan)
app.command("profile")(profile.profile)
app.command("tune")(tune.tune)
app.command("report")(report.report)
app.command("compare")(compare.compare)
app.command("status")(status.status)
app.command("doctor")(doctor.doctor)
app.command("teacher")(data.teacher)
app.command("evaluate")(students.evaluate)
app.command("export")(students.export)
app.add_typer(methods.app, name="methods")
app.add_typer(workloads.app, name="workloads")
app.add_typer(data.app, name="data")
app.add_typer(results.app, name="results")


def main() -> None:
    """Runs a command; what a person can mend is one line on stderr and exit code 2, and a stop is 130."""
    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is not signal.SIG_IGN:  # as nohup has it
            signal.signal(number, stop)
    try:
        sys.exit(app(prog_name="bench", standalone_mode=False))
    except BadInput as error:
        refuse(str(error))
    except typer.TyperException as error:
        refuse(misused(error))
    except typer.Abort:
        refuse("the input ended where an answer was expected")


def refuse(complaint: str) -> NoReturn:
    """Ends the command with what a person can mend; without a word where help has been printed instead."""
    from harness.cli.console import plain

    if complaint:
        print(plain(f"bench: {complaint}"), file=sys.stderr)
    sys.exit(2)


def misused(error: typer.TyperException) -> str:
    """A command that is none, or its options, in typer's words: what, where, and where it stands how it is meant."""
    complaint = error.format_message().replace("Value error, ", "").replace("Input should be", "expected").rstrip(".")
    if not complaint:
        return ""
    context = getattr(error, "ctx", None)
    path = context.command_path if context else "bench"
    where = path.removeprefix("bench").strip()
    return f"{where and where + ': '}{complaint[0].lower()}{complaint[1:]}: see `{path} --help`"


def stop(*_: object) -> None:
    """Whoever ends a command politely, as a terminal that is closed does, finds it ended in order."""
    raise KeyboardInterrupt
