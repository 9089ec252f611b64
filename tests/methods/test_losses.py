"""The shipped methods' own losses against numbers worked out by hand."""

from math import log, sqrt

import pytest
import torch

from harness.distill.draw import StoredDraw
from harness.ledger.errors import BadInput
from methods.at import attention_transfer
from methods.cwd import channel_divergence
from methods.dist import relation
from methods.featl2norm import normalized_l2

NOTHING = StoredDraw({})
NO_LABELS = torch.full((1, 1, 1), 255)


def relations(student: torch.Tensor, teacher: torch.Tensor) -> dict[str, float]:
    """Both parts of DIST."""
    found = relation(student, teacher, NO_LABELS, draw=NOTHING, parts=frozenset({"inter", "intra"}))
    return {part: loss.item() for part, loss in found.items()}


def channels(*rows: tuple[float, ...]) -> torch.Tensor:
    """One image, one row of pixels, a channel an argument: 1×C×1×n."""
    return torch.tensor(rows, dtype=torch.float64)[None, :, None, :]


def test_attention_transfer_by_hand():
    """Energies (3, 4) and (1, 0) as unit vectors are (.6, .8) and (1, 0): (.16 + .64)/2."""
    student = channels((sqrt(3), 2.0), (sqrt(3), 2.0))
    teacher = channels((-7.0, 0.0), (0.0, 0.0), (0.0, 0.0))
    assert attention_transfer(student, teacher, NO_LABELS, draw=NOTHING).item() == pytest.approx(0.4, rel=1e-12)


def test_attention_transfer_refuses_other_positions():
    """Channels may differ, positions may not."""
    with pytest.raises(BadInput, match="expected the same height and width"):
        attention_transfer(torch.ones(1, 2, 2, 2), torch.ones(1, 3, 1, 1), NO_LABELS, draw=NOTHING)


def test_channel_divergence_by_hand():
    """One of two channels: teacher 3/4, 1/4 over positions against an even student; two channels halve it, T² is 4."""
    student, teacher = channels((9.0, 9.0), (1.0, 2.0)), channels((2 * log(3), 0.0), (1.0, 2.0))
    loss = channel_divergence(student, teacher, NO_LABELS, draw=NOTHING, temperature=2.0)
    assert loss.item() == pytest.approx(4 * (3 / 4 * log(3 / 2) + 1 / 4 * log(1 / 2)) / 2, rel=1e-12)


def test_channel_divergence_stays_finite_where_the_released_one_underflows():
    """A channel with one logit 2000 above the rest costs 2000 at temperature 1."""
    loss = channel_divergence(
        channels((2000.0, 0.0)), channels((0.0, 2000.0)), NO_LABELS, draw=NOTHING, temperature=1.0
    )
    assert loss.item() == pytest.approx(2000)


def test_channel_divergence_of_squares_ignores_the_temperature():
    """Softmaxes (3/4, 1/4) and (1/2, 1/2) differ by 2·(1/4)², at any temperature."""
    student, teacher = channels((0.0, 0.0)), channels((log(3), 0.0))
    settings = {"norm": "channel", "divergence": "mse", "temperature": 9.0}
    loss = channel_divergence(student, teacher, NO_LABELS, draw=NOTHING, **settings)
    assert loss.item() == pytest.approx(2 / 16, rel=1e-12)


def test_channel_divergence_of_means():
    """Channel means 2 and 3 against 0 and 3: 4 over two channels."""
    student, teacher = channels((1.0, 3.0), (3.0, 3.0)), channels((0.0, 0.0), (2.0, 4.0))
    settings = {"norm": "channel_mean", "divergence": "mse"}
    assert channel_divergence(student, teacher, NO_LABELS, draw=NOTHING, **settings).item() == 2


def test_channel_divergence_has_no_other_modes():
    """The released default, norm none, gives NaN there and a message here."""
    with pytest.raises(BadInput, match="norm 'none' with divergence 'kl'"):
        channel_divergence(channels((1.0,)), channels((1.0,)), NO_LABELS, draw=NOTHING, norm="none")


def test_relation_of_equals_and_of_opposites():
    """The same logits correlate fully, swapped ones not at all: 0 and 2, a part each."""
    logits = channels((2.0, -1.0), (-2.0, 1.0))
    assert list(relations(logits, logits).values()) == pytest.approx([0, 0], abs=1e-6)
    assert list(relations(logits, -logits).values()) == pytest.approx([2, 2], abs=1e-6)


def test_relation_tells_its_parts_apart():
    """Swapping pixels harms the correlation of a class's pixels only."""
    found = relations(channels((log(3), log(2)), (0.0, 0.0)), channels((log(2), log(3)), (0.0, 0.0)))
    assert found == pytest.approx({"inter": 0, "intra": 2}, abs=1e-5)


def test_relation_computes_only_the_parts_that_are_wanted():
    """A part of weight 0 is not asked for, and not returned."""
    logits = channels((2.0, -1.0), (-2.0, 1.0))
    assert list(relation(logits, logits, NO_LABELS, draw=NOTHING, parts=frozenset({"intra"}))) == ["intra"]


def test_relation_with_a_constant_row_is_one_a_part():
    """An even student correlates with nothing, and its gradient is finite."""
    student = channels((0.0, 0.0), (0.0, 0.0)).requires_grad_()
    teacher = channels((1.0, 0.0), (0.0, 2.0))
    found = relation(student, teacher, NO_LABELS, draw=NOTHING, parts=frozenset({"inter", "intra"}))
    sum(found.values()).backward()
    assert [loss.item() for loss in found.values()] == pytest.approx([1, 1])
    assert student.grad.isfinite().all()


def test_normalized_l2_by_hand():
    """Unit vectors (.6, .8) and (1, 0), times 10: 16 + 64, over one image, or two elements, or as a root."""
    student, teacher = channels((3.0, 4.0)), channels((7.0, 0.0))
    plain = normalized_l2(student, teacher, NO_LABELS, draw=NOTHING, mult=10.0)
    element = normalized_l2(student, teacher, NO_LABELS, draw=NOTHING, mult=10.0, div_element=True)
    root = normalized_l2(student, teacher, NO_LABELS, draw=NOTHING, mult=10.0, dist=True)
    raw = normalized_l2(student, teacher, NO_LABELS, draw=NOTHING, normalize=False)
    assert [x.item() for x in (plain, element, root, raw)] == pytest.approx([80, 40, sqrt(80), 32], rel=1e-12)


def test_normalized_l2_normalises_each_image_alone():
    """A second image at another scale is its own unit vector: two equal images give one image's loss."""
    student = torch.cat([channels((3.0, 4.0)), 100 * channels((3.0, 4.0))])
    teacher = torch.cat([channels((7.0, 0.0)), channels((0.5, 0.0))])
    assert normalized_l2(student, teacher, NO_LABELS, draw=NOTHING).item() == pytest.approx(0.8, rel=1e-12)


def test_normalized_l2_of_an_empty_image_is_finite():
    """All zeros have no direction: the loss is the teacher's 1, not NaN."""
    assert normalized_l2(channels((0.0, 0.0)), channels((7.0, 0.0)), NO_LABELS, draw=NOTHING).item() == 1
