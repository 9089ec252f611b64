"""Phases of iterations whose parts cost what the test says, on a real Trainee with real hooks."""

from types import SimpleNamespace

import pytest
import torch
from torch import Tensor, nn

from harness.distill.distiller import Losses
from harness.distill.draw import Draw
from harness.ledger.cost import PHASES
from harness.ledger.descriptor import method_path, resolve_method
from harness.ledger.method import ResolvedMethod, student_alone
from harness.segmentation.networks import build
from harness.train.clock import CpuEvent, event_of
from harness.train.phases import (
    FEWEST_TURNS,
    MOST_TURNS,
    Marks,
    borders,
    iterate_in_phases,
    middle_half,
    take_turns,
    term_phases,
)
from harness.train.trainee import Trainee
from tests.factories import workload
from tests.train.simulated import CALM, Machine, Weather

COSTS = {
    "data": 0.5e-3, "teacher": 5e-3, "student": 1e-3, "task loss": 0.25e-3, "kl": 0.75e-3, "memory": 2e-3,
    "backward": 3e-3, "optimizer": 0.5e-3, "after step": 0.125e-3,
}  # fmt: skip
ALONE = {phase: cost for phase, cost in COSTS.items() if phase not in ("teacher", "kl", "memory", "after step")}


class Device:
    """A simulated machine on which an iteration's parts have costs; all of one iteration tremble alike."""

    def __init__(self, costs: dict[str, float], weather: Weather = CALM, seed: int = 0) -> None:
        self.machine = Machine(weather, seed)
        self.costs = costs
        self.length = 1.0

    def spend(self, phase: str) -> None:
        self.machine.work(self.costs.get(phase, 0.0) * self.length)

    def event(self) -> "MachineEvent":
        return MachineEvent(self.machine)


class Source:
    """Batches of a device: what is fetched costs a copy, what is composed costs data."""

    def __init__(self, spend_on: Device, kind: str = "cpu") -> None:
        self.spend_on, self.device = spend_on, SimpleNamespace(type=kind)

    def fetch(self) -> None:
        self.spend_on.length = self.spend_on.machine.jitter(1)
        self.spend_on.spend("copy")

    def compose(self, fetched: None) -> tuple[Tensor, Tensor]:
        self.spend_on.spend("data")
        return torch.zeros(1), torch.zeros(1)

    def __next__(self) -> tuple[Tensor, Tensor]:
        return self.compose(self.fetch())


class MachineEvent(CpuEvent):
    """A moment of a machine."""

    def __init__(self, machine: Machine) -> None:
        super().__init__()
        self.machine = machine

    def record(self) -> None:
        self.moment = self.machine.time


class Backward(torch.autograd.Function):
    """The identity; its gradient costs a backward pass."""

    @staticmethod
    def forward(context, tensor, device):
        context.device = device
        return tensor.clone()

    @staticmethod
    def backward(context, gradient):
        context.device.spend("backward")
        return gradient, None


class Network(nn.Module):
    """A student or a teacher of one weight."""

    def __init__(self, device: Device, phase: str) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(()))
        self.spend_on, self.phase = device, phase

    def forward(self, images, stages):
        self.spend_on.spend(self.phase)
        return {"logits": Backward.apply(self.weight, self.spend_on)}


class Term(nn.Module):
    """A term of several parts."""

    def __init__(self, device: Device, phase: str, parts: int) -> None:
        super().__init__()
        self.spend_on, self.phase, self.names = device, phase, (phase,) * parts

    def forward(self, student, teacher, labels, draw):
        self.spend_on.spend(self.phase)
        return tuple(student["logits"] for _ in self.names)


class Objective(nn.Module):
    """A distiller of such terms."""

    def __init__(self, device: Device, terms: tuple[str, ...]) -> None:
        super().__init__()
        self.spend_on = device
        self.terms = nn.ModuleList(Term(device, name, 1 + place) for place, name in enumerate(terms))
        self.names = tuple(name for term in self.terms for name in term.names)
        self.student_stages = self.teacher_stages = frozenset({"logits"})

    def forward(self, student, teacher, labels, draw):
        self.spend_on.spend("task loss")
        return Losses(
            student["logits"], tuple(loss for term in self.terms for loss in term(student, teacher, labels, draw))
        )

    def after_step(self) -> None:
        self.spend_on.spend("after step")


