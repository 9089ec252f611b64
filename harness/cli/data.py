"""bench data check, and bench teacher: what a workload needs before it can run."""

from typing import Annotated

import typer

from harness.cli import options

app = typer.Typer(help="Data sets: what they hold and what is wrong with them.", no_args_is_help=True)


@app.command("check")
def check(
    workload: options.Workload,
    data: options.Data = None,
    as_json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False,
) -> None:
    """Count files, find missing pairs, wrong sizes, unknown labels. Exit 2 when the data cannot be used."""
    from harness.cli.console import Terminal, print_line, show_table
    from harness.ledger.workload import read_workload, workload_path
    from harness.sweep.ground import data_folder, inspect_data

    read = read_workload(workload_path(workload))
    with Terminal() as terminal:
        report = inspect_data(read, data_folder(read, data), options.local("cpu"), terminal)
    if as_json:
        typer.echo(report.model_dump_json(indent=1))
    else:
        rows = [(split.name, str(split.images), str(split.labels), str(split.expected)) for split in report.splits]
        show_table("Files", ("split", "images", "labels", "expected"), rows)
        shares = zip(read.classes, report.class_share, strict=True)
        show_table("Labelled pixels", ("class", "share"), [(name, f"{100 * share:.2f} %") for name, share in shares])
        print_line(f"ignored pixels: {100 * report.ignored_share:.2f} %; content SHA-256 {report.sha256}")
        for problem in report.problems:
            print_line(f"problem: {problem}")
        print_line(f"{len(report.problems)} problem{'s' * (len(report.problems) != 1)}")
    if report.problems:
        raise typer.Exit(2)


def teacher(
    workload: options.Workload,
    data: options.Data = None,
    device: options.Device = None,
) -> None:
    """Train a workload's teacher by its recipe and keep it in the cache with its measured mIoU.

    One that is there already is kept, as records name it by its digest.
    """
    from harness.cli.console import Terminal, print_line
    from harness.ledger.findings import TeacherCard
    from harness.ledger.spec import TeacherSpec
    from harness.ledger.teacher import cached_card, teacher_recipe, teacher_weights
    from harness.ledger.workload import read_workload, workload_path
    from harness.sweep.ground import data_folder, sound_data
    from harness.sweep.working import call

    read = read_workload(workload_path(workload))
    folder = data_folder(read, data)
    place = options.slots(device)[0]
    executor = options.local(device)
    spec = TeacherSpec(workload=read, data=str(folder) if folder else None, device=place)
    with Terminal() as terminal:
        weights = teacher_weights(teacher_recipe(read, sound_data(read, folder, executor, terminal).sha256))
        card = cached_card(weights)
        if card is not None:
            terminal.say("trained already; remove the file to train it anew")
        else:
            card = call("training", "teacher", spec, TeacherCard, place, read.threads, executor, terminal)
    print_line(f"{weights}")
    print_line(f"SHA-256 {card.sha256}")
    print_line(
        f"mIoU {100 * card.miou:.2f} % on the score split; {card.parameters:,} parameters, "
        f"{card.iterations:,} iterations, {card.wall_seconds:.0f} s on {card.device}"
    )
