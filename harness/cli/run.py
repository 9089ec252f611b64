"""bench run, plan, profile, status."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from harness.cli import options
from harness.ledger.errors import BadInput

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from harness.ledger.cost import Cost
    from harness.ledger.findings import Refusal
    from harness.ledger.plan import Plan
    from harness.ledger.record import Record

RESULTS = Path("results")
ASK_FROM_SECONDS = 3600.0


def run(
    methods: options.Methods = "",
    budget: options.Budget = "",
    workload: options.Workload = "streets",
    seeds: options.Seeds = 3,
    pace: options.Pace = None,
    device: options.Device = None,
    data: options.Data = None,
    results: options.Results = RESULTS,
    plan: Annotated[Path | None, typer.Option(help="Carry out this plan (bench plan --out) instead.")] = None,
    retry: Annotated[
        bool, typer.Option("--retry", help="Also repeat runs that diverged or ran out of memory.")
    ] = False,
    remeasure: options.Remeasure = False,
    profile_time: options.ProfileTime = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask, however long it will take.")] = False,
) -> None:
    """Measure costs, plan iterations, give every method its budget, record. Run it again to go on after a stop."""
    from harness.cli.console import Terminal
    from harness.ledger import places
    from harness.ledger.files import read
    from harness.ledger.plan import Plan
    from harness.sweep.ground import must_stand
    from harness.sweep.story import carry_out, draw_up

    executor = options.local(device)
    with Terminal() as terminal:
        if plan is not None:
            if methods or budget:
                raise BadInput("--plan: a plan names its methods and budgets: leave --methods and --budget out")
            drawn = must_stand(read(plan, Plan), data, options.slots(device)[0], executor, terminal)
        else:
            must_name(methods, budget)
            asked = options.request(
                workload, methods, budget, seeds, pace, device, data, results, profile_time, remeasure
            )
            drawn = draw_up(asked, executor, terminal)
    show_plan(drawn, len(options.slots(device)))
    confirm(drawn, len(options.slots(device)), yes)
    with Terminal() as terminal:
        try:
            records = carry_out(drawn, results, retry, executor, terminal, places.cache() / "students")
        except KeyboardInterrupt:
            terminal.say("bench: interrupted; the same command goes on from here")
            raise typer.Exit(130) from None
    tell(records, results)


def plan(
    methods: options.Methods = "",
    budget: options.Budget = "",
    workload: options.Workload = "streets",
    seeds: options.Seeds = 3,
    pace: options.Pace = None,
    device: options.Device = None,
    data: options.Data = None,
    results: options.Results = RESULTS,
    remeasure: options.Remeasure = False,
    profile_time: options.ProfileTime = None,
    out: Annotated[Path | None, typer.Option(help="Write the plan here, for bench run --plan.")] = None,
) -> None:
    """Show what a run would spend, with costs measured where they are not known. Nothing else is spent."""
    from harness.cli.console import Terminal
    from harness.ledger.files import write
    from harness.sweep.story import draw_up

    must_name(methods, budget)
    executor = options.local(device)
    asked = options.request(workload, methods, budget, seeds, pace, device, data, results, profile_time, remeasure)
    with Terminal() as terminal:
        drawn = draw_up(asked, executor, terminal)
    show_plan(drawn, len(options.slots(device)))
    if out is not None:
        try:
            write(out, drawn)
        except OSError as error:
            raise BadInput(f"--out: {out}: cannot be written: {error.strerror}") from error
        typer.echo(f"{out}")


def profile(
    methods: options.Methods = "all",
    workload: options.Workload = "streets",
    device: options.Device = None,
    data: options.Data = None,
    results: options.Results = RESULTS,
    remeasure: options.Remeasure = False,
    profile_time: options.ProfileTime = None,
    strict: Annotated[
        bool, typer.Option("--strict", help="Exit 3 when a cost is uncertain or has no measurement.")
    ] = False,
) -> None:
    """Measure each method's cost per iteration beside the baseline's, and keep it in RESULTS/costs."""
    from harness.cli.console import Terminal
    from harness.sweep.story import price

    executor = options.local(device)
    asked = options.request(workload, methods, "", 1, None, device, data, results, profile_time, remeasure)
    with Terminal() as terminal:
        prices = price(asked, executor, terminal)
    certain = show_costs(prices.costs)
    if strict and not certain:
        raise typer.Exit(3)


def status(results: options.Results = RESULTS) -> None:
    """Show what is running under a results folder and how its ended runs ended."""
    from collections import Counter

    from harness.cli.console import print_line, show_table
    from harness.ledger import results as layout
    from harness.sweep.spending import is_locked
    from harness.sweep.working import latest_status

    rows = []
    for name in layout.unfinished(results):
        state = latest_status(layout.work_folder(results, name) / "out.json")
        alive = is_locked(results, name.rpartition(".")[0]) or not layout.owner_is_gone(
            layout.work_folder(results, name)
        )
        phase = (state.phase if state else "starting") if alive else "stopped; bench run picks it up"
        fraction = f"{100 * state.fraction:.0f} %" if state and state.fraction is not None else ""
        rows.append((name, phase, fraction, f"{state.spent_seconds:.1f}" if state else ""))
    if rows:
        show_table("Under way", ("run", "phase", "done", "spent, s"), rows)
    latest = layout.latest_attempts(results)
    endings = Counter(layout.read_record(results, key, attempt).outcome.ending for key, attempt in latest.items())
    counted = ", ".join(f"{count} {ending}" for ending, count in sorted(endings.items()))
    print_line(f"{results}: {len(rows)} under way; {sum(endings.values())} ended" + (f": {counted}" if counted else ""))


def must_name(methods: str, budget: str) -> None:
    """BadInput when one of the two that have no default is missing."""
    for flag, value, example in (("--methods", methods, "all"), ("--budget", budget, "60s")):
        if not value:
            raise BadInput(f"{flag}: missing: name what to run, for instance {flag} {example}")


def show_plan(plan: "Plan", slots: int) -> None:
    """The plan, a line a method and budget, with its totals and its warnings."""
    import math

    from harness.cli.console import duration, print_line, show_table
    from harness.ledger.plan import epochs_are_odd, smallest_budget_seconds

    first = [run for run in plan.runs if run.seed == 0]
    rows = []
    for run in first:
        odd = " (!)" if epochs_are_odd(run, plan.ground.workload) else ""
        cost = run.cost
        rows.append(
            (
                run.method.name,
                run.budget,
                run.pace,
                f"{run.iterations:,}",
                f"{run.epochs:.1f}{odd}",
                f"{1000 * cost.seconds:.2f}" if cost else "",
                f"{cost.ratio:.2f}" if cost else "",
                f"{cost.ratio_low:.2f}–{cost.ratio_high:.2f}" if cost else "",
                ", ".join(run.marks),
            )
        )
    seeds = len({run.seed for run in plan.runs})
    ground = plan.ground
    columns = ("method", "budget", "pace", "iterations", "epochs", "ms / iteration", "× baseline", "95 %", "marks")
    show_table(f"{ground.workload_name} on {ground.device_class.label}, {seeds} seed{'s' * (seeds > 1)}", columns, rows)
    for refused in {refused.run.method.name: refused for refused in plan.refused}.values():
        print_line(f"{refused.run.method.name}: {refused.refusal.ending}: {refused.refusal.reason}")
    if any(epochs_are_odd(run, ground.workload) for run in first):
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


def show_costs(costs: "Mapping[str, Cost | Refusal]") -> bool:
    """The costs as a table; whether all of them are known and certain."""
    from harness.cli.console import print_line, show_table
    from harness.ledger.cost import Cost
    from harness.ledger.findings import Refusal

    rows = [
        (
            name,
            f"{1000 * cost.seconds:.2f}",
            f"{cost.ratio:.3f}",
            f"{cost.ratio_low:.3f}–{cost.ratio_high:.3f}",
            str(cost.rounds),
            f"{cost.flops / 1e9:.2f}" if cost.flops else "",
            "uncertain" if cost.uncertain else "",
        )
        for name, cost in costs.items()
        if isinstance(cost, Cost)
    ]
    show_table("Cost of an iteration", ("method", "ms", "× baseline", "95 %", "rounds", "GFLOP", ""), rows)
    certain = len(rows) == len(costs)
    for name, cost in costs.items():
        if isinstance(cost, Refusal):
            print_line(f"{name}: {cost.ending}: {cost.reason}")
        elif cost.uncertain:
            certain = False
    return certain


def tell(records: "Sequence[Record]", results: Path) -> None:
    """How it went, and with which exit code the program says so."""
    from collections import Counter

    endings = Counter(record.outcome.ending for record in records)
    counted = ", ".join(f"{count} {ending}" for ending, count in sorted(endings.items())) or "nothing was due"
    flag = "" if results == RESULTS else f" --results {results}"
    typer.echo(f"{counted}; records in {results / 'runs'}; see them with: bench report{flag}")
    if any(endings[bad] for bad in ("failed", "diverged", "hung", "out_of_memory")):
        raise typer.Exit(3)