class Side:
    """A trainee on a device, in phases and without."""

    def __init__(self, device: Device, terms: tuple[str, ...] = ("kl", "memory"), kind: str = "cpu") -> None:
        self.device, self.terms = device, terms
        teacher = Network(device, "teacher").requires_grad_(False) if terms else None
        draw = Draw(torch.Generator(), torch.device("cpu"))
        self.trainee = Trainee(Network(device, "student"), teacher, Objective(device, terms), workload(), draw)
        self.trainee.optimizer.register_step_post_hook(lambda *_: device.spend("optimizer"))
        self.batches = Source(device, kind)

    def seconds(self, iterations: int) -> float:
        before = self.device.machine.time
        for _ in range(iterations):
            self.trainee.iterate(*next(self.batches), progress=0.0)
        return (self.device.machine.time - before) / iterations

    def phases(self, iterations: int) -> dict[str, float]:
        return dict(iterate_in_phases(self.trainee, self.batches, self.terms, iterations, self.device.event))


@pytest.mark.parametrize(("costs", "terms"), [(COSTS, ("kl", "memory")), (ALONE, ())])
def test_every_phase_has_its_own_seconds(costs: dict[str, float], terms: tuple[str, ...]):
    """As the device's costs are, in the order of an iteration; a term of two parts is one; the baseline has none."""
    found = Side(Device(costs), terms).phases(3)
    assert found == pytest.approx({**costs, "after step": costs.get("after step", 0.0)})
    assert list(found)[: len(costs)] == list(costs)
    assert [phase for phase in found if phase not in terms] == [phase for phase in PHASES if phase in found]


def test_what_has_no_border_of_its_own_belongs_to_the_next_phase():
    """A teacher that no term looks at does not run: the student's phase begins where the data's ends."""
    side = Side(Device(COSTS))
    side.trainee.distiller.teacher_stages = frozenset()
    found = side.phases(1)
    assert "teacher" not in found
    assert sum(found.values()) == pytest.approx(sum(COSTS.values()) - COSTS["teacher"])


def test_one_name_for_two_terms_is_one_phase():
    """Their times together."""
    device = Device(COSTS)
    assert Side(device, ("kl", "kl")).phases(2)["kl"] == pytest.approx(2 * COSTS["kl"])


@pytest.mark.parametrize("seed", range(2))
def test_phases_add_up_to_the_iteration_on_a_rough_machine(seed: int):
    """Within 3 % of iterations without marks in the same turns, each phase within 3 % of its share of the whole."""
    device = Device(COSTS, Weather(slows_at=13.0), seed)
    side = Side(device)
    phases, phases_of = take_turns(lambda: side.phases(10), lambda: side.seconds(10), 1e9, lambda: device.machine.time)
    assert device.machine.time > 26.0
    assert sum(phases.values()) / phases_of == pytest.approx(1.0, abs=0.03)
    whole, truth = sum(phases.values()), sum(COSTS.values())
    shares = {phase: seconds / whole for phase, seconds in phases.items()}
    assert shares == pytest.approx({phase: cost / truth for phase, cost in COSTS.items()}, rel=0.03)


def hooks_of(trainee: Trainee) -> int:
    """How many are anywhere on a trainee."""
    modules = [module for part in (trainee.student, trainee.teacher, trainee.distiller) for module in part.modules()]
    on_modules = sum(len(module._forward_hooks) + len(module._forward_pre_hooks) for module in modules)
    steps = trainee.optimizer._optimizer_step_pre_hooks, trainee.optimizer._optimizer_step_post_hooks
    return on_modules + sum(map(len, steps))


def test_no_hook_is_left():
    """Nor after an iteration that failed: as many as before, where one is the test's own."""
    side = Side(Device(COSTS))
    assert hooks_of(side.trainee) == 1
    with borders(side.trainee, side.terms, lambda _: None):
        assert hooks_of(side.trainee) == 1 + 7
    side.phases(1)
    assert hooks_of(side.trainee) == 1
    side.device.costs = None
    with pytest.raises(AttributeError):
        side.phases(1)
    assert hooks_of(side.trainee) == 1


