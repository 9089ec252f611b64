"""What the figure of validation pictures shows: images, labels and predictions."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from harness.score.leaderboard import Board, Row

Bytes = NDArray[np.uint8]

IGNORED = 255
MOST_IMAGES, MOST_STUDENTS = 3, 4
MOST_PIXELS = 128
"""Of a side of an image; larger ones lose rows and columns."""


@dataclass(frozen=True)
class Guess:
    """What a network predicts: a map of classes an image, H×W each."""

    who: str
    method: str | None
    """None of the teacher."""
    maps: tuple[Bytes, ...]


@dataclass(frozen=True)
class Scenes:
    """What the figure shows, no side longer than MOST_PIXELS."""

    images: tuple[Bytes, ...]
    """H×W×3 each."""
    labels: tuple[Bytes, ...]
    """H×W each; 255 is ignored."""
    guesses: tuple[Guess, ...]
    """The teacher's, then the students'."""
    classes: tuple[str, ...]
    budget: str = ""
    """Of the board that the students are of."""
    seeds: tuple[int, ...] = ()
    """Of the students' runs, each once."""


def shown_students(board: Board) -> tuple[Row, ...]:
    """Whose pictures are worth a look, best first: the best above the line, the student alone, then the next."""
    wanted = [*board.ranked[:1], *(row for row in board.ranked if row is board.baseline), *board.ranked]
    chosen = list({(row.method, row.digest): None for row in wanted})[:MOST_STUDENTS]
    return tuple(row for row in board.ranked if (row.method, row.digest) in chosen)


def scenes_of(
    images: Sequence[Bytes],
    labels: Sequence[Bytes],
    teacher: Sequence[Bytes],
    students: Mapping[str, Sequence[Bytes]],
    classes: Sequence[str],
    budget: str = "",
    seeds: Sequence[int] = (),
) -> Scenes | None:
    """The figure's pictures, of students whose maps are as large as the labels; None when no student's are."""
    shown_labels = _small(labels)
    fitting = {name: maps for name, maps in students.items() if _alike(maps, labels)}
    if not fitting or not _alike(teacher, labels):
        return None
    guesses = [Guess(name, name, _small(maps)) for name, maps in list(fitting.items())[:MOST_STUDENTS]]
    everybody = (Guess("teacher", None, _small(teacher)), *guesses)
    return Scenes(_small(images), shown_labels, everybody, tuple(classes), budget, tuple(sorted(set(seeds))))


def _alike(maps: Sequence[Bytes], labels: Sequence[Bytes]) -> bool:
    return [each.shape for each in maps] == [each.shape for each in labels]


def _small(pictures: Sequence[Bytes]) -> tuple[Bytes, ...]:
    """The first of them; of larger ones every second, third … row and column."""
    steps = (-(-max(each.shape[:2]) // MOST_PIXELS) for each in pictures[:MOST_IMAGES])
    return tuple(np.array(each[::step, ::step]) for each, step in zip(pictures[:MOST_IMAGES], steps, strict=True))
