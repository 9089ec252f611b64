"""What a shipped method says of itself, to be shown: where it was published, what it answers to, its notes."""

from dataclasses import dataclass
from functools import cache

import yaml

from harness.ledger.descriptor import SHIPPED, Paper, Reference, shipped_methods


@dataclass(frozen=True)
class About:
    """A shipped descriptor's prose, and its text."""

    text: str
    variant_of: str | None
    paper: Paper
    reference: Reference | None
    notes: str


def about(names: frozenset[str]) -> dict[str, About]:
    """Of those of the names that ship.

    Every shipped descriptor is held against the whole reader by the tests; here the package's own files are read by
    libyaml's safe loader, twenty times as fast.
    """
    return {name: _about(name) for name in sorted(names & set(shipped_methods()))}


@cache
def _about(name: str) -> About:
    text = (SHIPPED / f"{name}.yaml").read_text(encoding="utf-8")
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # libyaml is not everywhere
    found = yaml.load(text, Loader=loader)
    return About(
        text=text,
        variant_of=found.get("variant_of"),
        paper=Paper.model_validate(found.get("paper") or {}),
        reference=Reference.model_validate(found["reference"]) if found.get("reference") else None,
        notes=found["notes"],
    )
