"""A method on two networks: what is computed, what is not, and what it adds up to."""

from collections.abc import Mapping
from math import log
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from harness.distill.distiller import Distiller
from harness.distill.draw import StoredDraw
from harness.distill.losses import cross_entropy, kl
from harness.ledger.errors import BadInput
from harness.ledger.method import SHARED_LOSSES, ResolvedMethod, ResolvedTerm, Tap, method_path, resolve_method
from harness.segmentation.staged import Staged

NOTHING = StoredDraw({})
STAGES = ("stage4", "decoded", "decoded_dropped", "logits", "aux_logits")


class Counted(nn.Conv2d):
    """A 1×1 convolution that counts its calls."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__(inputs, outputs, kernel_size=1)
        self.calls = 0

    def forward(self, features: Tensor) -> Tensor:
        self.calls += 1
        return super().forward(features)


def network(width: int, stages: tuple[str, ...] = STAGES) -> Staged:
    """Three classes; aux_logits reads stage4, the others are a chain."""
    chain = ("image", "stage4", "decoded", "decoded_dropped")
    inputs = {**dict(zip(STAGES[:4], ((name,) for name in chain), strict=True)), "aux_logits": ("stage4",)}
    channels = {"stage4": width, "decoded": width, "decoded_dropped": width, "logits": 3, "aux_logits": 3}
    read = {stage: 3 if stage == "stage4" else width for stage in stages}
    modules = {stage: Counted(read[stage], channels[stage]) for stage in stages}
    return Staged(modules, inputs, channels, stride=1)


def calls(staged: Staged) -> dict[str, int]:
    """How often each stage ran, those that never did left away."""
    counts = {stage: staged.get_submodule(stage).calls for stage in staged.stages}
    return {stage: count for stage, count in counts.items() if count}


def term(function: str, *taps: Tap, weight: float = 1.0, file: Path = SHARED_LOSSES, **changes: object) -> ResolvedTerm:
    """A term; at logits when no taps are named."""
    taps = taps or (Tap(student="logits", teacher="logits"),)
    whole = ResolvedTerm(
        name=f"{function}@{taps[0].student}",
        file=str(file),
        function=function,
        taps=taps,
        listed=False,
        weight=weight,
        source="ours",
        settings={},
        optional=False,
    )
    return whole.model_copy(update=changes)


def method(*terms: ResolvedTerm, group: int | None = None) -> ResolvedMethod:
    """A method of these terms."""
    return ResolvedMethod(name="mine", title="Mine", family="general", group=group, terms=terms, digest="0" * 16)


def distiller(
    *terms: ResolvedTerm, group: int | None = None, auxiliary_weight: float = 0.0, batch: int = 2
) -> Distiller:
    """The method on a student of width 4 and a teacher of width 6."""
    return Distiller(
        method(*terms, group=group), network(4), network(6), auxiliary_weight=auxiliary_weight, batch=batch
    )


def shipped(name: str, student: Staged, teacher: Staged, auxiliary_weight: float = 0.4) -> Distiller:
    """A shipped method on two networks."""
    resolved = resolve_method(method_path(name), "cityscapes", 8192)
    return Distiller(resolved, student, teacher, auxiliary_weight=auxiliary_weight, batch=2)


def written(folder: Path, text: str) -> Path:
    """A method's Python file."""
    file = folder / "own.py"
    file.write_text("import torch\nfrom torch import nn\n" + text)
    return file


def random_stages(batch: int = 2, width: int = 4) -> dict[str, Tensor]:
    """What a network of a width hands over, on 2×3 positions."""
    generator = torch.Generator().manual_seed(width)
    widths = {stage: 3 if "logits" in stage else width for stage in STAGES}
    return {stage: torch.randn(batch, channels, 2, 3, generator=generator) for stage, channels in widths.items()}


def labels(batch: int = 2) -> Tensor:
    return torch.arange(batch * 24).reshape(batch, 4, 6) % 3


class Untouchable(Mapping[str, Tensor]):
    """Fails whoever looks into it."""

    def __getitem__(self, stage: str) -> Tensor:
        raise AssertionError(f"the teacher was asked for {stage}")

    def __iter__(self):
        raise AssertionError("the teacher was asked for its stages")

    def __len__(self) -> int:
        raise AssertionError("the teacher was asked for its stages")


