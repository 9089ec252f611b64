"""What each term weighs on a workload, by whose word, and its share of the gradient."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass

from harness.ledger.cost import Cost
from harness.ledger.method import ResolvedMethod, Source
from harness.ledger.rules import GRADIENT_SHARES
from harness.ledger.weights import named_weights
from harness.sweep.story import Prices

COLUMNS = ("method", "term", "weight here", "source", "gradient share")


@dataclass(frozen=True)
class TermRow:
    """One weight above zero."""

    method: str
    term: str
    weight: float | None
    """None where it has to be moved from another data set and nobody has."""
    source: Source
    gradient_share: float | None
    """Of the task loss's, on the untrained student; None where it was never measured."""

    @property
    def warning(self) -> str:
        """Against a term that says next to nothing, or drowns the task."""
        low, high = GRADIENT_SHARES
        if self.gradient_share is None or low <= self.gradient_share <= high:
            return ""
        return f"(!) under {low:g}" if self.gradient_share < low else f"(!) over {high:g}"

    @property
    def cells(self) -> tuple[str, ...]:
        """For people."""
        weight = "" if self.weight is None else f"{self.weight:.4g}"
        share = "" if self.gradient_share is None else f"{self.gradient_share:.3g}"
        return self.method, self.term, weight, self.source, share


def term_rows(prices: Prices) -> tuple[TermRow, ...]:
    """A row a weight, in the order of methods and terms."""
    return tuple(row for method in prices.methods for row in rows_of(prices, method))


def rows_of(prices: Prices, method: ResolvedMethod) -> tuple[TermRow, ...]:
    """The rows of one method."""
    cost = prices.costs[method.name]
    weights, shares = (cost.weights, cost.gradient_shares) if isinstance(cost, Cost) else ({}, {})
    return tuple(
        TermRow(method.name, each.name, each.here(weights), each.part.source, shares.get(each.name))
        for each in named_weights(method)
    )


def to_markdown(rows: Sequence[TermRow]) -> str:
    """For a document; a share that is warned about is marked."""
    body = [f"| {' | '.join(row.cells)}{' (!)' if row.warning else ''} |" for row in rows]
    return "\n".join([f"| {' | '.join(COLUMNS)} |", "| :-- | :-- | --: | :-- | --: |", *body, ""])


def to_json(prices: Prices) -> str:
    """Everything that is known of every price."""
    found = {}
    for method in prices.methods:
        cost = prices.costs[method.name]
        terms = [{**asdict(row), "warning": row.warning} for row in rows_of(prices, method)]
        kind = "cost" if isinstance(cost, Cost) else "refusal"
        uncertain = {"uncertain": cost.uncertain} if isinstance(cost, Cost) else {}
        found[method.name] = {kind: cost.model_dump(mode="json"), **uncertain, "terms": terms}
    return json.dumps(found, indent=1, ensure_ascii=False)
