"""Where a layout's folders lie at or below --data, and what a person is told when they do not."""

import os
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path, PurePosixPath

from harness.ledger.errors import BadInput, nearest
from harness.segmentation.sources import folders_in, shown

DEPTH = 2
"""How many folders below --data a data set may lie."""


def given(data: Path | None, layout: str) -> Path:
    """What --data names, if it is there; BadInput says what the layout looks for and where that is to be had."""
    if data is None:
        raise BadInput(f"--data: not given; looked for {layout}")
    if not data.exists():
        siblings = os.listdir(data.parent) if data.parent.is_dir() else []
        raise BadInput(f"--data {data}: no such folder or file{nearest(data.name, siblings)}; looked for {layout}")
    return data


def top(data: Path | None, expected: Sequence[str], layout: str) -> Path:
    """The folder, DEPTH below --data at most, that holds all that are expected; BadInput names the first missing."""
    folder = given(data, layout)
    if not folder.is_dir():
        raise BadInput(f"--data {folder}: not a folder: unpack it and name the folder; looked for {layout}")
    return folder / holding(folder, folders_below(folder, expected), expected, layout)


def holding(data: Path, folders: Collection[str], expected: Sequence[str], layout: str) -> str:
    """The one of `folders`, or '' for --data itself, that holds all expected; BadInput names the first missing."""
    wanted = [prefix for name in expected for prefix in _prefixes(name)]
    best = _holding_most(folders, wanted)
    below = [name.removeprefix(f"{best}/") for name in folders if not best or name.startswith(f"{best}/")]
    for name in wanted:
        if name not in below:
            where = f" in {shown(best)}/" if best else ""
            beside = [each for each in below if _parent(each) == _parent(name) and each not in wanted]
            raise BadInput(f"--data {data}: no folder '{name}'{where}{nearest(name, beside)}; looked for {layout}")
    return best


def _parent(name: str) -> str:
    return name.rpartition("/")[0]


def _holding_most(folders: Collection[str], wanted: Collection[str]) -> str:
    """Of folders that hold as many of the wanted ones, the one nearest to the top, then the first by name."""
    above = Counter(
        parent
        for folder in folders
        for parent, below in _parted(folder)
        if below in wanted and len(PurePosixPath(parent).parts) <= DEPTH
    )
    return min(above, key=lambda parent: (-above[parent], len(PurePosixPath(parent).parts), parent), default="")


def _parted(folder: str) -> Iterator[tuple[str, str]]:
    """`a/b` as ('', 'a/b') and ('a', 'b')."""
    parts = folder.split("/")
    return (("/".join(parts[:at]), "/".join(parts[at:])) for at in range(len(parts)))


def _prefixes(name: str) -> list[str]:
    """`images/train` after `images`."""
    return ["/".join(name.split("/")[: end + 1]) for end in range(name.count("/") + 1)]


def folders_below(data: Path, expected: Sequence[str]) -> list[str]:
    """Folders below --data, as deep as the expected ones may lie, as names relative to it."""
    levels = DEPTH + max(name.count("/") + 1 for name in expected)
    parts = {part for name in expected for part in name.split("/")}
    found: list[str] = []
    level = [""]
    for depth in range(levels):
        # Deeper than a data set may begin, only what it expects is of interest.
        opened = [name for name in level if depth <= DEPTH or name.rpartition("/")[2] in parts]
        level = [f"{name}/{each}" if name else each for name in opened for each in _readable(data / name)]
        found += level
    return found


def _readable(folder: Path) -> list[str]:
    """The folders in a folder; none of one that may not be looked into."""
    try:
        return folders_in(folder)
    except OSError:
        return []
