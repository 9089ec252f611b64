"""MasKD, FreeKD, PKD and the distance of pixels' directions: by hand, in degenerate cases, and as they learn masks."""

from copy import deepcopy
from math import sqrt

import pytest
import torch
from torch import Tensor, nn

from harness.distill.draw import StoredDraw
from harness.ledger.errors import BadInput
from methods import freekd
from methods.featpixnorm import normalized_pixels
from methods.freekd import FrequencyDistillation, decompose, prompted, recompose
from methods.maskd import MaskedDistillation, PreparedLoss, dice, token_masks
from methods.maskd_feature import MaskedFeatures, TokenWeight, shifted_means
from methods.pkd import pearson

NOTHING = StoredDraw({})
NO_LABELS = torch.full((1, 4, 4), 255)
BOTH = frozenset({"freq", "mse"})


def channels(*rows: tuple[float, ...]) -> Tensor:
    """One image, one row of pixels, a channel an argument: 1×C×1×n."""
    return torch.tensor(rows, dtype=torch.float64)[None, :, None, :]


def scene(width: int, classes: int = 3) -> tuple[Tensor, Tensor]:
    """A teacher's stage 2×width×8×8, no value below 0, that tells the classes, and labels 2×16×16, some ignored."""
    generator = torch.Generator().manual_seed(0)
    labels = torch.randint(classes, (2, 8, 8), generator=generator)
    patterns = torch.rand(classes, width, generator=generator)
    teacher = patterns[labels].movedim(-1, 1) + 0.1 * torch.rand(2, width, 8, 8, generator=generator)
    labels = labels.repeat_interleave(2, dim=1).repeat_interleave(2, dim=2)
    labels[:, :2] = 255
    return teacher, labels


def prepared(kind: str) -> PreparedLoss:
    """A loss of that kind on 6 channels, in single precision, always the same one."""
    torch.manual_seed(1)
    match kind:
        case "logits":
            return MaskedDistillation(teacher_channels=(6, 6), num_tokens=3)
        case "features":
            return MaskedFeatures(teacher_channels=6, classes=3, num_tokens=3)
    return FrequencyDistillation(parts=BOTH, teacher_channels=6, classes=3, num_tokens=3)


KINDS = ("logits", "features", "frequencies")


def stages(loss: PreparedLoss, teacher: Tensor) -> Tensor | tuple[Tensor, ...]:
    """As the engine hands them over: a tuple where the descriptor lists stages."""
    return (teacher, teacher.flip(0)) if isinstance(loss, MaskedDistillation) else teacher


def learn(loss: PreparedLoss, teacher: Tensor, labels: Tensor, first: int, last: int, of: int) -> None:
    """The updates first … last−1 of a preparation."""
    for index in range(first, last):
        loss.prepare(None, stages(loss, teacher), labels, draw=NOTHING, progress=index / of)


def total(loss: PreparedLoss, student: Tensor, teacher: Tensor) -> Tensor:
    """The loss, or the sum of its parts."""
    found = loss(stages(loss, student), stages(loss, teacher), NO_LABELS, draw=NOTHING)
    return sum(found.values()) if isinstance(found, dict) else found


def test_dice_by_hand():
    """Masks (1, 0) and (1, 1) overlap by 2·1/(1 + 2), both ways; a mask with itself does not count."""
    masks = torch.tensor([[[[1.0, 0.0]], [[1.0, 1.0]]]], dtype=torch.float64)
    assert dice(masks).item() == pytest.approx(2 / 3, rel=1e-9)
    assert dice(masks[:, :1]).item() == 0


def test_masked_distillation_by_hand():
    """Zero tokens mask by ½: one token, two channels, ½ · mean of (¼·(1 + 4) / 1, ¼·(0 + 0) / 1) = 5/16, and 0.4 of it.

    The fraction's 1e-5 is seen in the fifth digit.
    """
    loss = MaskedDistillation(teacher_channels=(2, 2), num_tokens=1).double()
    loss.mask_token.zero_()
    student, teacher = channels((1.0, 2.0), (3.0, 3.0)), channels((0.0, 0.0), (3.0, 3.0))
    pair = loss((student, student), (teacher, teacher), NO_LABELS, draw=NOTHING)
    alone = loss((student,), (teacher,), NO_LABELS, draw=NOTHING)
    assert alone.item() == pytest.approx(5 / 16 / 1.00001, rel=1e-12)
    assert pair.item() == pytest.approx(1.4 * 5 / 16 / 1.00001, rel=1e-12)


