"""The command line: `bench`. Each command imports what it calls inside its body, so that `--help` costs nothing."""

import sys

import typer

from harness.cli import compare, data, doctor, methods, profile, report, results, run, students, tune, workloads
from harness.ledger.errors import BadInput

app = typer.Typer(
    name="bench",
    help="Compute-matched knowledge distillation for semantic segmentation: equal budgets, then mIoU.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.command("run")(run.run)
app.command("plan")(run.plan)
app.command("profile")(profile.profile)
app.command("tune")(tune.tune)
app.command("report")(report.report)
app.command("compare")(compare.compare)
app.command("status")(run.status)
app.command("doctor")(doctor.doctor)
app.command("teacher")(data.teacher)
app.command("evaluate")(students.evaluate)
app.command("export")(students.export)
app.add_typer(methods.app, name="methods")
app.add_typer(workloads.app, name="workloads")
app.add_typer(data.app, name="data")
app.add_typer(results.app, name="results")


def main() -> None:
    """Runs a command; what a person can mend is one line on stderr and exit code 2."""
    try:
        app()
    except BadInput as error:
        print(f"bench: {error}", file=sys.stderr)
        sys.exit(2)
