"""Why a row stands where it stands: its endings and marks counted, and in words what keeps it below the line."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from harness.score.runs import Run

HARMLESS = frozenset({"cost_uncertain"})
"""Marks that are shown and leave a row above the line."""


@dataclass(frozen=True)
class Tally:
    """An ending or a mark, and on how many runs of a row it stands."""

    word: str
    count: int


def tally(words: Iterable[str]) -> tuple[Tally, ...]:
    """The words by how often they stand, most often first."""
    return tuple(Tally(word, count) for word, count in Counter(words).most_common())


def why_below(version: Sequence[Run], seeds: Sequence[int], is_current: bool) -> tuple[str, ...]:
    """What keeps a method below the line, in words; empty when nothing does."""
    planned = [run for run in version if run.seed in seeds]
    earlier = () if is_current else (f"an earlier version of the method ({version[0].method_digest[:6]})",)
    missing = sorted(set(seeds) - {run.seed for run in planned})
    absent = (f"no run of {named(missing)}",) if missing else ()
    return (*earlier, *_stopped(planned), *_marked(planned), *absent)


def _stopped(planned: Sequence[Run]) -> tuple[str, ...]:
    """A line an ending other than done, with its seeds and its reason."""
    found: dict[tuple[str, str], list[int]] = {}
    for run in planned:
        ending = "done without an mIoU" if run.ending == "done" and run.miou is None else run.ending
        if ending != "done":
            found.setdefault((ending, run.reason), []).append(run.seed)
    return tuple(
        f"{ending}: {named(seeds)}" + (f" ({reason})" if reason else "")
        for (ending, reason), seeds in sorted(found.items())
    )


def _marked(planned: Sequence[Run]) -> tuple[str, ...]:
    """A line a mark that is held against the row, with its seeds."""
    found: dict[str, list[int]] = {}
    for run in planned:
        for mark in run.marks.split():
            found.setdefault(mark, []).append(run.seed)
    return tuple(f"{mark}: {named(seeds)}" for mark, seeds in found.items() if mark not in HARMLESS)


def beside(version: Sequence[Run], seeds: Sequence[int]) -> tuple[str, ...]:
    """What else is to be said of a row."""
    further = [run.seed for run in version if run.seed not in seeds]
    return (f"{named(further)} not in the mean: most methods have none",) if further else ()


def named(seeds: Iterable[int]) -> str:
    """`seed 1`, `seeds 0, 2`."""
    numbers = sorted(set(seeds))
    return f"seed{'s' * (len(numbers) > 1)} {', '.join(map(str, numbers))}"