def test_masked_distillation_leaves_out_a_share_of_zero():
    """A stage without a share is not looked at: it may even be missing."""
    loss = MaskedDistillation(teacher_channels=(2, 2), num_tokens=1, shares=(1.0, 0.0)).double()
    student = channels((1.0, 2.0), (3.0, 3.0))
    assert loss((student, None), (student, None), NO_LABELS, draw=NOTHING).item() == 0


def test_masked_distillation_wants_one_width_and_a_share_a_stage():
    """Tokens of 5 channels cannot mask 6; a third stage has no share."""
    with pytest.raises(BadInput, match="expected one width, a share a stage"):
        MaskedDistillation(teacher_channels=(5, 6))
    with pytest.raises(BadInput, match="expected one width, a share a stage"):
        MaskedDistillation(teacher_channels=(5, 5, 5))


def test_masked_distillation_is_the_released_sum_over_tokens():
    """Folding all tokens into one map changes nothing: against the sum as the paper writes it."""
    teacher, _ = scene(6)
    teacher = teacher.double() - 0.5
    student = torch.rand_like(teacher)
    loss = MaskedDistillation(teacher_channels=6, num_tokens=3).double()
    loss.mask_token.normal_()
    masks = token_masks(loss.mask_token, teacher)[:, :, None]  # B×T×1×h×w
    squares = (masks * student[:, None] - masks * teacher[:, None]).square().sum(dim=(3, 4))
    expected = 0.5 * (squares / (masks.sum(dim=(3, 4)) + 1e-5)).mean()
    assert loss(student, teacher, NO_LABELS, draw=NOTHING).item() == pytest.approx(expected.item(), rel=1e-12)


@pytest.mark.parametrize("size", [(1, 1), (1, 5), (4, 3)])
def test_shifted_means_are_a_convolution_and_a_mean(size):
    """The head's weights of the tokens are what its layers give one after the other, also on a single pixel."""
    head = TokenWeight(channels=3, num_tokens=2).double()
    features = torch.rand(2, 3, *size, dtype=torch.float64)
    expected = head.conv1x1(head.conv3x3(features).mean(dim=(2, 3), keepdim=True)).flatten(1).softmax(dim=1)
    assert shifted_means(features).shape == (2, 27)
    torch.testing.assert_close(head(features), expected, rtol=1e-12, atol=1e-14)


def test_masked_features_by_hand():
    """Zero tokens mask by ½, or by ¼ both sides together: Σ_t ω_t = 1, times ¼ · 5 / (2 · ½) / 2, half of it with ¼."""
    student, teacher = channels((1.0, 2.0), (3.0, 3.0)), channels((0.0, 0.0), (3.0, 3.0))
    found = {}
    for both in (False, True):
        loss = MaskedFeatures(teacher_channels=2, classes=2, use_student_mask=both).double()
        loss.mask_token.zero_()
        found[both] = loss(student, teacher, NO_LABELS, draw=NOTHING).item()
    assert found == pytest.approx({False: 5 / 8, True: 5 / 16}, rel=1e-12)


def test_masked_features_whose_masks_vanish_cost_nothing():
    """Where the released form is 0/0: masks that are 0 everywhere give 0, and gradients that are 0."""
    loss = MaskedFeatures(teacher_channels=2, classes=2)
    loss.mask_token.fill_(-1e4)
    student = torch.ones(1, 2, 3, 3, requires_grad=True)
    value = loss(student, 2 * torch.ones(1, 2, 3, 3), NO_LABELS, draw=NOTHING)
    value.backward()
    assert (value.item(), student.grad.abs().max().item()) == (0, 0)


def test_haar_by_hand():
    """A block 4 0 / 0 0 is 2 in every band; an odd row is padded with zeros."""
    low, (details,) = decompose(torch.tensor([[[[4.0, 0.0], [0.0, 0.0]]]]), levels=1)
    assert [low.item(), *(detail.item() for detail in details)] == [2, 2, 2, 2]
    low, (details,) = decompose(channels((4.0,)), levels=1)
    assert [low.item(), *(detail.item() for detail in details)] == [2, 2, 2, 2]


