"""bench tune."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from harness.cli import options, run
from harness.cli.plan import show_plan
from harness.ledger.errors import BadInput

if TYPE_CHECKING:
    from collections.abc import Sequence

    from harness.sweep.tuning import Tuning


def tune(
    methods: Annotated[str, typer.Argument(metavar="METHOD", help="Names and paths to .yaml files, comma-separated.")],
    workload: options.Workload = "streets",
    budget: Annotated[
        str,
        typer.Option(help="What one trial may spend; default: what the rules fix for the workload, 20s on streets."),
    ] = "",
    centre: Annotated[
        str,
        typer.Option(help="The grid's middle, times the descriptor's weights: 9, or 1/9, where the best was there."),
    ] = "1",
    device: options.Device = None,
    executor: options.ExecutorName = "local",
    slurm: options.SlurmText = None,
    data: options.Data = None,
    results: options.Results = options.RESULTS,
    yes: options.Yes = False,
) -> None:
    """Choose a method's weights by the rules: five, a factor 3 apart, one seed, scored on the tune split.

    Trials are kept in RESULTS/tuning, where no board sees them; what is there already is not repeated.
    """
    from harness.cli.console import Terminal
    from harness.ledger.rules import TUNE_SEED
    from harness.sweep import tuning
    from harness.sweep.story import Request, plan_at, price

    fixed = options.budgets(tuning.budget_of(workload, budget))
    if len(fixed) > 1:
        raise BadInput(f"--budget: found {len(fixed)} budgets: the trials of a grid have one, the same for all methods")
    middle, place = tuning.centre_of(centre), options.place(executor, slurm, device, results)
    asked = Request(
        workload=workload,
        methods=tuning.tunable(options.names(methods)),
        budgets=fixed,
        seeds=(TUNE_SEED,),
        pace=None,
        device=place.device,
        concurrency=place.concurrency,
        data=data,
        results=results,
        profile_seconds=None,
        remeasure=False,
        factors=tuple(tuning.factor(step) for step in tuning.grid(middle)),
        scored_on="tune",
    )
    trials = tuning.trials_folder(results)
    with Terminal() as terminal:
        prices = price(asked, place.executor, terminal)
    if idle := [method.name for method in prices.methods if not method.distils]:
        raise BadInput(f"{idle[0]}: has no weight above 0 on {workload}: there is nothing to tune")
    drawn = plan_at(prices, asked)
    show_plan(drawn, place.slots(drawn))
    run.confirm(drawn, place.slots(drawn), yes)
    run.spend_plan(drawn, trials, False, place.executor)
    show_tunings(tuning.tunings(drawn, prices.methods, middle, trials), trials)


def told(weight: float | None) -> str:
    """A weight, where it is known."""
    return "?" if weight is None else f"{weight:.4g}"


def show_tunings(found: "Sequence[Tuning]", trials: Path) -> None:
    """A table a method, and what follows from it; exit 3 when a trial did not end as it should."""
    from harness.cli.console import print_line, show_table
    from harness.sweep.tuning import spelled

    columns = ("factor", "weights", "mIoU % on tune", "ending")
    for tuning in found:
        rows = [
            (
                spelled(trial.step),
                ", ".join(f"{name} {told(value)}" for name, value in trial.weights.items()),
                "" if trial.miou is None else f"{100 * trial.miou:.1f}",
                trial.ending,
            )
            for trial in tuning.trials
        ]
        show_table(tuning.method.name, columns, rows)
        for line in tuning.advice():
            print_line(line)
    print_line(f"records in {trials / 'runs'}")
    records = [trial.record for tuning in found for trial in tuning.trials if trial.record]
    if any(record.outcome.ending in run.FAILED for record in records):
        raise typer.Exit(3)
