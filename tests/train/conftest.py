"""What all tests of this folder share."""

from tests.contract.conftest import one_thread

__all__ = ["one_thread"]
