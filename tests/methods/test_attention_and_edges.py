"""AttnFD, AICSD and BPKD against numbers worked out by hand, and against their equations written down plainly."""

import copy
from math import log, sqrt

import pytest
import torch
from torch import nn
from torch.nn import functional

from harness.distill.draw import StoredDraw
from harness.distill.shapes import IGNORED
from harness.ledger.errors import BadInput
from methods import aicsd, bpkd
from methods.aicsd import class_similarity
from methods.attnfd import AttentionDistance, ReleasedAttentionDistance
from methods.bpkd import boundary_privileged, edge_mask
from methods.dist import relation
from methods.featl2norm import normalized_l2

NOTHING = StoredDraw({})
NO_LABELS = torch.full((1, 1, 1), IGNORED)
SIMILARITIES = frozenset({"interclass", "pixel"})
REGIONS = frozenset({"edge", "body"})


def maps(*channels: tuple[float, ...]) -> torch.Tensor:
    """One image, one column of pixels, a channel an argument: 1×C×n×1."""
    return torch.tensor(channels, dtype=torch.float64)[None, :, :, None]


def random_maps(*shape: int, scale: float = 1.0, seed: int = 0) -> torch.Tensor:
    return scale * torch.randn(shape, generator=torch.Generator().manual_seed(seed))


# AttnFD


def plain(module: AttentionDistance) -> AttentionDistance:
    """All gates at 1/2 and the connector an identity before its norm."""
    for attention in [*module.student_cbam, *module.teacher_cbam]:
        for parameter in attention.parameters():
            parameter.data.zero_()
    module.connector[0].conv.weight.data.copy_(torch.eye(16)[:, :, None, None])
    return module


def test_attention_distance_by_hand():
    """Every channel (1, −1) against (1, 0): the angle's cosine is 1/√2, so 2·(1 − 1/√2) on one image, at any scale."""
    module = plain(AttentionDistance(student_channels=16, teacher_channels=16)).double()
    loss = module(maps(*[(9.0, 7.0)] * 16), maps(*[(5.0, 0.0)] * 16), NO_LABELS, draw=NOTHING)
    assert loss.item() == pytest.approx(2 * (1 - 1 / sqrt(2)), rel=1e-12)


def test_attention_distance_halves_with_twice_the_images():
    """One direction for the whole group, and still a division by its images."""
    module = plain(AttentionDistance(student_channels=16, teacher_channels=16)).double()
    student, teacher = maps(*[(9.0, 7.0)] * 16), maps(*[(5.0, 0.0)] * 16)
    loss = module(torch.cat([student] * 2), torch.cat([teacher] * 2), NO_LABELS, draw=NOTHING)
    assert loss.item() == pytest.approx(1 - 1 / sqrt(2), rel=1e-12)


def test_attention_distance_is_that_of_the_maps_written_down():
    """Sums over positions give what convolution, batch norm and division by the norms give, and its gradient."""
    torch.manual_seed(3)
    module = AttentionDistance(student_channels=(20, 16), teacher_channels=(32, 48)).double()
    for connector in module.connector:
        nn.init.normal_(connector.norm.weight)
        nn.init.normal_(connector.norm.bias)
    students = tuple(random_maps(3, width, 5, 4).double().requires_grad_() for width in (20, 16))
    teachers = tuple(random_maps(3, width, 5, 4, seed=1).double() for width in (32, 48))
    expected = torch.zeros((), dtype=torch.float64)
    for place in (0, 1):
        gated, spatial = module.student_cbam[place](students[place])
        connector = module.connector[place]
        ours = connector.norm(connector.conv(gated * spatial))
        gated, spatial = module.teacher_cbam[place](teachers[place])
        theirs = gated * spatial
        expected = expected + (ours / ours.norm() - theirs / theirs.norm()).square().sum() / 3
    loss = module(students, teachers, NO_LABELS, draw=NOTHING)
    leaves = [*students, *(parameter for parameter in module.parameters() if parameter.requires_grad)]
    torch.testing.assert_close(loss, expected, rtol=1e-12, atol=0)
    torch.testing.assert_close(torch.autograd.grad(loss, leaves), torch.autograd.grad(expected, leaves))


def test_attention_needs_a_channel_behind_its_gate():
    """15 channels over 16 would be none."""
    with pytest.raises(BadInput, match="a stage of 15 channels: expected at least 16"):
        AttentionDistance(student_channels=(15,), teacher_channels=(16,))


