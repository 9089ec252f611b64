"""CIRKD and CIRKDv2: relations and queues by hand, the released defect and its repair, resuming, what is not built."""

from contextlib import nullcontext
from math import e, log, sqrt, tanh
from pathlib import Path

import pytest
import torch
import yaml
from torch import Tensor, nn
from torch.nn import functional

from harness.distill import relations
from harness.distill.draw import Draw, StoredDraw
from harness.distill.shapes import nearest_labels
from harness.ledger.errors import BadInput
from methods import cirkd, cirkdv2
from methods.cirkd import Memory, minibatch, write
from methods.cirkdv2 import CHANNEL_PARTS, PIXEL_PARTS, Channel, Context, Contextual

NOTHING = StoredDraw({})
NO_LABELS = torch.full((1, 1, 1), 255)
BOTH = frozenset({"pixel", "region"})
ALL = PIXEL_PARTS | CHANNEL_PARTS | {"fitnet", "minibatch"}


def pixels(*vectors: tuple[float, ...]) -> Tensor:
    """One image, a vector a pixel of its one row: 1×C×1×n."""
    return torch.tensor(vectors, dtype=torch.float64).T[None, :, None, :]


def random(*shape: int, seed: int = 0, scale: float = 1.0) -> Tensor:
    """Of this scale."""
    return scale * torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def drawing(seed: int = 0, device: str = "cpu") -> Draw:
    """A fresh source of random numbers."""
    return Draw(torch.Generator().manual_seed(seed), torch.device(device))


def small_memory(**settings: object) -> Memory:
    """Two classes, queues of 8 pixels and 4 regions, half of them drawn, widths 3 → 4."""
    sizes = {"pixel_size": 8, "region_size": 4, "pixel_samples": 6, "region_samples": 2, "pixels_an_image": 3}
    given = {"student_channels": 3, "teacher_channels": 4, "classes": 2, "parts": BOTH}
    return Memory(**{**sizes, **given, **settings})


def small_contextual(**settings: object) -> Contextual:
    """All parts at 4×8, two classes, widths 6 → 4."""
    sizes = {"pixel_size": 32, "region_size": 4, "channel_size": 16, "channel_samples": 8}
    given = {"student_channels": 6, "teacher_channels": 4, "student_size": (4, 8), "teacher_size": (4, 8)}
    return Contextual(**{**sizes, **given, "classes": 2, "parts": ALL, **settings})


def labels_of(images: int = 2) -> Tensor:
    """8×16 labels of two classes, some of them ignored."""
    labels = torch.zeros(images, 8, 16, dtype=torch.int64)
    labels[:, :, 8:] = 1
    labels[:, 6:] = 255
    return labels


# The mini-batch loss.


def test_minibatch_by_hand():
    """Similarities at τ = 1: the teacher's pixels agree, 1/2 and 1/2; the student's do not, e/(e+1) and 1/(e+1).

    KL = −log 2 − ½·log(e/(e+1)²) = log((e+1)/2) − 1/2 for both pixels. Lengths do not matter.
    """
    student, teacher = pixels((2.0, 0.0), (0.0, 5.0)), pixels((1.0, 1.0, 1.0), (3.0, 3.0, 3.0))
    loss = minibatch(student, teacher, NO_LABELS, draw=NOTHING, temperature=1.0)
    assert loss.item() == pytest.approx(log((e + 1) / 2) - 1 / 2, rel=1e-12)


def test_minibatch_looks_across_images():
    """The teacher's pixels agree everywhere, the student's in its second image only: rows of 1/2, 1/2 on that one.

    So pairs that look at the second image cost nothing, the others log((e+1)/2) − 1/2 each, whoever looks.
    """
    student = torch.cat([pixels((1.0, 0.0), (0.0, 1.0)), pixels((1.0, 0.0), (1.0, 0.0))])
    teacher = torch.cat([pixels((1.0, 0.0), (1.0, 0.0))] * 2)
    loss = minibatch(student, teacher, NO_LABELS, draw=NOTHING, temperature=1.0)
    assert loss.item() == pytest.approx((log((e + 1) / 2) - 1 / 2) / 2, rel=1e-12)


