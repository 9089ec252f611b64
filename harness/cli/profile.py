"""bench profile."""

from typing import TYPE_CHECKING, Annotated, Literal

import typer

from harness.cli import options
from harness.ledger.errors import BadInput

if TYPE_CHECKING:
    from collections.abc import Mapping

    from harness.ledger.cost import Cost
    from harness.ledger.findings import Refusal
    from harness.sweep.story import Prices
    from harness.sweep.terms import TermRow

As = Literal["tables", "json", "markdown"]

GROUPS = ("data", "copy", "teacher", "student", "task loss", "terms", "backward", "optimizer", "other")
"""Columns of the table of phases; those that no method has are left out."""


def profile(
    methods: options.Methods = "all",
    workload: options.Workload = "streets",
    device: options.Device = None,
    executor: options.ExecutorName = "local",
    slurm: options.SlurmText = None,
    data: options.Data = None,
    results: options.Results = options.RESULTS,
    remeasure: options.Remeasure = False,
    profile_time: options.ProfileTime = None,
    strict: Annotated[
        bool, typer.Option("--strict", help="Exit 3 when a cost is uncertain or has no measurement.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False,
    as_markdown: Annotated[
        bool, typer.Option("--markdown", help="The table of weights alone, as Markdown for a document.")
    ] = False,
) -> None:
    """Measure each method's cost per iteration beside the baseline's, and keep it in RESULTS/costs.

    A second table says where an iteration's time goes; a third of each term what it weighs here, by whose word, and its
    share of the gradient.
    """
    from harness.cli.console import Terminal
    from harness.sweep.story import price

    if as_json and as_markdown:
        raise BadInput("--json and --markdown: one or the other")
    place = options.place(executor, slurm, device, results)
    asked = options.request(workload, methods, "", 1, None, place, data, results, profile_time, remeasure)
    with Terminal() as terminal:
        prices = price(asked, place.executor, terminal)
    show(prices, "json" if as_json else "markdown" if as_markdown else "tables")
    if strict and not all_certain(prices.costs):
        raise typer.Exit(3)


def show(prices: "Prices", form: As) -> None:
    """The prices in one form."""
    from harness.sweep.terms import term_rows, to_json, to_markdown

    rows = term_rows(prices)
    if form == "json":
        typer.echo(to_json(prices))
    elif form == "markdown":
        typer.echo(to_markdown(rows), nl=False)
    else:
        show_costs(prices.costs)
        show_phases(prices.costs)
        show_terms(rows)


def show_costs(costs: "Mapping[str, Cost | Refusal]") -> None:
    """The costs as a table, and the methods that have none."""
    from harness.cli.console import print_line, show_table
    from harness.ledger.cost import Cost

    measured = {name: cost for name, cost in costs.items() if isinstance(cost, Cost)}
    prepares = any(cost.preparation_seconds for cost in measured.values())
    rows = [
        (
            name,
            f"{1000 * cost.seconds:.2f}",
            f"{cost.ratio:.3f}",
            f"{cost.ratio_low:.3f}–{cost.ratio_high:.3f}",
            str(cost.rounds),
            f"{cost.flops / 1e9:.2f}" if cost.flops else "",
            *([f"{1000 * cost.preparation_seconds:.2f}" if cost.preparation_seconds else ""] if prepares else []),
            "uncertain" if cost.uncertain else "",
        )
        for name, cost in measured.items()
    ]
    columns = ("method", "ms", "× baseline", "95 %", "rounds", "GFLOP", *(["ms, preparing"] if prepares else []), "")
    show_table("Cost of an iteration", columns, rows)
    for name, cost in costs.items():
        if not isinstance(cost, Cost):
            print_line(f"{name}: {cost.ending}: {cost.reason}")


def show_phases(costs: "Mapping[str, Cost | Refusal]") -> None:
    """Where an iteration's time goes, what it takes besides time, and why some of that is not known."""
    from harness.cli.console import print_line, show_table
    from harness.ledger.cost import PHASES_TOLERANCE, Cost

    measured = {name: cost for name, cost in costs.items() if isinstance(cost, Cost) and cost.phases}
    grouped = {name: grouped_phases(cost.phases) for name, cost in measured.items()}
    groups = [group for group in GROUPS if any(group in found for found in grouped.values())]
    weighed = any(cost.peak_memory_bytes for cost in measured.values())
    metered = any(cost.joules for cost in measured.values())
    rows = [
        (
            name,
            *(f"{1000 * grouped[name][group]:.2f}" if group in grouped[name] else "" for group in groups),
            f"{100 * (cost.phases_ratio or 0.0):.1f} %",
            *([f"{cost.peak_memory_bytes / 2**30:.2f}" if cost.peak_memory_bytes else ""] if weighed else []),
            *([f"{cost.joules:.2f}" if cost.joules else ""] if metered else []),
        )
        for name, cost in measured.items()
    ]
    if rows:
        extras = (*(["GiB, peak"] if weighed else []), *(["joules"] if metered else []))
        columns = ("method", *groups, "adds up to", *extras)
        show_table("Where an iteration's time goes, in ms", columns, rows)
    for name, cost in measured.items():
        if cost.phases_ratio is not None and abs(cost.phases_ratio - 1) > PHASES_TOLERANCE:
            off = f"{100 * cost.phases_ratio:.1f} % of an iteration"
            print_line(f"{name}: its phases add up to {off}: expected within {100 * PHASES_TOLERANCE:.0f} %")
    for line in reasons(measured):
        print_line(line)


def grouped_phases(phases: "Mapping[str, float]") -> dict[str, float]:
    """Seconds of the table's columns: all terms together, and under `other` what a method does after the step."""
    from harness.ledger.cost import PHASES

    found: dict[str, float] = {}
    for phase, seconds in phases.items():
        group = "other" if phase == "after step" else phase if phase in PHASES else "terms"
        found[group] = found.get(group, 0.0) + seconds
    return found


def reasons(costs: "Mapping[str, Cost]") -> list[str]:
    """Why something is not known: a line a reason, with the methods' names where it is not all of them."""
    named: dict[tuple[str, str], list[str]] = {}
    for name, cost in costs.items():
        for field, reason in cost.why_not.items():
            named.setdefault((field, reason), []).append(name)
    return [
        f"no {field.removesuffix('_bytes').replace('_', ' ')}: {reason}"
        + (f" ({', '.join(names)})" if len(names) < len(costs) else "")
        for (field, reason), names in named.items()
    ]


def show_terms(rows: "tuple[TermRow, ...]") -> None:
    """The weights as a table."""
    from harness.cli.console import show_table
    from harness.sweep.terms import COLUMNS

    if rows:
        show_table("Weights, and shares of the gradient", (*COLUMNS, ""), [(*row.cells, row.warning) for row in rows])


def all_certain(costs: "Mapping[str, Cost | Refusal]") -> bool:
    """Whether every method has a cost, and a certain one."""
    from harness.ledger.cost import Cost

    return all(isinstance(cost, Cost) and not cost.uncertain for cost in costs.values())
