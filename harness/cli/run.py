"""bench run, plan, status."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from harness.cli import options
from harness.ledger.errors import BadInput

if TYPE_CHECKING:
    from collections.abc import Sequence

    from harness.executors.local import Local
    from harness.ledger.endings import Ending
    from harness.ledger.plan import Plan
    from harness.ledger.record import Record
    from harness.ledger.spec import Extras, PlannedRun

FAILED: "tuple[Ending, ...]" = ("failed", "diverged", "hung", "out_of_memory")
"""Endings after which the exit code is 3."""

ASK_FROM_SECONDS = 3600.0


def run(
    methods: options.Methods = "",
    budget: options.Budget = "",
    workload: options.Workload = "streets",
    seeds: options.Seeds = None,
    seed: options.Seed = None,
    pace: options.Pace = None,
    device: options.Device = None,
    data: options.Data = None,
    results: options.Results = options.RESULTS,
    plan: Annotated[Path | None, typer.Option(help="Carry out this plan (bench plan --out) instead.")] = None,
    retry: Annotated[
        bool, typer.Option("--retry", help="Also repeat runs that diverged or ran out of memory.")
    ] = False,
    remeasure: options.Remeasure = False,
    profile_time: options.ProfileTime = None,
    weight_scale: options.WeightScale = "",
    track: Annotated[
        str | None, typer.Option(help="tensorboard: learning curves while runs work, in RESULTS/tensorboard.")
    ] = None,
    pictures: Annotated[
        bool, typer.Option("--pictures", help="Also keep pictures of a workload whose pictures are private.")
    ] = False,
    yes: options.Yes = False,
) -> None:
    """Measure costs, plan iterations, give every method its budget, record. Run it again to go on after a stop."""
    from harness.cli.console import Terminal
    from harness.ledger.files import read
    from harness.ledger.plan import Plan
    from harness.sweep.ground import must_stand
    from harness.sweep.story import draw_up, on_this_host

    extras = options.extras(track, pictures)
    executor = options.local(device)
    with Terminal() as terminal:
        if plan is not None:
            if methods or budget or weight_scale:
                raise BadInput(
                    "--plan: a plan names its methods and budgets: leave --methods, --budget and --weight-scale out"
                )
            if seeds is not None or seed:
                raise BadInput("--plan: a plan names its seeds: leave --seeds and --seed out")
            drawn = must_stand(read(plan, Plan), data, options.slots(device)[0], executor, terminal)
            drawn = on_this_host(drawn, results, executor, terminal)
        else:
            must_name(methods, budget)
            asked = options.request(
                workload, methods, budget, seeds, pace, device, data, results, profile_time, remeasure, weight_scale,
                seed,
            )  # fmt: skip
            drawn = draw_up(asked, executor, terminal)
    show_plan(drawn, len(options.slots(device)))
    confirm(drawn, len(options.slots(device)), yes)
    tell(spend_plan(drawn, results, retry, executor, extras), results)


def plan(
    methods: options.Methods = "",
    budget: options.Budget = "",
    workload: options.Workload = "streets",
    seeds: options.Seeds = None,
    seed: options.Seed = None,
    pace: options.Pace = None,
    device: options.Device = None,
    data: options.Data = None,
    results: options.Results = options.RESULTS,
    remeasure: options.Remeasure = False,
    profile_time: options.ProfileTime = None,
    weight_scale: options.WeightScale = "",
    out: Annotated[Path | None, typer.Option(help="Write the plan here, for bench run --plan.")] = None,
) -> None:
    """Show what a run would spend, with costs measured where they are not known. Nothing else is spent."""
    from harness.cli.console import Terminal
    from harness.ledger.files import write
    from harness.sweep.story import draw_up

    must_name(methods, budget)
    executor = options.local(device)
    asked = options.request(
        workload, methods, budget, seeds, pace, device, data, results, profile_time, remeasure, weight_scale, seed
    )
    with Terminal() as terminal:
        drawn = draw_up(asked, executor, terminal)
    show_plan(drawn, len(options.slots(device)))
    if out is not None:
        try:
            write(out, drawn)
        except OSError as error:
            raise BadInput(f"--out: {out}: cannot be written: {error.strerror}") from error
        typer.echo(f"{out}")


def status(results: options.Results = options.RESULTS) -> None:
    """Show what is running under a results folder, how far each run is, and how those that are over ended.

    Reads files alone, so that it tells the same from another terminal, or another machine that sees the folder.
    """
    from collections import Counter

    from harness.cli.console import print_line, show_table
    from harness.ledger import results as layout

    rows = [status_cells(results, name) for name in layout.unfinished(results)]
    if rows:
        show_table("Under way", ("run", "phase", "iteration", "spent of budget", "left", "heard of"), rows)
    latest = layout.latest_attempts(results)
    endings = Counter(layout.read_record(results, key, attempt).outcome.ending for key, attempt in latest.items())
    counted = ", ".join(f"{count} {ending}" for ending, count in sorted(endings.items()))
    print_line(f"{results}: {len(rows)} under way; {sum(endings.values())} ended" + (f": {counted}" if counted else ""))


def status_cells(results: Path, name: str) -> tuple[str, ...]:
    """A run's row in `bench status`."""
    import time

    from harness.cli.console import duration
    from harness.ledger import results as layout
    from harness.sweep.spending import is_locked
    from harness.sweep.working import latest_status

    folder = layout.work_folder(results, name)
    state = latest_status(folder / "out.json")
    if not is_locked(results, name.rpartition(".")[0]) and layout.owner_is_gone(folder):
        return (name, "stopped; bench run picks it up", "", "", "", "")
    if state is None:
        return (name, "starting", "", "", "", "")
    of_total = f"{state.done:,}" + (f" of {state.total:,}" if state.total else "") if state.done or state.total else ""
    spent = f"{state.spent_seconds:.1f} s" + (f" of {state.budget_seconds:.6g} s" if state.budget_seconds else "")
    left = state.seconds_left
    return (
        name,
        state.phase,
        of_total,
        spent if state.spent_seconds or state.budget_seconds else "",
        duration(left) if left is not None and state.phase in {"preparation", "training"} else "",
        f"{max(0.0, time.time() - state.heartbeat):.0f} s ago",
    )


