"""bench methods list, show, verify."""

from pathlib import Path
from typing import Annotated

import typer

from harness.ledger.errors import BadInput

app = typer.Typer(help="The methods that ship, and what each of them is.", no_args_is_help=True)


@app.command("list")
def list_methods(as_json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False) -> None:
    """List the shipped methods."""
    import json

    from harness.cli.console import show_table
    from harness.ledger.method import method_path, read_method, shipped_methods

    read = {name: read_method(method_path(name)) for name in shipped_methods()}
    if as_json:
        typer.echo(json.dumps({name: method.model_dump(mode="json", by_alias=True) for name, method in read.items()}))
        return
    rows = []
    for name, method in read.items():
        paper = method.paper
        published = (
            ", ".join(filter(None, (paper.venue, f"arXiv {paper.arxiv}" if paper.arxiv else None))) if paper else ""
        )
        rows.append((name, method.family, method.title, published))
    show_table("Methods", ("name", "family", "title", "published"), rows)


@app.command("show")
def show(name: Annotated[str, typer.Argument(help="A shipped method's name or a path to a .yaml.")]) -> None:
    """Print a method's descriptor, checked."""
    from harness.ledger.method import method_path, read_method

    path = method_path(name)
    read_method(path)
    typer.echo(f"# {path}\n{path.read_text()}", nl=False)


@app.command("verify")
def verify(
    vectors: Annotated[Path, typer.Option(help="Folder of golden vectors, .npz.")],
    as_json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False,
) -> None:
    """Hold the shipped implementations against golden vectors; exit 1 on a mismatch or an unknown file."""
    from harness.cli import options
    from harness.cli.console import Terminal, print_line, show_table
    from harness.ledger.findings import VerifyReport
    from harness.ledger.spec import VerifySpec
    from harness.sweep.working import call

    if not vectors.is_dir():
        raise BadInput(f"--vectors: {vectors}: no such folder")
    spec = VerifySpec(folder=str(vectors.resolve()))
    with Terminal() as terminal:
        report = call("verifying", "verify", spec, VerifyReport, "cpu", 1, options.local("cpu"), terminal)
    if as_json:
        typer.echo(report.model_dump_json(indent=1))
    else:
        rows = [
            (
                result.file,
                str(result.values),
                f"{result.worst_error:.1e}",
                f"{result.tolerance:.0e}",
                result.problem or "ok",
            )
            for result in report.results
        ]
        show_table("Golden vectors", ("file", "values", "worst error", "tolerance", ""), rows)
        if report.left_out:
            print_line(f"left out, as their methods do not ship yet: {', '.join(report.left_out)}")
        for name in report.unknown:
            print_line(f"{name}: fits no objective that is known")
        worst = max((result.worst_error for result in report.results), default=0.0)
        values = sum(result.values for result in report.results)
        print_line(
            f"{len(report.results)} files, {values:,} values compared, worst error {worst:.1e}; "
            f"{len(report.left_out)} left out, {len(report.unknown)} unknown"
        )
    if report.unknown or not report.results or any(result.problem for result in report.results):
        raise typer.Exit(1)
