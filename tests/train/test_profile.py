"""What a profile counts, by hand, and when it does."""

import pytest
import torch
from torch import nn

from harness.segmentation.ahead import AHEAD
from harness.train.clock import CpuEvent
from harness.train.profile import Contender, counted_flops, peak_while


def trained(layer: nn.Module, given: torch.Tensor):
    return lambda: layer(given).sum().backward()


@pytest.mark.parametrize("needs_gradient", [False, True])
def test_the_flops_of_a_convolution(needs_gradient: bool):
    """2·3·3·3 for each of 2·5·6·6 outputs; as many for the weight's gradient, and for the input's if it is wanted."""
    forward = 2 * (2 * 5 * 6 * 6) * (3 * 3 * 3)
    given = torch.zeros(2, 3, 8, 8, requires_grad=needs_gradient)
    assert counted_flops(trained(nn.Conv2d(3, 5, kernel_size=3), given)) == (2 + needs_gradient) * forward


@pytest.mark.parametrize("needs_gradient", [False, True])
def test_the_flops_of_a_linear_layer(needs_gradient: bool):
    """2·7 for each of 4·3 outputs; as many for each of the gradients."""
    given = torch.zeros(4, 7, requires_grad=needs_gradient)
    assert counted_flops(trained(nn.Linear(7, 3), given)) == (2 + needs_gradient) * 2 * 4 * 7 * 3


def test_a_cpus_memory_is_not_told_but_the_work_is_done():
    """None, beside what came of the work."""
    assert peak_while(lambda: 7, torch.device("cpu")) == (None, 7)


@pytest.mark.parametrize(("kind", "ahead"), [("cpu", []), ("cuda", ["iteration"] * (AHEAD + 1))])
def test_an_accelerator_has_work_before_its_time_counts(monkeypatch: pytest.MonkeyPatch, kind: str, ahead: list[str]):
    """Iterations that use up the batches made ready before, the host ahead; a CPU does only what is timed."""
    order: list[str] = []

    class Told(CpuEvent):
        def record(self) -> None:
            order.append("mark")
            super().record()

    side = Contender.__new__(Contender)
    side.device = torch.device(kind)
    monkeypatch.setattr(side, "iterate", lambda: order.append("iteration"))
    monkeypatch.setattr("harness.train.profile.event_of", lambda device: Told)
    side.seconds(2)
    assert order == [*ahead, "mark", "iteration", "iteration", "mark"]
