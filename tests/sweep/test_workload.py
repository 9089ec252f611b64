"""What the desk alone finds wrong with a workload."""

from pathlib import Path

import pytest

from harness.ledger.errors import BadInput
from harness.ledger.files import file_sha256
from harness.ledger.workload import Checkpoint, Sliding, Workload
from harness.sweep.workload import sizes, teacher
from tests.factories import workload

WEIGHTS = {"weights": None, "sha256": None, "miou": None}


def cropped(height: int, width: int, **changes: object) -> Workload:
    """64×128 images, scaled to their double at most."""
    held = workload(**changes)
    return held.model_copy(
        update={"augmentation": held.augmentation.model_copy(update={"crop": (height, width)})} | changes
    )


def taught(**changes: object) -> Workload:
    held = workload()
    return held.model_copy(update={"teacher": held.teacher.model_copy(update=changes)})


def test_sizes_are_told_in_a_line():
    """Crop, images, labels."""
    assert sizes(cropped(64, 64)) == "crop 64×64, a multiple of the stride, 4; images 64×128; labels 64×128"


def test_windows_and_sizes_of_their_own_are_told_too():
    """As the files have them, which a crop cannot be held against."""
    held = cropped(
        65, 512, image_size=None, label_size=None, evaluation=Sliding(mode="sliding", window=(64, 64), step=(32, 32))
    )
    assert sizes(held) == (
        "crop 65×512, no multiple of the stride, 4; images as their files have them; "
        "labels as their files have them; scored in windows of 64×64"
    )


def test_a_crop_may_be_as_large_as_the_largest_image():
    """Twice 64×128, and not a pixel more."""
    assert sizes(cropped(128, 256)).startswith("crop 128×256")
    with pytest.raises(BadInput) as complaint:
        sizes(cropped(132, 256))
    assert str(complaint.value) == (
        "augmentation.crop: found [132, 256]: images of [64, 128] are scaled to [128, 256] at most, "
        "so that a part of every crop would be empty"
    )


def test_a_teacher_that_ships_is_held_against_its_digest(tmp_path: Path):
    """The right file is well, another one is to be mended."""
    (tmp_path / "t.safetensors").write_bytes(b"weights")
    path, digest = tmp_path / "mine.yaml", file_sha256(tmp_path / "t.safetensors")
    right = teacher("mine.yaml", path, taught(weights="t.safetensors", sha256=digest))
    wrong = teacher("mine.yaml", path, taught(weights="t.safetensors", sha256="0" * 64))
    absent = teacher("mine.yaml", path, taught(weights="other.safetensors", sha256=digest))
    assert (right.mark, right.found) == ("ok", "t.safetensors, SHA-256 as expected, mIoU 72.0 %")
    assert (wrong.mark, absent.mark) == ("missing", "missing")
    assert f"SHA-256 is {digest[:12]}…, but mine.yaml says 000000000000…" in wrong.remedy
    assert absent.remedy.startswith(f"{tmp_path / 'other.safetensors'}: the teacher named in mine.yaml is not there")


def test_a_teacher_that_is_to_be_made_is_a_note_with_the_command():
    """Trained or taken: nothing of the workload is wrong."""
    path = Path("mine.yaml")
    trained = teacher("mine.yaml", path, taught(**WEIGHTS))
    taken = teacher("mine.yaml", path, taught(**WEIGHTS, checkpoint=Checkpoint(sha256="1" * 64)))
    assert (trained.mark, taken.mark) == ("note", "note")
    assert trained.found == "trained, 4,000 iterations of 8 images: `bench teacher --workload mine.yaml`"
    assert taken.found == (
        "taken from a checkpoint, SHA-256 111111111111…: `bench teacher --workload mine.yaml --from FILE`"
    )
