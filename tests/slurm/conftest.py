"""A real Slurm for every test here."""

from tests.slurm.cluster import cluster

__all__ = ["cluster"]
