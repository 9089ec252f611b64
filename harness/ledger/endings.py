"""How a run can end, and what can be held against one that is done: closed lists."""

from typing import Literal

Ending = Literal["done", "diverged", "out_of_memory", "hung", "failed", "interrupted", "skipped"]

Mark = Literal[
    "off_budget", "too_short", "data_bound", "throttled", "shared_device", "slow_node", "cost_uncertain", "weak_teacher"
]

REPEATED: frozenset[Ending] = frozenset({"failed", "hung", "interrupted"})
"""Endings after which the same command tries again."""

RETRIED: frozenset[Ending] = frozenset({"diverged", "out_of_memory"})
"""Endings that only `--retry` tries again."""
