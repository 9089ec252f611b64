"""The losses that are small networks of their own (MGD, Af-DCD, DiffKD, TransKD): by hand, at the edges, in parts."""

from math import exp, log, prod

import pytest
import torch
from torch import Tensor, nn

from harness.distill.draw import Draw, StoredDraw
from harness.ledger.errors import BadInput
from methods import afdcd
from methods.afdcd import Contrast, EnhancedGenerator, manhattan
from methods.diffkd import Diffusion, Schedule
from methods.mgd import Generator, MaskedGeneration
from methods.transkd import Embeddings, FusedStage, Fusion, at_all_levels

NOTHING = StoredDraw({})
NO_LABELS = torch.full((2, 4, 4), 255)
BOTH = frozenset({"feature", "contrastive"})
ALL = frozenset({"kd", "diffusion", "autoencoder"})


def fresh() -> Draw:
    """Random numbers of a run."""
    return Draw(torch.Generator().manual_seed(0), torch.device("cpu"))


def filled(module: nn.Module, value: float) -> None:
    """Every number of a convolution or a generator is `value`, but biases are 0."""
    for name, parameter in module.named_parameters():
        nn.init.constant_(parameter, 0.0 if name.endswith("bias") else value)


def contrast(
    parts: frozenset[str] = BOTH, channels: tuple[int, int] = (8, 8), size: tuple[int, int] = (8, 8), **settings: object
) -> Contrast:
    """Af-DCD's loss on small features, with settings that fit them."""
    fitting = {"channel_groups": 4, "pool_size": 2, "patch_size": (2, 2)}
    return Contrast(
        parts=parts,
        student_channels=channels[0],
        teacher_channels=channels[1],
        student_size=size,
        teacher_size=size,
        **(fitting | settings),  # type: ignore[arg-type]
    )


def every_loss() -> dict[str, tuple[nn.Module, tuple[int, ...] | list[tuple[int, ...]], object]]:
    """Each loss by name with the shapes of student and teacher."""
    widths = {"student_channels": (4, 6), "teacher_channels": (8, 10)}
    return {
        "mgd": (MaskedGeneration(student_channels=4, teacher_channels=8), (2, 4, 8, 8), (2, 8, 8, 8)),
        "afdcd": (contrast(channels=(4, 8)), (2, 4, 8, 8), (2, 8, 8, 8)),
        "afdcd enhanced": (
            contrast(channels=(4, 8), enhanced_projector=True, random_mask=False),
            (2, 4, 8, 8),
            (2, 8, 8, 8),
        ),
        "diffkd": (
            Diffusion(parts=ALL, student_channels=4, teacher_channels=8, ae_channels=0),
            (2, 4, 8, 8),
            (2, 8, 8, 8),
        ),
        "transkd fusion": (Fusion(**widths), [(2, 4, 8, 8), (2, 6, 4, 4)], [(2, 8, 8, 8), (2, 10, 4, 4)]),
        "transkd embeddings": (
            Embeddings(**widths, embed_weights=(0.1, 1.0)),
            [(2, 64, 4), (2, 16, 6)],
            [(2, 64, 8), (2, 16, 10)],
        ),
    }


def total(loss: nn.Module, student: object, teacher: object) -> Tensor:
    """The loss, or the sum of its parts."""
    found = loss(student, teacher, NO_LABELS, draw=fresh())
    return sum(found.values()) if isinstance(found, dict) else found


def made(shapes: object, value: object) -> object:
    """Tensors of a shape or of several: a constant, or what a function of a shape gives."""
    if isinstance(shapes, list):
        return tuple(made(shape, value) for shape in shapes)
    return value(shapes) if callable(value) else torch.full(shapes, value)  # type: ignore[arg-type]


def leaves(tensors: object) -> tuple[Tensor, ...]:
    """The tensors as ones with a gradient."""
    return tuple(tensors) if isinstance(tensors, tuple) else (tensors,)  # type: ignore[arg-type]


# MGD


def test_masked_generation_by_hand():
    """Values 1 and 2, the second dropped; with unit weights conv gives (1, 1), again (2, 2); against (1, 5): 1 + 9."""
    loss = MaskedGeneration(student_channels=1, teacher_channels=1)
    filled(loss, 1.0)
    student, teacher = torch.tensor([[[[1.0, 2.0]]]]), torch.tensor([[[[1.0, 5.0]]]])
    draw = StoredDraw({"uniform": torch.tensor([[[[0.25, 0.26]]]])})
    assert loss(student, teacher, NO_LABELS, draw=draw).item() == 10


