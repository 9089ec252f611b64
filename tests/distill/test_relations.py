"""Relations of rows to keys against numbers worked out by hand, against the plain formula, and in what they keep."""

from math import exp, log

import pytest
import torch
from torch import Tensor

from harness.distill.relations import similarity_divergence, unit
from harness.ledger.errors import BadInput


def rows(count: int, width: int, seed: int) -> Tensor:
    """Unit vectors in double precision."""
    generator = torch.Generator().manual_seed(seed)
    return unit(torch.randn(count, width, generator=generator, dtype=torch.float64), dim=1)


def plainly(student: Tensor, teacher: Tensor, student_keys: Tensor, teacher_keys: Tensor, temperature: float) -> Tensor:
    """The formula as it is written, N×M matrices and all; one KL a row."""
    q = (student @ student_keys.T / temperature).softmax(dim=1)
    p = (teacher @ teacher_keys.T / temperature).softmax(dim=1)
    return (p * (p.log() - q.log())).sum(dim=1)


def test_by_hand():
    """Teacher row (log 3, 0) on unit keys is 3/4, 1/4 at τ = 1, an even student 1/2, 1/2: 3/4 log 3/2 + 1/4 log 1/2.

    The second row agrees and halves the mean; the gradient of the first row's similarities is (q − p)/2 = (−1/8, 1/8).
    """
    keys = torch.eye(2, dtype=torch.float64)
    student = torch.zeros(2, 2, dtype=torch.float64, requires_grad=True)
    teacher = torch.tensor([[log(3), 0.0], [5.0, 5.0]], dtype=torch.float64)
    loss = similarity_divergence(student, teacher, keys, keys, 1.0)
    loss.backward()
    assert loss.item() == pytest.approx((3 / 4 * log(3 / 2) + 1 / 4 * log(1 / 2)) / 2, rel=1e-12)
    assert student.grad.flatten().tolist() == pytest.approx([-1 / 8, 1 / 8, 0, 0], abs=1e-15)


def test_the_temperature_divides_similarities():
    """Similarities (2 log 3, 0) at τ = 2 are those of the case above."""
    keys = torch.eye(2, dtype=torch.float64)
    teacher = torch.tensor([[2 * log(3), 0.0]], dtype=torch.float64)
    loss = similarity_divergence(torch.zeros_like(teacher), teacher, keys, keys, 2.0)
    assert loss.item() == pytest.approx(3 / 4 * log(3 / 2) + 1 / 4 * log(1 / 2), rel=1e-12)


@pytest.mark.parametrize("chunk", [1, 3, 7, 100, None])
def test_chunks_change_nothing(chunk):
    """Seven rows by ones, threes, sevens or all at once: the formula's loss and gradients, to rounding."""
    student, teacher = rows(7, 3, 0).requires_grad_(), rows(7, 5, 1)
    student_keys, teacher_keys = rows(6, 3, 2).requires_grad_(), rows(6, 5, 3)
    inputs = student, teacher, student_keys, teacher_keys
    expected = plainly(*inputs, 0.1).mean()
    loss = similarity_divergence(*inputs, 0.1, chunk=chunk)
    assert loss.item() == pytest.approx(expected.item(), rel=1e-12)
    ours = torch.autograd.grad(3 * loss, [student, student_keys])
    for mine, theirs in zip(ours, torch.autograd.grad(3 * expected, [student, student_keys]), strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-11, atol=1e-13)


def test_gradients_are_the_slopes():
    """Finite differences agree, for rows, for keys, and for rows that are their own keys."""
    teacher, keys = rows(5, 4, 1), rows(6, 4, 2)

    def apart(student: Tensor, student_keys: Tensor) -> Tensor:
        return similarity_divergence(student, teacher, student_keys, keys, 0.3, chunk=2)

    def alone(student: Tensor) -> Tensor:
        return similarity_divergence(student, teacher, student, teacher, 0.3, chunk=2)

    assert torch.autograd.gradcheck(apart, (rows(5, 3, 3).requires_grad_(), rows(6, 3, 4).requires_grad_()))
    assert torch.autograd.gradcheck(alone, (rows(5, 3, 3).requires_grad_(),))


def test_weights_leave_rows_out():
    """Weights 1, 0, 2 give (KL₁ + 2·KL₃)/3, and no gradient to the second row."""
    student, teacher = rows(3, 3, 0).requires_grad_(), rows(3, 5, 1)
    student_keys, teacher_keys = rows(4, 3, 2), rows(4, 5, 3)
    first, _, third = plainly(student, teacher, student_keys, teacher_keys, 0.1).tolist()
    loss = similarity_divergence(
        student, teacher, student_keys, teacher_keys, 0.1, weights=torch.tensor([1.0, 0.0, 2.0]), chunk=2
    )
    loss.backward()
    assert loss.item() == pytest.approx((first + 2 * third) / 3, rel=1e-12)
    assert student.grad.abs().sum(dim=1).gt(0).tolist() == [True, False, True]