@pytest.mark.parametrize("size", [(8, 8), (5, 7), (1, 3), (9, 16)])
def test_haar_is_orthonormal_and_has_an_inverse(size):
    """Three levels and back give the feature; its energy is that of its bands, padding or not."""
    feature = torch.rand(2, 3, *size, dtype=torch.float64)
    bands = decompose(feature, levels=3)
    energy = sum(band.square().sum() for scale in bands.details for band in scale) + bands.low.square().sum()
    torch.testing.assert_close(recompose(bands, feature.shape[-2:]), feature)
    torch.testing.assert_close(energy, feature.square().sum())


def test_frequencies_by_hand():
    """One level, zero prompts: masks ½. The difference 4 0 / 0 0 has details 2: ½ · 2; its mean square is 16/4."""
    loss = FrequencyDistillation(parts=BOTH, teacher_channels=1, classes=2, levels=1)
    loss.mask_token.zero_()
    student = torch.tensor([[[[5.0, 1.0], [1.0, 1.0]]]], requires_grad=True)
    found = loss(student, torch.ones(1, 1, 2, 2), NO_LABELS, draw=NOTHING)
    assert {part: value.item() for part, value in found.items()} == {"freq": 1, "mse": 4}
    found["freq"].backward()
    # A unit more of `a` is ½ more of each detail: ½ · ½. Of `b` it is ½ of one detail and −½ of two others: −1/12.
    torch.testing.assert_close(student.grad.flatten(), torch.tensor([1 / 4, -1 / 12, -1 / 12, -1 / 12]))


def test_frequencies_are_the_released_mean_over_tokens_and_both_transforms():
    """Tokens first and one transform of the difference: against both transforms, token by token, odd sizes too."""
    torch.manual_seed(0)
    student, teacher = (torch.rand(2, 3, 7, 10, dtype=torch.float64, requires_grad=True) for _ in range(2))
    loss = FrequencyDistillation(parts=BOTH, teacher_channels=3, classes=2, num_tokens=2).double()
    loss.mask_token.normal_()
    expected = torch.zeros((), dtype=torch.float64)
    pairs = zip(decompose(student, 3).details, decompose(teacher, 3).details, strict=True)
    for tokens, (ours, theirs) in zip(loss.mask_token[1:], pairs, strict=True):
        masks = token_masks(tokens, sum(theirs))[:, :, None, None]  # B×T×1×1×h×w
        change = torch.stack(ours, dim=2) - torch.stack(theirs, dim=2)  # B×C×3×h×w
        expected = expected + (masks * change[:, None]).abs().mean()
    found = loss(student, teacher.detach(), NO_LABELS, draw=NOTHING)["freq"]
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=0)
    torch.testing.assert_close(*(torch.autograd.grad(value, student)[0] for value in (found, expected)))


@pytest.mark.parametrize(("part", "transforms"), [("freq", True), ("mse", False)])
def test_frequencies_compute_only_the_wanted_part(part, transforms, monkeypatch):
    """A part that nobody wants is neither given nor computed: no transform for the mean square."""
    calls = []
    monkeypatch.setattr(freekd, "decompose", lambda *args, **more: calls.append(1) or decompose(*args, **more))
    loss = FrequencyDistillation(parts=frozenset({part}), teacher_channels=3, classes=2)
    found = loss(torch.rand(1, 3, 8, 8), torch.rand(1, 3, 8, 8), NO_LABELS, draw=NOTHING)
    assert (set(found), bool(calls)) == ({part}, transforms)


def test_prompting_commutes_with_a_linear_classifier():
    """What lets the preparation transform K maps in place of C: classify(prompt(F)) = prompt(classify(F))."""
    teacher = scene(6)[0].double()
    loss = prepared("frequencies").double()
    loss.mask_token.normal_()
    classifier = nn.Conv2d(6, 3, kernel_size=1, bias=False).double()
    masks = loss.masks(teacher)
    torch.testing.assert_close(classifier(loss.prompted_feature(teacher)), prompted(classifier(teacher), masks))


def test_pearson_by_hand():
    """One channel, correlation −½ over n = 3 values: (1 − r)(n − 1)/n = 1, but for the 1e-6 beside each deviation."""
    student, teacher = channels((1.0, 2.0, 3.0)), channels((2.0, 3.0, 1.0))
    assert pearson(student, teacher, NO_LABELS, draw=NOTHING).item() == pytest.approx(1, rel=1e-5)