def test_released_attention_trains_what_its_authors_optimizer_knows():
    """The student's spatial gate and nothing else; fixed, all but the teacher's attention."""
    released = ReleasedAttentionDistance(student_channels=(16,), teacher_channels=(16,))
    fixed = AttentionDistance(student_channels=(16,), teacher_channels=(16,))
    spatial = {"spatial_conv.weight", "spatial_norm.weight", "spatial_norm.bias"}
    assert {name for name, parameter in released.named_parameters() if parameter.requires_grad} == {
        f"student_cbam.0.{name}" for name in spatial
    }
    assert {name.partition(".")[0] for name, parameter in fixed.named_parameters() if not parameter.requires_grad} == {
        "teacher_cbam"
    }
    assert (released.needs_preparation, released.prepares_with_student) == (True, True)
    assert not fixed.needs_preparation


def prepared(module: ReleasedAttentionDistance, calls: range) -> ReleasedAttentionDistance:
    for call in calls:
        student, teacher = random_maps(2, 16, 4, 4), random_maps(2, 16, 4, 4, seed=1)
        module.prepare((student,), (teacher,), NO_LABELS, draw=NOTHING, progress=call / 6)
    return module


def test_preparation_moves_the_connectors_alone_towards_the_teacher():
    """Their distance falls, all else stays, and afterwards they are frozen again."""
    torch.manual_seed(0)
    module = ReleasedAttentionDistance(student_channels=(16,), teacher_channels=(16,), preparation_rate=1.0)
    before = copy.deepcopy(module)
    prepared(module, range(6))
    taps = (random_maps(2, 16, 4, 4),), (random_maps(2, 16, 4, 4, seed=1),), NO_LABELS
    assert module(*taps, draw=NOTHING) < before(*taps, draw=NOTHING)
    pairs = zip(module.named_parameters(), before.parameters(), strict=True)
    assert {name.partition(".")[0] for (name, new), old in pairs if not new.equal(old)} == {"connector"}
    assert not any(parameter.requires_grad for parameter in module.connector.parameters())


def test_preparation_resumes_bit_for_bit():
    """A state dict after three of six updates carries on as if nothing had happened, momentum and all."""
    torch.manual_seed(0)
    through = prepared(ReleasedAttentionDistance(student_channels=(16,), teacher_channels=(16,)), range(3))
    resumed = ReleasedAttentionDistance(student_channels=(16,), teacher_channels=(16,))
    resumed.load_state_dict(copy.deepcopy(through.state_dict()))
    prepared(through, range(3, 6))
    prepared(resumed, range(3, 6))
    assert all(one.equal(other) for one, other in zip(through.parameters(), resumed.parameters(), strict=True))


@pytest.mark.parametrize("scale", [0.0, 1000.0])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_attention_distance_is_finite(scale, dtype):
    """Nothing at all, or very much of it, in single precision and within mixed precision."""
    module = AttentionDistance(student_channels=(16,), teacher_channels=(32,))
    student = random_maps(2, 16, 4, 4, scale=scale).requires_grad_()
    teacher = random_maps(2, 32, 4, 4, scale=scale, seed=1)
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=dtype == torch.bfloat16):
        loss = module((student,), (teacher,), NO_LABELS, draw=NOTHING)
    loss.backward()
    assert loss.isfinite()
    assert student.grad.isfinite().all()
    assert all(parameter.grad.isfinite().all() for parameter in module.parameters() if parameter.requires_grad)


# AICSD


def test_released_similarity_by_hand():
    """Columns (1/2, 1/2) and (3/4, 1/4) against two even ones, whose rows are (1, 1)/√2."""
    student, teacher = maps((0.0, 0.0), (log(3), 0.0)), maps((0.0, 0.0), (0.0, 0.0))
    even, uneven = log(1 / 2), 3 / 4 * log(3 / 4) + 1 / 4 * log(1 / 4)
    rows = torch.tensor([(even - 1 / 2, uneven - 1 / 2), (uneven - 1 / 2, uneven - 5 / 8)], dtype=torch.float64)
    expected = (rows / rows.norm(dim=1, keepdim=True) + 1 / sqrt(2)).square().mean()
    losses = class_similarity(
        student, teacher, NO_LABELS, draw=NOTHING, parts=frozenset({"interclass"}), enlarged=False
    )
    assert losses["interclass"].item() == pytest.approx(expected.item(), rel=1e-12)


def test_intended_similarity_by_hand():
    """Each class diverges from the other alone, rows (0, 1) and (1, 0), where the teacher's are equal: 1/2."""
    student, teacher = maps((0.0, 0.0), (log(3), 0.0)), maps((0.0, 0.0), (0.0, 0.0))
    losses = class_similarity(
        student,
        teacher,
        NO_LABELS,
        draw=NOTHING,
        parts=frozenset({"interclass"}),
        arithmetic="intended",
        enlarged=False,
    )
    assert losses["interclass"].item() == pytest.approx(1 / 2, rel=1e-12)