def test_masked_generation_is_divided_by_images_alone():
    """Two images of two channels and four positions, 1 from the teacher everywhere: 16/2."""
    loss = MaskedGeneration(student_channels=3, teacher_channels=2)
    filled(loss, 0.0)
    value = loss(torch.ones(2, 3, 2, 2), torch.ones(2, 2, 2, 2), NO_LABELS, draw=fresh())
    assert value.item() == 8


def test_the_mask_of_channels_drops_whole_ones():
    """Of two channels the first is kept; the middle taps alone sum both, (3 + 0)·2 = 6 at each, against 0: 2·36."""
    loss = MaskedGeneration(student_channels=2, teacher_channels=2, mask_on_channel=True)
    filled(loss, 1.0)
    draw = StoredDraw({"uniform": torch.tensor([[[[0.0]], [[0.9]]]])})
    value = loss(torch.tensor([[[[3.0]], [[7.0]]]]), torch.zeros(1, 2, 1, 1), NO_LABELS, draw=draw)
    assert value.item() == 72


def test_equal_widths_need_no_alignment():
    """The 1×1 convolution is there for other widths only, so that parameters are those of the release."""
    names = {name for name, _ in MaskedGeneration(student_channels=4, teacher_channels=4).named_parameters()}
    assert not any(name.startswith("align") for name in names)
    assert "align.weight" in dict(MaskedGeneration(student_channels=3, teacher_channels=4).named_parameters())


def test_a_mask_ratio_is_a_share():
    """75 meant as per cent is refused."""
    with pytest.raises(BadInput, match="mask_ratio: found 75: expected a share"):
        MaskedGeneration(student_channels=4, teacher_channels=4, mask_ratio=75)


# Af-DCD


def test_contrast_by_hand():
    """One patch of one position, two groups of one channel: anchors 0 and 3 against 1 and 3, τ 1.

    Distances are 1 and 3, and 2 and 0: log(1 + e⁻²) for the first, log(1 + e⁻²) for the second.
    """
    loss = contrast(
        parts=frozenset({"contrastive"}),
        channels=(2, 2),
        size=(1, 1),
        channel_groups=2,
        pool_size=0,
        patch_size=(1, 1),
        tau=1.0,
    )
    value = loss.contrast(torch.tensor([[[[0.0]], [[3.0]]]]), torch.tensor([[[[1.0]], [[3.0]]]]))
    assert value.item() == pytest.approx(2 * log(1 + exp(-2)), rel=1e-6)


def test_neighbours_in_a_group_are_no_negatives():
    """Two positions, two groups: 0 everywhere leaves each anchor its positive and the other group's two, log 3 each.

    Two anchors a position, so that the sum over groups is 2·log 3.
    """
    loss = contrast(channels=(2, 2), size=(1, 2), channel_groups=2, pool_size=0, patch_size=(1, 2))
    zeros = torch.zeros(1, 2, 1, 2)
    assert loss.contrast(zeros, zeros).item() == pytest.approx(2 * log(3), rel=1e-6)


def test_a_crop_pools_nothing():
    """With `crop: 2` of a 3×3 feature the third row and column have no part, and neighbours are not pooled."""
    loss = contrast(size=(3, 3), crop=2)
    student, teacher = torch.randn(2, 8, 3, 3), torch.randn(2, 8, 3, 3)
    own = contrast(size=(2, 2), pool_size=0)
    assert loss.contrast(student, teacher) == own.contrast(student[:, :, :2, :2], teacher[:, :, :2, :2])


def test_the_fixed_mask_is_the_middle_third():
    """Of 7 rows those from 2 to 3, of 6 columns those from 2 to 3."""
    kept = contrast(parts=frozenset({"feature"}), size=(7, 6), random_mask=False).middle
    assert (kept == 0).nonzero()[:, 2:].tolist() == [[2, 2], [2, 3], [3, 2], [3, 3]]