def test_minibatch_averages_large_maps(monkeypatch):
    """4×4 where both sides are large, k×k with pooling k, whatever hangs over the edge by itself, never with 1."""
    student, teacher = random(2, 3, 9, 10), random(2, 5, 9, 10, seed=1)

    def loss(pooling: int) -> float:
        return minibatch(student, teacher, NO_LABELS, draw=NOTHING, pooling=pooling).item()

    def of_averages(kernel: int) -> float:
        means = (functional.avg_pool2d(x, kernel, ceil_mode=True) for x in (student, teacher))
        return minibatch(*means, NO_LABELS, draw=NOTHING, pooling=1).item()

    assert len({of_averages(1), of_averages(2), of_averages(4)}) == 3
    assert [loss(0), loss(1), loss(2)] == [of_averages(1), of_averages(1), of_averages(2)]
    monkeypatch.setattr(cirkd, "LARGE", 9)
    assert loss(0) == of_averages(4)
    monkeypatch.setattr(cirkd, "LARGE", 10)
    assert loss(0) == of_averages(1)


def test_minibatch_refuses_other_positions():
    """Widths may differ, positions may not."""
    with pytest.raises(BadInput, match="expected the same height and width"):
        minibatch(torch.ones(1, 2, 2, 2), torch.ones(1, 2, 1, 2), NO_LABELS, draw=NOTHING)


# The queues.


def test_nearest_labels_by_hand():
    """Of five labels for three positions ⌊i·5/3⌋ = 0, 1, 3 remain."""
    labels = torch.tensor([[[7, 8, 9, 10, 11]]])
    assert nearest_labels(labels, 1, 3).tolist() == [[[7, 8, 10]]]


@pytest.mark.parametrize(
    ("pointer", "count", "queue", "after"),
    [
        (1, 2, [0, 1, 2, 0, 0], 3),
        (1, 0, [0, 0, 0, 0, 0], 1),
        (3, 2, [0, 0, 0, 1, 2], 0),
        (4, 2, [0, 0, 0, 1, 2], 0),
        (4, 1, [0, 0, 0, 0, 1], 0),
        (0, 3, [1, 2, 3, 0, 0], 3),
    ],
)
def test_write_wraps_to_the_last_slots(pointer, count, queue, after):
    """Vectors 1, 2, 3 into five slots: what would reach the end takes the last slots, then the pointer is at 0."""
    slots, pointers = torch.zeros(2, 5, 1), torch.tensor([0, pointer])
    write(slots, pointers, torch.tensor([[1.0, 2.0, 3.0]] * 2)[..., None], torch.tensor([0, count]))
    assert slots[..., 0].tolist() == [[0] * 5, queue]
    assert pointers.tolist() == [0, after]


def enqueued(**settings: object) -> Memory:
    """After one image of six pixels, pixel n along axis n, class 1 at pixels 2, 3 and 5, the draw 2, 0, 1."""
    memory = small_memory(student_channels=3, teacher_channels=6, **settings)
    labels = torch.tensor([[[0, 0, 1, 1, 255, 1]]])
    draw = StoredDraw(
        {
            "enqueue/0": torch.tensor([[1, 0, 0], [2, 0, 1]]),
            "pixel_index": torch.arange(4),
            "region_index": torch.arange(2),
        }
    )
    memory(random(1, 3, 1, 6), 2 * torch.eye(6)[None, :, None, :], labels, draw=draw)
    return memory


