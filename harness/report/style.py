"""A colour and a marker a method, the same in every figure and beside its name in every table."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from harness.ledger.method import BASELINE
from harness.report.picture import BAND, INK, MUTED, PAPER, RULE

COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#8a6d00", "#5d4aa8", "#3b87a8")
"""Of Okabe and Ito where they stand out on white and on black, which the colour-blind can tell apart; else darker."""
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "p")
"""matplotlib's; say the same as the colours without colour."""
THEME = {INK: "ink", MUTED: "muted", RULE: "rule", BAND: "band", PAPER: "paper"} | {
    colour: f"c{place}" for place, colour in enumerate(COLOURS, start=1)
}
"""The page's name for each colour of a figure, so that it follows the reader's light or dark."""


@dataclass(frozen=True)
class Style:
    """How a method is drawn."""

    colour: str
    marker: str


Styles = Mapping[str, Style]


def styles_of(methods: Iterable[str]) -> dict[str, Style]:
    """A style each, by the alphabet: no two of 56 share both colour and marker. The baseline is ink, a diamond."""
    others = sorted(set(methods) - {BASELINE})
    found = {name: _style(place) for place, name in enumerate(others)}
    return {BASELINE: Style(INK, "d"), **found}


def _style(place: int) -> Style:
    round_, colour = divmod(place, len(COLOURS))
    return Style(COLOURS[colour], MARKERS[(round_ + colour) % len(MARKERS)])
