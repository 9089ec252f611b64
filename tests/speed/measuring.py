"""A dozen methods measured on a simulated machine, with the baseline beside each of them and without it.

`python tests/speed/measuring.py docs/measuring.svg` also draws what it found.
"""

import sys
from collections.abc import Sequence
from pathlib import Path

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure

from tests.train.simulated import RATIOS, ROUGH, Session, Weather, session, slowing_half_way

SEEDS = 16
BESIDE, ALONE = "#0072b2", "#d55e00"
INK, MUTED, RULE, BAND = "#1b1f24", "#67707b", "#d3d7dc", "#eef0f3"
SETTINGS = {
    "svg.fonttype": "none",
    "svg.hashsalt": "segkd-bench",
    "font.family": "DejaVu Sans",
    "font.size": 9,
    "text.color": INK,
    "axes.edgecolor": RULE,
    "axes.labelcolor": INK,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
}


def main(arguments: Sequence[str]) -> None:
    """The worst errors as ratios, and the figure where somebody asks for it."""
    weather = slowing_half_way(ROUGH)
    sessions = [session(weather, seed) for seed in range(SEEDS)]
    print(
        f"{len(RATIOS)} methods, {SEEDS} sessions, {100 * weather.jitter:.0f} % jitter, "
        f"{100 * (weather.slowdown - 1):.0f} % slower from half-way on"
    )
    print(f"baseline beside each method   worst measured/true ratio {worst(errors(sessions, 'beside')):6.3f}")
    print(f"each method by itself         worst measured/true ratio {worst(errors(sessions, 'alone')):6.3f}")
    for path in arguments:
        draw(sessions, weather, Path(path))


def errors(sessions: Sequence[Session], way: str) -> np.ndarray:
    """Sessions × methods: measured over true, less 1."""
    return np.array([getattr(found, way) for found in sessions])


def worst(found: np.ndarray) -> float:
    """The ratio that lies furthest from 1."""
    return float(1 + found.flat[np.argmax(np.abs(found))])


def draw(sessions: Sequence[Session], weather: Weather, path: Path) -> None:
    """A point a session and method, in the order of measuring."""
    with mpl.rc_context(SETTINGS):
        figure = Figure(figsize=(7.2, 3.4), layout="constrained")
        axes = figure.add_subplot()
        axes.axhspan(-2, 2, color=BAND, zorder=0)
        for way, colour, marker, aside, label in (
            ("alone", ALONE, "^", 0.16, "baseline measured once, at the start"),
            ("beside", BESIDE, "o", -0.16, "baseline beside each method"),
        ):
            found = 100 * errors(sessions, way)
            across = np.broadcast_to(np.arange(len(RATIOS)) + aside, found.shape)
            axes.plot(across.ravel(), found.ravel(), marker, color=colour, ms=3.2, mew=0, alpha=0.6, label=label)
        axes.annotate("± 2 %", (len(RATIOS) - 0.45, 2.2), ha="right", color=MUTED)
        axes.set_xticks(range(len(RATIOS)), [f"{ratio:g}" for ratio in RATIOS])
        axes.set_xlabel("methods in the order of measuring, by their true cost in baseline iterations")
        axes.set_ylabel("measured cost off the truth, in %")
        axes.set_title(
            f"A machine that is {100 * (weather.slowdown - 1):.0f} % slower from half-way on, with "
            f"{100 * weather.jitter:.0f} % jitter (simulated, {len(sessions)} sessions)",
            loc="left", fontsize=9,
        )  # fmt: skip
        axes.spines[["top", "right"]].set_visible(False)
        axes.set_ylim(-4, 26)
        axes.legend(frameon=False, loc="upper left", ncols=2, columnspacing=1.0)
        figure.savefig(path, format="svg", metadata={"Date": None})


if __name__ == "__main__":
    main(sys.argv[1:])
