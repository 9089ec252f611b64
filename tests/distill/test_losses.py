"""The shared losses against numbers worked out by hand."""

from math import exp, log

import pytest
import torch

from harness.distill.draw import Draw, StoredDraw
from harness.distill.losses import cross_entropy, kl, mse
from harness.ledger.errors import BadInput

NOTHING = StoredDraw({})
NO_LABELS = torch.full((1, 1, 1), 255)


def pixels(*logits: tuple[float, ...]) -> torch.Tensor:
    """One image, one row, a pixel an argument: 1×C×1×n."""
    return torch.tensor(logits, dtype=torch.float64).T[None, :, None, :].contiguous()


def test_cross_entropy_by_hand():
    """With probabilities 3/4 and 1/4 everywhere, labels 0, 1 and 0 cost −ln 3/4 twice and −ln 1/4 once."""
    student = pixels(*[(log(3), 0.0)] * 4)
    labels = torch.tensor([[[0, 1, 255, 0]]])
    loss = cross_entropy(student, None, labels, draw=NOTHING)
    assert loss.item() == pytest.approx((-2 * log(3 / 4) - log(1 / 4)) / 3, rel=1e-12)


def test_cross_entropy_enlarges_with_aligned_corners():
    """Two logits 0 and 4 become 0, 1, 2, 3, 4 under five labels: the corners keep their values."""
    student = pixels((0.0, 0.0), (4.0, 0.0))
    loss = cross_entropy(student, None, torch.zeros(1, 1, 5, dtype=torch.int64), draw=NOTHING)
    assert loss.item() == pytest.approx(sum(log(1 + exp(-x)) for x in range(5)) / 5, rel=1e-12)


def test_cross_entropy_without_a_labelled_pixel_is_zero():
    """A crop of ignored pixels costs 0 and moves nothing; it is not NaN."""
    student = torch.randn(1, 3, 2, 2, requires_grad=True)
    loss = cross_entropy(student, None, torch.full((1, 4, 4), 255), draw=NOTHING)
    loss.backward()
    assert loss.item() == 0
    assert torch.equal(student.grad, torch.zeros_like(student))


def test_cross_entropy_counts_images_by_their_labelled_pixels():
    """The mean is over the batch's labelled pixels, not a mean of images' means."""
    student = torch.cat([pixels((log(3), 0.0), (log(3), 0.0)), pixels((0.0, log(3)), (0.0, log(3)))])
    labels = torch.tensor([[[0, 0]], [[0, 255]]])
    loss = cross_entropy(student, None, labels, draw=NOTHING)
    assert loss.item() == pytest.approx((-2 * log(3 / 4) - log(1 / 4)) / 3, rel=1e-12)


def test_kl_by_hand():
    """A teacher of 3/4 and 1/4 against an even student: 3/4·ln 3/2 + 1/4·ln 1/2."""
    loss = kl(pixels((5.0, 5.0)), pixels((log(3), 0.0)), NO_LABELS, draw=NOTHING)
    assert loss.item() == pytest.approx(3 / 4 * log(3 / 2) + 1 / 4 * log(1 / 2), rel=1e-12)


def test_kl_divides_logits_by_the_temperature_and_multiplies_by_its_square():
    """Logits doubled at temperature 2 give the same probabilities, and four times the loss."""
    loss = kl(pixels((0.0, 0.0)), pixels((2 * log(3), 0.0)), NO_LABELS, draw=NOTHING, temperature=2.0)
    assert loss.item() == pytest.approx(4 * (3 / 4 * log(3 / 2) + 1 / 4 * log(1 / 2)), rel=1e-12)


def test_kl_is_the_mean_over_all_pixels_whatever_their_labels():
    """A pixel on which both agree halves the loss, and ignored labels change nothing."""
    student, teacher = pixels((0.0, 0.0), (1.0, 2.0)), pixels((log(3), 0.0), (1.0, 2.0))
    loss = kl(student, teacher, torch.full((1, 8, 16), 255), draw=NOTHING)
    assert loss.item() == pytest.approx((3 / 4 * log(3 / 2) + 1 / 4 * log(1 / 2)) / 2, rel=1e-12)


def test_kl_stays_finite_where_probabilities_underflow():
    """A logit 2000 above the other costs 2000·(1 − 0) in the student's certainty, not infinity."""
    loss = kl(pixels((2000.0, 0.0)), pixels((0.0, 2000.0)), NO_LABELS, draw=NOTHING)
    assert loss.item() == pytest.approx(2000)


def test_mse_by_hand():
    """Differences 1, 2, 3 and 0: 14 over 4 elements."""
    student, teacher = pixels((1.0, 2.0), (3.0, 4.0)), pixels((0.0, 0.0), (0.0, 4.0))
    assert mse(student, teacher, NO_LABELS, draw=NOTHING).item() == 14 / 4


@pytest.mark.parametrize("loss", [kl, mse])
def test_unequal_shapes_are_refused(loss):
    """A 1×1 teacher is not stretched over the student in silence; the message has both shapes."""
    with pytest.raises(BadInput, match="student 1×2×2×2 against teacher 1×2×1×1"):
        loss(torch.zeros(1, 2, 2, 2), torch.zeros(1, 2, 1, 1), NO_LABELS, draw=NOTHING)


def test_draw_takes_its_numbers_from_its_generator():
    """One seed gives the same numbers whatever the global generator does in between."""
    first = Draw(torch.Generator().manual_seed(3), torch.device("cpu")).uniform("mask", (2, 3))
    torch.rand(5)
    second = Draw(torch.Generator().manual_seed(3), torch.device("cpu")).uniform("mask", (2, 3))
    assert torch.equal(first, second)
    assert first.shape == (2, 3)
    assert 0 <= first.min() <= first.max() < 1


def test_stored_draw_gives_what_was_stored():
    """Stored numbers come back by name and shape; another name or shape is refused."""
    numbers = torch.rand(2, 3)
    draw = StoredDraw({"mask": numbers})
    with pytest.raises(BadInput, match="no stored random numbers 'noise': there are mask"):
        draw.uniform("noise", (2, 3))
    with pytest.raises(BadInput, match=r"found shape \(2, 3\): expected \(3, 2\)"):
        draw.uniform("mask", (3, 2))
    assert draw.uniform("mask", (2, 3)) is numbers
