"""Results folders brought together: every file as it is, none edited, none overwritten, in whatever order they come."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path

from pydantic_core import from_json

from harness.ledger.counts import MOST_BYTES
from harness.ledger.errors import BadInput
from harness.ledger.files import LARGEST, file_sha256, key_path, read_bytes, sha256_of, shown, write_bytes
from harness.ledger.pictures import FILE_BYTES
from harness.ledger.results import split_name, unfinished
from harness.ledger.stored import (
    FOLDERS,
    TRIALS,
    Kind,
    Stored,
    must_be_plain,
    read_anchor_file,
    read_cost_file,
    read_named_record,
    stored,
)

LARGEST_OF: dict[Kind, int] = {"counts": MOST_BYTES, "picture": FILE_BYTES}
"""Bytes of what is no .json."""

ORDER: tuple[Kind, ...] = ("anchor", "cost", "picture", "counts", "record")
"""What a record needs is there before it: a merge that is killed half-way leaves no record without its counts."""


@dataclass(frozen=True)
class Copy:
    """A file that the folder lacks."""

    source: Path
    target: Path
    kind: Kind
    sha256: str


@dataclass(frozen=True)
class Merge:
    """What merging comes to: copies, when there is nothing against it."""

    copies: tuple[Copy, ...]
    same: int
    """Files that lie there already, byte for byte."""
    against: tuple[str, ...]
    """A line for each file that cannot be read and each two that cannot both be kept: then nothing is copied."""
    left: tuple[str, ...]
    """A line for what the sources hold and nobody copies."""

    @property
    def records(self) -> int:
        """How many of the copies are records."""
        return sum(copy.kind == "record" for copy in self.copies)


def plan_merge(sources: Sequence[Path], into: Path, but: frozenset[Kind] = frozenset()) -> Merge:
    """What merging the sources, but for some kinds of files, comes to; looks at everything, and writes nothing."""
    _must_be_apart(sources, into)
    _must_take_copies(into)
    folders = [*([into] if into.exists() else []), *sources]
    held = {folder: _taken(stored(folder), but) for folder in folders}
    unreadable = [told for folder in folders for file in held[folder] if (told := _fault(file))]
    places: dict[str, list[Stored]] = {}
    for folder in folders:
        for file in held[folder]:
            places.setdefault(file.place, []).append(file)
    if unreadable:
        return Merge((), 0, tuple(unreadable), ())
    digests = {file.path: file_sha256(file.path) for files in places.values() for file in files}
    conflicts = _conflicts([files for _, files in sorted(places.items())], digests)
    here = {file.place for file in held.get(into, ())}
    copies = [
        Copy(files[0].path, into / place, files[0].kind, digests[files[0].path])
        for place, files in places.items()
        if place not in here
    ]
    in_order = sorted(copies, key=lambda copy: (ORDER.index(copy.kind), copy.target))
    same = sum(file.place in here for source in sources for file in held[source])
    left = tuple(line for source in sources for line in _left(source, but))
    return Merge(tuple(in_order), same, (*conflicts, *_mixed(held)), left)


def carry_out(merge: Merge) -> None:
    """Every copy made, each whole or not at all; BadInput when a source changed meanwhile, or there was any against.

    Where one cannot be written half-way, as on a full disk, those before it stay: merging again goes on from there.
    """
    if merge.against:
        raise BadInput(merge.against[0])
    for copy in merge.copies:
        try:
            content = read_bytes(copy.source, LARGEST_OF.get(copy.kind, LARGEST))
            if sha256_of(content) != copy.sha256:
                raise BadInput(f"{copy.source}: changed while it was merged: merge again")
            if copy.target.exists():
                raise BadInput(f"{copy.target}: was written while it was merged: merge again")
            write_bytes(copy.target, content)
        except OSError as error:
            raise BadInput(f"{copy.target}: cannot be written: {error.strerror}") from error


def _must_be_apart(sources: Sequence[Path], into: Path) -> None:
    """BadInput for a folder that is merged into itself, or twice, or does not look like results at all."""
    if into.exists() and not into.is_dir():
        raise BadInput(f"--into: {into}: found a file: expected a results folder, or nothing yet")
    seen = {into.resolve(): "--into"}
    for source in sources:
        found = source.resolve()
        if found in seen:
            raise BadInput(f"FROM: {source}: is {seen[found]} too: expected folders that differ")
        if found.is_relative_to(into.resolve()) or into.resolve().is_relative_to(found):
            raise BadInput(f"FROM: {source}: one of it and --into {into} lies in the other: expected folders apart")
        seen[found] = "another FROM"
        if not any(file.kind != "leftover" for file in stored(source)):
            raise BadInput(f"FROM: {source}: found no records or costs: expected a results folder")


def _must_take_copies(into: Path) -> None:
    """BadInput, before anything is copied, where a file stands in place of a folder that copies go to."""
    for room in (into, into / TRIALS):
        for folder in (room, *(room / folder for folder in FOLDERS)):
            if (folder.exists() or folder.is_symlink()) and not folder.is_dir():
                raise BadInput(f"--into: {folder}: found no folder: expected one, or nothing yet")


def _taken(files: Sequence[Stored], but: frozenset[Kind]) -> list[Stored]:
    """Those that are merged."""
    return [file for file in files if file.kind not in {"leftover", *but}]


def _fault(file: Stored) -> str | None:
    """What is wrong with a file by itself; None when nothing is."""
    try:
        size, most = must_be_plain(file.path), LARGEST_OF.get(file.kind, LARGEST)
        if size > most:  # it is copied through memory
            raise BadInput(f"{file.path}: found {size:,} bytes: expected at most {most:,}")
        if file.kind == "record":
            read_named_record(file.path)
        if file.kind == "cost":
            read_cost_file(file.path)
        if file.kind == "anchor":
            read_anchor_file(file.path)
    except BadInput as error:
        return f"{error}" if str(error).startswith(str(file.path)) else f"{file.path}: {error}"
    return None


def _conflicts(places: Sequence[Sequence[Stored]], digests: Mapping[Path, str]) -> list[str]:
    """A line for each file that differs from the first in its place; runs are told by their records alone."""
    pairs = [
        (files[0], other) for files in places for other in files[1:] if digests[other.path] != digests[files[0].path]
    ]
    runs = {(first.room, first.name) for first, _ in pairs if first.kind == "record"}
    return [
        f"{first.path} and {other.path}: {_why(first, other)}"
        for first, other in pairs
        if first.kind == "record" or (first.room, first.name) not in runs
    ]


def _why(first: Stored, other: Stored) -> str:
    """What is wrong with keeping both, where they differ first, and what to do."""
    differs = _first_difference(first, other)
    if first.kind == "record":
        key, attempt = split_name(first.name) or (first.name, 0)
        return (
            f"both are attempt {attempt} of {key}, run independently: {differs}: "
            "a run counts once: leave one of the folders out, or move that run's files out of one"
        )
    return f"{differs}: {REMEDIES[first.kind]}"


REMEDIES: dict[Kind, str] = {
    "anchor": "what an anchored budget comes down to was fixed twice, so that runs of one name spent unlike times: "
    "leave one of the folders out",
    "cost": "one cost, measured twice: --no-costs leaves costs out, as a record holds the one it was planned with",
    "counts": "counts of one run: see which of the folders `bench results verify` finds sound",
    "picture": "pictures of the same, made twice: --no-pictures leaves pictures out",
}


def _first_difference(first: Stored, other: Stored) -> str:
    """`outcome.scores.miou is 0.5 in A and 0.6 in B`."""
    one, two = first.path.read_bytes(), other.path.read_bytes()
    if first.path.suffix == ".json" and (found := _differs(from_json(one), from_json(two), ())):
        location, of_first, of_other = found
        return f"{key_path(location) or 'file'} is {of_first} in the one and {of_other} in the other"
    at = next((index for index, pair in enumerate(zip_longest(one, two)) if pair[0] != pair[1]), 0)
    return f"their bytes differ from byte {at:,} on"


Location = tuple[int | str, ...]


def _differs(one: object, two: object, location: Location) -> tuple[Location, str, str] | None:
    """Where two JSON values differ first, in the order of the first one's keys, and what stands there."""
    pairs: Iterator[tuple[int | str, object, object]] = iter(())
    if isinstance(one, dict) and isinstance(two, dict):
        pairs = ((key, one.get(key, ABSENT), two.get(key, ABSENT)) for key in {**one, **two})
    elif isinstance(one, list) and isinstance(two, list):
        numbered = enumerate(zip_longest(one, two, fillvalue=ABSENT))
        pairs = ((index, mine, theirs) for index, (mine, theirs) in numbered)
    elif not _same(one, two):
        return location, _told(one), _told(two)
    return next((found for key, mine, theirs in pairs if (found := _differs(mine, theirs, (*location, key)))), None)


