"""Where things lie: flag first, then environment, then default."""

import os
import tempfile
from pathlib import Path

from platformdirs import user_cache_path

from harness.ledger.errors import BadInput


def cache() -> Path:
    """SEGKD_CACHE, or the user's cache folder: teachers, backbone weights, students."""
    return Path(os.environ.get("SEGKD_CACHE") or user_cache_path("segkd-bench"))


def probe(folder: Path) -> None:
    """OSError unless the folder can be written, or made where it does not exist; leaves nothing behind."""
    existing = next(place for place in (folder.absolute(), *folder.absolute().parents) if place.exists())
    with tempfile.TemporaryFile(dir=existing):  # without a name, so that a kill leaves nothing either
        pass


def must_be_writable(folder: Path) -> None:
    """BadInput unless a folder of the cache can be written: found out before hours are spent on what it is to keep."""
    try:
        probe(folder)
    except OSError as error:
        mend = "set SEGKD_CACHE to a folder that can"
        raise BadInput(f"{folder}: cannot be written: {error.strerror}: {mend}") from error


def data(flag: Path | None) -> Path | None:
    """What `--data` named, else SEGKD_DATA, else nothing."""
    if flag is not None:
        return flag
    named = os.environ.get("SEGKD_DATA")
    return Path(named) if named else None