def test_ties_have_no_gradient(monkeypatch):
    """|a − b| is flat where a = b, and in steps of one patch the distances are the same as in one."""
    first = torch.tensor([[[1.0, 4.0], [0.0, 2.0]], [[1.0, 1.0], [2.0, 2.0]]], requires_grad=True)
    second = torch.tensor([[[1.0, 2.0], [0.0, 2.0]], [[3.0, 0.0], [2.0, 5.0]]])
    at_once = manhattan(first, second)
    (gradient,) = torch.autograd.grad(at_once.sum(), first)
    monkeypatch.setattr(afdcd, "LARGEST_DIFFERENCES", 1)
    assert torch.equal(manhattan(first, second), at_once)
    assert at_once.tolist() == [[[2, 3], [1, 0]], [[3, 5], [3, 3]]]
    assert gradient.tolist() == [[[1, 2], [-1, 0]], [[-2, 0], [-1, 0]]]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"size": (6, 8)}, "6×8, of which 3×4 are compared .* in patches of 2×2: expected whole patches"),
        ({"size": (1, 8)}, "of which 0×4 are compared"),
        ({"size": (9, 9), "crop": 5}, "of which 5×5 are compared"),
        ({"channel_groups": 3}, "8 channels of the teacher in 3 groups"),
        ({"channel_groups": 1}, "at least 2"),
        ({"patch_size": (2,)}, "expected a height and a width"),
    ],
)
def test_features_without_whole_patches_are_refused(settings, message):
    """Where the contrast cannot be cut, the method does not apply, and that is known before it runs."""
    with pytest.raises(BadInput, match=message):
        contrast(**settings)


def test_the_feature_alone_needs_no_patches():
    """Without the contrast nothing is cut, whatever the size, and no distance is computed."""
    loss = contrast(parts=frozenset({"feature"}), size=(3, 4))
    loss.contrast = None  # type: ignore[assignment, method-assign]
    feature = torch.randn(2, 8, 3, 4)
    assert list(loss(feature, feature, NO_LABELS, draw=fresh())) == ["feature"]


def test_the_contrast_alone_sums_no_squares(monkeypatch):
    """A part that is not wanted is not computed."""
    monkeypatch.setattr(afdcd, "summed_squares", None)
    feature = torch.randn(2, 8, 8, 8)
    loss = contrast(parts=frozenset({"contrastive"}))
    assert list(loss(feature, feature, NO_LABELS, draw=fresh())) == ["contrastive"]


def test_the_enhanced_generator_is_a_mean_of_two_ways():
    """With weights 1 on one position: 2 by one convolution and 2 by two give (2 + 2)/2; -2 gives nothing."""
    generator = EnhancedGenerator(1)
    filled(generator, 1.0)
    assert generator(torch.full((1, 1, 1, 1), 2.0)).item() == 2
    assert generator(torch.full((1, 1, 1, 1), -2.0)).item() == 0


# DiffKD


def test_the_schedule_keeps_the_less_noisy_half():
    """Five steps of a thousand times go 400, 300 … 0; what each keeps leads from ᾱ of 400 to no noise, 1."""
    schedule = Schedule(1000, 5)
    assert [time for time, _, _ in schedule.steps] == [400, 300, 200, 100, 0]
    whole = prod(kept for _, kept, _ in schedule.steps)
    assert whole == pytest.approx(schedule.signal[400].item() ** -0.5, rel=1e-6)


def test_the_last_step_takes_all_noise_away():
    """At time 0 the signal's share is 0.9999: x = √0.9999·2 + √0.0001·3 with its noise 3 known gives 2."""
    ((_, kept, added),) = Schedule(1000, 1).steps
    assert kept * (0.9999**0.5 * 2 + 0.01 * 3) + added * 3 == pytest.approx(2, rel=1e-5)


def test_noise_is_added_by_square_roots():
    """At time 0 the share of signal is 0.9999: √0.9999·2 + √0.0001·3."""
    noisy = Schedule(1000, 5).add(torch.full((1, 1, 1, 1), 3.0), torch.full((1, 1, 1, 1), 2.0), torch.tensor([0]))
    assert noisy.item() == pytest.approx(2 * 0.9999**0.5 + 3 * 0.01, rel=1e-5)


