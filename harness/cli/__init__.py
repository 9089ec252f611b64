"""The command line: `bench`. Each command imports what it calls inside its body, so that `--help` costs nothing."""

import signal
import sys

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
        app()
    except BadInput as error:
        from harness.cli.console import plain

        print(plain(f"bench: {error}"), file=sys.stderr)
        sys.exit(2)


def stop(*_: object) -> None:
    """Whoever ends a command politely, as a terminal that is closed does, finds it ended in order."""
    raise KeyboardInterrupt
