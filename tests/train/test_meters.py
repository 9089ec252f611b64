"""What the device's meters say of a run, with a driver and a time that the test moves."""

import pynvml
import pytest
import torch

from harness.ledger.nvml import open_card
from harness.ledger.readings import Readings
from harness.train.meters import FIELDS, CardMeters, NoMeters, meters_of
from tests.ledger.driver import Card, Driver

POWER_CAP, HEAT = 0x4, 0x20
NOT_SUPPORTED = "Not Supported"


class Bench:
    """A card at work under meters."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.seconds = 500.0
        self.peak = 0
        self.card = Card("GPU-aaa", energy_mj=10**9)
        self.driver = Driver(self.card).install(monkeypatch)
        monkeypatch.setattr(torch.cuda, "reset_peak_memory_stats", lambda _: setattr(self, "peak", 0))
        monkeypatch.setattr(torch.cuda, "max_memory_allocated", lambda _: self.peak)
        self.meters = CardMeters(open_card("cuda:0"), torch.device("cuda:0"), lambda: self.seconds)

    def work(self, seconds: int, *, watts: int = 500, look: bool = True) -> None:
        """A second at a time, with a look at the end of each."""
        for _ in range(seconds):
            self.seconds += 1
            self.card.energy_mj += 1000 * watts
            if look:
                self.meters.sample()

    def run(self, seconds: int = 40) -> Readings:
        """A start, some work, a stop, and what the meters say."""
        self.meters.start()
        self.work(seconds)
        self.meters.stop()
        return self.meters.readings()


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch) -> Bench:
    return Bench(monkeypatch)


def test_a_quiet_run_is_read_in_full(bench: Bench):
    """40 s at 500 W are 20,000 J; nothing slowed it down, nobody else was there, and nothing is missing."""
    assert bench.run() == Readings(
        energy_joules=20_000.0,
        seconds=40.0,
        peak_memory_bytes=0,
        sm_clock_mhz=1980.0,
        throttled=0.0,
        shared=0.0,
        samples=40,
    )


def test_the_window_reaches_from_the_first_start_to_the_last_stop(bench: Bench):
    """Two stretches of 20 s with 5 s of pause at 100 W: 45 s and 20,500 J, and the pause is not sampled."""
    bench.meters.start()
    bench.work(20)
    bench.meters.stop()
    bench.work(5, watts=100)
    bench.meters.start()
    bench.work(20)
    bench.meters.stop()
    bench.work(100)  # scoring
    found = bench.meters.readings()
    assert (found.energy_joules, found.seconds, found.samples) == (20_500.0, 45.0, 40)


def test_energy_over_a_short_window_is_not_told(bench: Bench):
    """29 s: the counter's steps would show. Its length is told, and why."""
    found = bench.run(29)
    assert (found.energy_joules, found.seconds) == (None, 29.0)
    assert found.why_not == {"energy_joules": "read over 29.0 s, and believed from 30 s on"}


def test_thirty_seconds_are_enough(bench: Bench):
    """The bound itself counts."""
    assert bench.run(30).energy_joules == 15_000.0


@pytest.mark.parametrize(
    ("question", "field"),
    [
        ("TotalEnergyConsumption", "energy_joules"),
        ("ClockInfo", "sm_clock_mhz"),
        ("ClocksEventReasons", "throttled"),
        ("ComputeRunningProcesses", "shared"),
    ],
)
def test_what_is_not_supported_is_null_and_never_zero(bench: Bench, question: str, field: str):
    """The one field, with the driver's word for it; all others are told."""
    bench.driver.refuse(question)
    found = bench.run()
    assert getattr(found, field) is None
    assert found.why_not == {field: NOT_SUPPORTED}


def test_any_error_of_the_driver_leaves_the_run_alone(bench: Bench):
    """A card that fell off the bus."""
    bench.driver.refuse("", error=pynvml.NVML_ERROR_GPU_IS_LOST)
    found = bench.run()
    assert (found.energy_joules, found.sm_clock_mhz, found.throttled, found.shared) == (None,) * 4
    assert set(found.why_not) == {"energy_joules", "sm_clock_mhz", "throttled", "shared"}


