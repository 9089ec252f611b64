"""A disk that is full, and a results folder that is read-only: a line that says so, and the same command goes on."""

import errno
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from harness.cli.status import status
from harness.ledger.errors import BadInput
from harness.score.verifying import verify
from harness.sweep.costs import measure
from harness.sweep.ground import inspect_data
from harness.sweep.spending import spend
from harness.sweep.story import carry_out
from harness.sweep.working import room
from tests.factories import ground, method
from tests.faults.place import ROOT, Place
from tests.sweep.fake import FakeExecutor, Listening
from tests.sweep.test_costs import profiler
from tests.sweep.test_spending import done

WRITES = {
    "owner": lambda path: path.name == "owner.json",
    "spec": lambda path: path.name == "spec.json",
    "record": lambda path: path.parent.name == "runs" and path.suffix == ".json",
}
"""Kinds of file that a sweep writes."""


@pytest.mark.parametrize("kind", WRITES)
@pytest.mark.parametrize("before", [0, 1])
def test_a_full_disk_is_one_line_and_the_same_command_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, before: int
):
    """At the first or second file of a kind; when there is room again all runs are done, and nothing is left over."""
    place = Place(tmp_path, 1)
    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", full(WRITES[kind], before, os.replace))
        with pytest.raises(BadInput, match=rf"^{place.results}: .*No space left on device: .*the same command goes on"):
            in_process(place)
    goes_on(place)


def test_counts_that_cannot_be_moved_are_moved_later(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """The record is written after what lies beside it, so that no record is without."""
    place = Place(tmp_path, 1)
    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", full(lambda path: path.suffix == ".npz", 0, os.replace))
        with pytest.raises(BadInput, match="No space left on device"):
            in_process(place)
    assert place.records() == []
    goes_on(place)


def test_an_engine_that_cannot_have_its_log_stops_the_sweep(tmp_path: Path):
    """Whatever cannot be written when a run is started."""

    class Full(FakeExecutor):
        def submit(self, job) -> None:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(job.log))

    place = Place(tmp_path, 1)
    with pytest.raises(BadInput, match="No space left on device"):
        in_process(place, Full(done))
    goes_on(place)


@pytest.mark.parametrize(
    ("is_meant", "where"),
    [
        (lambda path: path.name == "spec.json", r"the folder for temporary files \(TMPDIR\)"),
        (lambda path: path.parent.name == "costs", "{results}"),
    ],
    ids=["spec", "cost"],
)
def test_a_disk_that_is_full_while_costs_are_measured_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_meant: Callable[[Path], bool], where: str
):
    """Where jobs have their folders, or among the results."""
    monkeypatch.setattr(os, "replace", full(is_meant, 0, os.replace))
    with pytest.raises(BadInput, match=rf"^{where.format(results=tmp_path)}: No space left .*the same command goes on"):
        measure(ground(), [method("kd")], 2.0, tmp_path, False, FakeExecutor(profiler()), Listening())


def test_a_disk_that_is_full_while_an_engine_is_asked_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """For the ground, or a teacher: here there is no folder left to make one in."""
    executor = FakeExecutor(done)
    monkeypatch.setattr(executor, "scratch", tmp_path / "slurm")
    with pytest.raises(
        BadInput, match=rf"^{tmp_path / 'slurm'}: No such file or directory: .*the same command goes on"
    ):
        inspect_data(ground().workload, None, executor, Listening())


def test_a_job_that_writes_until_the_last_leaves_its_folder(monkeypatch: pytest.MonkeyPatch):
    """What is late is in nobody's way."""

    def not_empty(path: str, **_: object) -> None:
        raise OSError(errno.ENOTEMPTY, os.strerror(errno.ENOTEMPTY), path)

    with monkeypatch.context() as patch, room(FakeExecutor(done)) as folder:
        patch.setattr(os, "rmdir", not_empty)
    folder.rmdir()


def full(is_meant: Callable[[Path], bool], before: int, replace: Callable[..., None]) -> Callable[..., None]:
    """`os.replace`, which is the last step of every write, on a disk that is full after so many of those meant."""
    left = before

    def on_full_disk(source: Path, target: Path) -> None:
        nonlocal left
        if is_meant(Path(target)):
            left -= 1
            if left < 0:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(source), None, str(target))
        replace(source, target)

    return on_full_disk


