"""Which figure shows which facts."""

from collections.abc import Callable
from typing import Any

from harness.report.facts import Facts
from harness.report.facts.classes import Classes
from harness.report.facts.curves import Curves
from harness.report.facts.flips import Slopes
from harness.report.facts.frontier import Frontier
from harness.report.facts.phases import Bars
from harness.report.facts.scaling import Curves as Scaling
from harness.report.facts.scenes import Scenes
from harness.report.facts.share import Shares
from harness.report.figures import classes, curves, flips, frontier, phases, scaling, scenes, share
from harness.report.picture import Picture
from harness.report.style import Styles

DRAW: dict[type[Facts], Callable[[Any, Styles, str], Picture]] = {
    Frontier: frontier.draw,
    Scaling: scaling.draw,
    Slopes: flips.draw,
    Shares: share.draw,
    Bars: phases.draw,
    Curves: curves.draw,
    Classes: classes.draw,
    Scenes: scenes.draw,
}


def draw(facts: Facts, styles: Styles, name: str) -> Picture:
    """The figure of the facts."""
    return DRAW[type(facts)](facts, styles, name)