def test_intended_similarity_runs_over_all_positions():
    """A map and its transpose are the same distribution; as released they are not."""
    student, teacher = random_maps(1, 3, 2, 4).double(), random_maps(1, 3, 2, 4, seed=1).double()
    settings = {"draw": NOTHING, "parts": frozenset({"interclass"}), "enlarged": False}
    found = {}
    for arithmetic in ("intended", "released"):
        upright = class_similarity(student, teacher, NO_LABELS, arithmetic=arithmetic, **settings)
        lying = class_similarity(
            student.transpose(2, 3), teacher.transpose(2, 3), NO_LABELS, arithmetic=arithmetic, **settings
        )
        found[arithmetic] = torch.isclose(upright["interclass"], lying["interclass"]).item()
    assert found == {"intended": True, "released": False}


def test_pixel_part_is_a_mean_over_classes_at_the_labels_size():
    """Of two classes, at one pixel of which the teacher is sure by 3 to 1; between pixels it is interpolated."""
    student, teacher = maps((0.0, 0.0), (0.0, 0.0)), maps((2 * log(3), 0.0), (0.0, 0.0))
    labels = torch.zeros((1, 3, 1), dtype=torch.int64)
    losses = class_similarity(student, teacher, labels, draw=NOTHING, parts=frozenset({"pixel"}))
    divergences = [p * log(2 * p) + (1 - p) * log(2 * (1 - p)) for p in (9 / 10, 3 / 4, 1 / 2)]
    assert losses.keys() == {"pixel"}
    assert losses["pixel"].item() == pytest.approx(sum(divergences) / 3 / 2, rel=1e-12)


def test_a_similarity_that_weighs_nothing_is_not_computed(monkeypatch):
    """Only the pixel part is asked for, or only the other."""
    logits = random_maps(1, 3, 2, 2)
    settings = {"draw": NOTHING, "enlarged": False}
    with monkeypatch.context() as patched:
        patched.delattr(aicsd, "_similarity")
        assert class_similarity(logits, logits, NO_LABELS, parts=frozenset({"pixel"}), **settings)["pixel"] == 0
    monkeypatch.delattr(aicsd, "kl")
    assert class_similarity(logits, logits, NO_LABELS, parts=frozenset({"interclass"}), **settings)["interclass"] == 0


def test_similarity_has_no_other_arithmetic():
    """Neither the released nor the intended."""
    with pytest.raises(BadInput, match="arithmetic 'paper': expected released or intended"):
        class_similarity(
            maps((1.0,)), maps((1.0,)), NO_LABELS, draw=NOTHING, parts=SIMILARITIES, arithmetic="paper", enlarged=False
        )


@pytest.mark.parametrize("scale", [0.0, 1000.0])
@pytest.mark.parametrize("arithmetic", ["released", "intended"])
def test_similarity_is_finite(arithmetic, scale):
    """Logits all the same, or far apart."""
    student = random_maps(2, 4, 3, 5, scale=scale).requires_grad_()
    teacher, labels = random_maps(2, 4, 3, 5, scale=scale, seed=1), torch.zeros((2, 6, 10), dtype=torch.int64)
    losses = class_similarity(student, teacher, labels, draw=NOTHING, parts=SIMILARITIES, arithmetic=arithmetic)
    sum(losses.values()).backward()
    assert all(loss.isfinite() for loss in losses.values())
    assert student.grad.isfinite().all()


# BPKD


def test_edge_bands_by_hand():
    """Class 0 ends beside class 1, which also ends beside what is ignored; the image's border ends nothing."""
    labels = torch.tensor([[[0, 0, 0, 1, 1, IGNORED]]])
    mask = edge_mask(labels, classes=2, size=(1, 6), kernel=3)
    assert mask.tolist() == [[[[0, 0, 1, 1, 0, 0]], [[0, 0, 1, 1, 1, 0]]]]


def test_edge_bands_are_averaged_over_a_cell():
    """Two of three pixels, and one."""
    labels = torch.tensor([[[0, 0, 0, 1, 1, 1]]])
    assert edge_mask(labels, classes=2, size=(1, 2), kernel=3)[0, 0, 0].tolist() == pytest.approx([1 / 3, 1 / 3])


