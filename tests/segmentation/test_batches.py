"""Batches: what chance decides, and that nothing else does."""

import time
from statistics import median

import numpy as np
import pytest
import torch
from torch import Generator

from harness.ledger.workload import Augmentation, Workload
from harness.segmentation.batches import Batches, Window, first_batches_sha256
from harness.segmentation.data import Split
from tests import factories

CPU = torch.device("cpu")


def workload(batch: int = 2, scale=(1.0, 1.0), crop=(4, 6), flip: float = 0.0, **changes: object) -> Workload:
    plain = factories.workload()
    return factories.workload(
        training=plain.training.model_copy(update={"batch": batch}),
        augmentation=Augmentation(scale=scale, crop=crop, flip=flip),
        **({"mean": (0.0, 0.0, 0.0), "std": (1 / 255, 1 / 255, 1 / 255)} | changes),
    )


def numbered(count: int = 3, height: int = 4, width: int = 6) -> Split:
    """Every pixel of image and label is different in its image."""
    pixels = np.arange(height * width, dtype=np.uint8).reshape(height, width)
    labels = np.stack([pixels + 40 * image for image in range(count)])
    return Split(labels[:, None].repeat(3, axis=1), labels)


def batches(split: Split, held: Workload, order: int = 0, augment: int = 0) -> Batches:
    generators = {"order": Generator().manual_seed(order), "augment": Generator().manual_seed(augment)}
    return Batches(split, held, **generators, device=CPU)


def test_without_scale_and_flip_a_batch_is_the_images_themselves():
    split, held = numbered(), workload()
    loader = batches(split, held)
    indices = batches(split, held).draw().indices.tolist()
    images, labels = next(loader)
    assert (torch.float32, torch.int64) == (images.dtype, labels.dtype)
    assert np.allclose(images.numpy(), split.images[indices])
    assert (labels.numpy() == split.labels[indices]).all()


def test_images_are_normalised_by_the_workloads_mean_and_deviation():
    held = workload(batch=1, mean=(0.5, 0.0, 1.0), std=(0.5, 0.25, 2.0))
    white = Split(np.full((1, 3, 4, 6), 255, np.uint8), np.zeros((1, 4, 6), np.uint8))
    images, _ = next(batches(white, held))
    assert torch.allclose(images[0, :, 0, 0], torch.tensor([1.0, 4.0, 0.0]), atol=1e-6)


def test_every_epoch_shows_every_image_once_and_every_batch_is_full():
    loader = batches(numbered(5), workload(batch=3))
    seen = torch.cat([loader.draw().indices for _ in range(10)]).tolist()
    assert len(seen) == 30
    assert all(sorted(seen[start : start + 5]) == [0, 1, 2, 3, 4] for start in range(0, 30, 5))
    assert len({tuple(seen[start : start + 5]) for start in range(0, 30, 5)}) > 1


def test_a_batch_larger_than_the_split_is_filled_from_several_epochs():
    assert sorted(batches(numbered(2), workload(batch=4)).draw().indices.tolist()) == [0, 0, 1, 1]


def test_flipped_images_and_labels_are_mirrored_together():
    split = numbered(1)
    images, labels = next(batches(split, workload(batch=1, flip=1.0)))
    assert np.allclose(images.numpy(), split.images[..., ::-1])
    assert (labels.numpy() == split.labels[..., ::-1]).all()


def test_about_half_the_images_are_flipped_at_a_half():
    split = numbered(1)
    loader = batches(split, workload(batch=200, flip=0.5))
    _, labels = next(loader)
    flipped = (labels[:, 0, 0] == 5).sum().item()
    assert 70 < flipped < 130


def test_a_crop_shows_a_part_of_the_image_with_its_label():
    images, labels = next(batches(numbered(1, 8, 12), workload(batch=50, crop=(4, 6))))
    assert (images[:, 0] == labels).all()
    assert (labels[:, 1:] - labels[:, :-1] == 12).all()
    corners = {divmod(corner, 12) for corner in labels[:, 0, 0].tolist()}
    assert {0, 1, 2, 3, 4} == {top for top, _ in corners}
    assert {0, 1, 2, 3, 4, 5, 6} == {left for _, left in corners}