@pytest.mark.parametrize(
    ("name", "student_calls", "teacher_calls"),
    [
        ("baseline", {"stage4", "decoded", "decoded_dropped", "logits", "aux_logits"}, set()),
        ("kd", {"stage4", "decoded", "decoded_dropped", "logits", "aux_logits"}, set(STAGES[:4])),
        ("featmse", {"stage4", "decoded", "decoded_dropped", "logits", "aux_logits"}, {"stage4"}),
        ("dist", set(STAGES), set(STAGES)),
    ],
)
def test_networks_run_what_the_method_needs_and_no_more(name, student_calls, teacher_calls):
    """One iteration calls each needed stage once; a teacher that no term looks at runs none."""
    student, teacher = network(4), network(6)
    made = shipped(name, student, teacher)
    images = torch.randn(2, 3, 2, 3)
    made(student(images, made.student_stages), teacher(images, made.teacher_stages), labels(), NOTHING).total.backward()
    assert calls(student) == dict.fromkeys(student_calls, 1)
    assert calls(teacher) == dict.fromkeys(teacher_calls, 1)


def test_the_baseline_never_asks_for_the_teacher():
    """No stage, no look into what the teacher gave, no parameter of its own."""
    made = distiller()
    losses = made(random_stages(), Untouchable(), labels(), NOTHING)
    assert (made.student_stages, made.teacher_stages, made.names) == (frozenset({"logits"}), frozenset(), ())
    assert list(made.parameters()) == []
    assert torch.equal(losses.total, losses.task)


def test_a_loss_that_takes_no_teacher_leaves_it_idle():
    """Deep supervision is a term of the labels alone: `teacher: None` in its signature."""
    made = distiller(term("cross_entropy", Tap(student="aux_logits", teacher="aux_logits"), weight=0.5))
    student = random_stages()
    losses = made(student, Untouchable(), labels(), NOTHING)
    assert made.teacher_stages == frozenset()
    assert torch.equal(losses.terms[0], 0.5 * cross_entropy(student["aux_logits"], None, labels(), draw=NOTHING))


def test_a_term_of_weight_zero_is_not_there(tmp_path):
    """It is not loaded, has no adapter, asks for no stage and is not named."""
    idle = term(
        "gone", Tap(student="stage4", teacher="stage4", adapter="conv1x1"), weight=0.0, file=tmp_path / "gone.py"
    )
    made = distiller(idle, term("kl"))
    assert made.names == ("kl@logits",)
    assert made.student_stages == made.teacher_stages == frozenset({"logits"})
    assert list(made.parameters()) == []


def test_only_terms_of_weight_zero_leave_the_teacher_idle():
    """A method whose every term weighs nothing is the baseline."""
    assert distiller(term("kl", weight=0.0)).teacher_stages == frozenset()


def test_losses_add_up():
    """Total = task + Σ weight × term, each term as the loss gives it."""
    made = distiller(term("kl", weight=3.0, settings={"temperature": 2.0}), term("kl", weight=0.5))
    student, teacher = random_stages(width=4), random_stages(width=6)
    losses = made(student, teacher, labels(), NOTHING)
    warm = kl(student["logits"], teacher["logits"], labels(), draw=NOTHING, temperature=2.0)
    cold = kl(student["logits"], teacher["logits"], labels(), draw=NOTHING)
    task = cross_entropy(student["logits"], None, labels(), draw=NOTHING)
    assert losses.task.item() == pytest.approx(task.item())
    assert [each.item() for each in losses.terms] == pytest.approx([3 * warm.item(), 0.5 * cold.item()])
    assert losses.total.item() == pytest.approx(task.item() + 3 * warm.item() + 0.5 * cold.item())


def test_names_are_unique():
    """Two terms of one loss at one stage are told apart."""
    assert distiller(term("kl"), term("mse"), term("kl")).names == ("kl@logits", "mse@logits", "kl@logits#2")