def test_as_released_a_class_takes_the_first_pixels_of_the_image():
    """Class 1 has three pixels, so the draw 2, 0, 1 is taken as raster positions: two of them are class 0's."""
    memory = enqueued()
    assert memory.teacher_pixel_queue[1, :3].argmax(dim=1).tolist() == [2, 0, 1]
    assert memory.teacher_pixel_queue[0, :2].argmax(dim=1).tolist() == [1, 0]
    assert memory.pixel_queue_ptr.tolist() == [2, 3]


def test_put_right_a_class_takes_its_own_pixels():
    """The same draw ranks class 1's pixels 2, 3, 5: the third, the first, the second."""
    memory = enqueued(own_pixels=True)
    assert memory.teacher_pixel_queue[1, :3].argmax(dim=1).tolist() == [5, 2, 3]
    assert memory.teacher_pixel_queue[0, :2].argmax(dim=1).tolist() == [1, 0]
    assert memory.teacher_pixel_queue[1, :3].norm(dim=1).tolist() == [1, 1, 1]


def test_a_region_is_the_direction_of_the_mean():
    """Of three orthogonal unit vectors: 1/√3 along each."""
    memory = enqueued()
    expected = [0, 0, 1 / sqrt(3), 1 / sqrt(3), 0, 1 / sqrt(3)]
    assert memory.teacher_segment_queue[1, 0].tolist() == pytest.approx(expected)
    assert memory.segment_queue_ptr.tolist() == [1, 1]


def test_an_absent_class_takes_nothing():
    """All labels 0: class 1's queues and pointers stay as they were."""
    memory = small_memory()
    before = {name: buffer.clone() for name, buffer in memory.named_buffers()}
    memory(random(2, 3, 4, 4), random(2, 4, 4, 4), torch.zeros(2, 8, 8, dtype=torch.int64), draw=drawing())
    for name in ("teacher_pixel_queue", "teacher_segment_queue", "pixel_queue_ptr", "segment_queue_ptr"):
        assert torch.equal(memory.get_buffer(name)[1], before[name][1])
        assert not torch.equal(memory.get_buffer(name)[0], before[name][0])


def test_queues_start_as_directions_from_the_global_generator():
    """One seed, one start; every vector of length 1."""
    torch.manual_seed(3)
    first = small_memory().teacher_pixel_queue
    torch.manual_seed(3)
    assert torch.equal(small_memory().teacher_pixel_queue, first)
    torch.testing.assert_close(first.norm(dim=2), torch.ones(2, 8))


def test_queues_are_updated_in_place():
    """At Cityscapes' size they are nearly a gigabyte: no step may copy them."""
    memory = small_memory()
    places = [buffer.data_ptr() for _, buffer in memory.named_buffers()]
    memory(random(2, 3, 4, 8), random(2, 4, 4, 8), labels_of(), draw=drawing())
    assert [buffer.data_ptr() for _, buffer in memory.named_buffers()] == places


# The memory's loss.


@pytest.mark.parametrize(("kd_temperature", "expected"), [(1.0, tanh(1 / 2)), (2.0, 2 * tanh(1 / 4))])
def test_memory_by_hand(kd_temperature, expected):
    """X holds the teacher's direction, just written, and the student's: similarities (1, 0) against (0, 1) at τ = 1.

    KL = p₁ − p₂ = (e − 1)/(e + 1) = tanh ½; with T₂ = 2 it is 4·½·tanh ¼. An ignored pixel changes nothing.
    """
    sizes = {"student_channels": 2, "teacher_channels": 2, "classes": 1, "pixel_size": 2, "pixels_an_image": 1}
    memory = small_memory(**sizes, parts=frozenset({"pixel"}), temperature=1.0, kd_temperature=kd_temperature).double()
    memory.project_head = nn.Identity()
    memory.teacher_pixel_queue.copy_(torch.tensor([[[0.6, 0.8], [0.0, 1.0]]]))
    draw = StoredDraw({"enqueue/0": torch.tensor([[0]]), "pixel_index": torch.tensor([0, 1])})
    student, teacher = pixels((0.0, 3.0), (1.0, 1.0)), pixels((7.0, 0.0), (0.0, 1.0))
    losses = memory(student, teacher, torch.tensor([[[0, 255]]]), draw=draw)
    assert {name: loss.item() for name, loss in losses.items()} == {"pixel": pytest.approx(expected, rel=1e-12)}


