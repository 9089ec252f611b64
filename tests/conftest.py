"""What every test has."""

from collections.abc import Iterator

import pytest


@pytest.fixture(autouse=True, scope="session")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """A cache that is not the user's: what a test decodes is not found by another suite, nor by a run."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SEGKD_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield
