"""Memory that is free, where a job's bounds leave less than the machine has."""

from pathlib import Path

import psutil
import pytest

from harness.segmentation import room
from harness.segmentation.room import Room, free_memory


@pytest.fixture
def cgroups(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Those of a step of a job, on a machine of which 2000 bytes are free."""
    free = psutil.virtual_memory()
    monkeypatch.setattr(psutil, "virtual_memory", lambda: free._replace(available=2000))
    monkeypatch.setattr(room, "CGROUPS", tmp_path)
    monkeypatch.setattr(room, "OWN_CGROUP", tmp_path / "own")
    (tmp_path / "own").write_text("4:memory:/other\n0::/job/step\n")
    (tmp_path / "job" / "step").mkdir(parents=True)
    return tmp_path


def bound(folder: Path, most: str, held: int) -> None:
    (folder / "memory.max").write_text(f"{most}\n")
    (folder / "memory.current").write_text(f"{held}\n")
    (folder / "memory.stat").write_text("anon 300\ninactive_file 20\nactive_file 5\n")


def test_a_jobs_bound_counts_and_files_that_it_has_read_do_not(cgroups: Path):
    """A step without a bound in a job of 1000 bytes of which 700 are held, 25 of them of files."""
    assert free_memory() == 2000
    bound(cgroups / "job" / "step", "max", 700)
    assert free_memory() == 2000
    bound(cgroups / "job", "1000", 700)
    assert free_memory() == 325
    bound(cgroups / "job" / "step", "600", 700)
    assert free_memory() == 0


@pytest.mark.parametrize("said", ["", "4:memory:/job\n", "0::/../../job\n", "0::/\n"])
def test_where_there_is_no_such_bound_the_machine_counts(cgroups: Path, said: str):
    """An older kind, a folder that is not below, none at all."""
    bound(cgroups / "job", "1000", 700)
    (cgroups / "own").write_text(said)
    assert free_memory() == 2000


def test_a_container_sees_its_own_bound_at_the_root(cgroups: Path):
    (cgroups / "own").write_text("0::/\n")
    bound(cgroups, "1000", 700)
    assert free_memory() == 325


def test_room_that_is_taken_is_nobody_elses_until_it_is_given_back():
    ten = Room(10)
    assert [ten.take(6), ten.take(5), ten.take(4), ten.take(1)] == [True, False, True, False]
    ten.give(6)
    assert [ten.take(7), ten.take(6)] == [False, True]
