"""The losses of winycg/CIRKD's comparison against numbers worked out by hand: SKD, adversary, IFVD, DSD, CWD."""

from math import log, sqrt

import pytest
import torch
from torch.nn import functional

from harness.distill.draw import StoredDraw
from harness.ledger.errors import BadInput
from methods.adv import Adversarial, SpectralConvolution
from methods.cwd import channel_divergence
from methods.cwd_cirkd import UnprojectedMeanDivergence
from methods.cwd_feature import ProjectedDivergence
from methods.dsd import class_similarity, pixel_similarity
from methods.ifvd import FeatureVariation
from methods.skd import pairwise

NOTHING = StoredDraw({})
NO_LABELS = torch.full((1, 1, 1), 255)
THOUSAND = 1000.0


def channels(*rows: tuple[float, ...]) -> torch.Tensor:
    """One image, one row of pixels, a channel an argument: 1×C×1×n."""
    return torch.tensor(rows, dtype=torch.float64)[None, :, None, :]


def random(*shape: int, seed: int = 0, scale: float = 1.0) -> torch.Tensor:
    """Double precision, always the same."""
    return scale * torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def discriminated(classes: int = 2, images: int = 1) -> tuple[Adversarial, torch.Tensor, torch.Tensor]:
    """A small adversarial term with attention open, and logits for it."""
    torch.manual_seed(0)
    module = Adversarial(student_channels=classes, student_size=(64, 64))
    for attention in (module.discriminator.attn1, module.discriminator.attn2):
        attention.gamma.fill_(0.5)
    student, teacher = (random(images, classes, 64, 64, seed=seed).float() for seed in (1, 2))
    return module, student.requires_grad_(), teacher


# Pair-wise similarity


def test_pairwise_by_hand():
    """Two nodes, at right angles in the student and alike in the teacher: two of four pairs differ by 1."""
    student, teacher = channels((3.0, 0.0), (0.0, 5.0)), channels((2.0, 7.0))
    assert pairwise(student, teacher, NO_LABELS, draw=NOTHING, pool=1).item() == pytest.approx(2 / 4, rel=1e-12)


def test_pairwise_pools_the_maxima_with_a_window_over_the_edge():
    """Three positions are two nodes, (3, 1) and (0, 2): their cosine is 2/√40 against 1, twice in four."""
    student, teacher = channels((3.0, 0.0, 0.0), (0.0, 1.0, 2.0)), channels((1.0, 1.0, 1.0))
    expected = 2 * (1 - 2 / sqrt(40)) ** 2 / 4
    assert pairwise(student, teacher, NO_LABELS, draw=NOTHING).item() == pytest.approx(expected, rel=1e-12)


def test_pairwise_is_the_mean_over_all_pairs_also_where_none_is_formed():
    """With more nodes than channels the value and the gradient are those of the similarity matrices themselves."""
    student, teacher = random(2, 3, 6, 8, seed=1).requires_grad_(), random(2, 5, 6, 8, seed=2)
    ours, theirs = (functional.normalize(features.flatten(2), dim=1) for features in (student, teacher))
    written_out = (ours.mT @ ours - theirs.mT @ theirs).square().mean()
    loss = pairwise(student, teacher, NO_LABELS, draw=NOTHING, pool=1)
    found, expected = (torch.autograd.grad(value, student)[0] for value in (loss, written_out))
    assert loss.item() == pytest.approx(written_out.item(), rel=1e-12)
    assert torch.allclose(found, expected, rtol=1e-10, atol=1e-14)


def test_pairwise_of_equals_is_nothing_in_single_precision():
    """What is left of three large sums of equal features is no more than rounding."""
    features = random(2, 8, 32, 32).float()
    assert pairwise(features, features, NO_LABELS, draw=NOTHING).item() == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize("size", [(2, 2), (8, 8)])
def test_pairwise_gives_an_empty_node_no_gradient(size):
    """A student of zeros has no directions: finite loss, no gradient, where the released one has 1e12 times another."""
    student = torch.zeros(1, 3, *size, requires_grad=True)
    loss = pairwise(student, random(1, 3, *size).float(), NO_LABELS, draw=NOTHING)
    loss.backward()
    assert loss.isfinite()
    assert not student.grad.any()


# Intra-class variation


def test_feature_variation_by_hand():
    """Pixels (1, 0) and (0, 1) of one class have the cosine √½ with their centre, equal pixels 1: (1 − √½)² each."""
    student, teacher = channels((1.0, 0.0), (0.0, 1.0)), channels((1.0, 1.0))
    labels = torch.tensor([[[1, 1]]])
    loss = FeatureVariation(classes=3)(student, teacher, labels, draw=NOTHING)
    assert loss.item() == pytest.approx((1 - sqrt(0.5)) ** 2, rel=1e-9)


