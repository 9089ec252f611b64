"""What a method promises, and one line for each way in which Python can break it."""

from pathlib import Path

import pytest
import torch

from harness.contract.check import check
from harness.contract.pupil import Pupil
from harness.contract.scene import BATCH, CLASSES, CROP, STUDENT, batch, network
from harness.ledger.descriptor import all_methods, method_path, resolve_method, shipped_methods
from harness.ledger.errors import BadInput
from harness.ledger.findings import CheckReport

HEADER = """import torch
from torch import nn
from harness.distill.module import LossModule
"""
OWN = "def own(student, teacher, labels, *, draw):\n    return {}\n"
CLASS = """class own(LossModule):
    def __init__(self):
        {}
    def forward(self, student, teacher, labels, *, draw):
        {}
"""


@pytest.fixture(autouse=True)
def _no_hook_outlives_its_test():
    """One of the broken methods leaves a hook at every module there is."""
    yield
    torch.nn.modules.module._global_forward_hooks.clear()


def checked(
    folder: Path, text: str, at: str = "logits", weights: str = "weight: {default: 1.0}, source: ours"
) -> CheckReport:
    """The report on a method whose loss `own` is written in `own.py`, three lines below its top."""
    (folder / "own.py").write_text(HEADER + text)
    descriptor = folder / "mine.yaml"
    descriptor.write_text(
        f"title: Mine\nfamily: general\nterms:\n  - {{loss: own.py:own, at: {at}, {weights}}}\nnotes: mine\n"
    )
    return check(resolve_method(descriptor, "streets", BATCH))


def found_by(report: CheckReport, clause: str) -> str:
    """What a clause found."""
    (found,) = (result.found for result in report.results if result.name == clause)
    return found


def broken(report: CheckReport) -> dict[str, str]:
    """What was found, of the clauses that are broken."""
    return {result.name: result.found for result in report.results if not result.passed}


VARIANTS = sorted(set(shipped_methods()) - set(all_methods()))
"""Other forms of methods, of the same losses."""
EVERY = [*all_methods(), *(pytest.param(name, marks=pytest.mark.thorough) for name in VARIANTS)]


@pytest.mark.parametrize("name", EVERY)
def test_every_shipped_method_keeps_the_contract(name: str):
    """All clauses, at Streets' weights."""
    report = check(resolve_method(method_path(name), "streets", BATCH))
    assert (broken(report), report.unchecked) == ({}, ())


