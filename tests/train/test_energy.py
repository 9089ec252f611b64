"""Joules of an iteration, from a counter that the test winds up."""

import pytest

from harness.ledger.readings import ENERGY_SECONDS
from harness.train.energy import Drawn, drawn


class Device:
    """Draws 200 W, an iteration takes a quarter of a second."""

    def __init__(self, tells: bool = True) -> None:
        self.time, self.tells = 5.0, tells

    def work(self, iterations: int) -> None:
        self.time += 0.25 * iterations

    def joules(self) -> float | None:
        return 200.0 * self.time if self.tells else None


def drawn_by(device: Device, kind: str = "cuda", allowed: float = 60.0) -> Drawn:
    return drawn(device.work, 2, kind, allowed, device.joules, lambda: device.time)


def test_joules_are_those_of_half_a_minute_by_its_iterations():
    """200 W for a quarter of a second make 50 J, over the shortest window that is believed."""
    device = Device()
    assert drawn_by(device) == Drawn(pytest.approx(50.0))
    assert device.time == 5.0 + ENERGY_SECONDS


@pytest.mark.parametrize(
    ("device", "kind", "allowed", "why_not"),
    [
        (Device(), "cpu", 60.0, "a CPU's energy is not metered"),
        (Device(), "cuda", 59.0, "needs --profile-time 60s or more"),
        (Device(tells=False), "cuda", 60.0, "the device does not tell its energy"),
    ],
)
def test_where_there_are_none_the_reason_is_told_and_no_time_is_lost(device, kind, allowed, why_not):
    """Null, with a reason, and not an iteration more."""
    assert drawn_by(device, kind, allowed) == Drawn(None, why_not)
    assert device.time == 5.0