def test_feature_variation_counts_ignored_pixels_in_the_mean_alone():
    """Two more pixels, both ignored, halve the loss and get no gradient."""
    student = channels((1.0, 0.0, 5.0, -2.0), (0.0, 1.0, 3.0, 1.0)).requires_grad_()
    labels = torch.tensor([[[1, 1, 255, 255]]])
    loss = FeatureVariation(classes=3)(student, channels((1.0, 1.0, 8.0, 2.0)), labels, draw=NOTHING)
    loss.backward()
    assert loss.item() == pytest.approx((1 - sqrt(0.5)) ** 2 / 2, rel=1e-9)
    assert not student.grad[..., 2:].any()


def test_feature_variation_has_a_centre_for_each_image():
    """Two images, each of one direction: no variation, though their common centre would lie between."""
    features = torch.cat([channels((1.0, 2.0), (0.0, 0.0)), channels((0.0, 0.0), (1.0, 2.0))])
    labels = torch.zeros(2, 1, 2, dtype=torch.int64)
    loss = FeatureVariation(classes=2)(features, torch.ones(2, 1, 1, 2).double(), labels, draw=NOTHING)
    assert loss.item() == pytest.approx(0, abs=1e-20)


def test_feature_variation_takes_the_first_label_of_a_block():
    """Of 2×4 labels for two pixels those at (0, 0) and (0, 2) count: both of class 0, the others change nothing."""
    student, teacher = channels((1.0, 0.0), (0.0, 1.0)), channels((1.0, 1.0))
    labels = torch.tensor([[[0, 1, 0, 255], [2, 2, 2, 2]]])
    loss = FeatureVariation(classes=3)(student, teacher, labels, draw=NOTHING)
    assert loss.item() == pytest.approx((1 - sqrt(0.5)) ** 2, rel=1e-9)


@pytest.mark.parametrize("label", [0, 255])
@pytest.mark.parametrize("scale", [0.0, 1.0, THOUSAND])
def test_feature_variation_is_finite(scale, label):
    """For features of zero, of one class, with nothing labelled; with nothing labelled the loss is 0."""
    student = random(2, 4, 6, 6, scale=scale).float().requires_grad_()
    labels = torch.full((2, 24, 24), label)
    loss = FeatureVariation(classes=3)(student, random(2, 5, 6, 6).float(), labels, draw=NOTHING)
    loss.backward()
    assert loss.isfinite()
    assert student.grad.isfinite().all()
    assert label == 0 or loss.item() == 0


# Double similarity


def test_pixel_similarity_by_hand():
    """Attentions (1, 0) then (0, 1) change along (−1, 1)/√2; the teacher's change back: four times 2, over two."""
    first, second = channels((2.0, 0.0)), channels((0.0, 3.0))
    loss = pixel_similarity((first, second), (second, first), NO_LABELS, draw=NOTHING)
    assert loss.item() == pytest.approx((sqrt(2) ** 2 + sqrt(2) ** 2) / 2, rel=1e-12)


def test_pixel_similarity_is_the_mean_over_pairs_of_stages():
    """Of three pairs only two involve the stage that differs, whose residual is turned round in one of them."""
    first, second = channels((2.0, 0.0)), channels((0.0, 3.0))
    loss = pixel_similarity((first, second, first), (first, second, second), NO_LABELS, draw=NOTHING)
    # r of (0,1) is the same; of (0,2) nothing against (−1, 1)/√2; of (1,2) (1, −1)/√2 against nothing.
    assert loss.item() == pytest.approx((0 + 1 / 2 + 1 / 2) / 3, rel=1e-12)


def test_pixel_similarity_survives_a_stage_listed_twice():
    """A residual of zero is a constant: the other pairs' gradients are what they are without it."""
    logits, features = random(1, 3, 4, 4, seed=1).requires_grad_(), random(1, 5, 4, 4, seed=2)
    teacher = tuple(random(1, 3, 4, 4, seed=seed) for seed in (3, 4, 5))
    twice = pixel_similarity((logits, features, logits), teacher, NO_LABELS, draw=NOTHING)
    pairs = [
        pixel_similarity(student, target, NO_LABELS, draw=NOTHING)
        for student, target in (((logits, features), teacher[:2]), ((features, logits), teacher[1:]))
    ]
    found, expected = (torch.autograd.grad(value, logits)[0] for value in (twice, sum(pairs) / 3))
    assert torch.allclose(found, expected, rtol=1e-10, atol=1e-16)