OPTIONAL = "optional stages can be missing"
LOADS, NUMBERS, ARRIVE = "loads", "losses are finite numbers", "gradients arrive"
BROKEN = {
    "an import that raises": (
        "import no_such_package\n" + OWN.format("student.mean()"),
        LOADS,
        "4: cannot be loaded: ModuleNotFoundError: No module named 'no_such_package'",
    ),
    "a file that fails": (
        "x = 1 / 0\n" + OWN.format("student.mean()"),
        LOADS,
        "4: cannot be loaded: ZeroDivisionError: division by zero",
    ),
    "a loss that is no function": (
        "def own(): pass\nown = 3\n",
        LOADS,
        " 'own' is no loss: expected a function or a class of torch.nn.Module",
    ),
    "another signature": (
        "def own(student, teacher): return student.mean()\n",
        LOADS,
        " 'own' does not take what it is given: too many positional arguments",
    ),
    "a constructor that raises": (
        CLASS.format("super().__init__(); self.x = {}['bank']", "return student.mean()"),
        LOADS,
        "6: KeyError: 'bank'",
    ),
    "no super().__init__()": (
        CLASS.format("self.layer = nn.Linear(1, 1)", "return student.mean()"),
        LOADS,
        "6: AttributeError: cannot assign module before Module.__init__() call",
    ),
    "a type error inside a constructor": (
        CLASS.format("super().__init__(); self.x = 1 + 'a'", "return student.mean()"),
        LOADS,
        "6: 'own' does not take what it is given: unsupported operand",
    ),
    "a module without forward": (
        "class own(LossModule):\n    pass\n",
        NUMBERS,
        " 'own' has no forward: expected (student, teacher, labels, *, draw)",
    ),
    "shapes that do not meet": (
        OWN.format("(student[:, :, 1:] - teacher).mean()"),
        NUMBERS,
        "5: RuntimeError: The size of tensor a (63) must match the size of tensor b (64)",
    ),
    "no scalar": (
        OWN.format("(student - teacher).square()"),
        NUMBERS,
        " 'own@logits' has the shape 2×4×64×64: expected a scalar",
    ),
    "no tensor": (OWN.format("0.5"), NUMBERS, " 'own@logits' is float 0.5: expected a tensor"),
    "nothing returned": (
        "def own(student, teacher, labels, *, draw):\n    student.mean()\n",
        NUMBERS,
        " TypeError: unsupported operand type(s) for *: 'float' and 'NoneType'",
    ),
    "NaN": (OWN.format("(student.mean() - 1e9).log()"), NUMBERS, " 'own@logits' is nan: expected a finite number"),
    "a detached student": (
        OWN.format("(student.detach() - teacher).square().mean()"),
        ARRIVE,
        " the loss has no gradient: its student is detached, or it is computed under no_grad",
    ),
    "a gradient that is not finite": (
        OWN.format("(student - student).abs().sum().sqrt() + student.mean()"),
        ARRIVE,
        " the loss is finite, but its gradient is not",
    ),
    "a parameter without use": (
        CLASS.format("super().__init__(); self.spare = nn.Linear(1, 1)", "return student.mean()"),
        ARRIVE,
        " no gradient reaches terms.0.loss.spare.weight, terms.0.loss.spare.bias: expected use, or",
    ),
    "a change in place of the teacher": (
        OWN.replace("{}", "(student - teacher.mul_(2)).square().mean()"),
        "inputs are left alone",
        " the teacher's logits changed in place: expected a loss to leave what it is given",
    ),
    "a change in place of the labels": (
        OWN.format("student.square().mean() + labels.clamp_(max=9).sum()"),
        "inputs are left alone",
        " the labels changed in place: expected a loss to leave what it is given",
    ),
    "a hook that stays": (
        OWN.replace("{}", "student.square().mean(); ").replace(
            "return", "nn.modules.module.register_module_forward_hook(lambda *_: None); return"
        ),
        "no hook stays",
        " a hook stays at every module there is (forward_hooks)",
    ),
    "random numbers of its own": (
        OWN.format("(student * torch.rand(())).square().mean()"),
        "random numbers come from draw",
        " torch's global generator moved: expected random numbers from `draw` alone",
    ),
    "a constructor that trains": (
        CLASS.format(
            "super().__init__(); w = nn.Linear(1, 1); w(torch.ones(1, 1)).sum().backward()",
            "return student.square().mean()",
        ),
        "the constructor only builds",
        "6: the constructor computes (aten.addmm): expected a constructor to see widths and settings alone",
    ),
    "a constructor of chance": (
        "import os\n"
        + CLASS.format(
            "super().__init__(); self.register_buffer('x', torch.tensor(list(os.urandom(9))))",
            "return student.square().mean()",
        ),
        "the constructor only builds",
        " two builds of one seed differ in terms.0.loss.x: expected torch's generator alone to be drawn from",
    ),
    "logits that overflow": (
        OWN.format("student.exp().mean().log()"),
        "logits of ±1000",
        " float32: 'own@logits' is inf: expected a finite number",
    ),
    "nothing labelled": (
        OWN.format("student.square().mean() * labels.numel() / (labels != 255).sum()"),
        "nothing labelled, one class, flat features",
        " nothing labelled: 'own@logits' is inf: expected a finite number",
    ),
    "chance from elsewhere": (
        "import os\n" + OWN.format("student.square().mean() * (1 + os.urandom(1)[0])"),
        "one seed repeats",
        " the losses differ though the seed is one",
    ),
    "state outside of buffers": (
        CLASS.format("super().__init__(); self.n = 0", "self.n += 1; return student.square().mean() * self.n"),
        "goes on from its state",
        " the losses differ after a checkpoint: expected all state in buffers, parameters or get_extra_state",
    ),
}


@pytest.mark.parametrize("kind", BROKEN)
def test_each_way_to_break_it_is_one_line_with_the_file(tmp_path: Path, kind: str):
    """The clause, then the file, its line where one is known, and the fault in words."""
    text, clause, message = BROKEN[kind]
    found = broken(checked(tmp_path, text))
    assert clause in found, found
    assert found[clause].startswith(f"{tmp_path / 'own.py'}:{message}")
    assert "\n" not in found[clause]


def test_what_a_broken_import_hides_is_named(tmp_path: Path):
    """Nothing passes in silence: all clauses after the one without which nothing can be looked at."""
    report = checked(tmp_path, "x = 1 / 0\n" + OWN.format("student.mean()"))
    assert [result.name for result in report.results] == ["loads"]
    assert len(report.unchecked) == 15
    assert report.cost_ratio is None


def test_widths_that_do_not_meet_name_the_term(tmp_path: Path):
    """A shared loss at a stage of other widths without an adapter: the descriptor's fault, so no line of ours."""
    (tmp_path / "mine.yaml").write_text(
        "title: Mine\nfamily: general\nterms:\n"
        "  - {loss: mse, at: stage4, weight: {default: 1.0}, source: ours}\nnotes: mine\n"
    )
    report = check(resolve_method(tmp_path / "mine.yaml", "streets", BATCH))
    assert broken(report)[NUMBERS] == (
        "term 'mse@stage4': student 2×32×16×16 against teacher 2×64×16×16: "
        "expected one shape: tap stages of one stride, and an adapter where the channels differ"
    )


