"""What a device's own meters said while a run was on the clock."""

from typing import Annotated

from pydantic import Field

from harness.ledger.files import Value

Share = Annotated[float, Field(ge=0, le=1)]

ENERGY_SECONDS = 30.0
"""The shortest window over which a device's energy counter is believed: it moves in steps, and some cards' sensors look
only a quarter of the time."""


class Readings(Value):
    """Null where a device leaves the question unanswered; `why_not` then says so under the field's name."""

    energy_joules: float | None = None
    """Over `seconds`, from the clock's first start to its last stop, pauses included."""
    seconds: float | None = None
    peak_memory_bytes: int | None = None
    """The most that the process held on the device at once, between the same two moments."""
    sm_clock_mhz: float | None = None
    """Median over the samples."""
    throttled: Share | None = None
    """Share of the samples in which heat or a power brake slowed the device down."""
    shared: Share | None = None
    """Share of the samples in which another process computed on the device, as far as the driver shows others."""
    samples: int = 0
    """Looks at the device while the clock ran, about one a second."""
    why_not: dict[str, str] = Field(default_factory=dict)