def test_pixel_similarity_averages_a_finer_stage():
    """Energies (1, 7, 0, 0) in windows of two are (4, 0): the same direction as (4, 0) itself."""
    fine, coarse = channels((1.0, sqrt(7), 0.0, 0.0)), channels((2.0, 0.0))
    other = channels((0.0, 3.0))
    found = pixel_similarity((fine, other), (torch.flip(fine, (3,)), coarse), NO_LABELS, draw=NOTHING)
    expected = pixel_similarity((coarse, other), (other, coarse), NO_LABELS, draw=NOTHING)
    assert found.item() == pytest.approx(expected.item(), rel=1e-12)


def test_pixel_similarity_refuses_sizes_without_common_windows():
    """Windows of two make four positions of seven, never five."""
    stages = (random(1, 2, 1, 7), random(1, 2, 1, 5))
    with pytest.raises(BadInput, match="stages of 1×7 and 1×5: expected sizes"):
        pixel_similarity(stages, stages, NO_LABELS, draw=NOTHING)


def test_pixel_similarity_needs_a_pair():
    """One stage changes to nothing."""
    with pytest.raises(BadInput, match="expected two or more"):
        pixel_similarity((channels((1.0,)),), (channels((1.0,)),), NO_LABELS, draw=NOTHING)


def test_class_similarity_by_hand():
    """Maps (3/4, 1/4) and (1/2, 1/2): overlaps 5/8, 1/2 twice and 1/2, against 1/2 throughout: (1/8)² over four."""
    student, teacher = channels((4 * log(3), 0.0), (1.0, 1.0)), channels((0.0, 0.0), (9.0, 9.0))
    loss = class_similarity(student, teacher, NO_LABELS, draw=NOTHING, pool=1)
    assert loss.item() == pytest.approx((1 / 8) ** 2 / 4, rel=1e-12)


def test_class_similarity_averages_what_a_window_over_the_edge_holds():
    """Three positions are two: the second window holds one."""
    student, teacher = channels((0.0, 8 * log(3), 0.0)), channels((0.0, 0.0))
    padded = class_similarity(student, channels((0.0, 0.0, 0.0)), NO_LABELS, draw=NOTHING)
    pooled = class_similarity(channels((4 * log(3), 0.0)), teacher, NO_LABELS, draw=NOTHING, pool=1)
    assert padded.item() == pytest.approx(pooled.item(), rel=1e-12)


@pytest.mark.parametrize("scale", [0.0, THOUSAND])
def test_double_similarity_is_finite(scale):
    """For stages of zeros and of thousands."""
    student = tuple(random(2, 3, 6, 6, seed=seed, scale=scale).float().requires_grad_() for seed in (1, 2))
    teacher = tuple(random(2, 3, 6, 6, seed=seed, scale=THOUSAND).float() for seed in (3, 4))
    loss = pixel_similarity(student, teacher, NO_LABELS, draw=NOTHING)
    loss = loss + class_similarity(student[1], teacher[1], NO_LABELS, draw=NOTHING)
    loss.backward()
    assert loss.isfinite()
    assert all(stage.grad.isfinite().all() for stage in student)


# Channel divergence


def test_channel_divergence_has_the_gradient_of_what_it_says():
    """Made a few channels at a time on the way, the gradient is that of the formula written out."""
    student, teacher = random(2, 5, 128, 520, seed=1).requires_grad_(), random(2, 5, 128, 520, seed=2)
    logs = [(features.flatten(2) / 2).log_softmax(dim=2) for features in (student, teacher)]
    written_out = 4 * (logs[1].exp() * (logs[1] - logs[0])).sum() / 10
    loss = channel_divergence(student, teacher, NO_LABELS, draw=NOTHING, temperature=2.0)
    found, expected = (torch.autograd.grad(3 * value, student)[0] for value in (loss, written_out))
    assert loss.item() == pytest.approx(written_out.item(), rel=1e-12)
    assert torch.allclose(found, expected, rtol=1e-9, atol=1e-18)


def test_channel_divergence_without_gradients_makes_none():
    """Looked at without autograd it is the same number."""
    student, teacher = channels((9.0, 9.0)).requires_grad_(), channels((2 * log(3), 0.0))
    with torch.no_grad():
        loss = channel_divergence(student, teacher, NO_LABELS, draw=NOTHING, temperature=2.0)
    assert not loss.requires_grad
    assert loss.item() == pytest.approx(4 * (3 / 4 * log(3 / 2) + 1 / 4 * log(1 / 2)), rel=1e-12)