def test_without_any_weight_all_is_zero():
    """The mean over no rows is 0 with gradients 0, not 0/0."""
    student = rows(3, 3, 0).requires_grad_()
    loss = similarity_divergence(student, rows(3, 5, 1), student, rows(3, 5, 1), 0.1, weights=torch.zeros(3))
    loss.backward()
    assert loss.item() == 0
    assert not student.grad.any()


def test_nothing_of_all_pairs_is_kept():
    """Of 300 rows of width 3 on 200 keys the graph keeps the two gradients, (300 + 200)·3 numbers, not 300·200."""
    student, keys = rows(300, 3, 0).requires_grad_(), rows(200, 3, 1).requires_grad_()
    kept = []

    def keep(tensor: Tensor) -> Tensor:
        kept.append(tensor.untyped_storage().nbytes() // tensor.element_size())
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        similarity_divergence(student, rows(300, 5, 2), keys, rows(200, 5, 3), 0.1)
    assert sum(kept) == (300 + 200) * 3


def test_keys_without_gradient_cost_none(monkeypatch):
    """Keys that need no gradient get no matrix product: two a chunk for similarities, one for the rows."""
    counted = []
    plain = torch.mm
    monkeypatch.setattr(torch, "mm", lambda *args: counted.append("mm") or plain(*args))
    monkeypatch.setattr(Tensor, "addmm_", lambda *args: counted.append("addmm_"))
    similarity_divergence(rows(4, 3, 0).requires_grad_(), rows(4, 5, 1), rows(6, 3, 2), rows(6, 5, 3), 0.1, chunk=2)
    assert counted == 2 * ["mm"] * 3
    counted.clear()
    with torch.no_grad():
        similarity_divergence(rows(4, 3, 0).requires_grad_(), rows(4, 5, 1), rows(6, 3, 2), rows(6, 5, 3), 0.1)
    assert counted == ["mm"] * 2


def test_the_teacher_gets_no_gradient():
    """A teacher that asks for one is looked at and left alone."""
    student, teacher = rows(3, 3, 0).requires_grad_(), rows(3, 5, 1).requires_grad_()
    similarity_divergence(student, teacher, student, teacher, 0.1).backward()
    assert teacher.grad is None
    assert student.grad.any()


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_large_similarities_stay_finite(dtype):
    """A student sure of one key and a teacher sure of another differ by their similarities: 1000·1000 over τ = 1."""
    student = torch.tensor([[1000.0, -1000.0]], dtype=dtype, requires_grad=True)
    keys = torch.tensor([[1000.0, 0.0], [0.0, 0.0]])
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss = similarity_divergence(student, -student.detach(), keys.to(dtype), keys.to(dtype), 1.0)
    loss.backward()
    assert loss.dtype == torch.float32
    assert loss.item() == pytest.approx(1e6, rel=1e-2)
    assert student.grad.isfinite().all()


def test_autocast_does_not_round_the_products():
    """Inside mixed precision single precision stays single: the two losses are equal to the bit."""
    inputs = tuple(tensor.float() for tensor in (rows(9, 3, 0), rows(9, 5, 1), rows(8, 3, 2), rows(8, 5, 3)))
    expected = similarity_divergence(*inputs, 0.1)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert similarity_divergence(*inputs, 0.1).item() == expected.item()


def test_equal_networks_agree():
    """KL of a network and itself is 0, and there is nothing to learn."""
    student = rows(6, 4, 0).requires_grad_()
    loss = similarity_divergence(student, student.detach(), student, student.detach(), 0.1)
    loss.backward()
    assert loss.item() == 0
    assert not student.grad.any()


@pytest.mark.parametrize(
    ("shapes", "message"),
    [
        (((2, 3), (4, 5), (6, 3), (6, 5)), "rows: 2 against 4"),
        (((2, 3), (2, 5), (6, 3), (7, 5)), "keys: 6 against 7"),
        (((2, 3), (2, 5), (6, 4), (6, 5)), "the student's widths: 3 against 4"),
        (((2, 3), (2, 5), (6, 3), (6, 6)), "the teacher's widths: 5 against 6"),
    ],
)
def test_what_does_not_fit_is_told(shapes, message):
    """Rows pair with rows, keys with keys, and rows meet keys of one width."""
    with pytest.raises(BadInput, match=message):
        similarity_divergence(*(torch.ones(shape) for shape in shapes), 0.1)


def test_unit_by_hand():
    """(3, 4) has length 5; its gradient along (1, 0) is (1 − .36, −.48)/5."""
    tensor = torch.tensor([[3.0, 4.0]], dtype=torch.float64, requires_grad=True)
    direction = unit(tensor, dim=1)
    direction[0, 0].backward()
    assert direction[0].tolist() == pytest.approx([0.6, 0.8])
    assert tensor.grad[0].tolist() == pytest.approx([0.64 / 5, -0.48 / 5])


def test_unit_of_nothing_stays_nothing():
    """Zeros have no direction; what comes from above passes unchanged instead of times 10¹²."""
    tensor = torch.zeros(1, 2, requires_grad=True)
    direction = unit(tensor, dim=1)
    (direction * torch.tensor([[2.0, exp(0)]])).sum().backward()
    assert direction[0].tolist() == [0, 0]
    assert tensor.grad[0].tolist() == [2, 1]
