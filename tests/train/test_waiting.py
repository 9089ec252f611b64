"""How long training waits for its batches, with time that the test moves."""

from harness.train.waiting import DeviceWaiting, Waiting
from tests.train.test_clock import FakeEvent, Time


class Slow:
    """Batches whose bytes take 2 s, and whose augmentation takes 1 s more."""

    def __init__(self, time: Time) -> None:
        self.time = time

    def fetch(self) -> None:
        self.time.seconds += 2.0

    def compose(self, fetched: None) -> tuple[None, None]:
        self.time.seconds += 1.0
        return None, None

    def __next__(self) -> tuple[None, None]:
        return self.compose(self.fetch())


def test_the_time_that_a_batch_takes_is_added_up():
    """Three batches of 2 s and 1 s, all of the process's own making, and 5 s of other work after each."""
    time = Time()
    waiting = Waiting(Slow(time), time.now)
    for _ in range(3):
        next(waiting)
        time.seconds += 5.0
    assert waiting.read() == 9.0


def test_on_a_device_the_wait_is_what_lies_between_its_events():
    """Bytes that the device waits for 2 s, the second that it augments them left out: read twice, and counted once."""
    time = Time()
    waiting = DeviceWaiting(Slow(time), lambda: FakeEvent(time))
    for _ in range(3):
        next(waiting)
        time.seconds += 5.0
    assert (waiting.read(), waiting.read()) == (6.0, 6.0)


def test_events_that_the_device_has_passed_are_added_up_between_pauses():
    """Of 1500 batches no more than 1000 pairs of events are held, and no second is lost."""
    time = Time()
    waiting = DeviceWaiting(Slow(time), lambda: FakeEvent(time))
    for _ in range(1500):
        next(waiting)
    assert len(waiting._pairs) == 1000
    assert waiting.read() == 3000.0