ABSENT = object()


def _same(one: object, two: object) -> bool:
    """1 and 1.0 are written differently, and so differ."""
    both_nan = isinstance(one, float) and isinstance(two, float) and math.isnan(one) and math.isnan(two)
    return both_nan or (type(one) is type(two) and one == two)


def _told(value: object) -> str:
    if value is ABSENT:
        return "absent"
    return "a list" if isinstance(value, list) else shown(value)


def _mixed(held: Mapping[Path, Sequence[Stored]]) -> Iterator[str]:
    """A line when trials would lie among runs."""
    first: dict[tuple[str, str], Path] = {}
    for files in held.values():
        for file in files:
            if file.kind == "record":
                first.setdefault((file.room, read_named_record(file.path).spec.scored_on), file.path)
    for room in ("", *{room for room, _ in first if room}):
        if (room, "score") in first and (room, "tune") in first:
            yield (
                f"{first[room, 'tune']}: a trial of `bench tune`, and {first[room, 'score']} is a run: "
                "they share no folder: merge results folders with results folders, tuning with tuning"
            )


def _left(source: Path, but: frozenset[Kind]) -> Iterator[str]:
    """What stays behind, a line each."""
    files = stored(source)
    over = [file.place for file in files if file.kind == "leftover"]
    if over:
        yield f"{source}: not copied, as no part of results: {', '.join(over[:5])}{', …' if len(over) > 5 else ''}"
    for kind in sorted(but):
        if count := sum(file.kind == kind for file in files):
            yield f"{source}: not copied: {count} {kind}s (--no-{kind}s)"
    if (source / "tensorboard").exists():
        yield f"{source}: not copied: tensorboard, which the records' learning curves say again"
    if under_way := unfinished(source):
        yield f"{source}: not copied: {len(under_way)} runs without a record, under way or stopped"