def test_auxiliary_loss_by_hand():
    """Even logits cost ln 3 each: ln 3 + 0.4·ln 3."""
    made = distiller(auxiliary_weight=0.4)
    even = {"logits": torch.zeros(2, 3, 2, 3), "aux_logits": torch.zeros(2, 3, 2, 3)}
    assert made.student_stages == {"logits", "aux_logits"}
    assert made(even, {}, labels(), NOTHING).task.item() == pytest.approx(1.4 * log(3))


def test_no_auxiliary_loss_without_a_head_or_a_weight():
    """A network without aux_logits, and a weight of 0, leave the task loss at the logits."""
    without = network(4, STAGES[:4])
    made = Distiller(method(), without, network(6), auxiliary_weight=0.4, batch=2)
    assert made.student_stages == distiller(auxiliary_weight=0.0).student_stages == {"logits"}
    assert made({"logits": torch.zeros(2, 3, 2, 3)}, {}, labels(), NOTHING).task.item() == pytest.approx(log(3))


def test_an_optional_term_is_left_out_where_its_stage_is_missing():
    """DIST without an auxiliary head, of the student or of the teacher, is its main term and says so."""
    headless = STAGES[:4]
    for student, teacher in ((network(4, headless), network(6)), (network(4), network(6, headless))):
        made = shipped("dist", student, teacher)
        assert (made.names, made.left_out) == (("relation@logits",), ("relation@aux_logits",))
    assert shipped("dist", network(4), network(6)).left_out == ()


def test_a_missing_stage_is_bad_input():
    """The message names method, term, network, stage and the stages that there are."""
    lacking = term("mse", Tap(student="decoded", teacher="stage3"))
    message = r"mine: term 'mse@decoded': the teacher has no stage 'stage3' \(did you mean 'stage4'\?\): it has stage"
    with pytest.raises(BadInput, match=message):
        distiller(lacking)


def test_adapters_bring_the_student_to_the_teachers_width():
    """conv1x1 has a bias and conv1x1_without_bias none; both go from the student's channels to the teacher's."""
    made = distiller(
        term("mse", Tap(student="stage4", teacher="decoded", adapter="conv1x1")),
        term("mse", Tap(student="stage4", teacher="logits", adapter="conv1x1_without_bias")),
    )
    assert {name: tuple(value.shape) for name, value in made.named_parameters()} == {
        "terms.0.adapters.0.weight": (6, 4, 1, 1),
        "terms.0.adapters.0.bias": (6,),
        "terms.1.adapters.0.weight": (3, 4, 1, 1),
    }


def test_gradients_reach_student_and_adapter_and_never_the_teacher():
    """Also when the teacher was not frozen."""
    made = distiller(term("kl"), term("mse", Tap(student="stage4", teacher="stage4", adapter="conv1x1")))
    student = {stage: value.requires_grad_() for stage, value in random_stages(width=4).items()}
    teacher = {stage: value.requires_grad_() for stage, value in random_stages(width=6).items()}
    sum(made(student, teacher, labels(), NOTHING).terms).backward()
    reached = [student["logits"], student["stage4"], *made.parameters()]
    assert all(value.grad is not None and value.grad.abs().sum() > 0 for value in reached)
    assert all(value.grad is None for value in teacher.values())


COUPLED = "def coupled(student, teacher, labels, *, draw):\n    return student.sum() * teacher.sum() + labels.sum()\n"


def test_groups_are_consecutive_images_averaged(tmp_path):
    """Sums 1, 2 | 3, 4 against 10, 20 | 30, 40 and labels 1, 1 | 2, 2: the mean of 3·30 + 2 and 7·70 + 4."""
    tap = Tap(student="decoded", teacher="decoded")
    made = distiller(term("coupled", tap, file=written(tmp_path, COUPLED)), group=2, batch=4)
    images = torch.tensor([1.0, 2, 3, 4])[:, None, None, None]
    values = torch.tensor([1, 1, 2, 2])[:, None, None]
    (loss,) = made.distil({"decoded": images}, {"decoded": 10 * images}, values, NOTHING)
    assert loss.item() == ((3 * 30 + 2) + (7 * 70 + 4)) / 2


