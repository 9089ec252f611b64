"""A real Slurm for the tests that ask for it."""

from tests.slurm.cluster import cluster

__all__ = ["cluster"]