def test_cirkd_divides_by_the_width_before_projection():
    """A student of one channel against two: the sum over both, undivided, is twice the authors' mean."""
    student, teacher = channels((1.0, 2.0)), channels((2 * log(3), 0.0), (1.0, 5.0))
    module = UnprojectedMeanDivergence(student_channels=1, teacher_channels=2).double()
    projected = module.conv(student)
    mean = channel_divergence(projected, teacher, NO_LABELS, draw=NOTHING)
    loss = module(student, teacher, NO_LABELS, draw=NOTHING)
    assert loss.item() == pytest.approx(2 * mean.item(), rel=1e-12)


def test_cirkd_projects_nothing_where_widths_agree():
    """No parameters, and the authors' mean."""
    student, teacher = channels((1.0, 2.0)), channels((2 * log(3), 0.0))
    module = UnprojectedMeanDivergence(student_channels=1, teacher_channels=1)
    mean = channel_divergence(student, teacher, NO_LABELS, draw=NOTHING)
    assert not list(module.parameters())
    assert module(student, teacher, NO_LABELS, draw=NOTHING).item() == mean.item()


def test_the_authors_projection_scales_by_the_size_of_gamma():
    """Pixels −1 and 1 are normalised to ∓1; a γ of −2 acts as 2 + 1e-5, and ReLU leaves 0 and that."""
    module = ProjectedDivergence(student_channels=1, teacher_channels=1).double()
    with torch.no_grad():
        module.projection.conv.weight.fill_(1.0)
        module.projection.norm.weight.fill_(-2.0)
    projected = module.projection(channels((-1.0, 1.0)))
    assert projected.flatten().tolist() == pytest.approx([0, (2 + 1e-5) / sqrt(1 + 1e-5)], rel=1e-12)


@pytest.mark.parametrize("loss_class", [UnprojectedMeanDivergence, ProjectedDivergence])
@pytest.mark.parametrize("scale", [0.0, 1.0, THOUSAND])
def test_projected_divergence_is_finite(loss_class, scale):
    """For features of zeros and of thousands, in mixed precision too."""
    module = loss_class(student_channels=2, teacher_channels=3)
    student = random(2, 2, 8, 8, seed=1, scale=scale).float().requires_grad_()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss = module(student, random(2, 3, 8, 8, scale=THOUSAND).float(), NO_LABELS, draw=NOTHING)
    loss.backward()
    assert loss.dtype == torch.float32
    assert loss.isfinite()
    assert student.grad.isfinite().all()


# The discriminator


def test_logits_too_small_for_the_discriminator_are_refused():
    """Its last convolution has no room below 64 positions a side: the reason says what was found."""
    with pytest.raises(BadInput, match="the discriminator needs logits of at least 64×64: found 45×80"):
        Adversarial(student_channels=3, student_size=(45, 80))


def test_the_students_loss_leaves_the_discriminator_alone():
    """The gradient reaches the logits; no parameter of the discriminator trains with the student or gets one."""
    module, student, teacher = discriminated()
    module(student, teacher, NO_LABELS, draw=NOTHING).backward()
    assert student.grad.abs().sum() > 0
    assert not any(parameter.requires_grad for parameter in module.parameters())
    assert all(parameter.grad is None for parameter in module.parameters())


def test_the_discriminator_learns_after_the_students_step():
    """One step moves it, lowers its loss on the same logits, and leaves nothing of the iteration behind.

    Inside both hinges the last bias adds as much to one loss as it takes from the other, and stays.
    """
    module, student, teacher = discriminated()
    module(student, teacher, NO_LABELS, draw=NOTHING)
    seen = module.seen
    before = {name: parameter.clone() for name, parameter in module.named_parameters()}
    with torch.no_grad():
        first = module.discriminator_loss(seen)
    module.after_step()
    with torch.no_grad():
        second = module.discriminator_loss(seen)
    assert second < first
    unmoved = [name for name, parameter in module.named_parameters() if torch.equal(before[name], parameter)]
    assert unmoved == ["discriminator.last.bias"]
    assert module.seen is None
    assert not any(parameter.requires_grad or parameter.grad is not None for parameter in module.parameters())


def test_an_iteration_is_three_steps_of_power_iteration_and_of_statistics():
    """The student for the student's loss, then the student and the teacher for the discriminator's."""
    module, student, teacher = discriminated()
    module(student, teacher, NO_LABELS, draw=NOTHING)
    module.after_step()
    assert module.discriminator.preprocess_additional.num_batches_tracked == 3