def test_pearson_does_not_see_scale_or_offset():
    """Ten times the teacher and a shift correlate fully."""
    teacher = torch.rand(2, 3, 4, 5, dtype=torch.float64)
    assert pearson(10 * teacher + 7, teacher, NO_LABELS, draw=NOTHING).item() == pytest.approx(0, abs=1e-9)


def test_pearson_is_half_the_mean_square_of_standardised_values():
    """The moments give the value and the gradient of the released form, far from zero mean too."""
    torch.manual_seed(0)
    student = (5 + torch.rand(2, 3, 4, 5, dtype=torch.float64)).requires_grad_()
    teacher = torch.rand(2, 3, 4, 5, dtype=torch.float64)
    standard = [
        (x - x.mean((0, 2, 3), keepdim=True)) / (x.std((0, 2, 3), keepdim=True) + 1e-6) for x in (student, teacher)
    ]
    expected = (standard[0] - standard[1]).square().mean() / 2
    found = pearson(student, teacher, NO_LABELS, draw=NOTHING)
    torch.testing.assert_close(found, expected, rtol=1e-10, atol=0)
    torch.testing.assert_close(*(torch.autograd.grad(value, student)[0] for value in (found, expected)))


def test_pearson_resizes_either_side():
    """A constant stays one at any size; by default the student is enlarged, else the teacher reduced."""
    student, teacher = torch.rand(1, 2, 2, 3), torch.rand(1, 2, 4, 6)
    small = nn.functional.interpolate(teacher, size=(2, 3), mode="bilinear", align_corners=False)
    large = nn.functional.interpolate(student, size=(4, 6), mode="bilinear", align_corners=False)
    enlarged = pearson(student, teacher, NO_LABELS, draw=NOTHING)
    reduced = pearson(student, teacher, NO_LABELS, draw=NOTHING, resize_student=False)
    assert enlarged.item() == pearson(large, teacher, NO_LABELS, draw=NOTHING).item()
    assert reduced.item() == pearson(student, small, NO_LABELS, draw=NOTHING).item()


def test_pearson_of_constant_channels_is_finite():
    """A channel without variation correlates with nothing: ½ · (n − 1)/n of the teacher's alone, n = 4."""
    student = channels((3.0, 3.0, 3.0, 3.0)).requires_grad_()
    loss = pearson(student, channels((1.0, 2.0, 0.0, 5.0)), NO_LABELS, draw=NOTHING)
    loss.backward()
    assert loss.item() == pytest.approx(3 / 8, rel=1e-5)
    assert student.grad.isfinite().all()
    assert pearson(student, student.detach(), NO_LABELS, draw=NOTHING).item() == pytest.approx(0, abs=1e-12)


def test_pearson_refuses_a_single_value():
    """One value a channel has no deviation."""
    with pytest.raises(BadInput, match="two values a channel"):
        pearson(torch.ones(1, 3, 1, 1), torch.ones(1, 3, 1, 1), NO_LABELS, draw=NOTHING)


def test_normalized_pixels_by_hand():
    """Pixels (3, 4) against (1, 0) and (0, 2) against (0, 1): cosines .6 and 1, 2 · .4 over two channels."""
    student, teacher = channels((3.0, 0.0), (4.0, 2.0)), channels((1.0, 0.0), (0.0, 1.0))
    assert normalized_pixels(student, teacher, NO_LABELS, draw=NOTHING).item() == pytest.approx(0.4, rel=1e-12)


def test_normalized_pixels_of_an_empty_pixel_are_finite():
    """No direction against one costs 1, no direction against none 0."""
    student = channels((0.0, 0.0)).requires_grad_()
    loss = normalized_pixels(student, channels((2.0, 0.0)), NO_LABELS, draw=NOTHING)
    loss.backward()
    assert loss.item() == 1
    assert student.grad.isfinite().all()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("mixed", [False, True])
@pytest.mark.parametrize("scale", [0.0, 1.0, 1000.0])
def test_prepared_losses_are_finite(kind, mixed, scale):
    """Zero, like and wide features and equal ones: finite losses and gradients, also in mixed precision."""
    loss = prepared(kind)
    teacher, labels = scene(6)
    teacher = scale * (2 * teacher - 1)
    for ours in (teacher.flip(0), teacher):
        student = ours.clone().requires_grad_()
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=mixed):
            learn(loss, teacher, labels, 0, 3, of=3)
            value = total(loss, student, teacher)
        value.backward()
        assert value.isfinite()
        assert value.dtype == torch.float32
        assert student.grad.isfinite().all()


