"""What SIGTERM and SIGUSR2 do to an engine: a flag is set, and whoever works looks at it where it can be answered."""

import os
import select
import signal
import threading
import time
from collections.abc import Callable
from types import FrameType

from harness.ledger.status import PREEMPTED

SIGNALS = (signal.SIGTERM, signal.SIGUSR2)


class Interrupted(Exception):
    """A run did what it was asked: it stopped between two iterations. The text says where it goes on from."""


class Stop:
    """Whether this process was asked to stop, and who answers: the work, while it minds, else the heartbeat."""

    def __init__(self) -> None:
        self.asked: str | None = None
        """The name of the first signal that came."""
        self._minded = False
        self._ending = threading.Lock()
        self._told: int | None = None

    def listen(self) -> "Stop":
        """From now on the signals set the flag, and raise nothing in whatever is running. In the main thread only."""
        self._told, tells = os.pipe()
        os.set_blocking(tells, False)
        os.set_blocking(self._told, False)
        # A handler waits until Python has its turn, which a compiler or a device may not give it for minutes. The
        # byte that the system's own handler writes is read by another thread at once.
        signal.set_wakeup_fd(tells, warn_on_full_buffer=False)
        for number in SIGNALS:
            signal.signal(number, self._hear)
            signal.siginterrupt(number, False)  # foreign code need not know of it
        return self

    def _hear(self, number: int, frame: FrameType | None = None) -> None:
        if self.asked is None:
            self.asked = signal.Signals(number).name

    def wait(self, seconds: float) -> None:
        """Returns after so many seconds, or when a signal has come."""
        if self._told is None:
            time.sleep(seconds)
            return
        if select.select([self._told], [], [], seconds)[0]:
            for number in os.read(self._told, 64):
                if number in SIGNALS:
                    self._hear(number)

    def mind(self) -> None:
        """From now on the work looks at `asked` itself, and nobody else ends the process."""
        with self._ending:  # never given back where the process is being ended
            self._minded = True

    def no_longer_mind(self) -> None:
        """What follows has no iterations: it may be ended wherever it stands."""
        self._minded = False

    def end(self, last_words: Callable[[str], None]) -> None:
        """Ends the process where it was asked to stop and nobody minds; `last_words` are said before."""
        with self._ending:
            if self.asked is not None and not self._minded:
                try:
                    last_words(self.asked)
                finally:
                    os._exit(PREEMPTED)
