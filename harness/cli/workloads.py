"""bench workloads list, show, check."""

from typing import TYPE_CHECKING, Annotated

import typer

from harness.cli import options

if TYPE_CHECKING:
    from harness.ledger.networks import Network

app = typer.Typer(help="The workloads that ship: everything that is held fixed.", no_args_is_help=True)

Name = Annotated[str, typer.Argument(help="A shipped workload's name or a path to a .yaml.")]


@app.command("list")
def list_workloads() -> None:
    """List the shipped workloads."""
    from harness.cli.console import show_table
    from harness.ledger.workload import read_workload, shipped_workloads, workload_path

    rows = []
    for name in shipped_workloads():
        workload = read_workload(workload_path(name))
        rows.append((name, workload.standing, workload.dataset, lesson(workload.teacher.network, workload.student)))
    show_table("Workloads", ("name", "standing", "data set", "teacher → student"), rows)


def lesson(teacher: "Network", student: "Network") -> str:
    """Who teaches whom, an architecture that both have named once."""
    shared = teacher.architecture == student.architecture
    return f"{teacher.architecture} {body(teacher)} → {'' if shared else f'{student.architecture} '}{body(student)}"


def body(network: "Network") -> str:
    """What a network stands on, without the tag of its weights."""
    from harness.ledger.networks import LightNetwork

    if isinstance(network, LightNetwork):
        return "-".join(str(width) for width in network.widths)
    return network.backbone.split(".")[0]


@app.command("show")
def show(name: Name) -> None:
    """Print a workload's YAML, checked."""
    from harness.ledger.workload import read_workload, workload_path

    path = workload_path(name)
    read_workload(path)
    typer.echo(f"# {path}\n{path.read_text()}", nl=False)


@app.command("check")
def check(name: Name, data: options.Data = None) -> None:
    """Find what is wrong with a workload before anything is read, downloaded or spent. Exit 2 when something is.

    A note says what cannot be known yet: data that nobody named, a teacher that is still to be made.
    """
    from harness.cli.console import Terminal, print_line, show_table
    from harness.sweep.workload import inspect

    with Terminal() as terminal:
        findings = inspect(name, data, options.local("cpu"), terminal)
    show_table("", ("", "what", "found", "to do"), [(f.mark, f.what, f.found, f.remedy) for f in findings])
    missing = sum(finding.mark == "missing" for finding in findings)
    print_line("all is well" if not missing else f"{missing} to mend")
    if missing:
        raise typer.Exit(2)
