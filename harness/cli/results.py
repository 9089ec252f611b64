"""bench results verify, merge, show: folders of records held against themselves, brought together, looked into."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from harness.cli import options
from harness.cli.students import RUN, percent
from harness.ledger.errors import BadInput

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from harness.ledger.merging import Merge
    from harness.ledger.record import Outcome, Record
    from harness.ledger.spec import RunSpec
    from harness.score.verifying import Soundness
    from harness.sweep.replay import Again

app = typer.Typer(help="Folders of records: whether they are sound, merged, and what a run was.", no_args_is_help=True)

Json = Annotated[bool, typer.Option("--json", help="As JSON.")]


@app.command("verify")
def verify(
    results: Annotated[
        Path, typer.Argument(metavar="[RESULTS]", help="Folder of records and costs.")
    ] = options.RESULTS,
    as_json: Json = False,
) -> None:
    """Read every file of a results folder, derive every score again from its counts. Exit 2 when something is wrong."""
    import json
    from dataclasses import asdict

    from harness.cli.console import print_line
    from harness.score.verifying import verify as hold

    found = hold(results)
    if as_json:
        typer.echo(json.dumps({"format": 1, **asdict(found)}, indent=1))
    else:
        for problem in found.problems:
            print_line(f"{results / problem.place}: {problem.problem}")
        print_line(summary(found))
    if found.problems:
        raise typer.Exit(2)


def summary(found: "Soundness") -> str:
    """What was looked at, in a line."""
    return (
        f"{count(found.records, 'record')}, {found.scored} scored, {count(found.counts_held, 'count')} held "
        f"against the records, {count(found.costs, 'cost')}, {count(len(found.problems), 'problem')}"
    )


def count(number: int, thing: str) -> str:
    """`1 record`, `2 records`."""
    return f"{number} {thing}{'s' * (number != 1)}"


@app.command("merge")
def merge(
    sources: Annotated[list[Path], typer.Argument(metavar="FROM…", help="Results folders; they stay as they are.")],
    into: Annotated[Path, typer.Option("--into", metavar="RESULTS", help="The folder that they are copied into.")],
    no_costs: Annotated[
        bool, typer.Option("--no-costs", help="Leave measured costs out; records hold those they were planned with.")
    ] = False,
    no_pictures: Annotated[bool, typer.Option("--no-pictures", help="Leave pictures out.")] = False,
) -> None:
    """Copy records, counts, costs, anchors and pictures of other folders into one: everything, or nothing at all.

    No file is edited or overwritten. Where two folders hold other things under one name, each such pair is told and
    nothing is copied. Merging again, or in another order, comes to the same.
    """
    from harness.cli.console import print_line
    from harness.ledger.merging import carry_out, plan_merge
    from harness.ledger.stored import Kind

    left_out: dict[Kind, bool] = {"cost": no_costs, "picture": no_pictures}
    planned = plan_merge(sources, into, frozenset(kind for kind, is_left in left_out.items() if is_left))
    if planned.against:
        for line in planned.against:
            print_line(line)
        count = len(planned.against)
        raise BadInput(f"--into: {into}: {count} file{'s' * (count > 1)} in the way: nothing was copied")
    carry_out(planned)
    for line in planned.left:
        print_line(line)
    print_line(merged(planned, into))


def merged(done: "Merge", into: Path) -> str:
    """What a merge came to, in a line."""
    others = len(done.copies) - done.records
    copied = f"{count(done.records, 'record')} and {count(others, 'other file')} copied"
    return f"{into}: {copied}, {done.same} already there"


@app.command("show")
def show(
    run: Annotated[str, typer.Argument(metavar="RUN", help=f"{RUN}; of a key's attempts the last.")],
    results: options.Results = options.RESULTS,
    as_json: Json = False,
    plan: Annotated[
        Path | None, typer.Option(help="Write a plan of exactly this run here, for bench run --plan.")
    ] = None,
    data: options.Data = None,
    workload: Annotated[
        str | None, typer.Option(help="With --plan, where the run's workload does not ship: its .yaml.")
    ] = None,
    method: Annotated[
        str | None, typer.Option(help="With --plan, where the run's method does not ship: its .yaml.")
    ] = None,
) -> None:
    """Print what a run was and did, what it stood on, and the command that does it again."""
    from harness.sweep.replay import again
    from harness.sweep.students import find_record

    record = find_record(results, run)
    if plan is None and (data is not None or workload is not None or method is not None):
        raise BadInput("--plan: missing: --data, --workload and --method say where things lie that it names")
    if plan is not None:
        write_plan(record, results, plan, data, workload, method)
    elif as_json:
        typer.echo(as_one_value(record, again(record, results)))
    else:
        show_record(record, again(record, results))


def write_plan(
    record: "Record", results: Path, out: Path, data: Path | None, workload: str | None, method: str | None
) -> None:
    """The plan of the run alone, in a file."""
    from harness.cli.console import Terminal
    from harness.ledger.files import write
    from harness.sweep.replay import plan_again

    device = "cpu" if record.spec.ground.device_class.kind == "cpu" else None
    with Terminal() as terminal:
        drawn = plan_again(
            record, results, workload, method, data, options.slots(device)[0], options.local(device), terminal
        )
    try:
        write(out, drawn)
    except OSError as error:
        raise BadInput(f"--plan: {out}: cannot be written: {error.strerror}") from error
    flag = "" if device is None else f" --device {device}"
    typer.echo(f"{out}: bench run --plan {out}{flag} --results replay")


def as_one_value(record: "Record", found: "Again") -> str:
    """The record as it lies in its file, with how to do the run again."""
    import json

    whole = {"format": 1, "run": record.spec.name, "command": found.command, "notes": found.notes}
    return json.dumps({**whole, "record": json.loads(record.model_dump_json(by_alias=True))}, indent=1)


def show_record(record: "Record", found: "Again") -> None:
    """A record for a person to read."""
    from harness.cli.console import print_line, show_table

    spec, outcome = record.spec, record.outcome
    marks = f" [{', '.join(record.marks)}]" if record.marks else ""
    reason = f": {outcome.reason}" if outcome.reason else ""
    print_line(f"{spec.name}: {outcome.ending}{marks}{reason}")
    tables = (
        ("Run", ("what", "it was"), run_rows(record)),
        ("Ledger of time", ("entry", "s"), time_rows(outcome)),
        ("Cost of an iteration, as planned with", ("what", "it is"), cost_rows(spec)),
        ("Weights", ("term", "weight", "source"), weight_rows(record)),
        ("Scores", ("over", "%"), score_rows(outcome)),
        ("Classes", ("class", "IoU, %"), class_rows(record)),
        ("Provenance", ("what", "it is"), provenance_rows(record)),
    )
    for title, columns, rows in tables:
        kept = list(rows)
        if kept:
            show_table(title, columns, kept)
    for line in (record.log_tail or "").splitlines():
        print_line(f"log: {line}")
    print_line(f"again: {found.command}" if found.command else "again: no command asks for this run")
    for note in found.notes:
        print_line(f"  {note}")


def run_rows(record: "Record") -> "Iterator[tuple[str, str]]":
    """What was asked for, and what came of it."""
    spec, outcome, ground = record.spec, record.outcome, record.spec.ground
    yield "workload", f"{ground.workload_name}, scored on the {spec.scored_on} split"
    yield "method", f"{spec.method.name}: {spec.method.title} ({spec.method.family})"
    yield "seed", f"{spec.seed}"
    seconds = "" if spec.budget_seconds is None else f", {spec.budget_seconds:.6g} s on the clock"
    yield "budget", f"{spec.budget}{seconds}, pace {spec.pace}"
    yield "iterations", iterations(spec, outcome)
    if spec.preparation_iterations:
        yield "preparation", f"{spec.preparation_iterations:,} planned, {outcome.preparation_iterations:,} done"
    yield "spent", f"{outcome.spent_seconds:.2f} s by the budget clock, {outcome.wall_seconds:.2f} s of wall time"
    if outcome.resumed_iterations:
        yield "resumed", f"at iteration {outcome.resumed_iterations:,}, {outcome.resumed_seconds:.2f} s spent"
    if record.witness is not None:
        seen = record.witness
        yield "seen from outside", f"{seen.cpu_seconds:.2f} s of CPU time, {seen.wall_seconds:.2f} s of wall time"
    for line in record.disagreements:
        yield "accounts differ", line
    for line in outcome.warnings:
        yield "mended", line
    if spec.replay is not None:
        yield "repeats", spec.replay.run
    yield "started, ended", f"{record.started}, {record.ended}"


def iterations(spec: "RunSpec", outcome: "Outcome") -> str:
    """Planned, planned anew, done."""
    replanned = outcome.replanned_iterations
    anew = "" if replanned is None else f", planned anew as {replanned:,}"
    about = "about " if spec.pace == "clock" else ""
    return f"{about}{spec.iterations:,} planned ({spec.epochs:.1f} epochs){anew}, {outcome.iterations:,} done"


def time_rows(outcome: "Outcome") -> "Iterator[tuple[str, str]]":
    """The ledger of time, entry by entry."""
    if outcome.times is not None:
        yield from ((name, f"{value:.2f}") for name, value in outcome.times if name != "process")
        yield "sum", f"{outcome.times.total:.2f}"
        yield from [("process", f"{outcome.times.process:.2f}")] if outcome.times.process is not None else ()


def cost_rows(spec: "RunSpec") -> "Iterator[tuple[str, str]]":
    """The price, its interval, and its phases."""
    cost = spec.cost
    if cost is None:
        return
    yield "seconds", f"{cost.seconds:.6f}"
    yield "of the baseline's", f"{cost.ratio:.3f} × (95 % {cost.ratio_low:.3f} to {cost.ratio_high:.3f})"
    yield "rounds", f"{cost.rounds}, {spec.ground.concurrency} processes at work"
    if cost.flops is not None:
        yield "FLOPs", f"{cost.flops:,}"
    yield from ((f"phase: {name}", f"{1000 * seconds:.3f} ms") for name, seconds in cost.phases.items())


def weight_rows(record: "Record") -> "Iterator[tuple[str, str, str]]":
    """Every weight above zero, as it was here, and by whose word."""
    from harness.ledger.weights import named_weights

    for named in named_weights(record.spec.method):
        here = named.here(record.outcome.weights)
        moved = f", moved from {named.part.transfer.origin}" if named.part.transfer else ""
        yield named.name, "left out" if here is None else f"{here:.6g}", f"{named.part.source}{moved}"


def score_rows(outcome: "Outcome") -> "Iterator[tuple[str, str]]":
    """The three means in use, and the pixel accuracy."""
    scores = outcome.scores
    if scores is not None:
        yield "mIoU, classes in the labels", percent(scores.miou)
        yield "mIoU, all classes, absent ones 0", percent(scores.miou_absent_zero)
        yield "mIoU, classes labelled or predicted", percent(scores.miou_predicted)
        yield "pixel accuracy", percent(scores.pixel_accuracy)


def class_rows(record: "Record") -> "Sequence[tuple[str, str]]":
    """IoU by class; nothing for a class that no label holds."""
    scores, names = record.outcome.scores, record.spec.ground.workload.classes
    return [(name, percent(value)) for name, value in zip(names, scores.class_iou, strict=False)] if scores else []


def provenance_rows(record: "Record") -> "Iterator[tuple[str, str]]":
    """What the run stood on, by its content."""
    spec, outcome, ground = record.spec, record.outcome, record.spec.ground
    device, conditions = ground.device_class, outcome.conditions
    yield "workload digest", ground.workload_digest
    yield "method digest", spec.method.digest
    yield "version of the rules", f"{spec.rules}"
    yield "data", f"{ground.data or 'drawn'}, SHA-256 {ground.data_sha256}"
    yield from ((f"{split} split SHA-256", digest) for split, digest in ground.split_sha256.items())
    yield "teacher", f"mIoU {percent(ground.teacher.miou)} %, SHA-256 {ground.teacher.sha256}"
    for what, digest in (
        ("student's backbone SHA-256", ground.backbone_sha256),
        ("initial student SHA-256", outcome.initial_student_sha256),
        ("first batches SHA-256", outcome.first_batches_sha256),
        ("student SHA-256", outcome.student_sha256),
    ):
        if digest is not None:
            yield what, digest
    yield "device class", f"{device.label}, {device.precision}, torch {device.torch}, {device.digest}"
    if conditions is not None:
        yield "host", f"{conditions.host}, {conditions.platform}, load {conditions.load}"
        yield "versions", f"Python {conditions.python}, torch {conditions.torch}"
        told = ((name, getattr(conditions, name)) for name in ("driver", "uuid", "governor", "sm_clock_mhz"))
        yield from ((name.replace("_", " "), f"{value}") for name, value in told if value is not None)
