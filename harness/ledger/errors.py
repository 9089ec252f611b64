"""Errors a person can mend."""

from collections.abc import Iterable
from difflib import get_close_matches
from pathlib import Path

from harness.ledger.endings import Ending


class BadInput(Exception):
    """One line: where, what was found, what was expected, the nearest valid name. Commands exit with 2 on it."""

    ending: Ending = "skipped"
    """Of what was to be measured or run, when this is the reason why it cannot be."""


def without_path(path: Path, error: BadInput) -> str:
    """The message without the file that it begins with, for a line on which the file is named already."""
    return str(error).removeprefix(f"{path}: ")


def nearest(found: str, known: Iterable[str]) -> str:
    """The ` (did you mean 'x'?)` that ends a message, or nothing when no known name is close."""
    matches = get_close_matches(found, list(known), n=1, cutoff=0.6)
    return f" (did you mean '{matches[0]}'?)" if matches else ""