@pytest.mark.parametrize(
    ("part", "idle"),
    [("kd", ("dec_conv",)), ("diffusion", ("refine", "dec_conv")), ("autoencoder", ("refine", "denoiser"))],
)
def test_a_part_of_diffusion_that_is_not_wanted_is_not_computed(part, idle):
    """Each part runs alone, and what only the others need is not called."""
    loss = Diffusion(parts=frozenset({part}), student_channels=4, teacher_channels=8, ae_channels=0)
    called = []
    for name, module in loss.named_modules():
        module.register_forward_hook(lambda *_, name=name: called.append(name))
    found = loss(torch.randn(2, 4, 4, 4), torch.randn(2, 8, 4, 4), NO_LABELS, draw=fresh())
    assert list(found) == [part]
    names = {name.rpartition(".")[2] if "dec" in name else name.partition(".")[0] for name in called}
    names |= {"refine"} & ({"refine"} if "student_proj" in called else set())
    assert not names & set(idle)


def test_the_encoder_learns_from_reconstruction_alone():
    """The target is detached: the other parts give the encoder no gradient, nor the student one by the denoiser's."""
    loss = Diffusion(parts=ALL, student_channels=4, teacher_channels=8, ae_channels=4)
    student = torch.randn(2, 4, 4, 4, requires_grad=True)
    parts = loss(student, torch.randn(2, 8, 4, 4), NO_LABELS, draw=fresh())
    encoder = loss.ae.enc_conv.weight
    reaches = {
        part: tuple(
            gradient is not None
            for gradient in torch.autograd.grad(value, [student, encoder], retain_graph=True, allow_unused=True)
        )
        for part, value in parts.items()
    }
    assert reaches == {"kd": (True, False), "diffusion": (False, False), "autoencoder": (False, True)}


@pytest.mark.parametrize(("teacher", "asked", "latent"), [(2048, 0, 1024), (10, 0, 5), (1, 0, 1), (10, 7, 7)])
def test_the_latent_is_half_the_teacher_unless_said(teacher, asked, latent):
    """The released 1024 is half of the last stage's 2048."""
    with torch.device("meta"):
        loss = Diffusion(parts=ALL, student_channels=4, teacher_channels=teacher, ae_channels=asked)
    assert loss.student_proj.out_channels == latent


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"use_ae": False}, "part 'autoencoder' with use_ae false"),
        ({"kernel_size": 2}, "kernel_size: found 2: expected an odd number"),
        ({"num_train_timesteps": 2000}, "found 2000: expected from 1 to 1280"),
        ({"inference_steps": 0}, "inference_steps: found 0"),
        ({"inference_steps": 501}, "inference_steps: found 501"),
    ],
)
def test_diffusion_refuses_settings_that_do_not_fit(settings, message):
    """At construction, with the setting's name."""
    with pytest.raises(BadInput, match=message):
        Diffusion(parts=ALL, student_channels=4, teacher_channels=8, **settings)


# TransKD


def test_levels_get_the_weights_in_turn():
    """A difference of 1 everywhere is 1 at any level; of (2, 0) over a 2×1 map: (2·1 + ½·1)/(1 + ½).

    Its height is 2, so that only the level of one position is below it, and takes the first weight.
    """
    assert at_all_levels(torch.ones(1, 1, 8, 8), torch.zeros(1, 1, 8, 8)).item() == pytest.approx(1)
    output = torch.tensor([[[[2.0], [0.0]]]])
    assert at_all_levels(output, torch.zeros(1, 1, 2, 1)).item() == pytest.approx((2 + 0.5) / 1.5)


def test_a_single_row_has_no_levels():
    """No level is below a height of 1: the plain mean of squares is left."""
    assert at_all_levels(torch.tensor([[[[2.0, 0.0]]]]), torch.zeros(1, 1, 1, 2)).item() == 2


def test_the_attention_shares_each_channel_between_two():
    """Whatever the maps, what both get sums to 1; one image takes the branch without a norm."""
    stage = FusedStage(4, 6, 8, attention=3)
    for images in (1, 2):
        share = stage.attention(torch.randn(images, 6, 2, 2))
        assert torch.allclose(share.sum(dim=1), torch.ones(images, 6, 1, 1))
    share = stage.attention(torch.randn(1, 6, 2, 2))
    (norm,) = torch.autograd.grad(share[:, 0].sum(), [stage.att_norm.weight], allow_unused=True)
    assert norm is None


def test_embeddings_by_hand():
    """Identity projections, differences 1 and 2 everywhere, weights 0.5 and 3: 0.5·1 + 3·4."""
    loss = Embeddings(student_channels=(1, 1), teacher_channels=(1, 1), embed_weights=(0.5, 3.0))
    filled(loss, 1.0)
    student = (torch.ones(2, 4, 1), torch.full((2, 2, 1), 2.0))
    assert loss(student, (torch.zeros(2, 4, 1), torch.zeros(2, 2, 1)), NO_LABELS, draw=NOTHING).item() == 12.5