def in_process(place: Place, executor: FakeExecutor | None = None) -> None:
    """A sweep in this very process."""
    plan = place.read_plan()
    spend(plan, place.results, False, executor or FakeExecutor(scored(place)), Listening(), place.folder / "students")


def scored(place: Place) -> Callable[..., int]:
    """An engine whose runs are done and leave counts."""

    def engine(job) -> int:
        job.out.with_name("counts.npz").write_bytes((place.folder / "counts.npz").read_bytes())
        job.out.write_bytes((place.folder / "outcome.json").read_bytes())
        return 0

    return engine


def goes_on(place: Place) -> None:
    """The same command does all that is due, and every file is one that belongs there."""
    in_process(place)
    assert place.due() == set()
    place.must_be_tidy()


def mounted(folder: Path, *options: str) -> None:
    """A disk of its own, where that is permitted."""
    folder.mkdir(exist_ok=True)
    command = ["mount", "-t", "tmpfs", "-o", ",".join(options), "none", str(folder)]
    if os.geteuid() != 0 or subprocess.run(command, capture_output=True, check=False).returncode != 0:
        pytest.skip("a disk can be mounted by root alone, and not in every container")


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 200 KB."""
    folder = tmp_path / "disk"
    mounted(folder, "size=200k")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


@pytest.mark.slow
def test_a_disk_that_is_really_full_loses_nothing(small_disk: Path):
    """A disk of 200 KB, filled up to 24 KB: exit 2 or 3, no traceback; with room again all is done and nothing torn."""
    place = Place(small_disk, 3)
    filler = small_disk / "filler"
    free = os.statvfs(small_disk)
    filler.write_bytes(b"x" * (free.f_bavail * free.f_frsize - 24576))
    code, said = place.sweep()
    assert code in {2, 3}, said
    assert "No space left on device" in said
    assert "Traceback" not in said
    before = place.finished()
    filler.unlink()
    code, said = place.sweep()
    assert code == 0, said
    assert {name: digest for name, digest in place.finished().items() if name in before} == before
    assert place.due() == set()
    place.must_be_tidy()


def bench(*arguments: object, cwd: Path) -> "subprocess.CompletedProcess[str]":
    """A command as a person types it."""
    command = [sys.executable, "-m", "harness", *map(str, arguments)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "COLUMNS": "200"}
    return subprocess.run(command, capture_output=True, text=True, cwd=cwd, env=environment, check=False)


@pytest.fixture
def read_only(tmp_path: Path) -> Iterator[Place]:
    """A results folder with two runs that are done and one that a killed sweep left, on a read-only disk."""
    disk = tmp_path / "disk"
    if os.geteuid() == 0:
        mounted(disk)
    place = Place(disk, 1)
    in_process(place)
    left = place.results / "work" / f"{min(place.keys)}.2"
    left.mkdir(parents=True)
    yield place
    if os.geteuid() == 0:
        subprocess.run(["umount", "-l", str(disk)], check=True)
    for folder in (place.folder, *place.folder.rglob("*/")):
        folder.chmod(0o755)


def seal(place: Place) -> None:
    """Nothing can be written there any more."""
    if os.geteuid() == 0:
        subprocess.run(["mount", "-o", "remount,ro", str(place.folder)], check=True)
        return
    for folder in (place.folder, *place.folder.rglob("*/")):
        folder.chmod(0o555)


def test_a_read_only_folder_can_be_looked_at_and_not_run_in(read_only: Place, capsys: pytest.CaptureFixture[str]):
    """`bench run` says in a line that it cannot; status and verify work as ever."""
    seal(read_only)
    executor, plan, students = FakeExecutor(done), read_only.read_plan(), read_only.folder / "students"
    with pytest.raises(BadInput, match=rf"^--results: {read_only.results}: cannot be written: "):
        carry_out(plan, read_only.results, False, executor, Listening(), students)
    assert executor.jobs == []
    status(read_only.results)
    assert "1 under way; 2 ended: 2 done" in " ".join(capsys.readouterr().out.split())
    assert verify(read_only.results).problems == ()


@pytest.mark.slow
def test_a_read_only_folder_has_its_page(read_only: Place, tmp_path: Path):
    """`bench report` writes elsewhere."""
    seal(read_only)
    page = bench("report", "--results", read_only.results, "--out", tmp_path / "reports", cwd=tmp_path)
    assert page.returncode == 0, page.stderr
    assert (tmp_path / "reports" / "index.html").exists()
