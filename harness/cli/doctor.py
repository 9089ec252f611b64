"""bench doctor."""

from pathlib import Path
from typing import Annotated

import typer

from harness.cli import options


def doctor(
    workload: options.Workload = "streets",
    data: options.Data = None,
    device: options.Device = None,
    results: options.Results = Path("results"),
    as_json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False,
) -> None:
    """Say what works here, what is missing and what to do about it. Exit 2 when a run could not start."""
    import json
    from dataclasses import asdict

    from harness.cli.console import Terminal, print_line, show_table
    from harness.sweep.doctor import examine

    with Terminal() as terminal:
        findings = examine(workload, data, options.slots(device), results, options.local(device), terminal)
    if as_json:
        typer.echo(json.dumps([asdict(finding) for finding in findings]))
    else:
        show_table("", ("", "what", "found", "to do"), [(f.mark, f.what, f.found, f.remedy) for f in findings])
        missing = sum(not finding.good for finding in findings)
        print_line("all is well" if not missing else f"{missing} to mend")
    if any(not finding.good for finding in findings):
        raise typer.Exit(2)