@pytest.mark.parametrize("kind", KINDS)
def test_prepared_losses_learn_from_nothing_labelled(kind):
    """Labels that are all ignored leave a task loss of 0 and finite tokens."""
    loss = prepared(kind)
    teacher, labels = scene(6)
    learn(loss, teacher, torch.full_like(labels, 255), 0, 3, of=3)
    assert loss.mask_token.isfinite().all()
    assert loss.mask_losses(teacher, torch.full_like(labels, 255))["task"].item() == 0


@pytest.mark.parametrize("kind", KINDS)
def test_preparation_learns(kind):
    """Over 60 updates the masks overlap less and the objective falls; with the task alone, its cross-entropy falls."""
    teacher, labels = scene(6)
    for weight, watched in ((1.0, "dice"), (0.0, "task")):
        loss = prepared(kind)
        loss.weight_dice = weight
        before = {**loss.mask_losses(teacher, labels), "all": loss.preparation_loss(teacher, labels)}
        learn(loss, teacher, labels, 0, 60, of=60)
        after = {**loss.mask_losses(teacher, labels), "all": loss.preparation_loss(teacher, labels)}
        assert after[watched] < before[watched]
        assert after["all"] < before["all"]


@pytest.mark.parametrize("kind", KINDS)
def test_preparation_resumes_bit_for_bit(kind):
    """Four updates at once are two, a checkpoint into a fresh loss, and two more; the checkpoint stays as it was."""
    teacher, labels = scene(6)
    through, first = prepared(kind), prepared(kind)
    learn(through, teacher, labels, 0, 4, of=4)
    learn(first, teacher, labels, 0, 2, of=4)
    saved = deepcopy(first.state_dict())
    for _ in range(2):
        torch.manual_seed(9)
        resumed = prepared(kind)
        resumed.load_state_dict(saved)
        learn(resumed, teacher, labels, 2, 4, of=4)
        expected = dict(through.named_parameters())
        assert all(torch.equal(value, expected[name]) for name, value in resumed.named_parameters())


@pytest.mark.parametrize("kind", KINDS)
def test_distillation_changes_nothing_that_was_learned(kind):
    """Nothing here trains with the student: no gradient reaches the loss's parameters, nor the teacher."""
    loss = prepared(kind)
    teacher, labels = scene(6)
    student = teacher.flip(0).requires_grad_()
    learn(loss, teacher, labels, 0, 2, of=2)
    before = deepcopy(dict(loss.named_parameters()))
    total(loss, student, teacher).backward()
    loss.after_step()
    assert student.grad.abs().sum() > 0
    assert not any(parameter.requires_grad for parameter in loss.parameters())
    assert all(parameter.grad is None for parameter in loss.parameters())
    assert all(torch.equal(value, before[name]) for name, value in loss.named_parameters())
    assert not loss.optimizer.state


def test_the_tokens_rate_is_polynomial_and_the_prompts_a_cosine():
    """0.1 falls to 0; 0.01 at 256 channels is 0.02 at 128, half of it halfway, 1e-6 at the end."""
    tokens = MaskedDistillation(teacher_channels=5)
    prompts = FrequencyDistillation(parts=BOTH, teacher_channels=128, classes=2)
    assert [tokens.learning_rate_at(p) for p in (0, 0.5, 1)] == pytest.approx([0.1, 0.1 * 0.5**0.9, 0])
    assert [prompts.learning_rate_at(p) for p in (0, 0.5, 1)] == pytest.approx([0.02, 0.0100005, 1e-6])


def test_tokens_and_head_start_as_released():
    """Tokens of deviation 0.01; the head's of √(2/(9·C)) and √(2/T), biases 0."""
    torch.manual_seed(0)
    loss = MaskedFeatures(teacher_channels=64, classes=2, num_tokens=50)
    head = loss.token_weight
    deviations = [values.std().item() for values in (loss.mask_token, head.conv3x3.weight, head.conv1x1.weight)]
    assert deviations == pytest.approx([0.01, sqrt(2 / 9 / 64), sqrt(2 / 50)], rel=0.05)
    assert not head.conv3x3.bias.any()
    assert not head.conv1x1.bias.any()
