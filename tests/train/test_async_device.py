"""Clock, loop and paces over a device that works while the host goes on: all of its work is charged, and no wait costs.

Times are sums of powers of two, so that what is charged can be compared exactly.
"""

import itertools
import random
from collections.abc import Callable

import pytest

from harness.train.clock import Clock, EventClock
from harness.train.loop import spend, spend_preparation
from harness.train.pace import ClockPace, IterationsPace, Pace, Reached
from tests.train.async_device import AsyncDevice

BATCHES = itertools.repeat((None, None))


class Pupil:
    """Stands in for a Trainee: every iteration is some work for the device."""

    def __init__(self, device: AsyncDevice, seconds: Callable[[], float]) -> None:
        self.device = device
        self.seconds = seconds
        self.queued: list[int] = []
        """Pieces of work under way whenever another was handed over."""

    def iterate(self, images: object, labels: object, progress: float) -> None:
        self.queued.append(self.device.queued)
        self.device.launch(self.seconds())

    prepare = iterate


class Run:
    """A run on the device, by the event clock unless another is given."""

    def __init__(self, device: AsyncDevice, iteration: float | Callable[[], float], clock: Clock | None = None) -> None:
        self.device = device
        self.clock = clock or EventClock(device.now, device.synchronize, device.event)
        self.pupil = Pupil(device, iteration if callable(iteration) else lambda: iteration)
        self.stretches = 0
        """Between a start and a stop, with some work in them."""
        self.handed_over = 0

    def spend(self, pace: Pace) -> float:
        """Seconds charged for the whole of it."""
        spend_preparation(self.pupil, BATCHES, pace, self.clock, self.look)
        spend(self.pupil, BATCHES, pace, self.clock, self.look)
        return self.clock.spent

    def look(self) -> None:
        """Off the clock: an hour of evaluation, which the device sits through."""
        self.stretches += len(self.pupil.queued) > self.handed_over
        self.handed_over = len(self.pupil.queued)
        self.device.host += 3600
        self.device.free_at = self.device.host


def iterations_of(run: Run) -> Pace:
    """100 iterations."""
    return IterationsPace(100, None, run.clock)


def clock_of(run: Run) -> Pace:
    """100 s."""
    return ClockPace(100.0, run.clock)


def prepared(run: Run) -> Pace:
    """20 updates, then 100 iterations."""
    return IterationsPace(100, None, run.clock, preparation=20)


def prepared_by_clock(run: Run) -> Pace:
    """20 s, then 80 s."""
    return ClockPace(100.0, run.clock, preparation_share=0.2)


PACES = pytest.mark.parametrize("pace", [iterations_of, clock_of, prepared, prepared_by_clock])


def test_the_device_works_in_order_while_the_host_goes_on():
    """Three pieces of 2 s, handed over within 0.75 s, are done 6 s after the first was there."""
    device = AsyncDevice(launch_seconds=0.25, host=0.0, free_at=0.0)
    for _ in range(3):
        device.launch(2.0)
    assert (device.host, device.free_at, device.queued) == (0.75, 6.25, 3)
    device.synchronize()
    assert (device.host, device.queued) == (6.25, 0)


def test_an_event_is_done_when_the_device_comes_there():
    """It can be waited for alone, and before that its time is not known."""
    device = AsyncDevice(host=0.0, free_at=0.0)
    first, second = device.event(), device.event()
    first.record()
    device.launch(2.0)
    second.record()
    device.launch(3.0)
    assert (first.query(), second.query()) == (True, False)
    with pytest.raises(RuntimeError, match="not ready"):
        first.elapsed_time(second)
    second.synchronize()
    assert (device.host, first.elapsed_time(second)) == (2.0, 2000.0)


def test_a_full_queue_lets_the_host_wait():
    """With room for two, the third launch waits for the first piece's end."""
    device = AsyncDevice(queue_limit=2, host=0.0, free_at=0.0)
    for _ in range(3):
        device.launch(2.0)
    assert (device.host, device.queued) == (2.0, 2)


@PACES
def test_all_the_devices_work_is_charged(pace):
    """Handing over takes no time: what is spent is the device's work, exactly, also what was queued at every stop."""
    run = Run(AsyncDevice(), 1.0)
    assert run.spend(pace(run)) == run.device.work


@PACES
@pytest.mark.parametrize("limit", [1, 2, 1024])
def test_a_full_queue_changes_nothing_of_the_charge(pace, limit):
    """Whether the host waits in a launch or in the clock."""
    run = Run(AsyncDevice(queue_limit=limit), 1.0)
    assert run.spend(pace(run)) == run.device.work


@PACES
def test_where_the_host_is_slower_its_time_is_charged(pace):
    """A second to hand over a quarter of a second's work: the host's seconds, and the last quarter of each stretch."""
    run = Run(AsyncDevice(launch_seconds=1.0), 0.25)
    spent = run.spend(pace(run))
    assert spent == len(run.pupil.queued) * 1.0 + run.stretches * 0.25


def test_a_clock_that_does_not_wait_where_it_stops_charges_a_hundredth():
    """The same 100 iterations of a second, of which the host needs a hundredth to hand them over."""
    device = AsyncDevice(launch_seconds=2**-7)
    naive = Run(device, 1.0, Clock(device.now, lambda: None))
    spent = naive.spend(iterations_of(naive))
    assert (spent, device.work) == (100 / 128, 100.0)


