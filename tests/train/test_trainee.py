"""A student with all that trains it: who learns, who does not, and what runs."""

from pathlib import Path

import pytest
import torch

from harness.contract.guard import Cheating
from harness.ledger.descriptor import method_path, resolve_method
from harness.ledger.files import file_sha256
from harness.ledger.method import student_alone
from harness.ledger.spec import Ground, TeacherFile
from harness.segmentation.weights import load_teacher, state_sha256
from harness.train.streams import generator
from harness.train.trainee import make_trainee
from tests.contract.cheaters import TRAINS, method_of
from tests.factories import workload
from tests.train.tiny import standing

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def whole_ground(tmp_path_factory: pytest.TempPathFactory) -> Ground:
    """The factories' ground with a teacher of random weights on the disk."""
    return standing(tmp_path_factory.mktemp("teacher"), workload(stride=4))


def batches(count: int):
    source = generator(0, "order")
    for _ in range(count):
        images = torch.rand(8, 3, 64, 64, generator=source)
        yield images, torch.randint(0, 4, (8, 64, 64), generator=source)


def resolved(name: str):
    return resolve_method(method_path(name), "streets", 8)


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


def own_method(folder: Path, text: str, share: float = 0.0):
    """A method of one loss `Own` at the logits."""
    header = "import torch\nfrom torch import nn\nfrom harness.distill.module import LossModule\n"
    (folder / "own.py").write_text(header + text)
    preparation = f"preparation: {{share: {share}}}\n" if share else ""
    (folder / "mine.yaml").write_text(
        f"title: Mine\nfamily: general\n{preparation}terms:\n"
        "  - {loss: own.py:Own, at: logits, weight: {default: 1.0}, source: ours}\nnotes: mine\n"
    )
    return resolve_method(folder / "mine.yaml", "streets", 8)


PREPARED = """
class Own(LossModule):
    needs_preparation = True
    prepares_with_student = {with_student}
    def __init__(self):
        super().__init__()
        self.frozen = nn.Parameter(torch.ones(()), requires_grad=False)
        self.trained = nn.Parameter(torch.ones(()))
        self.register_buffer("steps", torch.zeros(()))
    def prepare(self, student, teacher, labels, *, draw, progress):
        assert (student is not None) == {with_student}
        assert student is None or not student.requires_grad
        self.frozen.data += 1
    def after_step(self):
        self.steps += 1
    def forward(self, student, teacher, labels, *, draw):
        return self.trained * self.frozen * (student - teacher).square().mean()
"""


@pytest.mark.parametrize("kind", TRAINS)
def test_a_constructor_that_trains_is_refused(whole_ground: Ground, tmp_path: Path, kind: str):
    """In a run and in a profile, before anything is spent: both build their trainee here."""
    text, complaint = TRAINS[kind]
    with pytest.raises(Cheating) as refused:
        make_trainee(whole_ground, method_of(tmp_path, text, batch=8), 0, CPU)
    assert str(refused.value) == f"{tmp_path / 'own.py'}:{complaint}"


def forward_calls(network: torch.nn.Module) -> list[int]:
    """Grows by one at each call of the network."""
    calls: list[int] = []
    network.register_forward_hook(lambda *_: calls.append(1))
    return calls


@pytest.mark.parametrize(("name", "expected"), [("kd", 3), ("fitnet", 3), ("idle", 0)])
def test_an_iteration_calls_each_network_once_and_an_idle_teacher_never(whole_ground: Ground, name: str, expected: int):
    """Three iterations: three calls of the student; of the teacher as many, or none where all weights are 0."""
    kd = resolved("kd")
    idle = kd.model_copy(update={"terms": tuple(term.model_copy(update={"weight": 0.0}) for term in kd.terms)})
    trainee = make_trainee(whole_ground, idle if name == "idle" else resolved(name), 0, CPU)
    student = forward_calls(trainee.student)
    teacher = forward_calls(trainee.teacher) if trainee.teacher is not None else []
    for images, labels in batches(3):
        trainee.iterate(images, labels, 0.0)
    assert (len(student), len(teacher)) == (3, expected)