PARTS = "parts: {one: {weight: {default: 1.0}, source: ours}, two: {weight: {default: 1.0}, source: ours}}"
TWO_PARTS = """def own(student, teacher, labels, *, draw, parts):
    both = {'one': student.square().mean(), 'two': student.abs().mean()}
    return """


def test_wrong_parts_are_told(tmp_path: Path):
    """One loss where two were asked for; and both where one was asked for."""
    one = broken(checked(tmp_path, TWO_PARTS + "both['one']\n", weights=PARTS))
    assert one[NUMBERS].endswith("own.py: term 'one@logits': found one loss: expected the parts one, two")
    always = broken(checked(tmp_path, TWO_PARTS + "both\n", weights=PARTS))
    assert [*always] == ["parts stand alone"]
    assert always["parts stand alone"].endswith("term 'one@logits': found one, two: expected the parts one")
    assert broken(checked(tmp_path, TWO_PARTS + "{name: both[name] for name in parts}\n", weights=PARTS)) == {}


def test_a_refusal_in_words_is_no_fault(tmp_path: Path):
    """A loss may refuse a batch without labels, and the report repeats its words."""
    text = """from harness.ledger.errors import BadInput
def own(student, teacher, labels, *, draw):
    if (labels == 255).all():
        raise BadInput('own: no labels')
    return student.square().mean()
"""
    report = checked(tmp_path, text)
    (found,) = (each.found for each in report.results if each.name.startswith("nothing labelled"))
    assert broken(report) == {}
    assert found == "nothing labelled: refused: own: no labels"


def test_a_stage_that_some_networks_lack_is_told(tmp_path: Path):
    """Without `optional` the report says where the method does not apply; with it, that the term is left out."""
    needing = checked(tmp_path, OWN.format("student.square().mean()"), at="aux_logits")
    assert found_by(needing, OPTIONAL) == "needs aux_logits: it does not apply to networks without"
    tap = "{student: aux_logits, teacher: aux_logits, optional: true}"
    optional = checked(tmp_path, OWN.format("student.square().mean()"), at=tap)
    assert found_by(optional, OPTIONAL) == "left out where there is none: own@aux_logits"


def test_a_checkpoint_in_the_preparation_counts(tmp_path: Path):
    """What is learned first, but neither a buffer nor a parameter, is lost by a run that resumes."""
    text = """class own(LossModule):
    needs_preparation = True
    scale = 0.0
    def prepare(self, student, teacher, labels, *, draw, progress):
        self.scale += 1.0
    def forward(self, student, teacher, labels, *, draw):
        return student.square().mean() * (1 + self.scale)
"""
    (tmp_path / "own.py").write_text(HEADER + text)
    (tmp_path / "mine.yaml").write_text(
        "title: Mine\nfamily: general\npreparation: {share: 0.1}\nterms:\n"
        "  - {loss: own.py:own, at: logits, weight: {default: 1.0}, source: ours}\nnotes: mine\n"
    )
    found = broken(check(resolve_method(tmp_path / "mine.yaml", "streets", BATCH)))
    assert list(found) == ["goes on from its state", "keeps nothing outside its state"]
    assert found["keeps nothing outside its state"] == (
        f"{tmp_path / 'own.py'}: terms.0.loss.scale: changed, and was not put back with the state: "
        "expected all state in buffers, parameters or get_extra_state"
    )


def test_the_networks_are_what_methods_need():
    """Every stage; logits of 64×64, stage4 of 16×16; widths that differ, the teacher's in whole sixteens."""
    student = network(STUDENT)
    sizes = student.sizes(CROP, frozenset(student.stages))
    assert (sizes["logits"], sizes["stage4"], sizes["embedding4"]) == ((64, 64), (16, 16), (256,))
    assert (student.channels["stage4"], student.channels["logits"]) == (32, CLASSES)
    images, labels = batch()
    assert images.shape == (BATCH, 3, *CROP)
    assert {*labels.unique().tolist()} == {*range(CLASSES), 255}


def test_a_pupil_is_its_seeds():
    """Whatever was drawn before, one seed makes the same networks and the same adapters, and others make others."""
    fitnet = resolve_method(method_path("fitnet"), "streets", BATCH)
    torch.manual_seed(5)
    one = Pupil(fitnet)
    torch.manual_seed(6)
    other, third = Pupil(fitnet), Pupil(fitnet, seed=1)
    first, second = next(one.distiller.parameters()), next(other.distiller.parameters())
    assert torch.equal(first, second)
    assert not torch.equal(first, next(third.distiller.parameters()))
    assert all(map(torch.equal, one.student.parameters(), third.student.parameters()))


def test_a_stage_is_missing_before_anything_is_computed():
    """TransKD on networks without embeddings does not apply, and says which stage."""
    with pytest.raises(BadInput, match="the student has no stage 'embedding1'"):
        Pupil(resolve_method(method_path("transkd"), "streets", BATCH), more=False)