def test_memory_draws_the_same_slots_of_every_class():
    """⌊6/2⌋ + 1 = 4 of 8 pixel slots and ⌊2/2⌋ + 1 = 2 of 4 region slots: more would not fit the stored numbers."""
    draw = StoredDraw(
        {
            "enqueue/0": torch.zeros(2, 3, dtype=torch.int64),
            "pixel_index": torch.tensor([7, 0, 3, 2]),
            "region_index": torch.tensor([3, 1]),
        }
    )
    losses = small_memory()(random(1, 3, 4, 8), random(1, 4, 4, 8), labels_of(1), draw=draw)
    assert set(losses) == BOTH


@pytest.mark.parametrize("part", ["pixel", "region"])
def test_a_part_that_is_not_wanted_has_no_queue(part):
    """One loss, one queue and its pointer, and nothing drawn for the other."""
    memory = small_memory(parts=frozenset({part}))
    numbers = {f"{part}_index": torch.arange(4 if part == "pixel" else 2)}
    if part == "pixel":
        numbers["enqueue/0"] = torch.zeros(2, 3, dtype=torch.int64)
    losses = memory(random(1, 3, 4, 8), random(1, 4, 4, 8), labels_of(1), draw=StoredDraw(numbers))
    assert set(losses) == {part}
    assert sum("queue" in name for name in memory.state_dict()) == 2


def test_without_labels_the_memory_costs_nothing():
    """All ignored: the losses and their gradients are 0 where the released code gives NaN, and the queues stay."""
    memory, student = small_memory(), random(2, 3, 4, 4).requires_grad_()
    before = memory.teacher_pixel_queue.clone()
    losses = memory(student, random(2, 4, 4, 4), torch.full((2, 8, 8), 255), draw=drawing())
    sum(losses.values()).backward()
    assert [loss.item() for loss in losses.values()] == [0, 0]
    assert not student.grad.any()
    assert torch.equal(memory.teacher_pixel_queue, before)


def test_a_queue_must_hold_what_an_image_gives():
    """Sixteen pixels do not fit ten slots."""
    with pytest.raises(BadInput, match="pixel_size 10: expected at least the 16 pixels an image gives"):
        small_memory(pixel_size=10, pixels_an_image=16)


def test_fixed_differs_by_its_own_pixels_alone():
    """The two descriptors have the same terms but for one setting."""
    folder = Path(cirkd.__file__).parent
    terms = [yaml.safe_load((folder / f"{name}.yaml").read_text())["terms"] for name in ("cirkd", "cirkd_fixed")]
    assert [term[2]["with"].pop("own_pixels") for term in terms] == [False, True]
    assert terms[0] == terms[1]


# CIRKDv2's channels.


def test_channels_by_hand():
    """Pooled to two positions the student's channels are (1, 0) and (0, 1), the teacher's both (1, 0).

    So related at τ = 1 the pairs cost log((e+1)/2) − 1/2, as the pixels above; (s − t)² is 2 over four elements.
    """
    parts = frozenset({"channel_minibatch", "channel_mse"})
    sides = {"student_channels": 2, "teacher_channels": 2, "student_size": (4, 8), "teacher_size": (4, 8)}
    channel = Channel(**sides, parts=parts, temperature=1.0)
    channel.project_head = nn.Identity()
    left, right = (torch.zeros(4, 8, dtype=torch.float64) for _ in range(2))
    left[:, :4], right[:, 4:] = 3.0, 5.0
    student, teacher = torch.stack([left, right])[None], torch.stack([left, 2 * left])[None]
    losses = channel(student, teacher, NO_LABELS, draw=NOTHING)
    assert losses["channel_minibatch"].item() == pytest.approx(log((e + 1) / 2) - 1 / 2, rel=1e-12)
    assert losses["channel_mse"].item() == pytest.approx(1 / 2, rel=1e-12)