def must_name(methods: str, budget: str) -> None:
    """BadInput when one of the two that have no default is missing."""
    for flag, value, example in (("--methods", methods, "all"), ("--budget", budget, "60s")):
        if not value:
            raise BadInput(f"{flag}: missing: name what to run, for instance {flag} {example}")


def spend_plan(
    plan: "Plan", results: Path, retry: bool, executor: "Local", extras: "Extras | None" = None
) -> "Sequence[Record]":
    """The records of what was due; exit 130 when a person interrupts."""
    from harness.cli.console import Terminal
    from harness.ledger import places
    from harness.ledger.spec import NO_EXTRAS
    from harness.sweep.story import carry_out

    with Terminal() as terminal:
        try:
            students = places.cache() / "students"
            return carry_out(plan, results, retry, executor, terminal, students, extras or NO_EXTRAS)
        except KeyboardInterrupt:
            terminal.say("bench: interrupted; the same command goes on from here")
            raise typer.Exit(130) from None


def show_plan(plan: "Plan", slots: int) -> None:
    """The plan, a line a method and budget, with its totals and its warnings."""
    import math

    from harness.cli.console import duration, print_line, show_table
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
    hours = plan.device_seconds / 3600
    print_line(
        f"{len(plan.runs)} runs, {hours:.3g} device-hours on the clock; "
        f"on {slots} device{'s' * (slots > 1)} here until about {end_time(plan.seconds_on(slots))} "
        f"({duration(plan.seconds_on(slots))}, and each run's start and scoring)"
    )


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
    end = now + timedelta(seconds=seconds)
    return end.strftime("%H:%M" if end.date() == now.date() else "%Y-%m-%d %H:%M")


def confirm(plan: "Plan", slots: int, yes: bool) -> None:
    """Asks a person at a terminal before more than an hour is spent."""
    import sys

    from harness.cli.console import ask, duration

    seconds = plan.seconds_on(slots)
    if yes or seconds <= ASK_FROM_SECONDS or not sys.stdin.isatty():
        return
    if not ask(f"Spend about {duration(seconds)}?"):
        raise typer.Exit(0)


def tell(records: "Sequence[Record]", results: Path) -> None:
    """How it went, and with which exit code the program says so."""
    from collections import Counter

    endings = Counter(record.outcome.ending for record in records)
    counted = ", ".join(f"{count} {ending}" for ending, count in sorted(endings.items())) or "nothing was due"
    flag = "" if results == options.RESULTS else f" --results {results}"
    typer.echo(f"{counted}; records in {results / 'runs'}; see them with: bench report{flag}")
    if any(endings[bad] for bad in FAILED):
        raise typer.Exit(3)