def test_marks_move_nothing():
    """The same iterations with and without them lead to the same weight, bit by bit."""
    weights = []
    for marked in (False, True):
        side = Side(Device(COSTS))
        side.phases(4) if marked else side.seconds(4)
        weights.append(side.trainee.student.weight.item())
    assert weights[0] == weights[1] != 1.0


def test_an_event_of_a_cpu_reads_the_budget_clock(monkeypatch: pytest.MonkeyPatch):
    """From 1 s to 1.25 s of CPU time are 250 ms."""
    readings = iter((1.0, 1.25))
    monkeypatch.setattr("harness.train.clock.cpu_seconds", lambda: next(readings))
    marks = Marks(event_of(torch.device("cpu")))
    marks.begin()
    marks.end("data")
    assert marks.seconds() == {"data": pytest.approx(0.25)}


def test_on_an_accelerator_the_wait_for_a_batch_s_bytes_is_a_phase_before_data():
    """Of 2 ms until the bytes are there, and 0.5 ms of augmentation."""
    found = Side(Device({**COSTS, "copy": 2e-3}), kind="cuda").phases(3)
    assert list(found)[:2] == ["copy", "data"]
    assert found == pytest.approx({**COSTS, "copy": 2e-3})


@pytest.mark.parametrize(
    ("method", "phases"),
    [
        (student_alone(), ()),
        (resolve_method(method_path("kd"), "streets", 8), ("kl@logits",)),
        (
            resolve_method(method_path("cirkd"), "streets", 8),
            ("kl@logits", "minibatch@decoded_dropped", "Memory@decoded_dropped"),
        ),
    ],
)
def test_a_term_is_called_as_its_descriptor_calls_it(method: ResolvedMethod, phases: tuple[str, ...]):
    """The memory's two parts, pixel and region, are one; the baseline has none."""
    from harness.distill.distiller import Distiller

    held = workload()
    student, teacher = (build(network, 4, held.stride) for network in (held.student, held.teacher.network))
    distiller = Distiller(method, student, teacher, crop=(64, 64), auxiliary_weight=0.0, batch=8)
    assert term_phases(method, distiller) == phases


def test_a_term_that_was_left_out_has_no_phase():
    """Of two that weigh something the distiller kept the second: an optional tap was missing."""
    method = resolve_method(method_path("cirkd"), "streets", 8)
    kept = SimpleNamespace(terms=[SimpleNamespace(names=("minibatch@decoded_dropped",))])
    assert term_phases(method, kept) == ("minibatch@decoded_dropped",)


def test_the_middle_half_leaves_out_a_quarter_at_either_end():
    """Of 8 the four in the middle, of 5 three, of 1 itself."""
    assert middle_half([8, 1, 7, 2, 6, 3, 5, 4], float) == [3, 4, 5, 6]
    assert middle_half([5, 1, 4, 2, 3], float) == [2, 3, 4]
    assert middle_half([1], float) == [1]


def test_turns_are_taken_in_both_orders_until_the_time_is_up():
    """A phase of 3 s and an iteration of 4 s: some whatever the time, many when there is some, never too many."""
    order: list[str] = []

    def phased() -> dict[str, float]:
        order.append("phased")
        return {"data": 1.0, "student": 2.0}

    def plain() -> float:
        order.append("plain")
        return 4.0

    assert take_turns(phased, plain, 0.0, lambda: float(len(order))) == ({"data": 1.0, "student": 2.0}, 4.0)
    assert len(order) == 2 * FEWEST_TURNS
    assert order[0::2].count("phased") not in (0, FEWEST_TURNS)
    take_turns(phased, plain, 90.0, lambda: float(len(order)))
    assert len(order) == 2 * FEWEST_TURNS + 90
    take_turns(phased, plain, 1e9, lambda: float(len(order)))
    assert len(order) == 2 * FEWEST_TURNS + 90 + 2 * MOST_TURNS


def test_one_disturbed_turn_moves_no_phase():
    """A burst in one of sixteen turns makes it ten times as long: it lies outside the middle half."""
    lengths = iter([1.0, 1.0, 10.0, *[1.0] * 13])
    phases, phases_of = take_turns(lambda: {"student": next(lengths)}, lambda: 1.0, 0.0, lambda: 0.0)
    assert (phases, phases_of) == ({"student": 1.0}, 1.0)