def test_a_teacher_that_no_term_looks_at_never_runs(whole_ground: Ground):
    """Cross-entropy against the labels is a term of the student alone, so that the loaded teacher stands idle."""
    kd = resolved("kd")
    alone = kd.terms[0].model_copy(update={"function": "cross_entropy", "name": "cross_entropy@logits", "settings": {}})
    trainee = make_trainee(whole_ground, kd.model_copy(update={"terms": (alone,)}), 0, CPU)
    calls = forward_calls(trainee.teacher)
    for images, labels in batches(2):
        trainee.iterate(images, labels, 0.0)
    assert calls == []


@pytest.mark.parametrize("with_student", [False, True])
def test_a_preparation_runs_what_it_looks_at_and_teaches_the_student_nothing(
    whole_ground: Ground, tmp_path: Path, with_student: bool
):
    """The teacher runs once an update, the student only where asked for, and no weight of either moves."""
    method = own_method(tmp_path, PREPARED.format(with_student=with_student), share=0.1)
    trainee = make_trainee(whole_ground, method, 0, CPU)
    weights = [parameter.clone() for parameter in trainee.student.parameters()]
    student, teacher = forward_calls(trainee.student), forward_calls(trainee.teacher)
    for images, labels in batches(2):
        trainee.prepare(images, labels, 0.5)
    assert (len(student), len(teacher)) == (2 * with_student, 2)
    assert all(map(torch.equal, weights, trainee.student.parameters()))
    assert trainee.distiller.terms[0].loss.frozen.item() == 3.0


def test_only_what_requires_gradients_trains_with_the_student(whole_ground: Ground, tmp_path: Path):
    """The optimizer has the student's parameters and the trained one; the frozen one is the loss's own business."""
    trainee = make_trainee(whole_ground, own_method(tmp_path, PREPARED.format(with_student=False), share=0.1), 0, CPU)
    loss = trainee.distiller.terms[0].loss
    held = {id(parameter) for group in trainee.optimizer.param_groups for parameter in group["params"]}
    assert held == {id(parameter) for parameter in [*trainee.student.parameters(), loss.trained]}
    for images, labels in batches(2):
        trainee.iterate(images, labels, 0.0)
    assert (loss.frozen.item(), loss.steps.item()) == (1.0, 2.0)
    assert loss.trained.item() != 1.0


def test_a_snapshot_holds_the_methods_state(whole_ground: Ground, tmp_path: Path):
    """What was prepared, counted and trained since is as it was."""
    trainee = make_trainee(whole_ground, own_method(tmp_path, PREPARED.format(with_student=False), share=0.1), 0, CPU)
    before, loss = trainee.snapshot(), trainee.distiller.terms[0].loss
    for images, labels in batches(2):
        trainee.prepare(images, labels, 0.0)
        trainee.iterate(images, labels, 0.0)
    trainee.restore(before)
    assert (loss.frozen.item(), loss.steps.item(), loss.trained.item()) == (1.0, 0.0, 1.0)


def test_the_losses_add_up_over_iterations(whole_ground: Ground):
    """Task and term, as `losses_of` gives them before each step."""
    trainee = make_trainee(whole_ground, resolved("kd"), 0, CPU)
    expected = torch.zeros(2)
    for images, labels in batches(2):
        before = trainee.snapshot()
        losses = trainee.losses_of(images, labels)
        expected += torch.stack([losses.task.detach(), losses.terms[0].detach()])
        kept = trainee.losses.clone()
        trainee.restore(before)
        trainee.losses.copy_(kept)
        trainee.iterate(images, labels, 0.0)
    assert trainee.losses.tolist() == pytest.approx(expected.tolist())
