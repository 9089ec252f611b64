"""bench compare: two methods against each other, wherever both ran."""

from typing import TYPE_CHECKING, Annotated

import typer

from harness.cli import options

if TYPE_CHECKING:
    from harness.score.comparing import Difference
    from harness.score.stats import Interval


def compare(
    first: Annotated[str, typer.Argument(metavar="A", help="A method's name, as records have it.")],
    second: Annotated[str, typer.Argument(metavar="B", help="Another's: the difference is A less B.")],
    results: options.Results = options.RESULTS,
    workload: Annotated[str | None, typer.Option(help="On this workload alone.")] = None,
    budget: Annotated[str | None, typer.Option(help="At this budget alone.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False,
) -> None:
    """Say by how much one method scores above another, paired by seed, and whether seeds or images could explain it."""
    import json
    from dataclasses import asdict

    from harness.cli.console import print_line
    from harness.score.comparing import compare as differences
    from harness.score.comparing import sentence
    from harness.score.store import read_results

    read = read_results(results)
    found = differences(read, first, second, workload, budget)
    if as_json:
        left_out = [asdict(broken) for broken in read.unreadable]
        whole = {"format": 1, "differences": [as_value(each) for each in found], "left_out": left_out}
        typer.echo(json.dumps(whole, indent=1))
        return
    show(found)
    for each in found:
        print_line(sentence(each))
        for note in each.notes:
            print_line(f"  {note}")
    for broken in read.unreadable:
        print_line(f"left out: {broken.file}: {broken.why}")


def show(found: "list[Difference]") -> None:
    """A row a board."""
    from harness.cli.console import show_table
    from harness.score import numerals

    rows = [
        (
            each.where,
            each.board.pace,
            str(each.n),
            numerals.points(each.mean, 2),
            *(shown(interval) for interval in (each.alone, each.together, each.over_images)),
        )
        for each in found
    ]
    columns = ("board", "pace", "n", "difference", "95 % alone", "95 % of all pairs", "95 % over images")
    show_table(f"{found[0].first.method} less {found[0].second.method}, points of mIoU", columns, rows)


def shown(interval: "Interval | None") -> str:
    """Two digits after the point, as the page's tables at their finest."""
    from harness.score import numerals

    if interval is None:
        return numerals.NONE
    return f"{numerals.points(interval.low, 2)} to {numerals.points(interval.high, 2)}"


def as_value(each: "Difference") -> dict[str, object]:
    """For programs: fractions, not points."""
    from harness.score.comparing import sentence

    board = each.board
    intervals = {"alone": each.alone, "all_pairs": each.together, "over_images": each.over_images}
    return {
        "track": board.track,
        "workload": board.workload,
        "workload_digest": board.workload_digest,
        "budget": board.budget,
        "device": board.device,
        "pace": board.pace,
        "rules": board.rules,
        "first": each.first.method,
        "first_digest": each.first.digest,
        "second": each.second.method,
        "second_digest": each.second.digest,
        "difference": each.mean,
        "n": each.n,
        **{name: None if found is None else [found.low, found.high] for name, found in intervals.items()},
        "pairs": each.pairs,
        "sentence": sentence(each),
        "notes": list(each.notes),
    }
