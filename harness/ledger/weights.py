"""A method's weights under the names that the engine gives them."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from harness.ledger.method import ResolvedMethod, ResolvedPart


@dataclass(frozen=True)
class NamedWeight:
    """One weight above zero."""

    name: str
    """As costs and records know it: `kl@logits`, `pixel@decoded`."""
    place: str
    """Where it stands in the descriptor: `terms[0]`, `terms[1].parts.pixel`."""
    part: ResolvedPart

    def here(self, found: Mapping[str, float]) -> float | None:
        """Its value, by what an engine told; None where the term was left out, or has to be moved and nobody told."""
        if found:
            return found.get(self.name)
        return None if self.part.transfer else self.part.weight


def named_weights(method: ResolvedMethod) -> tuple[NamedWeight, ...]:
    """The weights above zero in the order of the terms; a name that stood before gets `#2` and so on."""
    seen: Counter[str] = Counter()
    found = []
    for index, term in enumerate(method.terms):
        for part in term.weights:
            if part.weight > 0:
                plain = f"{part.name}@{term.stage}" if term.parts else term.name
                seen[plain] += 1
                name = plain if seen[plain] == 1 else f"{plain}#{seen[plain]}"
                place = f"terms[{index}].parts.{part.name}" if term.parts else f"terms[{index}]"
                found.append(NamedWeight(name, place, part))
    return tuple(found)
