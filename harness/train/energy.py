"""What an iteration draws: long enough alone that a counter which moves in steps says something."""

import time
from collections.abc import Callable
from dataclasses import dataclass

from harness.ledger.readings import ENERGY_SECONDS

LEAST_ALLOWED_SECONDS = 60.0
"""Of time for measuring; with less, half a minute for joules would be most of it."""

Meter = Callable[[], float | None]
"""Joules that the device has drawn so far; None where it does not tell."""


@dataclass(frozen=True)
class Drawn:
    """Joules of one iteration, or why they are not known."""

    joules: float | None
    why_not: str | None = None


def drawn(
    work: Callable[[int], object],
    iterations: int,
    kind: str,
    allowed_seconds: float,
    meter: Meter,
    now: Callable[[], float] = time.perf_counter,
) -> Drawn:
    """What an iteration draws while nothing else is asked of a device of this kind, `cpu` or `cuda`."""
    if kind == "cpu":
        return Drawn(None, "a CPU's energy is not metered")
    if allowed_seconds < LEAST_ALLOWED_SECONDS:
        return Drawn(None, f"needs --profile-time {LEAST_ALLOWED_SECONDS:.0f}s or more")
    done, end, before = 0, now() + ENERGY_SECONDS, meter()
    while before is not None and now() < end:
        work(iterations)
        done += iterations
    after = meter()
    if before is None or after is None:
        return Drawn(None, "the device does not tell its energy")
    return Drawn((after - before) / done)
