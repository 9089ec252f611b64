"""Every real workload on a tiny data set in its layout: read, decoded, trained on for some iterations, scored."""

from pathlib import Path

import pytest
import torch

from harness.ledger.counts import scores_of
from harness.ledger.datasets import Data
from harness.ledger.descriptor import method_path, resolve_method
from harness.ledger.networks import untrained
from harness.ledger.workload import Sliding, Workload, read_workload, workload_path
from harness.segmentation import data
from harness.segmentation.evaluate import EVALUATION_BATCH, evaluate
from harness.train.streams import batches_of
from harness.train.trainee import make_trainee, prepare
from tests import layouts
from tests.train import tiny

CPU = torch.device("cpu")
LAYOUTS = {
    "cityscapes": (layouts.cityscapes, layouts.cityscapes_data),
    "ade20k": (layouts.ade20k, layouts.ade20k_data),
    "voc": (layouts.voc, layouts.voc_data),
    "camvid": (layouts.folders, layouts.folders_data),
}
WORKLOADS = (
    "cityscapes-pspnet-r18",
    "cityscapes-deeplabv3-r18",
    "cityscapes-segformer-b0",
    "ade20k-pspnet-r18",
    "ade20k-deeplabv3-r18",
    "voc-deeplabv3-r18",
    "camvid",
)

IN_BFLOAT16 = "cityscapes-segformer-b0"
"""The others are too, but a CPU without such units takes four times as long for it."""


def small(name: str, layout: Data) -> Workload:
    """The workload on its tiny data set: its networks from random weights, the teacher as small as the student."""
    held = read_workload(workload_path(name))
    student = untrained(held.student)
    changes = {
        "data": layout,
        "student": student,
        "teacher": held.teacher.model_copy(update={"network": student}),
        "augmentation": held.augmentation.model_copy(update={"crop": (64, 64)}),
        "training": held.training.model_copy(update={"batch": 2}),
    }
    if name != IN_BFLOAT16:
        changes |= {"engine": held.engine.model_copy(update={"precision": "float32"})}
    if held.image_size is not None:
        changes |= {"image_size": (64, 128), "label_size": (64, 128)}
    if isinstance(held.evaluation, Sliding):
        changes |= {"evaluation": Sliding(mode="sliding", window=(64, 64), step=(64, 64))}
    return held.model_copy(update=changes)


@pytest.mark.parametrize("name", WORKLOADS)
def test_every_layout_is_trained_on_and_scored(name: str, tmp_path: Path):
    """Three iterations of kd with a 64×64 crop change the student, and every scored image has its pixels counted."""
    dataset = read_workload(workload_path(name)).dataset
    write, layout = LAYOUTS[dataset]
    held = small(name, layout())
    files = write(tmp_path / "data")
    assert data.check(held, files).problems == ()
    prepare(CPU, held)
    trainee = make_trainee(tiny.standing(tmp_path, held), resolve_method(method_path("kd"), dataset, 2), 0, CPU)
    before = {key: value.clone() for key, value in trainee.student.state_dict().items()}
    batches = batches_of(data.load(held, files, "train"), held, 0, CPU)
    for iteration in range(3):
        trainee.iterate(*next(batches), progress=iteration / 3)
    assert trainee.losses.isfinite().all()
    assert (trainee.losses > 0).all()
    assert any(not torch.equal(before[key], value) for key, value in trainee.student.state_dict().items())
    split = data.load(held, files, "score")
    counts = evaluate(trainee.student, split, held, CPU, EVALUATION_BATCH)
    labelled = [int((split.labels[number] != 255).sum()) for number in range(len(split.labels))]
    assert counts.labelled.sum(axis=1).tolist() == labelled
    assert 0 <= scores_of(counts).miou <= 1


def test_transkd_reads_a_transformers_embeddings(tmp_path: Path):
    """The one method that none of the other networks has stages for."""
    held = small("cityscapes-segformer-b0", layouts.cityscapes_data())
    held = held.model_copy(update={"engine": held.engine.model_copy(update={"precision": "float32"})})
    files = layouts.cityscapes(tmp_path / "data")
    prepare(CPU, held)
    method = resolve_method(method_path("transkd"), "cityscapes", 2)
    trainee = make_trainee(tiny.standing(tmp_path, held), method, 0, CPU)
    trainee.iterate(*next(batches_of(data.load(held, files, "train"), held, 0, CPU)), progress=0.0)
    assert trainee.losses.isfinite().all()
    assert (trainee.losses > 0).all()
