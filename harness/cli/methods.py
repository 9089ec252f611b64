"""bench methods list, show, new, check, verify."""

from pathlib import Path
from typing import Annotated

import typer

from harness.cli import options
from harness.ledger.errors import BadInput

TEMPLATES = Path(__file__).parent / "templates"

app = typer.Typer(help="The methods that ship, what each of them is, and how to add one.", no_args_is_help=True)


@app.command("list")
def list_methods(as_json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False) -> None:
    """List the shipped methods."""
    import json

    from harness.cli.console import show_table
    from harness.ledger.descriptor import method_path, read_method, shipped_methods

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
    from harness.ledger.descriptor import method_path, read_method

    path = method_path(name)
    read_method(path)
    typer.echo(f"# {path}\n{path.read_text()}", nl=False)


@app.command("new")
def new(
    name: Annotated[str, typer.Argument(help="The method's name: a-z, 0-9 and _.")],
    python: Annotated[bool, typer.Option("--python", help="Also a loss of its own, NAME.py, and its test.")] = False,
    out: Annotated[Path, typer.Option(help="The folder they are written into.")] = Path(),
) -> None:
    """Write a method to start from: it can be checked and run as it is."""
    from harness.cli.console import print_line
    from harness.ledger.descriptor import read_method
    from harness.ledger.files import write_bytes

    must_be_a_new_name(name)
    terms = (TEMPLATES / ("own.yaml.txt" if python else "shared.yaml.txt")).read_text()
    texts = {out / f"{name}.yaml": (TEMPLATES / "method.yaml.txt").read_text().replace("LOSS", terms)}
    if python:
        texts[out / f"{name}.py"] = (TEMPLATES / "method.py.txt").read_text()
        texts[out / f"test_{name}.py"] = (TEMPLATES / "test_method.py.txt").read_text()
    for path in texts:
        if path.exists():
            raise BadInput(f"{path}: is there already: nothing was written; choose another name or --out")
    try:
        for path, text in texts.items():
            write_bytes(path, text.replace("NAME", name).encode())
    except OSError as error:
        raise BadInput(f"--out: {out}: cannot be written to: {error.strerror}") from error
    descriptor = out / f"{name}.yaml"
    read_method(descriptor)
    print_line(f"wrote {', '.join(map(str, texts))}")
    print_line("edit, then:")
    if python:
        print_line(f"  python -m pytest {out / f'test_{name}.py'}")
    print_line(f"  bench methods check {descriptor}")
    print_line(f"  bench run --methods baseline,{descriptor} --budget 10s --seeds 1")


def must_be_a_new_name(name: str) -> None:
    """BadInput for a name that no file of a method may have, or that a shipped one has."""
    import re

    from harness.ledger.descriptor import NAME, SHIPPED, shipped_methods

    if not NAME.fullmatch(name):
        fitting = re.sub(r"[^a-z0-9_]+", "_", name.lower()).strip("_")
        close = f" (did you mean '{fitting}'?)" if fitting else ""
        raise BadInput(f"NAME: found {name!r}{close}: a method's name is its file's, of a-z, 0-9 and _")
    if name in shipped_methods() or (SHIPPED / f"{name}.py").exists():
        raise BadInput(f"NAME: {name!r} ships already (bench methods list): choose another name")


@app.command("check")
def check(
    name: Annotated[str, typer.Argument(help="A shipped method's name or a path to a .yaml.")],
    workload: options.Workload = "streets",
    as_json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False,
) -> None:
    """Try a method on small networks, in seconds and without data; exit 1 where it breaks what a method promises."""
    from harness.cli.console import Terminal, print_line, show_table
    from harness.ledger.descriptor import method_path, read_method
    from harness.ledger.findings import CheckReport
    from harness.ledger.spec import CheckSpec
    from harness.ledger.workload import read_workload, workload_path
    from harness.sweep.working import call

    path = method_path(name)
    read_method(path)
    spec = CheckSpec(descriptor=str(path.resolve()), dataset=read_workload(workload_path(workload)).dataset)
    with Terminal() as terminal:
        report = call("checking", "check", spec, CheckReport, "cpu", 1, options.local("cpu"), terminal)
    broken = [result for result in report.results if not result.passed]
    if as_json:
        typer.echo(report.model_dump_json(indent=1, ensure_ascii=True))
    else:
        here = f"{Path.cwd()}/"
        rows = [(each.name, "ok" if each.passed else "BROKEN", each.found.replace(here, "")) for each in report.results]
        show_table(f"{report.method} against its contract", ("clause", "", "found"), rows)
        if report.unchecked:
            print_line(f"not looked at, as it cannot be computed: {'; '.join(report.unchecked)}")
        if report.cost_ratio is not None:
            print_line(
                f"here an iteration takes {report.cost_ratio:.1f} × that of the student alone; to tell, not to rank"
            )
        print_line(f"{len(report.results)} clauses looked at, {len(broken) or 'none'} broken")
    if broken:
        raise typer.Exit(1)


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
        typer.echo(report.model_dump_json(indent=1, ensure_ascii=True))
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
        for name in report.unknown:
            print_line(f"{name}: fits no objective that is known")
        worst = max((result.worst_error for result in report.results), default=0.0)
        values = sum(result.values for result in report.results)
        print_line(
            f"{len(report.results)} files, {values:,} values compared, worst error {worst:.1e}; "
            f"{len(report.unknown)} unknown"
        )
    if report.unknown or not report.results or any(result.problem for result in report.results):
        raise typer.Exit(1)
