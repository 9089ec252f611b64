"""What a term's gradient is beside the task loss's, by hand."""

from collections.abc import Callable
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from harness.distill.distiller import Losses
from harness.train.shares import gradient_norm, gradient_shares


class Scripted:
    """A trainee of one weight at 1, whose losses are what the test says of it and of the batch's number."""

    def __init__(self, task: Callable, **terms: Callable) -> None:
        self.student = nn.Linear(1, 1, bias=False)
        nn.init.ones_(self.student.weight)
        self.distiller = SimpleNamespace(names=tuple(terms))
        self.task, self.terms = task, terms

    def losses_of(self, images, labels):
        weight = self.student.weight.sum()
        return Losses(self.task(weight, images), tuple(term(weight, images) for term in self.terms.values()))


def test_a_terms_share_of_the_gradient_is_its_median_over_batches():
    """Task 2w; a term of w², whose gradient is 2, and one of batch·w with gradients 2, 4, 40: shares 1 and 2."""
    trainee = Scripted(lambda w, _: 2 * w, square=lambda w, _: w * w, batch=lambda w, batch: batch * w)
    shares = gradient_shares(trainee, [(2.0, None), (4.0, None), (40.0, None)])
    assert shares == {"square": pytest.approx(1.0), "batch": pytest.approx(2.0)}
    assert trainee.student.weight.grad is None


def test_a_term_that_cannot_reach_the_student_has_no_share():
    """A constant has gradient 0; a share of which no batch gives a number is not told."""
    trainee = Scripted(lambda w, _: 2 * w, constant=lambda w, _: torch.ones(()), lost=lambda w, _: w * float("nan"))
    assert gradient_shares(trainee, [(1.0, None)]) == {"constant": 0.0}


def test_the_baseline_computes_no_gradients_for_it():
    """It has no terms, and the batches are not looked at."""
    assert gradient_shares(Scripted(lambda w, _: pytest.fail("computed")), [(1.0, None)]) == {}


def test_a_gradients_norm_is_over_all_parameters_that_it_reaches():
    """3 and 4 make 5; a parameter that is not reached counts nothing."""
    student = nn.ParameterList([nn.Parameter(torch.ones(())) for _ in range(3)])
    assert gradient_norm(3 * student[0] + 4 * student[1], student) == 5.0
