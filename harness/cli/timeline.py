"""A sweep over time, as text: a row a device, a block a run."""

import string
import textwrap
from collections.abc import Mapping, Sequence
from itertools import groupby

from harness.cli.console import duration
from harness.ledger.order import Turn

SHADES = "░▒▓"
"""One a seed, in turn: seeds follow each other, so that neighbours differ."""
MOST_ROWS = 16
"""More devices than these are told in a line."""
NARROWEST = 20
UNSEEN = 0.02
"""Runs that are shorter than a column may take this share of the time, and the rest still be told by their letters."""

UNBROKEN = "\N{NO-BREAK SPACE}"


def timeline(played: Sequence[Turn], devices: int, width: int) -> list[str]:
    """The chart, its axis, and what its letters and shades mean; no line where nothing takes any time."""
    total = max((turn.end for turn in played), default=0.0)
    if not total:
        return []
    rows = [list(turns) for _, turns in groupby(sorted(played, key=lambda turn: turn.device), lambda turn: turn.device)]
    shown = sorted(sorted(rows, key=lambda row: row[-1].end)[-MOST_ROWS:], key=lambda row: row[0].device)
    gutter = len(f"device {devices} ")
    scale = max(NARROWEST, width - gutter) / total
    drawn = {row[0].device for row in shown}
    labels, legend = labelling([turn for turn in played if turn.device in drawn], scale)
    shades = shading(played)
    sooner = [row[-1].end for row in rows if row[0].device not in drawn]
    bars = [
        f"{'device ' if not place else ''}{row[0].device + 1} ".rjust(gutter) + bar(row, scale, labels, shades)
        for place, row in enumerate(shown)
    ]
    return [
        *bars,
        " " * gutter + axis(total, round(scale * total)),
        *[line for told in untold(sooner, devices - len(rows)) for line in wrapped(told, width)],
        *wrapped(f"{legend}; {seeds(shades)}", width),
    ]


def bar(row: Sequence[Turn], scale: float, labels: Mapping[str, str], shades: Mapping[int, str]) -> str:
    """A device's runs, each from its label on in its seed's shade."""
    return "".join(
        labels[turn.run.method.name].ljust(columns(turn, scale), shades[turn.run.seed])[: columns(turn, scale)]
        for turn in row
    )


def columns(turn: Turn, scale: float) -> int:
    """How many columns a run has; those of a device leave no gap."""
    return round(scale * turn.end) - round(scale * turn.start)


def labelling(played: Sequence[Turn], scale: float) -> tuple[Mapping[str, str], str]:
    """What a method's runs begin with, and how to read it: names where all fit, else letters, else nothing."""
    names = list(dict.fromkeys(turn.run.method.name for turn in played))
    block = "each block is a run, as long as it takes"
    if all(columns(turn, scale) > len(turn.run.method.name) for turn in played):
        return {name: name for name in names}, block
    unseen = [turn for turn in played if not columns(turn, scale)]
    share = sum(turn.end - turn.start for turn in unseen) / sum(turn.end - turn.start for turn in played)
    if share > UNSEEN or len(names) > len(string.ascii_letters):
        return dict.fromkeys(names, ""), f"{len(played)} runs, too many to tell apart here"
    letters = dict(zip(names, string.ascii_letters, strict=False))
    told = ", ".join(key(letter, name) for name, letter in letters.items())
    short = f" ({len(unseen)} too short to draw)" if unseen else ""
    return letters, f"{block}{short}: {told}"


def shading(played: Sequence[Turn]) -> dict[int, str]:
    """A shade for each seed."""
    found = dict.fromkeys(turn.run.seed for turn in played)
    return {seed: SHADES[place % len(SHADES)] for place, seed in enumerate(found)}


def seeds(shades: Mapping[int, str]) -> str:
    """`░ = seed 0, ▒ = seed 1`; one shade's seeds together."""
    of = {shade: [str(seed) for seed in shades if shades[seed] == shade] for shade in dict.fromkeys(shades.values())}
    return ", ".join(key(shade, f"seed{'s' * (len(of[shade]) > 1)} {' + '.join(of[shade])}") for shade in of)


def key(sign: str, meaning: str) -> str:
    """A sign and what it means, which no line's end comes between."""
    return f"{sign} = {meaning}".replace(" ", UNBROKEN)


def wrapped(text: str, width: int) -> list[str]:
    """Lines of no more than so many columns."""
    return [line.replace(UNBROKEN, " ") for line in textwrap.wrap(text, width, break_on_hyphens=False)]


def axis(total: float, width: int) -> str:
    """The time at the left and the right, and in the middle where there is room."""
    half, whole = duration(total / 2), duration(total)
    left = f"0{half.center(width - 2).rstrip()}"
    if len(left) + len(whole) >= width:
        left = "0"
    return left + whole.rjust(width - len(left))


def untold(sooner: Sequence[float], idle: int) -> list[str]:
    """A line for the devices that have no row: those that are done sooner, and those that have nothing to do."""
    lines = []
    if sooner:
        after = " to ".join(dict.fromkeys((duration(min(sooner)), duration(max(sooner)))))
        lines.append(f"{len(sooner)} other device{'s are' if len(sooner) > 1 else ' is'} done sooner, after {after}")
    if idle:
        lines.append(f"{idle} more device{'s have' if idle > 1 else ' has'} no run")
    return lines