@pytest.mark.parametrize("classes", [3, 31, 70])
@pytest.mark.parametrize("kernel", [1, 3, 7])
def test_edge_bands_are_dilation_minus_erosion(classes, kernel):
    """Bit sets, in one word or several, give what max pooling of one-hot planes gives."""
    generator = torch.Generator().manual_seed(classes)
    labels = torch.randint(classes + 1, (2, 6, 7), generator=generator).repeat_interleave(3, 1).repeat_interleave(4, 2)
    labels[labels == classes] = IGNORED
    planes = torch.stack([labels == index for index in range(classes)], dim=1).float()
    pool = {"kernel_size": kernel, "stride": 1, "padding": kernel // 2}
    band = functional.max_pool2d(planes, **pool) + functional.max_pool2d(-planes, **pool)
    expected = functional.avg_pool2d(band * (labels != IGNORED)[:, None], (3, 2))
    torch.testing.assert_close(edge_mask(labels, classes, (6, 14), kernel), expected, rtol=0, atol=1e-7)


def test_boundary_parts_by_hand():
    """Both classes' bands are cells 1 and 2: at cell 1 the teacher is sure by 3 to 1, elsewhere all is even."""
    student, teacher = maps((0.0,) * 4, (0.0,) * 4), maps((0.0, log(3), 0.0, 0.0), (0.0,) * 4)
    labels = torch.tensor([[[0], [0], [1], [1]]])
    losses = boundary_privileged(student, teacher, labels, draw=NOTHING, parts=REGIONS, edge_kernel=3)
    divergence = 3 / 4 * log(3 / 2) + 1 / 4 * log(1 / 2)
    assert losses["edge"].item() == pytest.approx(2 * (divergence / 2 + divergence / 2), rel=1e-12)
    assert losses["body"].item() == pytest.approx(0, abs=1e-15)


def test_without_labels_all_is_body():
    """No edges cost nothing, and the body is the channels' divergence of all logits."""
    student, teacher = maps((0.0, 0.0), (1.0, 1.0)), maps((log(3), 0.0), (2.0, 2.0))
    labels = torch.full((1, 4, 2), IGNORED)
    losses = boundary_privileged(student, teacher, labels, draw=NOTHING, parts=REGIONS)
    assert losses["edge"].item() == 0
    assert losses["body"].item() == pytest.approx((3 / 4 * log(3 / 2) + 1 / 4 * log(1 / 2)) / 2, rel=1e-12)


def test_a_region_that_weighs_nothing_is_not_computed(monkeypatch):
    """Only the body is asked for, or only the edges."""
    logits, labels = random_maps(1, 3, 2, 2), torch.zeros((1, 4, 4), dtype=torch.int64)
    with monkeypatch.context() as patched:
        patched.delattr(bpkd, "_edge")
        assert boundary_privileged(logits, logits, labels, draw=NOTHING, parts=frozenset({"body"})).keys() == {"body"}
    monkeypatch.delattr(bpkd, "channel_divergence")
    assert boundary_privileged(logits, logits, labels, draw=NOTHING, parts=frozenset({"edge"})).keys() == {"edge"}


def test_a_window_has_a_middle():
    """Four pixels have none."""
    with pytest.raises(BadInput, match="edge_kernel 4: expected an odd number"):
        edge_mask(NO_LABELS, classes=2, size=(1, 1), kernel=4)


@pytest.mark.parametrize("scale", [0.0, 1000.0])
@pytest.mark.parametrize("label", [0, IGNORED, None])
def test_boundary_parts_are_finite(scale, label):
    """Logits all the same or far apart, over one class, over nothing, over several."""
    student, teacher = random_maps(2, 4, 3, 4, scale=scale).requires_grad_(), random_maps(2, 4, 3, 4, scale=scale)
    several = torch.randint(4, (2, 12, 16), generator=torch.Generator().manual_seed(0))
    labels = several if label is None else torch.full((2, 12, 16), label)
    losses = boundary_privileged(student, -teacher, labels, draw=NOTHING, parts=REGIONS)
    sum(losses.values()).backward()
    assert all(loss.isfinite() for loss in losses.values())
    assert student.grad.isfinite().all()


# What two older losses do with nothing, now that they are leaner


def test_relation_is_finite_where_all_pixels_agree():
    """Constant classes and far logits."""
    student = torch.cat([torch.zeros(1, 3, 2, 2), random_maps(1, 3, 2, 2, scale=1000.0)]).requires_grad_()
    found = relation(student, torch.zeros(2, 3, 2, 2), NO_LABELS, draw=NOTHING, parts=frozenset({"inter", "intra"}))
    sum(found.values()).backward()
    assert student.grad.isfinite().all()


@pytest.mark.parametrize("dist", [False, True])
@pytest.mark.parametrize("normalize", [False, True])
def test_normalized_l2_of_equals_is_nothing_with_a_finite_gradient(normalize, dist):
    """Also where an image is empty, and under a root."""
    features = torch.cat([torch.zeros(1, 3, 2, 2), random_maps(1, 3, 2, 2)]).double()
    student = features.clone().requires_grad_()
    loss = normalized_l2(student, features, NO_LABELS, draw=NOTHING, normalize=normalize, dist=dist)
    loss.backward()
    assert loss.item() == pytest.approx(0, abs=1e-7)
    assert student.grad.isfinite().all()