@pytest.mark.parametrize("weights", [(1.0,), (0.0, 0.0)])
def test_embeddings_want_a_weight_a_stage(weights):
    """Two stages, one weight; or nothing to compute."""
    with pytest.raises(BadInput, match="embed_weights"):
        Embeddings(student_channels=(1, 1), teacher_channels=(1, 1), embed_weights=weights)


def test_an_embedding_of_weight_zero_is_not_projected():
    """Its layer is not called."""
    loss = Embeddings(student_channels=(1, 1), teacher_channels=(1, 1), embed_weights=(0.0, 1.0))
    loss.embed_proj[0].register_forward_hook(lambda *_: pytest.fail("called"))
    embeddings = (torch.ones(2, 4, 1), torch.ones(2, 2, 1))
    loss(embeddings, embeddings, NO_LABELS, draw=NOTHING)


@pytest.mark.parametrize("name", ["diffkd", "transkd"])
def test_one_position_of_one_image_is_refused(name):
    """Batch norms need two values, and say so as a person would."""
    student, teacher = torch.ones(1, 4, 1, 1), torch.ones(1, 8, 1, 1)
    loss: nn.Module = Diffusion(parts=ALL, student_channels=4, teacher_channels=8, ae_channels=0)
    if name == "transkd":
        loss, student, teacher = Fusion(student_channels=(4,), teacher_channels=(8,)), (student,), (teacher,)
    with pytest.raises(BadInput, match="one image with one position"):
        loss(student, teacher, NO_LABELS, draw=fresh())


# All four


@pytest.mark.parametrize("reduced", [False, True], ids=["float32", "bfloat16"])
@pytest.mark.parametrize("name", every_loss())
@pytest.mark.parametrize("value", [0.0, 7.0, 1000.0], ids=["zero", "constant", "large"])
def test_losses_and_gradients_are_finite(name, value, reduced):
    """For features of zeros, of one number and of ±1000, in single precision and under autocast."""
    torch.manual_seed(0)
    loss, ours, theirs = every_loss()[name]
    given = value if value != 1000.0 else lambda shape: 2000 * torch.rand(shape) - 1000
    student, teacher = made(ours, given), made(theirs, given)
    wanted = [tensor.requires_grad_() for tensor in leaves(student)]
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=reduced):
        found = total(loss, student, teacher)
    gradients = torch.autograd.grad(found, [*wanted, *loss.parameters()], allow_unused=True)
    assert found.dtype == torch.float32
    assert found.isfinite()
    assert all(gradient.isfinite().all() for gradient in gradients if gradient is not None)
    assert all(gradient is not None for gradient in gradients[: len(wanted)])


@pytest.mark.parametrize("name", every_loss())
def test_the_same_state_gives_the_same_loss(name):
    """What a state dict holds and a seed is all that a loss depends on."""
    torch.manual_seed(0)
    (loss, ours, theirs), (again, _, _) = every_loss()[name], every_loss()[name]
    again.load_state_dict(loss.state_dict())
    student, teacher = made(ours, torch.randn), made(theirs, torch.randn)
    assert torch.equal(total(loss, student, teacher), total(again, student, teacher))


@pytest.mark.parametrize("name", ["mgd", "afdcd", "diffkd", "transkd fusion"])
def test_other_positions_are_refused(name):
    """Nothing stretches one feature to the other."""
    loss, ours, theirs = every_loss()[name]
    smaller = [(*shape[:3], 4) for shape in theirs] if isinstance(theirs, list) else (*theirs[:3], 4)
    if isinstance(theirs, list):
        smaller = [(*theirs[0][:3], 2), (*theirs[1][:3], 2)]
    with pytest.raises(BadInput, match="expected the same height and width"):
        total(loss, made(ours, 1.0), made(smaller, 1.0))


def test_the_generator_keeps_the_size():
    """Both generators are the shape of what they are given."""
    assert Generator(3)(torch.ones(2, 3, 5, 7)).shape == (2, 3, 5, 7)
    assert EnhancedGenerator(3)(torch.ones(2, 3, 5, 7)).shape == (2, 3, 5, 7)
