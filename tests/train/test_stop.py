"""Signals: a flag, and who answers it."""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.ledger.files import read, write
from harness.ledger.findings import Refusal
from harness.ledger.status import PREEMPTED
from harness.train import stop as module
from harness.train.heartbeat import Heartbeat
from harness.train.stop import SIGNALS, Stop


class Ended(Exception):
    """Stands in for the end of this process."""


@pytest.fixture
def codes(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The codes with which the process would have ended."""
    found: list[int] = []

    def end(code: int) -> None:
        found.append(code)
        raise Ended

    monkeypatch.setattr(module.os, "_exit", end)
    return found


@pytest.fixture
def listening() -> Iterator[Stop]:
    """A Stop that hears this process's signals."""
    before = [signal.getsignal(number) for number in SIGNALS]
    yield Stop().listen()
    signal.set_wakeup_fd(-1)
    for number, handler in zip(SIGNALS, before, strict=True):
        signal.signal(number, handler)


def asked(by: str = "SIGTERM") -> Stop:
    stop = Stop()
    stop.asked = by
    return stop


@pytest.mark.parametrize("number", SIGNALS)
def test_a_signal_sets_a_flag_and_raises_nothing(listening: Stop, number: signal.Signals):
    """The first one that comes is the one that is told."""
    assert listening.asked is None
    os.kill(os.getpid(), number)
    os.kill(os.getpid(), signal.SIGTERM)
    assert listening.asked == number.name


def test_another_thread_hears_while_the_main_one_cannot(listening: Stop):
    """The main thread has no turn to run a handler in; whoever waits is woken by the system's own."""
    listening._hear = lambda number, frame=None: setattr(listening, "asked", f"{number} {frame}")  # type: ignore[method-assign]
    signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGUSR2)
    waiting = threading.Thread(target=listening.wait, args=(60,))
    waiting.start()
    waiting.join(60)
    assert not waiting.is_alive()
    assert listening.asked == f"{int(signal.SIGUSR2)} None"


def test_nobody_ends_a_process_that_was_not_asked(codes: list[int]):
    Stop().end(lambda name: pytest.fail("said something"))
    assert codes == []


def test_who_was_asked_and_minds_nothing_is_ended_with_its_last_words(codes: list[int]):
    said: list[str] = []
    with pytest.raises(Ended):
        asked().end(said.append)
    assert (said, codes) == (["SIGTERM"], [PREEMPTED])


def test_last_words_that_cannot_be_written_keep_nobody_alive(codes: list[int]):
    """A full disk."""

    def full(name: str) -> None:
        raise OSError(28, "No space left on device")

    with pytest.raises(Ended):
        asked().end(full)
    assert codes == [PREEMPTED]


def test_work_that_minds_is_not_ended_by_another(codes: list[int]):
    """Until it no longer does."""
    stop = asked()
    stop.mind()
    stop.mind()
    stop.end(lambda name: pytest.fail("said something"))
    stop.no_longer_mind()
    with pytest.raises(Ended):
        stop.end(lambda name: None)
    assert codes == [PREEMPTED]


def test_work_that_begins_to_mind_while_it_is_ended_does_nothing_more(monkeypatch: pytest.MonkeyPatch):
    """It waits for an end that comes: between the last words and the end nothing else is written."""
    order: list[str] = []
    stop, speaking, may_end = asked(), threading.Event(), threading.Event()
    monkeypatch.setattr(module.os, "_exit", lambda code: (may_end.wait(60), order.append("ended")))

    def last_words(name: str) -> None:
        order.append("said")
        speaking.set()

    def work() -> None:
        speaking.wait(60)
        may_end.set()
        stop.mind()
        order.append("minds")

    ending = threading.Thread(target=stop.end, args=(last_words,))
    working = threading.Thread(target=work)
    working.start()
    ending.start()
    ending.join(60)
    working.join(60)
    assert order == ["said", "ended", "minds"]


def test_a_heartbeat_ends_what_an_earlier_start_has_answered_and_leaves_the_answer(tmp_path: Path, codes: list[int]):
    """Its queue lost the node: the job is over, and starts once more."""
    answer = Refusal(ending="failed", reason="its own")
    write(tmp_path / "out.json", answer)
    beat(Heartbeat(tmp_path / "out.json", asked()))
    assert codes == [PREEMPTED]
    assert read(tmp_path / "out.json", Refusal) == answer


def test_nobody_writes_over_an_answer(tmp_path: Path, codes: list[int]):
    """Asked to stop at any moment after it was begun to be written."""
    heartbeat = Heartbeat(tmp_path / "out.json", asked())
    answer = Refusal(ending="failed", reason="its own")
    heartbeat.answer(answer)
    heartbeat.stop.end(heartbeat._last_words)
    assert codes == []
    assert read(tmp_path / "out.json", Refusal) == answer


def beat(heartbeat: Heartbeat) -> None:
    """Two beats, and no more."""
    waits = iter((None, None))

    def wait(seconds: float) -> None:
        if next(waits, Ended) is Ended:
            raise Ended

    heartbeat.stop.wait = wait  # type: ignore[method-assign]
    with pytest.raises(Ended):
        heartbeat._beat()


def test_a_heartbeat_ends_what_has_nothing_to_keep(tmp_path: Path, codes: list[int]):
    """With a Refusal in OUT, that says in which phase."""
    heartbeat = Heartbeat(tmp_path / "out.json", asked())
    heartbeat.enter("evaluation")
    beat(heartbeat)
    assert codes == [PREEMPTED]
    found = read(tmp_path / "out.json", Refusal)
    assert (found.ending, found.reason) == ("interrupted", "SIGTERM: ended in the phase 'evaluation'")


def test_a_heartbeat_leaves_alone_what_is_at_its_end(tmp_path: Path, codes: list[int]):
    """Nor what has said its last word already."""
    ending = Heartbeat(tmp_path / "out.json", asked())
    ending.enter("end")
    beat(ending)
    assert not (tmp_path / "out.json").exists()
    over = Heartbeat(tmp_path / "out.json", asked())
    answer = Refusal(ending="failed", reason="its own")
    write(tmp_path / "out.json", answer)
    beat(over)
    assert codes == []
    assert read(tmp_path / "out.json", Refusal) == answer


WAITS = """
import sys, time
from harness.train import __main__ as door
door.ROOMS = {"run": "waits"}
sys.modules["waits"] = sys
sys.main = lambda spec, out, heartbeat: (print("here", flush=True), time.sleep(60))
door.leave(door.main(["run", "spec.json", "out.json"]))
"""


def test_a_process_that_only_waits_is_gone_within_a_beat(tmp_path: Path):
    """Its main thread sleeps for a minute; OUT says what became of it."""
    process = subprocess.Popen([sys.executable, "-c", WAITS], cwd=tmp_path, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    while process.stdout.readline() != "here\n":
        pass
    process.send_signal(signal.SIGTERM)
    process.stdout.close()
    assert process.wait(30) == PREEMPTED
    assert read(tmp_path / "out.json", Refusal).reason == "SIGTERM: ended in the phase 'starting'"
