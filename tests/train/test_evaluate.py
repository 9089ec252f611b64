"""The engine's `evaluate`: weights in a file, scores out."""

from pathlib import Path

import pytest
import torch

from harness.ledger.counts import scores_of
from harness.ledger.errors import BadInput
from harness.ledger.files import file_sha256, read, write
from harness.ledger.findings import Evaluation
from harness.ledger.spec import EvaluateSpec
from harness.ledger.workload import Workload, read_workload
from harness.segmentation.data import load
from harness.segmentation.evaluate import evaluate
from harness.segmentation.networks import build
from harness.segmentation.staged import Staged
from harness.segmentation.weights import save_weights
from harness.train.evaluate import main, must_not_be_larger
from harness.train.heartbeat import Heartbeat
from tests.story import tiny


@pytest.fixture
def workload(tmp_path: Path) -> Workload:
    """The tiny one."""
    return read_workload(tiny(tmp_path))


@pytest.fixture
def student(workload: Workload) -> Staged:
    """Of random weights."""
    torch.manual_seed(3)
    return build(workload.student, len(workload.classes), workload.stride)


@pytest.mark.parametrize("split", ["score", "tune"])
def test_what_stands_in_out_is_what_the_weights_score_on_the_split(
    workload: Workload, student: Staged, tmp_path: Path, split: str
):
    """As a run that holds the network in its memory would score it."""
    weights, spec, out = tmp_path / "weights.safetensors", tmp_path / "spec.json", tmp_path / "out.json"
    save_weights(student, weights)
    write(
        spec,
        EvaluateSpec(
            workload=workload, data=None, device="cpu", weights=str(weights), sha256=file_sha256(weights), split=split
        ),
    )
    assert main(spec, out, Heartbeat(out)) == 0
    expected = scores_of(evaluate(student, load(workload, None, split), workload, torch.device("cpu"), 8))
    assert read(out, Evaluation).scores == expected


def test_a_file_may_hold_every_number_in_eight_bytes_and_its_names(student: Staged, tmp_path: Path):
    """One byte more is refused before it is read."""
    numbers = sum(tensor.numel() for tensor in student.state_dict().values())
    path = tmp_path / "weights.safetensors"
    for size, is_refused in ((8 * numbers + 2**20, False), (8 * numbers + 2**20 + 1, True)):
        with path.open("wb") as file:
            file.truncate(size)
        if is_refused:
            with pytest.raises(BadInput, match=f"found {size:,} bytes: the workload's student needs no more than"):
                must_not_be_larger(student, path)
        else:
            must_not_be_larger(student, path)
