"""How the device computes: precision, layout, optimizer and compiler, as the workload says."""

from pathlib import Path

import pytest
import torch

from harness.ledger.workload import Engine, Workload
from harness.segmentation.data import load
from harness.train.loop import warm_up
from harness.train.profile import counted_flops
from harness.train.streams import batches_of
from harness.train.trainee import Trainee, make_trainee, optimizer_of
from tests.factories import workload
from tests.train import tiny

CPU = torch.device("cpu")


def trainee_of(folder: Path, engine: Engine, method: str = "kd") -> tuple[Trainee, Workload]:
    held = tiny.roomy(folder, 48).model_copy(update={"engine": engine})
    return make_trainee(tiny.standing(folder, held), tiny.resolved(method), 0, CPU), held


def iterated(trainee: Trainee, held: Workload, iterations: int = 3) -> list[float]:
    """The sums of its losses."""
    batches = batches_of(load(held, None, "train"), held, 0, CPU)
    torch.manual_seed(0)
    for _ in range(iterations):
        trainee.iterate(*next(batches), progress=0.0)
    return trainee.losses.tolist()


def test_in_bfloat16_networks_compute_in_it_and_weights_stay_single(tmp_path: Path):
    trainee, held = trainee_of(tmp_path, Engine(precision="bfloat16"))
    seen = []
    trainee.student.logits.register_forward_hook(lambda module, given, output: seen.append(output.dtype))
    trainee.teacher.logits.register_forward_hook(lambda module, given, output: seen.append(output.dtype))
    losses = iterated(trainee, held, 1)
    assert seen == [torch.bfloat16] * 2
    assert {parameter.dtype for parameter in trainee.student.parameters()} == {torch.float32}
    assert trainee.losses.dtype == torch.float32
    assert losses == pytest.approx(iterated(*trainee_of(tmp_path, Engine()), 1), rel=0.02)


def test_channels_last_lays_out_weights_and_images_and_changes_no_more_than_rounding(tmp_path: Path):
    trainee, held = trainee_of(tmp_path, Engine(channels_last=True))
    weights = [parameter for parameter in trainee.student.parameters() if parameter.ndim == 4]
    assert all(weight.is_contiguous(memory_format=torch.channels_last) for weight in weights)
    assert iterated(trainee, held) == pytest.approx(iterated(*trainee_of(tmp_path, Engine())), rel=1e-4)


def test_what_the_teacher_tells_may_be_kept_for_a_backward_pass(tmp_path: Path):
    trainee, held = trainee_of(tmp_path, Engine())
    images, _ = next(batches_of(load(held, None, "train"), held, 0, CPU))
    taught = trainee.taught(images, frozenset({"logits"}))["logits"]
    assert not taught.is_inference()
    weight = torch.ones((), requires_grad=True)
    (weight * taught).sum().backward()
    assert weight.grad == pytest.approx(taught.sum())


@pytest.mark.parametrize(("progress", "expected"), [(0.0, 0.05), (0.5, 0.01 + 0.04 * 0.5**0.9), (1.0, 0.01)])
def test_the_learning_rate_falls_to_its_floor(tmp_path: Path, progress: float, expected: float):
    trainee, held = trainee_of(tmp_path, Engine())
    trainee.training = held.training.model_copy(update={"learning_rate": 0.05, "floor": 0.01, "power": 0.9})
    assert trainee.learning_rate(progress) == pytest.approx(expected)


def test_adamw_takes_the_workloads_numbers():
    """Its first step is the learning rate long, whatever the gradient; before it the weight decays."""
    training = workload().training.model_copy(
        update={"optimizer": "adamw", "learning_rate": 0.1, "weight_decay": 0.5, "momentum": 0.8}
    )
    weight = torch.nn.Parameter(torch.tensor([2.0]))
    optimizer = optimizer_of([weight], training)
    weight.grad = torch.tensor([7.0])
    optimizer.step()
    assert weight.item() == pytest.approx(2.0 * (1 - 0.1 * 0.5) - 0.1, abs=1e-6)
    assert optimizer.param_groups[0]["betas"] == (0.8, 0.999)
    assert optimizer.param_groups[0]["fused"]


@pytest.mark.filterwarnings("default")  # the compiler's own, about what it looks at
@pytest.mark.parametrize("method", [pytest.param("kd", marks=pytest.mark.thorough), "baseline"])
def test_compiled_stages_do_what_the_plain_ones_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, method: str):
    """The same first student, the same FLOPs, the same losses to rounding; a warm-up leaves nothing behind.

    Traced and taken apart as for any device, without the minutes that generating code for this CPU takes.
    """
    compile_module = torch.nn.Module.compile
    monkeypatch.setattr(torch.nn.Module, "compile", lambda module: compile_module(module, backend="aot_eager"))
    plain, held = trainee_of(tmp_path, Engine(), method)
    before = {name: value.clone() for name, value in plain.student.state_dict().items()}
    compiled, _ = trainee_of(tmp_path, Engine(compile=True), method)
    assert compiled.student.stage1._compiled_call_impl is not None
    assert all(torch.equal(before[name], value) for name, value in compiled.student.state_dict().items())
    batches = [batches_of(load(held, None, "train"), held, 0, CPU) for _ in range(2)]
    flops = []
    for trainee, source in zip((plain, compiled), batches, strict=True):
        taken = trainee.snapshot()
        flops.append(counted_flops(lambda one=trainee, of=source: one.iterate(*next(of), progress=0.0)))
        trainee.restore(taken)
    assert flops[0] == flops[1]
    warm_up(compiled, batches[1], 2)
    assert iterated(compiled, held) == pytest.approx(iterated(plain, held), rel=1e-4)


@pytest.mark.slow
@pytest.mark.filterwarnings("default")
def test_stages_compiled_to_code_train_as_the_plain_ones_do(tmp_path: Path):
    plain, held = trainee_of(tmp_path, Engine(), "baseline")
    compiled, _ = trainee_of(tmp_path, Engine(compile=True), "baseline")
    assert iterated(compiled, held) == pytest.approx(iterated(plain, held), rel=1e-3)
