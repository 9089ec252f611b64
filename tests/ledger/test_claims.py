"""Who is at an attempt, seen from this host and from others."""

import errno
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import pytest
from filelock import FileLock

from harness.ledger import claims
from harness.ledger.files import read, write
from harness.ledger.results import lock_path, record_path, work_folder

KEY = "streets-kd-s0-abc"
GONE = claims.Owner(system=claims.this_system(), pid=2**22 + 1, started=0.0)
ELSEWHERE = claims.Owner(system="another-host", pid=os.getpid(), started=0.0)


def owned_by(results: Path, owner: claims.Owner, key: str = KEY) -> Path:
    """An attempt that was claimed so."""
    folder = work_folder(results, f"{key}.{claims.claim(results, key)}")
    write(folder / claims.OWNER, owner)
    return folder


def beat(results: Path, owner: claims.Owner, seconds_ago: float) -> None:
    """The file of a sweep that was last heard of so long ago."""
    path = results / "work" / f"{owner.system}-{owner.pid}.sweep"
    path.write_text("")
    os.utime(path, (time.time() - seconds_ago,) * 2)


def test_every_claim_is_another_attempt(tmp_path: Path):
    """Two claims of one run never share a folder."""
    assert [claims.claim(tmp_path, KEY) for _ in range(3)] == [1, 2, 3]


def test_many_sweeps_at_once_claim_each_attempt_once(tmp_path: Path):
    """Eight threads, five claims each: forty attempts."""
    found: list[int] = []

    def work() -> None:
        found.extend(claims.claim(tmp_path, KEY) for _ in range(5))

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(found) == list(range(1, 41))


def test_what_a_dead_process_claimed_is_taken_over_once(tmp_path: Path):
    """Afterwards it is this process's, and so nobody's but its own."""
    folder = owned_by(tmp_path, GONE)
    assert claims.take_over(tmp_path, f"{KEY}.1")
    assert read(folder / claims.OWNER, claims.Owner) == claims.this_process()


def test_what_a_living_process_claimed_is_not(tmp_path: Path):
    """The parent of this very process lives."""
    import psutil

    parent = psutil.Process(os.getppid())
    started = claims.started_after_boot(parent)
    owned_by(tmp_path, claims.Owner(system=claims.this_system(), pid=parent.pid, started=started))
    assert not claims.take_over(tmp_path, f"{KEY}.1")
    assert claims.is_claimed_elsewhere(tmp_path, KEY)


def test_a_pid_that_was_given_out_again_is_another_process(tmp_path: Path):
    """This process's own number, but begun at another time."""
    owned_by(tmp_path, claims.this_process().model_copy(update={"started": 5.0}))
    assert claims.take_over(tmp_path, f"{KEY}.1")


@pytest.mark.parametrize(("seconds_ago", "gone"), [(0.0, False), (50.0, False), (70.0, True)])
def test_a_sweep_of_another_host_lives_while_it_beats(tmp_path: Path, seconds_ago: float, gone: bool):
    """Its process cannot be seen from here: the date of its file is its word, and a minute of silence is its end."""
    owned_by(tmp_path, ELSEWHERE)
    beat(tmp_path, ELSEWHERE, seconds_ago)
    assert claims.is_claimed_elsewhere(tmp_path, KEY) is not gone
    assert claims.take_over(tmp_path, f"{KEY}.1") is gone


def test_a_sweep_of_another_host_that_left_no_beat_is_gone(tmp_path: Path):
    """It ended in order, or was of a version that did not beat."""
    owned_by(tmp_path, ELSEWHERE)
    assert claims.take_over(tmp_path, f"{KEY}.1")


@pytest.mark.parametrize(("seconds_ago", "gone"), [(None, True), (0.0, False), (70.0, True)])
def test_where_nothing_can_be_written_a_sweep_of_another_host_is_told_by_this_hosts_clock(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seconds_ago: float | None, gone: bool
):
    """A copy of a results folder, or a read-only one: with the sweep's beat, an old one, or none."""
    folder = owned_by(tmp_path, ELSEWHERE)
    if seconds_ago is not None:
        beat(tmp_path, ELSEWHERE, seconds_ago)

    def read_only(**_: object) -> None:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    monkeypatch.setattr(tempfile, "TemporaryFile", read_only)
    assert claims.owner_is_gone(folder) is gone


