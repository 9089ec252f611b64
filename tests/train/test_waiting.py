"""How long training waits for its batches, with time that the test moves."""

from harness.train.waiting import DeviceWaiting, Waiting
from tests.train.test_clock import FakeEvent, Time


def test_the_time_that_a_batch_takes_is_added_up():
    """Three batches of 2 s, and 5 s of other work after each."""
    time = Time()

    def batches():
        while True:
            time.seconds += 2.0
            yield None, None

    waiting = Waiting(batches(), time.now)
    for _ in range(3):
        next(waiting)
        time.seconds += 5.0
    assert waiting.read() == 6.0


def test_on_a_device_the_wait_is_what_lies_between_its_events():
    """Batches that the device waits for 2 s: read twice, and counted once."""
    time = Time()

    def batches():
        while True:
            time.seconds += 2.0
            yield None, None

    waiting = DeviceWaiting(batches(), lambda: FakeEvent(time))
    for _ in range(3):
        next(waiting)
        time.seconds += 5.0
    assert (waiting.read(), waiting.read()) == (6.0, 6.0)
