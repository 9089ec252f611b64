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
from harness.ledger.descriptor import SHARED_LOSSES, method_path, resolve_method
from harness.ledger.errors import BadInput
from harness.ledger.method import ResolvedMethod, ResolvedPart, ResolvedTerm, Tap, Transfer
from harness.segmentation.staged import Staged

NOTHING = StoredDraw({})
CROP = (2, 3)
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
    )
    return whole.model_copy(update=changes)


def method(*terms: ResolvedTerm, share: float = 0.0) -> ResolvedMethod:
    """A method of these terms."""
    return ResolvedMethod(
        name="mine", title="Mine", family="general", preparation_share=share, terms=terms, digest="0" * 16
    )


def distiller(*terms: ResolvedTerm, share: float = 0.0, auxiliary_weight: float = 0.0, batch: int = 2) -> Distiller:
    """The method on a student of width 4 and a teacher of width 6, for images of 2×3 pixels, all stages as large."""
    return Distiller(
        method(*terms, share=share), network(4), network(6), crop=CROP, auxiliary_weight=auxiliary_weight, batch=batch
    )


def shipped(name: str, student: Staged, teacher: Staged, auxiliary_weight: float = 0.4) -> Distiller:
    """A shipped method on two networks."""
    resolved = resolve_method(method_path(name), "cityscapes", 2)
    return Distiller(resolved, student, teacher, crop=CROP, auxiliary_weight=auxiliary_weight, batch=2)


def written(folder: Path, text: str) -> Path:
    """A method's Python file."""
    file = folder / "own.py"
    file.write_text("import torch\nfrom torch import nn\nfrom harness.distill.module import LossModule\n" + text)
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
    made = Distiller(method(), without, network(6), crop=CROP, auxiliary_weight=0.4, batch=2)
    assert made.student_stages == distiller(auxiliary_weight=0.0).student_stages == {"logits"}
    assert made({"logits": torch.zeros(2, 3, 2, 3)}, {}, labels(), NOTHING).task.item() == pytest.approx(log(3))


def test_an_optional_term_is_left_out_where_its_stage_is_missing():
    """DIST without an auxiliary head, of the student or of the teacher, is its main term and says so."""
    headless = STAGES[:4]
    for student, teacher in ((network(4, headless), network(6)), (network(4), network(6, headless))):
        made = shipped("dist", student, teacher)
        assert (made.names, made.left_out) == (("inter@logits", "intra@logits"), ("relation@aux_logits",))
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
    made = distiller(term("coupled", tap, file=written(tmp_path, COUPLED), group=2), batch=4)
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
    with pytest.raises(
        BadInput, match="term 'kl@logits': batch 3 is no multiple of its group: expected whole groups of 2"
    ):
        distiller(term("kl", group=2), batch=3)


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


def parts(**weights: float) -> tuple[ResolvedPart, ...]:
    """Parts of these weights."""
    return tuple(ResolvedPart(name=name, weight=weight, source="ours") for name, weight in weights.items())


NOTING = """
def noting(student, teacher, labels, *, draw, parts):
    return {part: student.sum() * len(part) for part in sorted(parts)}
"""


def test_parts_are_weighed_and_named_one_by_one(tmp_path):
    """Sum 12 of ones, times the name's length: 0.5·3·12 and 2·5·12, in the descriptor's order."""
    made = distiller(term("noting", file=written(tmp_path, NOTING), parts=parts(three=0.5, one=2.0)))
    (three, one) = made.distil({"logits": torch.ones(2, 3, 1, 2)}, random_stages(width=6), labels(), NOTHING)
    assert (made.names, made.weights) == (("three@logits", "one@logits"), (0.5, 2.0))
    assert (three.item(), one.item()) == (0.5 * 5 * 12, 2.0 * 3 * 12)


def test_a_part_of_weight_zero_is_not_asked_for(tmp_path):
    """The loss is told the parts that weigh something; a term none of whose parts does is not there."""
    file = written(tmp_path, NOTING)
    made = distiller(term("noting", file=file, parts=parts(three=0.0, one=2.0)))
    assert (made.names, len(made.distil(random_stages(), random_stages(width=6), labels(), NOTHING))) == (
        ("one@logits",),
        1,
    )
    assert distiller(term("noting", file=file, parts=parts(three=0.0, one=0.0))).names == ()


@pytest.mark.parametrize(
    ("returned", "found"), [("student.sum()", "one loss"), ("{'one': student.sum(), 'ones': 0}", "one, ones")]
)
def test_other_parts_than_asked_for_are_bad_input(tmp_path, returned, found):
    """One loss, or a part too many."""
    text = f"def own(student, teacher, labels, *, draw, parts):\n    return {returned}\n"
    made = distiller(term("own", file=written(tmp_path, text), parts=parts(one=1.0)))
    with pytest.raises(BadInput, match=f"term 'one@logits': found {found}: expected the parts one"):
        made.distil(random_stages(), random_stages(width=6), labels(), NOTHING)


def test_parts_are_averaged_over_groups(tmp_path):
    """Images of 1 and 3: groups of one give 3·1 and 3·3 for `one`, whose mean is 6."""
    made = distiller(term("noting", file=written(tmp_path, NOTING), parts=parts(one=1.0), group=1))
    images = torch.tensor([1.0, 3.0])[:, None, None, None]
    (loss,) = made.distil({"logits": images}, {"logits": images}, labels(), NOTHING)
    assert loss.item() == 6.0