def test_two_batches_at_once_are_what_they_are_one_after_the_other():
    """Scores, the vectors u and the running statistics are the same."""
    (together, student, teacher), (apart, _, _) = discriminated(images=2), discriminated(images=2)
    with torch.no_grad():
        both = together.discriminator(student, teacher)
        one_by_one = (*apart.discriminator(student), *apart.discriminator(teacher))
    assert torch.allclose(torch.cat(both), torch.cat(one_by_one), atol=1e-6)
    buffers = dict(apart.named_buffers())
    assert all(torch.allclose(buffer, buffers[name], atol=1e-6) for name, buffer in together.named_buffers())


def test_a_largest_singular_value_is_found_and_divided_by():
    """A weight with singular values 3 and 1 acts as one with 1 and 1/3, once u has converged."""
    convolution = SpectralConvolution(1, 2).double()
    weight = torch.zeros(2, 1, 4, 4, dtype=torch.float64)
    weight[0, 0, 1, 1], weight[1, 0, 1, 2] = 3.0, 1.0
    with torch.no_grad():
        convolution.weight_bar.copy_(weight)
        convolution.bias.zero_()
        for _ in range(30):
            outputs = convolution(torch.ones(1, 1, 2, 2, dtype=torch.float64), 1)
    assert outputs.flatten().tolist() == pytest.approx([1, 1 / 3], rel=1e-12)


def test_sigma_keeps_the_vectors_of_its_own_step():
    """With two steps before one backward pass each σ has the gradient u·vᵀ of its own u, not of the buffer's last."""
    torch.manual_seed(0)
    convolution = SpectralConvolution(1, 3).double()
    matrix = convolution.weight_bar.detach().flatten(1)
    v = functional.normalize(matrix.T @ convolution.weight_u, dim=0)
    u = functional.normalize(matrix @ v, dim=0)
    first = convolution._largest_singular_value()
    convolution._largest_singular_value()
    (gradient,) = torch.autograd.grad(first, convolution.weight_bar)
    assert torch.allclose(gradient.flatten(1), torch.outer(u, v), atol=1e-14)
    assert not torch.allclose(u, convolution.weight_u)


def test_a_discriminator_of_no_weight_does_not_learn():
    """Nothing is kept for it and nothing computed after the step."""
    module = Adversarial(student_channels=2, student_size=(64, 64), discriminator_weight=0.0)
    logits = random(1, 2, 64, 64).float()
    module(logits, logits, NO_LABELS, draw=NOTHING)
    module.after_step()
    assert module.discriminator.preprocess_additional.num_batches_tracked == 1


def test_a_checkpoint_continues_as_if_nothing_had_happened():
    """Weights, Adam's moments, u and statistics: two more iterations end bit for bit where the first run's do."""
    first, student, teacher = discriminated()

    def iterate(module: Adversarial) -> torch.Tensor:
        loss = module(student, teacher, NO_LABELS, draw=NOTHING)
        module.after_step()
        return loss.detach()

    iterate(first)
    kept = first.state_dict()
    kept = {name: value.clone() if isinstance(value, torch.Tensor) else value for name, value in kept.items()}
    expected = [iterate(first) for _ in range(2)]
    torch.manual_seed(9)
    for _ in range(2):  # what was kept serves twice: continuing does not change it
        second = Adversarial(student_channels=2, student_size=(64, 64))
        second.load_state_dict(kept)
        assert [iterate(second) for _ in range(2)] == expected


def test_the_discriminator_stays_in_training_mode():
    """It normalises by the batch at hand, whatever is done to the student."""
    module, _, _ = discriminated()
    module.eval()
    assert module.discriminator.preprocess_additional.training


@pytest.mark.parametrize("mixed", [False, True])
@pytest.mark.parametrize("scale", [0.0, THOUSAND])
def test_the_adversarial_term_is_finite(scale, mixed):
    """For logits of zeros and of thousands, in mixed precision too, on both sides."""
    module, _, teacher = discriminated()
    student = random(1, 2, 64, 64, scale=scale).float().requires_grad_()
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=mixed):
        loss = module(student, THOUSAND * teacher, NO_LABELS, draw=NOTHING)
    loss.backward()
    module.after_step()
    assert loss.dtype == torch.float32
    assert loss.isfinite()
    assert student.grad.isfinite().all()
    assert all(parameter.isfinite().all() for parameter in module.parameters())