def test_without_a_group_the_batch_is_one(tmp_path):
    """Sums 10 and 100, labels 6."""
    tap = Tap(student="decoded", teacher="decoded")
    made = distiller(term("coupled", tap, file=written(tmp_path, COUPLED)), batch=4)
    images = torch.tensor([1.0, 2, 3, 4])[:, None, None, None]
    (loss,) = made.distil(
        {"decoded": images}, {"decoded": 10 * images}, torch.tensor([1, 1, 2, 2])[:, None, None], NOTHING
    )
    assert loss.item() == 10 * 100 + 6


def test_a_batch_of_broken_groups_is_bad_input():
    """Three images are no pairs."""
    with pytest.raises(BadInput, match="mine: batch 3 is no multiple of its group: expected whole groups of 2"):
        distiller(term("kl"), group=2, batch=3)


def test_listed_stages_come_as_tuples_to_a_module_with_widths(tmp_path):
    """A class is built with its settings and the widths it asks for, and its weights train with the rest."""
    text = """
class Lists(nn.Module):
    def __init__(self, *, scale=1.0, student_channels=(), teacher_channels=()):
        super().__init__()
        self.student_channels, self.teacher_channels = student_channels, teacher_channels
        self.scale = nn.Parameter(torch.tensor(scale))

    def forward(self, student, teacher, labels, *, draw):
        return self.scale * (len(student) * student[1].sum() + len(teacher) * teacher[0].sum())
"""
    taps = (Tap(student="stage4", teacher="stage4"), Tap(student="logits", teacher="logits"))
    made = distiller(term("Lists", *taps, file=written(tmp_path, text), listed=True, settings={"scale": 3.0}))
    ones = {"stage4": torch.ones(2, 1, 1, 1), "logits": 10 * torch.ones(2, 1, 1, 1)}
    (loss,) = made.distil(ones, ones, labels(), NOTHING)
    (module,) = (each.loss for each in made.terms)
    assert (module.student_channels, module.teacher_channels) == ((4, 3), (6, 3))
    assert [name for name, _ in made.named_parameters()] == ["terms.0.loss.scale"]
    assert loss.item() == 3 * (2 * 20 + 2 * 2)


def test_a_module_behind_an_adapter_sees_the_adapted_width(tmp_path):
    """Its student_channels are those of the tensors that it gets; a class that asks for none gets none."""
    text = """
class One(nn.Module):
    def __init__(self, *, student_channels):
        super().__init__()
        self.width = student_channels
"""
    file = written(tmp_path, text + "    def forward(self, student, teacher, labels, *, draw): return student.sum()\n")
    adapted = Tap(student="stage4", teacher="stage4", adapter="conv1x1")
    made = distiller(term("One", adapted, file=file), term("One", Tap(student="stage4", teacher="stage4"), file=file))
    assert [each.loss.width for each in made.terms] == [6, 4]


def test_half_precision_outputs_are_widened_before_a_loss():
    """Under mixed precision networks hand over bfloat16: task loss and terms are single precision all the same."""
    made = distiller(term("mse"))
    student = {stage: value.bfloat16() for stage, value in random_stages(width=4).items()}
    teacher = {stage: value.bfloat16() for stage, value in random_stages(width=6).items()}
    losses = made(student, teacher, labels(), NOTHING)
    wide = (student["logits"].float() - teacher["logits"].float()).square().mean()
    assert losses.task.dtype == torch.float32
    assert losses.terms[0].item() == pytest.approx(wide.item(), rel=1e-6)


@pytest.mark.parametrize(
    "text",
    [
        "def own(student, teacher, labels, *, draw, needed): return student.sum()\n",
        "def own(student, teacher, *, draw): return student.sum()\n",
        "def own(student, teacher, labels): return student.sum()\n",
        "def own(): return 0\n",
        "class own(nn.Module):\n    def __init__(self, *, needed): super().__init__()\n"
        "    def forward(self, student, teacher, labels, *, draw): return student.sum()\n",
    ],
)
def test_a_loss_with_another_signature_is_bad_input(tmp_path, text):
    """It is found when the method is put on its networks, before anything is spent."""
    with pytest.raises(BadInput, match="'own' does not take what it is given"):
        distiller(term("own", file=written(tmp_path, text)))
