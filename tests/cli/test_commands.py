"""The commands that look and check, as a person types them."""

import json
from pathlib import Path

import pytest

from harness.ledger.descriptor import shipped_methods
from tests.story import bench

VECTORS = Path(__file__).parents[1] / "golden" / "vectors"


def test_methods_are_listed_for_people_and_for_programs(tmp_path: Path):
    """Every shipped name is in both."""
    table = bench(tmp_path, "methods", "list", cwd=tmp_path)
    listed = json.loads(bench(tmp_path, "methods", "list", "--json", cwd=tmp_path).stdout)
    assert tuple(listed) == shipped_methods()
    assert all(name in table.stdout for name in shipped_methods())


def test_a_method_is_shown_as_its_file_says(tmp_path: Path):
    """The descriptor itself, under its path."""
    shown = bench(tmp_path, "methods", "show", "cwd", cwd=tmp_path).stdout
    assert "temperature: 4.0" in shown
    assert shown.startswith("# ")


def test_a_misspelt_method_is_answered_with_the_nearest(tmp_path: Path):
    """One line, exit 2."""
    answer = bench(tmp_path, "methods", "show", "cdw", cwd=tmp_path)
    assert answer.returncode == 2
    assert answer.stderr == "bench: no method 'cdw' (did you mean 'cwd'?): see `bench methods list`\n"


def test_workloads_are_listed_and_shown(tmp_path: Path):
    """Those that ship."""
    table = bench(tmp_path, "workloads", "list", cwd=tmp_path).stdout
    assert all(name in table for name in ("streets", "camvid", "camvid-small"))
    assert "reader: folders" in bench(tmp_path, "workloads", "show", "camvid", cwd=tmp_path).stdout


def test_verify_counts_what_it_compared(tmp_path: Path):
    """The vectors in the repository match, exit 0."""
    answer = bench(tmp_path, "methods", "verify", "--vectors", VECTORS, cwd=tmp_path)
    assert answer.returncode == 0, answer.stdout + answer.stderr
    assert "0 unknown" in answer.stdout


def test_verify_fails_on_a_file_it_cannot_map(tmp_path: Path):
    """An unknown objective is exit 1, not silence."""
    (tmp_path / "nonsense-a.npz").write_bytes(b"no zip")
    answer = bench(tmp_path, "methods", "verify", "--vectors", tmp_path, cwd=tmp_path)
    assert answer.returncode == 1
    assert "nonsense-a.npz" in answer.stdout


def test_data_that_nobody_named_is_bad_input(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """What was looked for and which flag names it."""
    monkeypatch.delenv("SEGKD_DATA", raising=False)
    answer = bench(tmp_path, "data", "check", "camvid-small", cwd=tmp_path)
    assert answer.returncode == 2
    assert answer.stderr.splitlines()[-1].startswith("bench: --data: not given; looked for train/, trainannot/")


def test_drawn_data_is_checked_too(tmp_path: Path):
    """streets: its three splits as stated, every class present, nothing wrong."""
    answer = bench(tmp_path, "data", "check", "streets", "--json", cwd=tmp_path)
    report = json.loads(answer.stdout)
    assert answer.returncode == 0
    assert [split["images"] for split in report["splits"]] == [800, 200, 200]
    assert min(report["class_share"]) > 0
    assert report["problems"] == []


def test_the_doctor_finds_streets_ready(tmp_path: Path):
    """Device, data, teacher, cache, results: all found; nothing is left behind by looking."""
    answer = bench(tmp_path / "cache", "doctor", "--json", cwd=tmp_path)
    findings = {finding["what"]: finding for finding in json.loads(answer.stdout)}
    assert answer.returncode == 0, answer.stdout
    assert {"torch", "device", "data of streets", "teacher", "cache", "results", "disk"} <= set(findings)
    assert list(tmp_path.iterdir()) == []


def test_the_doctor_says_what_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """camvid-small without its data: exit 2 and what to do."""
    monkeypatch.delenv("SEGKD_DATA", raising=False)
    answer = bench(tmp_path, "doctor", "--workload", "camvid-small", "--json", cwd=tmp_path)
    findings = {finding["what"]: finding for finding in json.loads(answer.stdout)}
    assert answer.returncode == 2
    assert "SEGKD_DATA" in findings["data of camvid-small"]["remedy"]


def test_a_report_without_records_says_how_to_make_some(tmp_path: Path):
    """One line, exit 2, no empty page."""
    answer = bench(tmp_path, "report", cwd=tmp_path)
    assert answer.returncode == 2
    assert answer.stderr.startswith("bench: ")
    assert "bench run" in answer.stderr
    assert not (tmp_path / "reports").exists()
