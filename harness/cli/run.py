"""bench run."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from harness.cli import options
from harness.cli.plan import must_name, show_plan
from harness.ledger.errors import BadInput

if TYPE_CHECKING:
    from collections.abc import Sequence

    from harness.executors.job import Executor
    from harness.ledger.endings import Ending
    from harness.ledger.plan import Plan
    from harness.ledger.record import Record
    from harness.ledger.spec import Extras

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
    executor: options.ExecutorName = "local",
    slurm: options.SlurmText = None,
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
    place = options.place(executor, slurm, device, results)
    with Terminal() as terminal:
        if plan is not None:
            if methods or budget or weight_scale:
                raise BadInput(
                    "--plan: a plan names its methods and budgets: leave --methods, --budget and --weight-scale out"
                )
            if seeds is not None or seed:
                raise BadInput("--plan: a plan names its seeds: leave --seeds and --seed out")
            drawn = must_stand(read(plan, Plan), data, place.device, place.executor, terminal)
            drawn = on_this_host(drawn, results, place.executor, terminal)
        else:
            must_name(methods, budget)
            asked = options.request(
                workload, methods, budget, seeds, pace, place, data, results, profile_time, remeasure, weight_scale,
                seed,
            )  # fmt: skip
            drawn = draw_up(asked, place.executor, terminal)
    show_plan(drawn, place.slots(drawn))
    confirm(drawn, place.slots(drawn), yes)
    tell(spend_plan(drawn, results, retry, place.executor, extras), results)


def spend_plan(
    plan: "Plan", results: Path, retry: bool, executor: "Executor", extras: "Extras | None" = None
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
    # What an earlier sweep left as failed may be done by now.
    last = {record.spec.key: record.outcome.ending for record in records}
    if any(ending in FAILED for ending in last.values()):
        raise typer.Exit(3)