def test_channel_memory_by_hand():
    """As the memory's: the queue takes the teacher's channel (1, 0) at its pointer, slot 1; slot 0 is the student's."""
    sides = {"student_channels": 1, "teacher_channels": 1, "student_size": (4, 8), "teacher_size": (4, 8)}
    channel = Channel(**sides, parts=frozenset({"channel_memory"}), temperature=1.0, channel_size=2).double()
    channel.project_head = nn.Identity()
    channel.teacher_channel_queue.copy_(torch.tensor([[0.0, 1.0], [0.6, 0.8]]))
    channel.channel_queue_ptr.fill_(1)
    feature = torch.zeros(1, 1, 4, 8, dtype=torch.float64)
    feature[..., :4] = 1
    draw = StoredDraw({"channel_enqueue_perm": torch.tensor([0]), "channel_index": torch.tensor([0, 1])})
    losses = channel(feature.flip(3), feature, NO_LABELS, draw=draw)
    assert losses["channel_memory"].item() == pytest.approx(tanh(1 / 2), rel=1e-12)
    assert channel.teacher_channel_queue.tolist() == [[0, 1], [1, 0]]
    assert channel.channel_queue_ptr.tolist() == [0]


@pytest.mark.parametrize("size", [(45, 45), (8, 6)])
def test_channels_need_multiples_of_four(size):
    """CamVid's 360×360 at stride 8 is 45×45, which is said before a run begins; the pixels' parts would do."""
    with pytest.raises(BadInput, match="multiples of 4"):
        small_contextual(student_size=size, teacher_size=size)
    small_contextual(student_size=size, teacher_size=size, parts=ALL - CHANNEL_PARTS)


# CIRKDv2 as a whole.


def test_context_is_the_formula():
    """Softmax of Q·K/√C' over positions, written out, with batch norms that pass values on."""
    context = Context(4).double().eval()
    feature = random(2, 4, 2, 3).double()
    query, key, value = (node(feature).flatten(2) for node in (context.node_q, context.node_k, context.node_v))
    attention = (query.transpose(1, 2) @ key / sqrt(2)).softmax(dim=2)  # B×N×N
    heard = context.conv1((value @ attention.transpose(1, 2)).reshape(2, 2, 2, 3))
    torch.testing.assert_close(context(feature), context.out_conv(torch.cat([feature, heard], dim=1)))


def test_context_keeps_nothing_of_all_pairs():
    """Of 1024 positions no tensor kept for the backward pass holds 1024² numbers, nor do all together."""
    kept = []
    with torch.autograd.graph.saved_tensors_hooks(lambda tensor: kept.append(tensor.numel()) or tensor, lambda x: x):
        Context(8)(random(1, 8, 32, 32).requires_grad_())
    assert sum(kept) < 1024**2 / 4


def test_groups_part_the_pairs_and_nothing_else():
    """By ones, an image meets itself alone: the mean of the two images' own losses; the other parts see the batch."""
    student, teacher = random(2, 6, 4, 8), random(2, 4, 4, 8, seed=1)
    losses = {}
    for group in (1, 2, None):
        torch.manual_seed(0)
        module = small_contextual(group=group, context=False)
        losses[group] = {k: v.item() for k, v in module(student, teacher, labels_of(), draw=drawing()).items()}
    alone = [minibatch(student[i : i + 1], teacher[i : i + 1], NO_LABELS, draw=NOTHING).item() for i in range(2)]
    assert losses[1]["minibatch"] == pytest.approx(sum(alone) / 2, rel=1e-6)
    assert losses[2] == losses[None]
    changed = {name for name in ALL if losses[1][name] != losses[2][name]}
    assert changed == {"minibatch", "channel_minibatch"}