def test_a_question_that_is_answered_now_and_then_has_its_share_of_the_answers(bench: Bench):
    """Half of the looks fail; all that succeed saw heat."""
    bench.meters.start()
    bench.card.reasons = HEAT
    bench.work(20)
    bench.driver.refuse("ClocksEventReasons")
    bench.work(20)
    bench.meters.stop()
    found = bench.meters.readings()
    assert (found.throttled, found.samples, found.why_not) == (1.0, 40, {})


def test_throttled_is_the_share_of_looks_that_saw_heat(bench: Bench):
    """10 of 40; the power cap in all of them is the class's own."""
    bench.meters.start()
    bench.card.reasons = POWER_CAP
    bench.work(30)
    bench.card.reasons = POWER_CAP | HEAT
    bench.work(10)
    bench.meters.stop()
    assert bench.meters.readings().throttled == 0.25


def test_shared_is_the_share_of_looks_that_saw_a_second_process(bench: Bench):
    """Two at the device in 4 of 40 looks."""
    bench.meters.start()
    bench.work(36)
    bench.card.processes = 2
    bench.work(4)
    bench.meters.stop()
    assert bench.meters.readings().shared == 0.1


def test_a_driver_that_does_not_show_even_this_process_says_nothing_of_others(bench: Bench):
    """As in containers with process numbers of their own: not 0, but unknown."""
    bench.card.processes = 0
    found = bench.run()
    assert found.shared is None
    assert found.why_not == {"shared": "the driver shows no process here, not even this one"}


def test_the_clock_is_the_median_of_the_looks(bench: Bench):
    """One look at an idle clock moves it little."""
    bench.meters.start()
    for bench.card.sm_mhz in (345, 1900, 1950):
        bench.work(1)
    bench.meters.stop()
    assert bench.meters.readings().sm_clock_mhz == 1900.0


def test_peak_memory_is_that_of_the_window(bench: Bench):
    """What warm-up needed before is forgotten, and what scoring needs afterwards is not counted."""
    bench.peak = 9
    bench.meters.start()
    bench.peak = 5
    bench.meters.stop()
    bench.peak = 8
    assert bench.meters.readings().peak_memory_bytes == 5


def test_a_run_too_short_for_a_look_says_so(bench: Bench):
    """No sample is no zero."""
    bench.meters.start()
    bench.work(40, look=False)
    bench.meters.stop()
    found = bench.meters.readings()
    assert found.energy_joules == 20_000.0
    why = "the clock stopped before a sample was taken"
    assert found.why_not == dict.fromkeys(("sm_clock_mhz", "throttled", "shared"), why)


def test_a_run_that_failed_before_its_clock_stopped_has_no_readings(bench: Bench):
    """All null, with one reason."""
    bench.meters.start()
    bench.work(40)
    assert bench.meters.readings() == Readings(why_not=dict.fromkeys(FIELDS, "the clock never ran to a stop"))


def test_meters_that_were_never_started_cannot_stop(bench: Bench):
    """A window without a beginning would be a wrong number."""
    with pytest.raises(RuntimeError, match="not started"):
        bench.meters.stop()


def test_nothing_is_sampled_before_the_clock_starts(bench: Bench):
    """Before this process is at the device, others' processes would be taken for it."""
    bench.work(10)
    assert bench.run(40).samples == 40


def test_a_cpu_has_no_meters():
    """Every field is null with the same reason, and calls do nothing."""
    meters = meters_of(torch.device("cpu"))
    meters.start()
    meters.sample()
    meters.stop()
    assert isinstance(meters, NoMeters)
    assert meters.joules() is None
    assert meters.readings() == Readings(why_not=dict.fromkeys(FIELDS, "a CPU has no meters of its own"))


def test_every_field_that_can_be_null_has_a_reason_there():
    """FIELDS are the readings' fields but the count and the reasons."""
    assert set(FIELDS) == set(Readings.model_fields) - {"samples", "why_not"}


@pytest.mark.parametrize(("name", "joules"), [("cuda:1", 22.0), ("cuda", 11.0)])
def test_a_card_is_opened_once_and_stays_open(monkeypatch: pytest.MonkeyPatch, name: str, joules: float):
    """Looks cost little then. A device without a number is the first."""
    driver = Driver(Card("GPU-aaa", energy_mj=11_000), Card("GPU-bbb", energy_mj=22_000)).install(monkeypatch)
    meters = meters_of(torch.device(name))
    assert [meters.joules() for _ in range(3)] == [joules] * 3
    assert driver.open == 1
