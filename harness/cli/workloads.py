"""bench workloads list, show."""

from typing import Annotated

import typer

app = typer.Typer(help="The workloads that ship: everything that is held fixed.", no_args_is_help=True)


@app.command("list")
def list_workloads() -> None:
    """List the shipped workloads."""
    from harness.cli.console import show_table
    from harness.ledger.workload import read_workload, shipped_workloads, workload_path

    rows = []
    for name in shipped_workloads():
        workload = read_workload(workload_path(name))
        height, width = workload.augmentation.crop
        rows.append((name, workload.standing, workload.title, f"{height}×{width}", str(len(workload.classes))))
    show_table("Workloads", ("name", "standing", "title", "crop", "classes"), rows)


@app.command("show")
def show(name: Annotated[str, typer.Argument(help="A shipped workload's name or a path to a .yaml.")]) -> None:
    """Print a workload's YAML, checked."""
    from harness.ledger.workload import read_workload, workload_path

    path = workload_path(name)
    read_workload(path)
    typer.echo(f"# {path}\n{path.read_text()}", nl=False)
