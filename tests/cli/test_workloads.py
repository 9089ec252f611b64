"""`bench workloads`, as a person types it."""

from pathlib import Path

import pytest

from harness.ledger.workload import shipped_workloads
from tests import story
from tests.story import bench


def test_the_list_names_data_sets_networks_and_standing_within_a_hundred_columns(tmp_path: Path):
    """A line each of what ships."""
    answer = bench(tmp_path, "workloads", "list", cwd=tmp_path)
    lines = answer.stdout.splitlines()
    assert max(len(line) for line in lines) <= 100
    for name in shipped_workloads():
        assert sum(line.startswith(f"│ {name} ") for line in lines) == 1
    (camvid,) = (line for line in lines if line.startswith("│ camvid "))
    assert [cell.strip() for cell in camvid.split("│")[1:-1]] == [
        "camvid", "benchmark", "camvid", "pspnet resnet101 → resnet18"
    ]  # fmt: skip


@pytest.mark.slow
def test_ones_own_workload_is_shown_and_checked_by_its_path(tmp_path: Path):
    """Networks, sizes, data and teacher, each in a row; what is still to be made is no fault."""
    story.tiny(tmp_path)
    shown = bench(tmp_path / "cache", "workloads", "show", "tiny.yaml", cwd=tmp_path)
    assert "title: A handful of streets" in shown.stdout
    answer = bench(tmp_path / "cache", "workloads", "check", "tiny.yaml", cwd=tmp_path)
    assert answer.returncode == 0, answer.stdout + answer.stderr
    assert "light 4-6-8-8" in answer.stdout
    assert "│ note │ teacher's weights │ trained, 20 iterations of 2 images" in answer.stdout
    assert answer.stdout.endswith("all is well\n")
    assert not (tmp_path / "cache").exists()


def test_what_is_wrong_is_told_with_exit_2(tmp_path: Path):
    """Three faults, each in the row that it belongs to; what has none is well all the same."""
    path = story.tiny(tmp_path)
    faults = {"stride: 4": "stride: 8", "crop: [56, 112]": "crop: [72, 112]", "weights: null": "weights: a.safetensors"}
    for right, wrong in faults.items():
        path.write_text(path.read_text().replace(right, wrong))
    answer = bench(tmp_path / "cache", "workloads", "check", "tiny.yaml", cwd=tmp_path)
    assert answer.returncode == 2
    rows = [[cell.strip() for cell in line.split("│")[1:3]] for line in answer.stdout.splitlines() if "│" in line]
    assert [row for row in rows if row[0]] == [
        ["ok", "file"],
        ["missing", "sizes"],
        ["missing", "student's network"],
        ["missing", "teacher's network"],
        ["ok", "data"],
        ["missing", "teacher's weights"],
    ]
    assert answer.stdout.endswith("4 to mend\n")


def test_a_file_that_cannot_be_read_is_one_line(tmp_path: Path):
    """With the line of the fault."""
    path = story.tiny(tmp_path)
    path.write_text(path.read_text().replace("stride: 4", "strode: 4"))
    answer = bench(tmp_path / "cache", "workloads", "check", "tiny.yaml", cwd=tmp_path)
    assert answer.returncode == 2
    assert answer.stderr.startswith("bench: tiny.yaml:")
    assert len(answer.stderr.splitlines()) == 1
