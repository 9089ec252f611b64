"""What the figures show, in plain numbers: taken from boards here, drawn in harness/report/figures."""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from harness.ledger.errors import BadInput
from harness.ledger.pictures import read_pictures, read_student
from harness.report.facts.classes import Classes, classes_of
from harness.report.facts.curves import Curves, curves_of
from harness.report.facts.flips import Slopes, slopes_of
from harness.report.facts.frontier import Frontier, frontier_of
from harness.report.facts.phases import Bars, bars_of
from harness.report.facts.scaling import Curves as Scaling
from harness.report.facts.scaling import scaling_of
from harness.report.facts.scenes import Scenes, scenes_of, shown_students
from harness.report.facts.share import Shares, share_of
from harness.score.groups import Flip, Group
from harness.score.leaderboard import Board
from harness.score.store import Unreadable

NAMES = {
    Frontier: "miou-over-spending",
    Scaling: "scaling",
    Slopes: "ranks",
    Shares: "share-of-teacher",
    Bars: "phases",
    Classes: "classes",
    Curves: "learning-curves",
    Scenes: "pictures",
}
"""What the figures' files are called."""

Facts = Frontier | Scaling | Slopes | Shares | Bars | Curves | Classes | Scenes


def facts_of(group: Group, flips: Sequence[Flip], folder: Path, unusable: list[Unreadable]) -> Iterator[Facts]:
    """Of every figure that there is something to show in, in the order of the page.

    Pictures that cannot be read are added to what is unusable.
    """
    found: tuple[Facts | None, ...] = (
        frontier_of(group),
        scaling_of(group),
        *(slopes_of(flip) for flip in flips),
        share_of(group.largest),
        bars_of(group.largest),
        classes_of(group.largest),
        curves_of(group),
        _scenes(group.largest, folder, unusable),
    )
    yield from (each for each in found if each is not None)


def _scenes(board: Board, folder: Path, unusable: list[Unreadable]) -> Scenes | None:
    """Pictures that the runs of a board's best methods left, of the first seed that each was scored on."""
    try:
        scene = read_pictures(folder, board.workload_digest)
        if scene is None:
            return None
        runs = {row.method: row.scored[0] for row in shown_students(board) if row.scored}
        maps = {method: read_student(folder, run.name) for method, run in runs.items()}
    except BadInput as error:
        unusable.append(Unreadable("pictures", str(error)))
        return None
    students = {method: found for method, found in maps.items() if found is not None}
    classes = board.rows[0].runs[0].class_names
    seeds = [runs[method].seed for method in students]
    return scenes_of(scene.images, scene.labels, scene.teacher, students, classes, board.budget, seeds)


def named(found: Iterable[Facts]) -> Iterator[tuple[str, Facts]]:
    """Each with a name that no other of them has."""
    count: Counter[str] = Counter()
    for facts in found:
        name = NAMES[type(facts)]
        count[name] += 1
        yield (name if count[name] == 1 else f"{name}-{count[name]}"), facts