def test_a_budget_on_a_clock_that_does_not_wait_buys_a_hundredfold():
    """100 s by the host's clock: the device is given 12,800 s of work."""
    device = AsyncDevice(launch_seconds=2**-7)
    naive = Run(device, 1.0, Clock(device.now, lambda: None))
    assert naive.spend(clock_of(naive)) == 100.0
    assert device.work == 12_800.0


def test_in_iterations_pace_the_clock_waits_where_it_starts_and_stops_alone():
    """Twice a stretch for the whole device, never for an event."""
    run = Run(AsyncDevice(launch_seconds=2**-7), 1.0)
    run.spend(IterationsPace(1000, 1000.0, run.clock))
    assert run.stretches == 21
    assert (run.device.synchronizes, run.device.waits) == (2 * 21, [])


def test_in_clock_pace_it_also_waits_for_the_iteration_before_last():
    """Once an iteration at most, and whenever it waits, exactly one later iteration is under way."""
    run = Run(AsyncDevice(launch_seconds=2**-7), 1.0)
    run.spend(ClockPace(1000.0, run.clock))
    assert run.device.synchronizes == 2 * run.stretches
    assert set(run.device.waits) == {1}
    assert len(run.pupil.queued) - 2 * run.stretches <= len(run.device.waits) < len(run.pupil.queued)


@PACES
def test_no_reading_lets_the_device_run_dry(pace):
    """It has something to do whenever more is handed over, but for the first iteration after each start."""
    run = Run(AsyncDevice(launch_seconds=0.125), 1.0)
    run.spend(pace(run))
    assert run.pupil.queued.count(0) == run.stretches
    assert run.device.ran_dry == [0.125] * run.stretches


def test_a_clock_that_waits_for_the_latest_iteration_charges_for_its_waiting():
    """The device runs dry before every iteration, and an eighth is paid on top of each."""

    class Impatient(Clock):
        @property
        def spent(self) -> float:
            device.synchronize()
            return super().spent

    device = AsyncDevice(launch_seconds=0.125)
    run = Run(device, 1.0, Impatient(device.now, device.synchronize))
    spent = run.spend(clock_of(run))
    assert set(run.pupil.queued) == {0}
    assert spent == 1.125 * len(run.pupil.queued)


@pytest.mark.parametrize("iterations", [99.5, 100.0, 150.75, 333.125, 1000.875])
@pytest.mark.parametrize("launch", [0.0, 0.125])
def test_constant_iterations_stop_within_one_of_the_budget(iterations, launch):
    """By the clock: the last begins within the budget and ends at it or beyond."""
    run = Run(AsyncDevice(launch_seconds=launch), 1.0)
    over = run.spend(ClockPace(iterations, run.clock)) - iterations
    assert 0 <= over <= 1.0 + launch


@pytest.mark.parametrize("iterations", [number + part / 4 for number in range(61) for part in range(1, 4)])
def test_a_run_of_few_iterations_stops_within_one_of_the_budget(iterations):
    """Also right after a pause; only of the very first two it cannot know the length."""
    run = Run(AsyncDevice(), 1.0)
    over = run.spend(ClockPace(iterations, run.clock)) - iterations
    assert 0 <= over < (1.0 if iterations > 2 else 2.0)


@pytest.mark.parametrize("seed", range(20))
def test_varying_iterations_stop_within_one_and_their_spread(seed):
    """The one under way is taken to last as long as the one before: off by their difference, at either side."""
    chance = random.Random(seed)
    shortest, longest = 0.75, 1.5
    run = Run(AsyncDevice(), lambda: chance.uniform(shortest, longest))
    over = run.spend(ClockPace(100.0, run.clock)) - 100.0
    spread = longest - shortest
    assert -spread <= over <= longest + spread


def test_a_phase_is_over_when_the_loop_says_so_though_the_exact_time_is_a_little_less():
    """128 s, half of them for the preparation: the last update of each phase is shorter than the one before it.

    64 updates are taken for 64 s and last 63.5 s; 65 iterations are taken for 128.5 s in all, and end at 127.75 s.
    """
    lengths = iter([*[1.0] * 63, 0.5, *[1.0] * 64, 0.25])
    run = Run(AsyncDevice(), lambda: next(lengths))
    pace = ClockPace(128.0, run.clock, preparation_share=0.5)
    looks: list[Reached] = []

    def look() -> None:
        looks.append(pace.reached)

    spend_preparation(run.pupil, BATCHES, pace, run.clock, look)
    assert (run.clock.spent, pace.progress()) == (63.5, 0.0)
    spend(run.pupil, BATCHES, pace, run.clock, look)
    assert (pace.prepared, pace.done, run.clock.spent) == (64, 65, 127.75)
    phases = [(reached.begun, reached.over) for reached in looks]
    assert phases == [*[(False, False)] * 20, *[(True, False)] * 21, (True, True)]

    again = ClockPace(128.0, run.clock, preparation_share=0.5)
    again.go_on_from(looks[-1])
    spend_preparation(run.pupil, BATCHES, again, run.clock, look)
    spend(run.pupil, BATCHES, again, run.clock, look)
    assert len(looks) == 20 + 21 + 1
