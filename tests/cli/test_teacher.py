"""`bench teacher --from`: a checkpoint of others becomes a workload's teacher, and no other file passes for it."""

import json
from pathlib import Path

import pytest
import torch

from harness.ledger.files import file_sha256, read
from harness.ledger.findings import TeacherCard
from harness.ledger.workload import Workload, read_workload
from harness.segmentation.networks import build
from tests import story
from tests.story import bench

URL = "https://example.org/teacher.pth"


def build_teacher(workload: Workload):
    """The tiny workload's teacher, of random weights."""
    torch.manual_seed(5)
    return build(workload.teacher.network, len(workload.classes), workload.stride)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the tiny workload and a state dict with names of its own, which the workload's file names."""
    folder = tmp_path_factory.mktemp("taken")
    path = story.tiny(folder)
    network = build_teacher(read_workload(path))
    state = {f"module.net.{name}": tensor for name, tensor in network.state_dict().items()}
    torch.save({"state_dict": state, "epoch": 9}, folder / "theirs.pth")
    checkpoint = {"sha256": file_sha256(folder / "theirs.pth"), "url": URL, "keys": {"net.": ""}}
    path.write_text(path.read_text().replace("  band: 0.05", f"  band: 0.05\n  checkpoint: {json.dumps(checkpoint)}"))
    return folder


def test_a_teacher_that_is_to_be_taken_is_not_trained(place: Path):
    """One line says where the file is to be had, how it is known, and what to type."""
    answer = bench(place / "empty", "teacher", "--workload", "tiny.yaml", cwd=place)
    assert answer.returncode == 2
    said = answer.stderr.splitlines()[-1]
    assert f"SHA-256 {file_sha256(place / 'theirs.pth')}: get it from {URL}" in said
    assert "`bench teacher --workload tiny.yaml --from FILE`" in said


def test_another_file_is_not_taken(place: Path):
    """By its digest, before anything of it is read."""
    (place / "other.pth").write_bytes(b"other")
    answer = bench(place / "empty", "teacher", "--workload", "tiny.yaml", "--from", "other.pth", cwd=place)
    assert answer.returncode == 2
    assert answer.stderr.startswith("bench: --from: other.pth: SHA-256 is ")
    assert answer.stderr.endswith(f"…: get it from {URL}\n")


@pytest.mark.slow
def test_a_taken_teacher_is_scored_and_kept_like_a_trained_one_and_runs_refuse_it_once_it_is_changed(place: Path):
    """Card, mIoU and weights in the cache; the doctor finds it; a byte more, and `bench run` has no teacher."""
    cache = place / "cache"
    took = bench(cache, "teacher", "--workload", "tiny.yaml", "--from", "theirs.pth", cwd=place)
    assert took.returncode == 0, took.stderr
    (path,) = (cache / "teachers").glob("*.json")
    card, weights = read(path, TeacherCard), path.with_suffix(".safetensors")
    assert card.sha256 == file_sha256(weights)
    assert (card.taken_from, card.iterations) == (file_sha256(place / "theirs.pth"), None)
    assert 0 <= card.miou < 0.3
    assert f"mIoU {100 * card.miou:.2f} % on the score split" in took.stdout
    assert "taken from a checkpoint" in took.stdout

    found = bench(cache, "doctor", "--workload", "tiny.yaml", "--json", cwd=place)
    teacher = next(each for each in json.loads(found.stdout) if each["what"] == "teacher")
    assert teacher["found"] == f"SHA-256 as expected, mIoU {100 * card.miou:.1f} %"

    weights.write_bytes(weights.read_bytes() + b"\0")
    run = bench(cache, "run", "--workload", "tiny.yaml", "--methods", "kd", "--budget", "2 it", cwd=place)
    assert run.returncode == 2
    assert f"{weights}: SHA-256 is {file_sha256(weights)[:12]}…, but {path.name} beside it says" in run.stderr
    assert not (place / "results" / "runs").exists()


def test_names_that_do_not_fit_are_told_on_one_line(place: Path, tmp_path: Path):
    """Ours need no map: with one that fits nothing the first name is missing, and nothing is kept."""
    text = (place / "tiny.yaml").read_text().replace('"net."', '"model."')
    (tmp_path / "tiny.yaml").write_text(text)
    answer = bench(
        tmp_path / "cache", "teacher", "--workload", "tiny.yaml", "--from", place / "theirs.pth", cwd=tmp_path
    )
    assert answer.returncode == 2
    said = answer.stderr.splitlines()[-1]
    assert "found nothing, expected shape" in said
    assert said.endswith("map its name by teacher.checkpoint.keys")
    assert not list((tmp_path / "cache").glob("teachers/*.safetensors"))