def test_an_attempt_that_vanishes_between_two_looks_is_nobodys(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Another sweep has recorded it meanwhile."""
    monkeypatch.setattr(Path, "exists", lambda path: True)
    assert claims.owner_is_gone(tmp_path / "work" / f"{KEY}.1")


@pytest.mark.parametrize(("seconds_ago", "gone"), [(0.0, False), (70.0, True)])
def test_a_container_of_the_same_name_is_another_system(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seconds_ago: float, gone: bool
):
    """Its pids are its own: that none such is seen here, or that it is this process's, says nothing."""
    monkeypatch.setattr(claims, "this_system", lambda: "node1.aaaaaaaa")
    folder = owned_by(tmp_path, claims.this_process())
    beat(tmp_path, claims.this_process(), seconds_ago)
    monkeypatch.setattr(claims, "this_system", lambda: "node1.bbbbbbbb")
    assert not claims.is_mine(folder)
    assert claims.is_claimed_elsewhere(tmp_path, KEY) is not gone
    assert claims.take_over(tmp_path, f"{KEY}.1") is gone


def test_a_container_has_a_system_of_its_own():
    """One that shares the host's name, and all its files."""
    said = [sys.executable, "-c", "from harness.ledger.claims import this_system; print(this_system())"]
    apart = ["unshare", "--pid", "--fork"]
    if not shutil.which("unshare") or subprocess.run([*apart, "true"], capture_output=True, check=False).returncode:
        pytest.skip("no process may have pids of its own here")
    here, there = (subprocess.check_output(command, text=True).strip() for command in (said, [*apart, *said]))
    assert here == claims.this_system()
    assert there != here
    assert there.split(".")[:-1] == here.split(".")[:-1]


def test_this_hosts_clock_does_not_decide_about_another_hosts_beat(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """A clock that was set an hour ahead: the date is compared with the date of a file made now, beside it."""
    owned_by(tmp_path, ELSEWHERE)
    beat(tmp_path, ELSEWHERE, 0.0)
    real = time.time
    monkeypatch.setattr(time, "time", lambda: real() + 3600)
    assert claims.is_claimed_elsewhere(tmp_path, KEY)


def test_a_sweep_beats_while_it_spends_and_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """The file's date moves on, and afterwards the file is gone."""
    monkeypatch.setattr(claims, "BEAT_SECONDS", 0.01)
    with claims.Beating(tmp_path):
        (path,) = (tmp_path / "work").glob("*.sweep")
        os.utime(path, (0, 0))
        deadline = time.monotonic() + 30
        while path.stat().st_mtime == 0 and time.monotonic() < deadline:
            time.sleep(0.005)
        assert path.stat().st_mtime > 0
    assert list((tmp_path / "work").glob("*.sweep")) == []


def test_a_lock_file_that_a_dead_process_left_holds_nothing(tmp_path: Path):
    """The lock is the system's, which lets go when a process dies; the file stays and means nothing."""
    lock = lock_path(tmp_path, KEY)
    lock.parent.mkdir(parents=True)
    lock.write_text("12345")
    assert not claims.is_locked(tmp_path, KEY)
    with FileLock(lock):
        assert claims.is_locked(tmp_path, KEY)


def test_an_attempt_that_is_recorded_is_nobodys_any_more(tmp_path: Path):
    """What failed keeps its folder, with its log; the sweep that lives on is at other runs by then."""
    import psutil

    parent = psutil.Process(os.getppid())
    owner = claims.Owner(system=claims.this_system(), pid=parent.pid, started=claims.started_after_boot(parent))
    owned_by(tmp_path, owner)
    record = record_path(tmp_path, f"{KEY}.1")
    record.parent.mkdir(parents=True)
    record.write_text("{}")
    assert not claims.is_claimed_elsewhere(tmp_path, KEY)


def test_a_name_with_brackets_is_a_name(tmp_path: Path):
    """A person's file may be called my[1].yaml, and its runs' keys begin so."""
    owned_by(tmp_path, ELSEWHERE, "my[1]-kd-s0-abc")
    beat(tmp_path, ELSEWHERE, 0.0)
    assert claims.is_claimed_elsewhere(tmp_path, "my[1]-kd-s0-abc")


def test_an_attempt_is_mine_until_another_signs_it(tmp_path: Path):
    """The signature decides."""
    folder = work_folder(tmp_path, f"{KEY}.{claims.claim(tmp_path, KEY)}")
    assert claims.is_mine(folder)
    write(folder / claims.OWNER, ELSEWHERE)
    assert not claims.is_mine(folder)
