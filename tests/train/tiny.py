"""The tiny workload in memory, its teacher of random weights on the disk, and the methods that fit it."""

from pathlib import Path

import torch

from harness.ledger.descriptor import method_path, resolve_method, shipped_methods
from harness.ledger.files import file_sha256
from harness.ledger.method import ResolvedMethod
from harness.ledger.networks import LightNetwork
from harness.ledger.spec import Ground, TeacherFile
from harness.ledger.workload import Workload, read_workload
from harness.segmentation.networks import build
from harness.segmentation.weights import save_weights
from tests import story
from tests.factories import ground

MISSING_STAGES = {"transkd": "transkd: term 'Embeddings@embedding1': the student has no stage 'embedding1': it has "}
"""The methods that apply to no network of the kind `light`, and what they say."""
DEMANDING = ("afdcd", "afdcd_camvid", "afdcd_only", "cwd_cirkd", "ifvd", "skd")
"""Those that need logits of 64×64, or a fourth stage of whole patches, and so larger crops."""
APPLICABLE = tuple(name for name in shipped_methods() if name not in MISSING_STAGES)


def roomy(folder: Path, crop: int) -> Workload:
    """The tiny workload with the widths that methods need, and square crops."""
    held = read_workload(story.tiny(folder))
    assert isinstance(held.student, LightNetwork)
    student = held.student.model_copy(update={"widths": (16, 16, 16, 16), "decoder": 16})
    network = student.model_copy(update={"widths": (16, 16, 16, 32), "decoder": 32})
    return held.model_copy(
        update={
            "student": student,
            "teacher": held.teacher.model_copy(update={"network": network}),
            "augmentation": held.augmentation.model_copy(update={"crop": (crop, crop)}),
        }
    )


def standing(folder: Path, held: Workload) -> Ground:
    """A ground for the workload, its teacher's weights in the folder."""
    path = folder / "teacher.safetensors"
    torch.manual_seed(0)
    save_weights(build(held.teacher.network, len(held.classes), held.stride), path)
    file = TeacherFile(path=str(path), sha256=file_sha256(path), miou=0.5)
    return ground(of=held).model_copy(update={"teacher": file})


def resolved(name: str) -> ResolvedMethod:
    """A shipped method as the tiny workload runs it."""
    return resolve_method(method_path(name), "streets", 2)
