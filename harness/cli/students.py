"""bench evaluate, export: what a run's student scores, and its weights to take along."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from harness.cli import options

if TYPE_CHECKING:
    from harness.sweep.students import Rescored

RUN = "A run's name, KEY.ATTEMPT, or its beginning"


def evaluate(
    student: Annotated[str, typer.Argument(metavar="RUN|FILE", help=f"{RUN}; or a .safetensors of a student.")],
    workload: Annotated[
        str | None, typer.Option(help="A shipped workload's name or a path to a .yaml; default: the run's own.")
    ] = None,
    data: options.Data = None,
    device: options.Device = None,
    results: options.Results = options.RESULTS,
    as_json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False,
) -> None:
    """Score a run's student again, or one in a file, and say whether it scores what the run's record says."""
    from harness.cli.console import Terminal
    from harness.sweep.students import SUFFIX, rescore, student_of_file, student_of_run

    if student.endswith(SUFFIX):
        found = student_of_file(Path(student), workload)
    else:
        found = student_of_run(results, student, workload)
    executor = options.local(device)
    with Terminal() as terminal:
        rescored = rescore(found, data, options.slots(device)[0], executor, terminal)
    if as_json:
        typer.echo(rescored.model_dump_json(indent=1, ensure_ascii=True))
    else:
        show(rescored)


def show(rescored: "Rescored") -> None:
    """The scores for a person to read."""
    from harness.cli.console import print_line, show_table

    scores = rescored.scores
    print_line(f"{rescored.student} on {rescored.workload}: {scores.images} images of the {rescored.split} split")
    means = (
        ("mIoU, classes in the labels", scores.miou),
        ("mIoU, all classes, absent ones 0", scores.miou_absent_zero),
        ("mIoU, classes labelled or predicted", scores.miou_predicted),
        ("pixel accuracy", scores.pixel_accuracy),
    )
    show_table("Scores", ("over", "%"), [(name, percent(value)) for name, value in means])
    classes = zip(rescored.classes, scores.class_iou, strict=True)
    show_table("Classes", ("class", "IoU, %"), [(name, percent(value)) for name, value in classes])
    print_line(f"student SHA-256 {rescored.student_sha256}, scored on {rescored.device}")
    print_line(verdict(rescored))


def percent(fraction: float | None) -> str:
    """Two digits after the point; nothing for a class that no label holds."""
    return "" if fraction is None else f"{100 * fraction:.2f}"


def verdict(rescored: "Rescored") -> str:
    """How the scores compare with those of the record."""
    found = rescored.comparison
    if found is None:
        return f"not compared with a record: {rescored.not_compared}"
    if found.is_equal:
        return "equals the record's scores exactly"
    beside = f"mIoU {100 * found.miou_difference:+.4g} points beside the record's {100 * found.record_miou:.2f} %"
    if found.is_same_device_class:
        return f"differs from the record's scores on a device of the same class: {beside}"
    return f"{beside}, which is of another device class: {found.record_device}"


def export(
    run: Annotated[str, typer.Argument(metavar="RUN", help=f"{RUN}.")],
    out: Annotated[Path, typer.Option(help="A new folder.")],
    results: options.Results = options.RESULTS,
) -> None:
    """Write a run's student into a folder: its weights, a card that says what it is, a loader of a few lines."""
    from harness.sweep.students import export as write_student
    from harness.sweep.students import find_record

    write_student(find_record(results, run), out)
    typer.echo(f"{out}")