@pytest.mark.parametrize(
    ("parts", "built"),
    [
        ({"fitnet"}, {"gcn", "fitnet"}),
        ({"minibatch"}, {"gcn"}),
        ({"pixel"}, {"gcn", "memory"}),
        ({"channel_mse"}, {"gcn", "channel"}),
        (ALL, {"gcn", "fitnet", "memory", "channel"}),
    ],
)
def test_what_no_part_needs_is_not_built(parts, built):
    """The context module is shared by all; the rest comes with its parts, and the losses are those asked for."""
    module = small_contextual(parts=frozenset(parts))
    assert {name.partition(".")[0] for name in module.state_dict()} == built
    losses = module(random(2, 6, 4, 8), random(2, 4, 4, 8), labels_of(), draw=drawing())
    assert set(losses) == parts


def test_without_context_the_feature_is_the_students_own():
    """Nothing is built for the mini-batch loss alone, and it is cirkd's."""
    module = small_contextual(parts=frozenset({"minibatch"}), context=False)
    student, teacher = random(2, 6, 4, 8), random(2, 4, 4, 8, seed=1)
    assert not module.state_dict()
    losses = module(student, teacher, labels_of(), draw=NOTHING)
    assert losses["minibatch"].item() == minibatch(student, teacher, NO_LABELS, draw=NOTHING).item()


@pytest.mark.parametrize("make", [small_memory, small_contextual])
def test_a_run_resumes_where_it_stopped(make):
    """What state_dict holds is all there is: a fresh module that loads it gives the same losses to the bit."""
    student, teacher = random(2, 6, 4, 8), random(2, 4, 4, 8, seed=1)
    student = student[:, :3] if make is small_memory else student
    first, second = make(), make()
    first(student, teacher, labels_of(), draw=drawing())
    second.load_state_dict(first.state_dict())
    losses = [module(student, teacher, labels_of(), draw=drawing(1)) for module in (first, second)]
    assert {k: v.item() for k, v in losses[0].items()} == {k: v.item() for k, v in losses[1].items()}
    for name, value in first.state_dict().items():
        assert torch.equal(second.state_dict()[name], value), name


@pytest.mark.parametrize("labels", [labels_of(), torch.zeros(2, 8, 16, dtype=torch.int64), torch.full((2, 8, 16), 255)])
@pytest.mark.parametrize("student", [random(2, 6, 4, 8, scale=1000.0), torch.zeros(2, 6, 4, 8)])
@pytest.mark.parametrize("autocast", [False, True])
def test_whatever_comes_all_is_finite(labels, student, autocast):
    """Large, empty or without labels, in single precision and in mixed: losses and gradients are numbers."""
    module, student = small_contextual(), student.clone().requires_grad_()
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=autocast):
        losses = module(student, random(2, 4, 4, 8, scale=1000.0), labels, draw=drawing())
    sum(losses.values()).backward()
    assert all(loss.isfinite() and loss.dtype == torch.float32 for loss in losses.values())
    assert student.grad.isfinite().all()
    assert all(parameter.grad.isfinite().all() for parameter in module.parameters() if parameter.grad is not None)


@pytest.mark.parametrize("own_pixels", [False, True])
def test_nothing_waits_for_the_device(own_pixels, monkeypatch):
    """On the meta device no number is known, so that whoever asked for one would be refused."""
    for module in (cirkd, cirkdv2, relations):
        monkeypatch.setattr(module, "full_precision", lambda tensor: nullcontext())  # meta tensors know no autocast
    module = small_contextual(own_pixels=own_pixels).to("meta")
    student = torch.empty(2, 6, 4, 8, device="meta", requires_grad=True)
    teacher, labels = torch.empty(2, 4, 4, 8, device="meta"), torch.empty(2, 8, 16, device="meta", dtype=torch.int64)
    losses = module(student, teacher, labels, draw=drawing(device="meta"))
    sum(losses.values()).backward()
    assert student.grad.shape == student.shape
