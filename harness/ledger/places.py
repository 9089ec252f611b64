"""Where things lie: flag first, then environment, then default."""

import os
from pathlib import Path

from platformdirs import user_cache_path


def cache() -> Path:
    """SEGKD_CACHE, or the user's cache folder: teachers, backbone weights, students."""
    return Path(os.environ.get("SEGKD_CACHE") or user_cache_path("segkd-bench"))


def data(flag: Path | None) -> Path | None:
    """What `--data` named, else SEGKD_DATA, else nothing."""
    if flag is not None:
        return flag
    named = os.environ.get("SEGKD_DATA")
    return Path(named) if named else None