def test_a_reduced_image_is_padded_with_the_mean_and_ignored_labels():
    split = Split(np.full((1, 3, 4, 8), 255, np.uint8), np.full((1, 4, 8), 7, np.uint8))
    held = workload(batch=20, scale=(0.5, 0.5), crop=(4, 8), mean=(0.4, 0.4, 0.4), std=(0.2, 0.2, 0.2))
    images, labels = next(batches(split, held))
    inside = labels == 7
    assert (inside.sum(dim=(1, 2)) == 2 * 4).all()  # half of 4 by half of 8
    assert (labels[~inside] == 255).all()
    shown = inside[:, None].expand_as(images)
    assert torch.allclose(images[shown], torch.tensor(3.0))
    assert torch.allclose(images[~shown], torch.tensor(0.0), atol=1e-5)
    assert len(labels[:, :, 0].unique(dim=0)) > 1  # not always in the same place


@pytest.mark.parametrize(
    ("scale", "source", "target"),
    [
        (1.0, ((0, 4), (0, 8)), ((0, 4), (0, 8))),
        (2.0, ((1, 2), (2, 4)), ((0, 4), (0, 8))),
        (0.5, ((0, 4), (0, 8)), ((1, 2), (2, 4))),
    ],
)
def test_the_middle_draw_takes_or_fills_the_middle(scale, source, target):
    augmentation = Augmentation(scale=(scale, scale), crop=(4, 8), flip=0.0)
    assert Window(source, target) == Window.of(augmentation, (4, 8), 0.5, 0.5, 0.5)


def test_an_enlarged_label_holds_no_value_that_the_image_has_not():
    split = numbered(1)
    images, labels = next(batches(split, workload(batch=40, scale=(0.6, 2.0), flip=0.5)))
    assert set(labels.unique().tolist()) <= {*range(24), 255}
    assert tuple(images.shape) == (40, 3, 4, 6)
    assert images.isfinite().all()


def test_the_same_seeds_give_the_same_batches_and_each_seed_has_its_own_say():
    held = workload(batch=4, scale=(0.5, 2.0), flip=0.5)
    first, again = batches(numbered(5), held), batches(numbered(5), held)
    assert all(torch.equal(a, b) for _ in range(5) for a, b in zip(next(first), next(again), strict=True))
    other = batches(numbered(5), held, augment=1)
    assert torch.equal(batches(numbered(5), held).draw().indices, other.draw().indices)
    uniform = batches(numbered(5), held, order=1).draw().uniform
    assert torch.equal(batches(numbered(5), held).draw().uniform, uniform)


def test_draws_depend_on_no_pixel():
    held = workload(batch=4, scale=(0.5, 2.0), flip=0.5)
    black = Split(np.zeros((5, 3, 4, 6), np.uint8), np.zeros((5, 4, 6), np.uint8))
    one, two = batches(numbered(5), held), batches(black, held)
    for _ in range(3):
        next(one), next(two)
    assert torch.equal(one.draw().uniform, two.draw().uniform)


def test_the_digest_of_the_first_batches_knows_order_and_augmentation_and_moves_neither():
    split, held = numbered(5), workload()
    source = batches(split, held, 1, 2)
    digest = first_batches_sha256(source)
    assert digest == first_batches_sha256(source)
    one, other = next(source), next(batches(split, held, 1, 2))
    assert all(torch.equal(a, b) for a, b in zip(one, other, strict=True))
    assert digest != first_batches_sha256(batches(split, held, 2, 2))
    assert digest != first_batches_sha256(batches(split, held, 1, 1))


def test_batches_go_on_from_a_state():
    """After a batch and a half of an epoch the rest is the same again, whatever came between."""
    source = batches(numbered(5), workload())
    next(source)
    state = source.state()
    expected = [next(source) for _ in range(4)]
    again = batches(numbered(5), workload(), 7, 8)
    again.go_on_from(state)
    for images, labels in expected:
        found = next(again)
        assert torch.equal(found[0], images)
        assert torch.equal(found[1], labels)


@pytest.mark.parametrize(("size", "scale", "limit_ms"), [((64, 128), (1.0, 1.0), 1.0), ((180, 240), (0.75, 1.5), 15.0)])
def test_a_batch_of_four_costs_little(size, scale, limit_ms):
    split = Split(np.zeros((8, 3, *size), np.uint8), np.zeros((8, *size), np.uint8))
    loader = batches(split, workload(batch=4, scale=scale, crop=size, flip=0.5))
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    spent = []
    for _ in range(25):
        start = time.thread_time()
        next(loader)
        spent.append(1000 * (time.thread_time() - start))
    torch.set_num_threads(threads)
    assert median(spent) < limit_ms
