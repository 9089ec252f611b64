"""What lies in a results folder, file by file, and what can be wrong with a file by itself."""

import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeVar

from pydantic_core import from_json

from harness.ledger.anchor import AnchorFile
from harness.ledger.budget import Budget
from harness.ledger.cost import CostFile
from harness.ledger.errors import BadInput
from harness.ledger.files import LARGEST, Value, read, read_bytes
from harness.ledger.plan import RunKey
from harness.ledger.record import Record
from harness.ledger.results import split_name
from harness.ledger.rules import RULES_VERSION

V = TypeVar("V", bound=Value)
Kind = Literal["record", "counts", "cost", "anchor", "picture", "leftover"]

KINDS: dict[tuple[str, str], Kind] = {
    ("runs", ".json"): "record",
    ("runs", ".npz"): "counts",
    ("costs", ".json"): "cost",
    ("costs/anchors", ".json"): "anchor",
    ("pictures", ".npz"): "picture",
}
"""By folder and suffix; what else lies in these folders is left over from something."""

FOLDERS = tuple(dict.fromkeys(folder for folder, _ in KINDS))

TRIALS = "tuning"
"""A results folder of its own inside of RESULTS, for the trials of `bench tune`."""

BESIDE = {*FOLDERS, TRIALS, "work", "tensorboard", "README.md", ".gitignore", ".gitkeep"}
"""What RESULTS itself may hold."""


@dataclass(frozen=True)
class Stored:
    """A file of a results folder."""

    place: str
    """Under the results folder: `runs/KEY.ATTEMPT.json`; the same in every folder that holds the same."""
    path: Path
    kind: Kind

    @property
    def name(self) -> str:
        """KEY.ATTEMPT of a record or its counts."""
        return self.path.stem

    @property
    def room(self) -> str:
        """Which results folder of the two it belongs to: the runs' own, or that of the trials."""
        return TRIALS if self.place.startswith(f"{TRIALS}/") else ""


def stored(results: Path) -> list[Stored]:
    """Every file of a results folder but those of runs under way, in the order of their places; BadInput without one.

    Links are not followed, so that a stranger's folder shows nothing that lies outside of it.
    """
    must_be_results(results)
    try:
        found = [*_room(results, ""), *(_room(results / TRIALS, f"{TRIALS}/") if _is_folder(results / TRIALS) else ())]
    except OSError as error:
        raise BadInput(f"{error.filename}: cannot be read: {error.strerror}") from error
    return sorted(found, key=lambda each: each.place)


def must_be_results(results: Path, before: str = "") -> None:
    """BadInput unless a folder is there, the message with the words before it; it may be a link."""
    if not results.is_dir():
        found = "no folder" if results.exists() else "nothing"
        raise BadInput(f"{before}{results}: found {found}: expected a results folder")


def _is_folder(path: Path) -> bool:
    """Whether a folder of a results folder is there; BadInput for a link."""
    if path.is_symlink():
        raise BadInput(f"{path}: is a link, and links are not followed: expected a folder")
    return path.is_dir()


def _room(results: Path, before: str) -> Iterator[Stored]:
    """The files of one results folder, trials not included."""
    for path in results.iterdir():
        if path.name not in BESIDE:
            yield Stored(f"{before}{path.name}", path, "leftover")
    for folder in FOLDERS:
        for path in (results / folder).iterdir() if _is_folder(results / folder) else ():
            place = f"{folder}/{path.name}"
            if place not in FOLDERS and path.name != ".gitkeep":
                yield Stored(f"{before}{place}", path, _kind(folder, path))


def _kind(folder: str, path: Path) -> Kind:
    """A dot begins the name of what was never finished."""
    return "leftover" if path.name.startswith(".") else KINDS.get((folder, path.suffix), "leftover")


def must_be_plain(path: Path) -> int:
    """The bytes of a file; BadInput for a link, a folder, or what would block whoever reads it."""
    try:
        found = path.lstat()
    except OSError as error:
        raise BadInput(f"{path}: cannot be read: {error.strerror}") from error
    if not stat.S_ISREG(found.st_mode):
        raise BadInput(f"{path}: is no plain file")
    return found.st_size


def read_stored(path: Path, model: type[V]) -> V:
    """The value in a .json of a results folder; BadInput that also tells a later format from a broken file."""
    must_be_plain(path)
    try:
        return read(path, model, LARGEST)
    except BadInput as error:
        later = _later_format(path)
        if later is None:
            raise
        raise BadInput(f"{path}: format {later} is of a later version of bench: update it to read this file") from error


def _later_format(path: Path) -> int | None:
    """The format that a file says it has, where that is one we do not know."""
    try:
        found = from_json(read_bytes(path, LARGEST))
    except (BadInput, ValueError):
        return None
    said = found.get("format") if isinstance(found, dict) else None
    return said if isinstance(said, int) and not isinstance(said, bool) and said > 1 else None


def read_named_record(path: Path) -> Record:
    """The record in a file that carries the run's name; BadInput where it does not, or the key is not the run's."""
    if split_name(path.stem) is None:
        raise BadInput(f"{path}: no record's name: expected KEY.ATTEMPT.json")
    record = read_stored(path, Record)
    if record.spec.name != path.stem:
        raise BadInput(f"{path}: spec: found the run {record.spec.name}: a record keeps the name it was written under")
    try:
        key = key_of(record)
    except BadInput as error:
        raise BadInput(f"{path}: spec.budget: {str(error).removeprefix('--budget: ')}") from error
    if key is not None and key != record.spec.key:
        raise BadInput(f"{path}: spec.key: found {record.spec.key!r}: expected {key!r}, by what the run was")
    return record


def key_of(record: Record) -> str | None:
    """The key that a record's content comes down to; None for rules whose keys are made otherwise.

    BadInput for a budget that is none.
    """
    spec = record.spec
    budget = Budget.parse(spec.budget)
    if spec.rules != RULES_VERSION:
        return None
    return RunKey(spec.ground, spec.method, spec.seed, budget, spec.pace, spec.scored_on).text


def read_cost_file(path: Path) -> CostFile:
    """The cost in a file that is named by its key."""
    cost = read_stored(path, CostFile)
    expected = f"{cost.method}-{cost.key.digest}.json"
    if path.name != expected:
        raise BadInput(f"{path}: key: found that of {expected}: a cost keeps the name it was written under")
    return cost


def read_anchor_file(path: Path) -> AnchorFile:
    """The anchor in a file."""
    anchor = read_stored(path, AnchorFile)
    if not path.name.startswith(f"{anchor.method}-"):
        raise BadInput(f"{path}: method: found {anchor.method!r}: an anchor keeps the name it was written under")
    return anchor
