"""bench data check, and bench teacher: what a workload needs before it can run."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from harness.cli import options

if TYPE_CHECKING:
    from harness.ledger.findings import DataReport

app = typer.Typer(help="Data sets: what they hold and what is wrong with them.", no_args_is_help=True)


Name = Annotated[str, typer.Argument(help="A workload whose data set it is: its name, or a path to a .yaml.")]


@app.command("check")
def check(
    name: Name,
    data: options.Data = None,
    as_json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False,
) -> None:
    """Count files, find missing pairs, wrong sizes, unknown labels, damage. Exit 2 when the data cannot be used.

    Every picture is decoded, into the cache; what is there already is held against its checksums.
    """
    from harness.cli.console import Terminal, print_line, show_table
    from harness.ledger.workload import read_workload, workload_path
    from harness.sweep.ground import data_folder, inspect_data

    read = read_workload(workload_path(name))
    with Terminal() as terminal:
        report = inspect_data(read, data_folder(read, data), options.local("cpu"), terminal, is_thorough=True)
    if as_json:
        typer.echo(report.model_dump_json(indent=1, ensure_ascii=True))
    else:
        rows = [(split.name, str(split.images), str(split.labels), str(split.expected)) for split in report.splits]
        show_table("Files", ("split", "images", "labels", "expected"), rows)
        shares = zip(read.classes, report.class_share, strict=True)
        show_table("Labelled pixels", ("class", "share"), [(name, f"{100 * share:.2f} %") for name, share in shares])
        print_line(f"ignored pixels: {100 * report.ignored_share:.2f} %; content SHA-256 {report.sha256}")
        print_line(decoded(report))
        for problem in report.problems:
            print_line(f"problem: {problem}")
        print_line(f"{len(report.problems)} problem{'s' * (len(report.problems) != 1)}")
    if report.problems:
        raise typer.Exit(2)


@app.command("prepare")
def prepare(name: Name, data: options.Data = None) -> None:
    """Decode every picture once into the cache, from where runs read it. Goes on where it was stopped.

    `bench run` does it by itself; here it can be done beforehand, on a machine without a GPU.
    """
    from harness.cli.console import Terminal, print_line
    from harness.ledger.workload import read_workload, workload_path
    from harness.sweep.ground import data_folder, sound_data

    read = read_workload(workload_path(name))
    with Terminal() as terminal:
        report = sound_data(read, data_folder(read, data), options.local("cpu"), terminal)
    print_line(decoded(report))


def decoded(report: "DataReport") -> str:
    """What runs will read, and where it is."""
    from harness.ledger import places

    if not report.decoded_bytes:
        return "drawn by the program: nothing to prepare"
    images = sum(split.images for split in report.splits)
    counted = f"{images:,} image{'s' * (images != 1)}"
    return f"{counted}, {report.decoded_bytes / 2**30:.2f} GiB decoded in {places.cache() / 'decoded'}"


def teacher(
    workload: options.Workload,
    data: options.Data = None,
    device: options.Device = None,
    executor: options.ExecutorName = "local",
    slurm: options.SlurmText = None,
    results: options.Results = options.RESULTS,
    checkpoint: Annotated[
        Path | None,
        typer.Option(
            "--from", help="Take these weights instead: a teacher.safetensors, or what teacher.checkpoint names."
        ),
    ] = None,
) -> None:
    """Train a workload's teacher by its recipe and keep it in the cache with its measured mIoU.

    One that is there already is kept, as records name it by its digest.
    """
    from harness.cli.console import Terminal, print_line
    from harness.ledger.spec import TeacherFile
    from harness.ledger.teacher import is_weak
    from harness.ledger.workload import read_workload, workload_path
    from harness.sweep.ground import data_folder
    from harness.sweep.teacher import Wanted, come_by

    read = read_workload(workload_path(workload))
    place = options.place(executor, slurm, device, results)
    wanted = Wanted(workload, read, data_folder(read, data), place.device, checkpoint)
    with Terminal() as terminal:
        kept = come_by(wanted, place.executor, terminal)
    card = kept.card
    print_line(f"{kept.weights}")
    print_line(f"SHA-256 {card.sha256}")
    made = f"{card.iterations:,} iterations" if card.iterations is not None else "taken from a checkpoint"
    print_line(
        f"mIoU {100 * card.miou:.2f} % on the score split; {card.parameters:,} parameters, "
        f"{made}, {card.wall_seconds:.0f} s on {card.device}"
    )
    file = TeacherFile(path=str(kept.weights), sha256=card.sha256, miou=card.miou)
    if read.teacher.miou is not None and is_weak(read, file):
        expected = f"{100 * read.teacher.miou:.2f} ± {100 * read.teacher.band:.2f} %"
        print_line(f"outside the band that the workload expects, {expected}: its runs will be marked weak_teacher")
