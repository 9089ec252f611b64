"""bench plan."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from harness.cli import options
from harness.ledger.errors import BadInput

if TYPE_CHECKING:
    from harness.ledger.plan import Plan
    from harness.ledger.spec import PlannedRun

FILE_WIDTH = 80
"""Columns of the timeline where stdout is no terminal."""


def plan(
    methods: options.Methods = "",
    budget: options.Budget = "",
    workload: options.Workload = "streets",
    seeds: options.Seeds = None,
    seed: options.Seed = None,
    pace: options.Pace = None,
    device: options.Device = None,
    executor: options.ExecutorName = "local",
    slurm: options.SlurmText = None,
    data: options.Data = None,
    results: options.Results = options.RESULTS,
    remeasure: options.Remeasure = False,
    profile_time: options.ProfileTime = None,
    weight_scale: options.WeightScale = "",
    devices: Annotated[
        int | None, typer.Option(min=1, help="Reckon with so many devices like the one that is measured on.")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Write the plan here, for bench run --plan.")] = None,
) -> None:
    """Show what a run would spend, with costs measured where they are not known. Nothing else is spent."""
    from harness.cli.console import Terminal
    from harness.ledger.files import write
    from harness.sweep.story import draw_up

    must_name(methods, budget)
    place = options.place(executor, slurm, device, results)
    asked = options.request(
        workload, methods, budget, seeds, pace, place, data, results, profile_time, remeasure, weight_scale, seed
    )
    with Terminal() as terminal:
        drawn = draw_up(asked, place.executor, terminal)
    count = devices or place.slots(drawn)
    show_plan(drawn, count)
    show_timeline(drawn, count)
    if out is not None:
        try:
            write(out, drawn)
        except OSError as error:
            raise BadInput(f"--out: {out}: cannot be written: {error.strerror}") from error
        typer.echo(f"{out}")


def must_name(methods: str, budget: str) -> None:
    """BadInput when one of the two that have no default is missing."""
    for flag, value, example in (("--methods", methods, "all"), ("--budget", budget, "60s")):
        if not value:
            raise BadInput(f"{flag}: missing: name what to run, for instance {flag} {example}")


def show_plan(plan: "Plan", devices: int) -> None:
    """The plan, a line a method and budget, with its totals and its warnings."""
    import math

    from harness.cli.console import duration, print_line, show_table
    from harness.ledger.order import makespan
    from harness.ledger.plan import epochs_are_odd, smallest_budget_seconds

    ground, seeds = plan.ground, list(dict.fromkeys(run.seed for run in plan.runs))
    first = [run for run in plan.runs if run.seed == seeds[0]]
    odd = [epochs_are_odd(run, ground.workload) for run in first]
    prepares = any(run.preparation_iterations for run in first)
    on = " on the tune split" if any(run.scored_on == "tune" for run in first) else ""
    columns = (
        *("method", "budget", "pace", "iterations", *(["preparation"] if prepares else []), "epochs"),
        *("ms / iteration", "× baseline", "95 %", "marks"),
    )
    show_table(
        f"{ground.workload_name}{on} on {ground.device_class.label}, {len(seeds)} seed{'s' * (len(seeds) != 1)}",
        columns,
        [planned_cells(run, is_odd, prepares) for run, is_odd in zip(first, odd, strict=True)],
    )
    for refused in {refused.run.method.name: refused for refused in plan.refused}.values():
        print_line(f"{refused.run.method.name}: {refused.refusal.ending}: {refused.refusal.reason}")
    if prepares:
        print_line("preparation: updates of what a method learns before it distils, from its share of the same budget")
    if any(odd):
        recipe = ground.workload.training.recipe_epochs
        print_line(f"(!) over ten times, or under a tenth, of the recipe's {recipe:g} epochs")
    smallest = smallest_budget_seconds(plan)
    if smallest is not None:
        print_line(f"too_short: the smallest budget that is not: {math.ceil(smallest)}s")
    hours, seconds = plan.device_seconds / 3600, plan.seconds_on(devices)
    print_line(
        f"{len(plan.runs)} run{'s' * (len(plan.runs) != 1)}, {hours:.3g} device-hours on the clock; "
        f"on {devices} device{'s' * (devices > 1)} until about {end_time(seconds)} "
        f"({duration(seconds)}, and each run's start and scoring)"
    )
    planned = makespan(plan.runs, devices)
    if seconds < planned:
        gained, now, then = 100 * (1 - seconds / planned), duration(seconds), duration(planned)
        instead = f": {now} instead of {then}" if now != then else ""
        print_line(f"longest first within a seed, done {gained:.2g} % sooner than in the order above{instead}")


def show_timeline(plan: "Plan", devices: int) -> None:
    """When each run is expected to have a device, and for how much of the time devices have none."""
    import shutil
    import sys

    from harness.cli.console import print_line
    from harness.cli.timeline import timeline
    from harness.ledger.order import in_order, turns

    width = shutil.get_terminal_size().columns if sys.stdout.isatty() else FILE_WIDTH
    lines = timeline(turns(in_order(plan.runs, devices), devices), devices, width)
    if lines:
        idle = max(0.0, 1 - plan.device_seconds / (devices * plan.seconds_on(devices)))
        print_line("")
        print_line(f"{devices} device{'s' * (devices > 1)}, idle for {100 * idle:.0f} % of the time:")
    for line in lines:
        print_line(line)


def planned_cells(run: "PlannedRun", is_odd: bool, prepares: bool) -> tuple[str, ...]:
    """A run's row in the plan."""
    cost = run.cost
    return (
        run.method.name,
        run.budget,
        run.pace,
        f"{run.iterations:,}",
        *([f"{run.preparation_iterations:,}" if run.preparation_iterations else ""] if prepares else []),
        f"{run.epochs:.1f}{' (!)' if is_odd else ''}",
        f"{1000 * cost.seconds:.2f}" if cost else "",
        f"{cost.ratio:.2f}" if cost else "",
        f"{cost.ratio_low:.2f}–{cost.ratio_high:.2f}" if cost else "",
        ", ".join(run.marks),
    )


def end_time(seconds: float) -> str:
    """The clock's reading after so many seconds from now."""
    from datetime import datetime, timedelta

    now = datetime.now()
    try:
        end = now + timedelta(seconds=seconds)
    except OverflowError:  # many runs, each of years
        return "the year 10000"
    return end.strftime("%H:%M" if end.date() == now.date() else "%Y-%m-%d %H:%M")
