"""What every method shares, and what a warm-up must leave alone."""

from pathlib import Path

import pytest
import torch

from harness.ledger.files import file_sha256
from harness.ledger.method import method_path, resolve_method, student_alone
from harness.ledger.spec import Ground, TeacherFile
from harness.segmentation.networks import build
from harness.segmentation.weights import load_teacher, save_weights, state_sha256
from harness.train.loop import warm_up
from harness.train.streams import generator
from harness.train.trainee import make_trainee
from tests.factories import ground, workload

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def whole_ground(tmp_path_factory: pytest.TempPathFactory) -> Ground:
    """The factories' ground with a teacher of random weights on the disk."""
    held = workload(stride=4)
    path = tmp_path_factory.mktemp("teacher") / "teacher.safetensors"
    torch.manual_seed(0)
    save_weights(build(held.teacher.network, len(held.classes), held.stride), path)
    file = TeacherFile(path=str(path), sha256=file_sha256(path), miou=0.5)
    return ground(of=held).model_copy(update={"teacher": file})


def batches(count: int):
    source = generator(0, "order")
    for _ in range(count):
        images = torch.rand(8, 3, 64, 64, generator=source)
        yield images, torch.randint(0, 4, (8, 64, 64), generator=source)


def resolved(name: str):
    return resolve_method(method_path(name), "streets", 256)


@pytest.mark.parametrize("name", ["kd", "fitnet", "dist"])
def test_a_seed_gives_every_method_the_same_student(whole_ground: Ground, name: str):
    """The baseline's initial weights, bit by bit; another seed's are others."""
    expected = state_sha256(make_trainee(whole_ground, student_alone(), 0, CPU).student)
    assert state_sha256(make_trainee(whole_ground, resolved(name), 0, CPU).student) == expected
    assert state_sha256(make_trainee(whole_ground, resolved(name), 1, CPU).student) != expected


def test_the_baseline_has_no_teacher(whole_ground: Ground):
    """It is never loaded, so it costs neither time nor memory."""
    assert make_trainee(whole_ground, student_alone(), 0, CPU).teacher is None


def test_the_teacher_does_not_learn_and_the_student_and_its_adapter_do(whole_ground: Ground):
    """After two iterations the teacher's state is what its file holds; the other two have moved."""
    trainee = make_trainee(whole_ground, resolved("fitnet"), 0, CPU)
    before = (state_sha256(trainee.student), [p.clone() for p in trainee.distiller.parameters()])
    for images, labels in batches(2):
        trainee.iterate(images, labels, 0.0)
    held = whole_ground.workload
    assert trainee.teacher is not None
    assert state_sha256(trainee.teacher) == state_sha256(load_teacher(held, whole_ground.teacher))
    assert state_sha256(trainee.student) != before[0]
    assert all(not torch.equal(a, b) for a, b in zip(trainee.distiller.parameters(), before[1], strict=True))


def test_a_warm_up_leaves_no_trace(whole_ground: Ground):
    """With and without it the same iterations lead to the same weights and momenta, bit by bit."""
    states = []
    for warm in (False, True):
        trainee = make_trainee(whole_ground, resolved("fitnet"), 0, CPU)
        torch.manual_seed(1)
        if warm:
            warm_up(trainee, batches(3), 3)
        for images, labels in batches(2):
            trainee.iterate(images, labels, 0.25)
        momenta = [state["momentum_buffer"] for state in trainee.optimizer.state.values()]
        states.append((state_sha256(trainee.student), [float(momentum.sum()) for momentum in momenta]))
    assert states[0] == states[1]


def test_the_learning_rate_falls_from_its_peak_to_nothing(whole_ground: Ground):
    """0.05 × (1 − p)^0.9 at p = 0, a half and 1."""
    trainee = make_trainee(whole_ground, student_alone(), 0, CPU)
    rates = [trainee.learning_rate(progress) for progress in (0.0, 0.5, 1.0)]
    assert rates == pytest.approx([0.05, 0.05 * 0.5**0.9, 0.0])


def test_a_teacher_of_another_digest_is_refused(whole_ground: Ground):
    """A file that changed after the plan is not loaded."""
    from harness.ledger.errors import BadInput

    wrong = whole_ground.teacher.model_copy(update={"sha256": "0" * 64})
    with pytest.raises(BadInput, match=r"SHA-256 is .*, expected 000000000000…"):
        load_teacher(whole_ground.workload, wrong)


def test_a_file_that_is_no_safetensors_is_refused(whole_ground: Ground, tmp_path: Path):
    """A pickle, or anything else, is not read as weights."""
    from harness.ledger.errors import BadInput

    path = tmp_path / "teacher.safetensors"
    torch.save({"weight": torch.zeros(1)}, path)
    file = TeacherFile(path=str(path), sha256=file_sha256(path), miou=0.5)
    with pytest.raises(BadInput, match="does not hold this network"):
        load_teacher(whole_ground.workload, file)