def test_a_loss_that_takes_the_group_is_given_the_whole_batch(tmp_path):
    """It cuts by itself what its authors had on a device: one call, four images, group 2."""
    text = (
        "def own(student, teacher, labels, *, draw, group):\n    return student.sum() * 0 + 10 * len(student) + group\n"
    )
    made = distiller(term("own", file=written(tmp_path, text), group=2), batch=4)
    (loss,) = made.distil(random_stages(4), random_stages(4, 6), labels(4), NOTHING)
    assert loss.item() == 42


ASKING = """
class Asking(LossModule):
    def __init__(self, *, classes, student_size, teacher_size, student_channels, teacher_channels, group):
        super().__init__()
        self.told = (classes, student_size, teacher_size, student_channels, teacher_channels, group)
    def forward(self, student, teacher, labels, *, draw):
        return student.sum()
"""


def test_a_loss_is_told_what_it_asks_for(tmp_path):
    """Classes, sizes and widths of its tap; of each tap in a tuple where the descriptor lists them."""
    file, tap = written(tmp_path, ASKING), Tap(student="stage4", teacher="logits")
    made = distiller(term("Asking", tap, file=file), term("Asking", tap, file=file, listed=True, group=2))
    assert [each.loss.told for each in made.terms] == [
        (3, (2, 3), (2, 3), 4, 3, None),
        (3, ((2, 3),), ((2, 3),), (4,), (3,), 2),
    ]


@pytest.mark.parametrize(
    ("rule", "then", "weight"),
    [
        ("N", {"positions": 24}, 8.0 * 6 / 24),
        ("1/N", {"positions": 24}, 8.0 * 24 / 6),
        ("1/C", {"channels": 12}, 8.0 * 12 / 6),
        ("1/(C·N)", {"channels": 12, "positions": 24}, 8.0 * 12 * 24 / (6 * 6)),
        ("B", {"batch": 8}, 8.0 * 2 / 8),
    ],
)
def test_a_transferred_weight_is_scaled_to_these_sizes(rule, then, weight):
    """8 there, on 6 positions, 6 channels of the teacher's stage4 and 2 images here."""
    moved = Transfer(origin="cityscapes", scales_with=rule, **then)
    made = distiller(
        term("mse", Tap(student="stage4", teacher="stage4", adapter="conv1x1"), weight=8.0, transfer=moved)
    )
    assert made.weights == (pytest.approx(weight),)


PREPARED = """
class Prepared(LossModule):
    needs_preparation = True
    prepares_with_student = {with_student}
    def __init__(self):
        super().__init__()
        self.calls = []
        self.steps = 0
    def prepare(self, student, teacher, labels, *, draw, progress):
        self.calls.append((student is not None, len(teacher), progress, torch.is_grad_enabled()))
    def after_step(self):
        self.steps += 1
    def forward(self, student, teacher, labels, *, draw):
        return student.sum()
"""


@pytest.mark.parametrize("with_student", [False, True])
def test_what_a_loss_learns_first(tmp_path, with_student):
    """It is called group by group, the progress told and gradients on; the student is there only where it says so."""
    file = written(tmp_path, PREPARED.format(with_student=with_student))
    made = distiller(
        term("Prepared", file=file, group=1), term("mse", Tap(student="decoded", teacher="decoded")), share=0.1
    )
    made.prepare(random_stages(), random_stages(width=6), labels(), NOTHING, 0.25)
    module = made.terms[0].loss
    assert made.needs_preparation
    assert made.preparation_stages == (frozenset({"logits"} if with_student else ()), frozenset({"logits"}))
    assert module.calls == [(with_student, 1, 0.25, True)] * 2


def test_after_the_step_every_module_gets_its_turn(tmp_path):
    """Functions have none."""
    file = written(tmp_path, PREPARED.format(with_student=False))
    made = distiller(term("kl"), term("Prepared", file=file), share=0.1)
    made.after_step()
    made.after_step()
    assert made.terms[1].loss.steps == 2


def test_preparation_and_descriptor_agree(tmp_path):
    """Time for what learns nothing first, and none for what does, are both bad input."""
    with pytest.raises(BadInput, match="mine: preparation: no loss that weighs anything here needs any: leave it out"):
        distiller(term("kl"), share=0.1)
    file = written(tmp_path, PREPARED.format(with_student=False))
    with pytest.raises(BadInput, match="mine: preparation: missing: expected share, of the budget"):
        distiller(term("Prepared", file=file))


def test_functions_are_called_in_full_precision_and_modules_as_the_caller_has_it(tmp_path):
    """Under autocast a function finds it off, a module on."""
    text = """
def plain(student, teacher, labels, *, draw):
    return student.sum() * 0 + torch.is_autocast_enabled("cpu")
class Module(LossModule):
    def forward(self, student, teacher, labels, *, draw):
        return student.sum() * 0 + torch.is_autocast_enabled("cpu")
"""
    file = written(tmp_path, text)
    made = distiller(term("plain", file=file), term("Module", file=file))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        losses = made.distil(random_stages(), random_stages(width=6), labels(), NOTHING)
    assert [loss.item() for loss in losses] == [0.0, 1.0]


def test_an_optional_tap_of_several_is_left_out_alone(tmp_path):
    """The loss gets the tap that is left, still as a tuple, and the report says what is missing."""
    text = "def own(student, teacher, labels, *, draw):\n    return student[0].sum() * 0 + len(student)\n"
    taps = (Tap(student="logits", teacher="logits"), Tap(student="aux_logits", teacher="aux_logits", optional=True))
    own = method(term("own", *taps, file=written(tmp_path, text), listed=True))
    made = Distiller(own, network(4, STAGES[:4]), network(6), crop=CROP, auxiliary_weight=0.0, batch=2)
    (loss,) = made.distil(random_stages(), random_stages(width=6), labels(), NOTHING)
    assert (loss.item(), made.left_out) == (1.0, ("own@logits: aux_logits",))
