"""Who gets something for nothing is told so, by `bench methods check` and in a run."""

import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from harness.contract.building import building
from harness.contract.check import check
from harness.contract.guard import Cheating, Guard
from harness.contract.memory import must_be_forgotten, remembered
from harness.contract.pupil import Pupil
from harness.ledger.method import student_alone
from harness.train.heartbeat import Heartbeat
from tests.contract.cheaters import HIDES, NO_FILE, NO_PROCESS, REMEMBERS, SPAWNS, TRAINS, method_of


def told(folder: Path, text: str) -> dict[str, str]:
    """What is broken of the contract, by clause."""
    return {result.name: result.found for result in check(method_of(folder, text)).results if not result.passed}


@pytest.mark.parametrize("kind", TRAINS)
def test_who_trains_in_the_constructor_is_refused_with_the_line(tmp_path: Path, kind: str):
    """Where the method is built, and by its clause of the contract."""
    text, complaint = TRAINS[kind]
    method = method_of(tmp_path, text)
    with pytest.raises(Cheating) as refused, building(method):
        Pupil(method)
    assert str(refused.value) == f"{tmp_path / 'own.py'}:{complaint}"
    assert told(tmp_path, text)["the constructor only builds"] == f"{tmp_path / 'own.py'}:{complaint}"


@pytest.mark.parametrize("kind", HIDES)
def test_who_works_out_of_sight_is_refused_with_the_line(tmp_path: Path, kind: str):
    """Nothing was written and nobody started; the contract has a clause for it, and stops there."""
    text, complaint = HIDES[kind]
    expected = f"{tmp_path / 'own.py'}:{complaint.format(cache=tmp_path / 'cache.pt')}"
    method = method_of(tmp_path, text)
    pupil = Pupil(method)
    with pytest.raises(Cheating) as refused, Guard(method).armed():
        pupil.iterate()
    assert str(refused.value) == expected
    report = check(method)
    assert {result.name: result.found for result in report.results if not result.passed} == {
        "works in the clock's sight": expected
    }
    assert report.unchecked[0] == "losses are finite numbers"
    assert not (tmp_path / "cache.pt").exists()


def test_a_process_that_python_does_not_announce_is_found(tmp_path: Path):
    """`multiprocessing` spawns without a word: what it cost is seen when it is over."""
    method = method_of(tmp_path, SPAWNS)
    pupil = Pupil(method)
    with pytest.raises(Cheating) as refused, Guard(method).armed():
        pupil.iterate()
    expected = f"{tmp_path / 'own.py'}: has started another process: {NO_PROCESS}"
    assert str(refused.value) == expected
    assert told(tmp_path, SPAWNS) == {"works in the clock's sight": expected}


def test_a_process_that_is_still_alive_is_found():
    """While it lives it has cost nothing that the system tells of yet."""
    with pytest.raises(Cheating, match="has started another process"), Guard(student_alone()).armed():
        child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    child.communicate(b"\n")


def test_a_thread_of_the_method_is_as_little_free_as_the_method(tmp_path: Path):
    """The refusal is raised in the thread, where nobody hears it, and again at the end."""
    text = """
def own(student, teacher, labels, *, draw):
    def write():
        try:
            FILE.write_bytes(b"0")
        except Exception:
            pass
    thread = threading.Thread(target=write)
    thread.start()
    thread.join()
    return (student - teacher).square().mean()
"""
    method = method_of(tmp_path, text)
    pupil = Pupil(method)
    with pytest.raises(Cheating, match=r"own\.py:13: opens '.*cache\.pt' for writing"), Guard(method).armed():
        pupil.iterate()


@pytest.mark.skipif(not Path("/proc/thread-self/io").exists(), reason="the system tells no thread's bytes")
def test_what_compiled_code_writes_is_counted(tmp_path: Path):
    """A file that was opened before, or by a library: over 64 KiB between two looks are no lines for a log."""
    with pytest.raises(Cheating) as refused, Guard(student_alone()).armed():
        (tmp_path / "cache").write_bytes(bytes(70_000))
    assert str(refused.value) == f"baseline: has written 70000 bytes to files: {NO_FILE}"


def test_a_guard_that_rests_lets_the_harness_work(tmp_path: Path):
    """Checkpoints are written meanwhile; what the method did before is judged first, what it does after too."""
    method = method_of(tmp_path, HIDES["writes"][0])
    pupil, guard = Pupil(method), Guard(method)
    with guard.armed():
        with guard.resting():
            (tmp_path / "checkpoint").write_bytes(bytes(1_000_000))
            pupil.iterate()  # nobody is on duty
        with pytest.raises(Cheating):
            pupil.iterate()
        with pytest.raises(Cheating), guard.resting():
            pass
        guard.complaint = None


def test_a_constructor_reads_no_files(tmp_path: Path):
    """What was learned from data elsewhere would be free."""
    (tmp_path / "learned.txt").write_text("1")
    text = """
class own(LossModule):
    def __init__(self):
        super().__init__()
        self.learned = FILE.with_name("learned.txt").read_text()
    def forward(self, student, teacher, labels, *, draw):
        return (student - teacher).square().mean()
"""
    found = told(tmp_path, text)
    assert [*found] == ["the constructor only builds"]
    assert found["the constructor only builds"].startswith(f"{tmp_path / 'own.py'}:13: reads '{tmp_path}/learned.txt'")


def test_an_iteration_may_read_and_print_and_draw_from_the_system(tmp_path: Path):
    """Reading is on the clock; the log and /dev/null are nobody's cache."""
    text = """
def own(student, teacher, labels, *, draw):
    print(Path(__file__).stat().st_size)
    Path(__file__).read_text()
    Path("/dev/null").write_text("x")
    return (student - teacher).square().mean()
"""
    assert told(tmp_path, text) == {}


def test_the_heartbeat_goes_on_writing(tmp_path: Path):
    """Its thread runs no line of a method."""
    heartbeat = Heartbeat(tmp_path / "out", period=0.001)
    with Guard(student_alone()).armed():
        beat = threading.Thread(target=heartbeat.write)
        beat.start()
        beat.join()
    assert [path.name for path in tmp_path.iterdir()] == ["out.status.json"]


@pytest.mark.parametrize("kind", REMEMBERS)
def test_what_a_warm_up_would_leave_behind_is_named(tmp_path: Path, kind: str):
    """Held outside the state: in the file, at the function, at the class, in a plain attribute."""
    text, place = REMEMBERS[kind]
    found = told(tmp_path, text)["keeps nothing outside its state"]
    assert place in found
    assert found.endswith(
        "changed, and was not put back with the state: expected all state in buffers, parameters or get_extra_state"
    )


def test_a_shipped_method_remembers_nothing_that_is_not_state():
    """CIRKD's banks are buffers: full or empty, all else is the same."""
    from harness.ledger.descriptor import method_path, resolve_method

    pupil = Pupil(resolve_method(method_path("cirkd"), "streets", 2))
    before = remembered(pupil.distiller)
    pupil.iterate()
    must_be_forgotten(before, remembered(pupil.distiller))
    assert any("cirkd.py" in name for name in before)


def test_without_a_guard_nothing_is_refused(tmp_path: Path):
    """The hook stays in the process, and is silent."""
    with Guard(student_alone()).armed():
        pass
    (tmp_path / "file").write_text("x")
    assert os.listdir(tmp_path) == ["file"]
