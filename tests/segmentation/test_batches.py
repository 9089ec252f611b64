"""Batches: what chance decides, and that nothing else does."""

import numpy as np
import torch
from torch import Generator

from harness.ledger.workload import Augmentation, Engine, Workload
from harness.segmentation.batches import Batches, first_batches_sha256
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
    return Split(labels[..., None].repeat(3, axis=-1), labels)


def batches(split: Split, held: Workload, order: int = 0, augment: int = 0) -> Batches:
    generators = {"order": Generator().manual_seed(order), "augment": Generator().manual_seed(augment)}
    return Batches(split, held, **generators, device=CPU)


def test_without_scale_and_flip_a_batch_is_the_images_themselves():
    split, held = numbered(), workload()
    loader = batches(split, held)
    indices = batches(split, held).draw().indices.tolist()
    images, labels = next(loader)
    assert (torch.float32, torch.int64) == (images.dtype, labels.dtype)
    assert np.allclose(images.permute(0, 2, 3, 1).numpy(), split.images[indices])
    assert (labels.numpy() == split.labels[indices]).all()


def test_images_are_normalised_by_the_workloads_mean_and_deviation():
    held = workload(batch=1, mean=(0.5, 0.0, 1.0), std=(0.5, 0.25, 2.0))
    white = Split(np.full((1, 4, 6, 3), 255, np.uint8), np.zeros((1, 4, 6), np.uint8))
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
    assert np.allclose(images.permute(0, 2, 3, 1).numpy(), split.images[:, :, ::-1])
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
    split = Split(np.full((1, 4, 8, 3), 255, np.uint8), np.full((1, 4, 8), 7, np.uint8))
    held = workload(batch=20, scale=(0.5, 0.5), crop=(4, 8), mean=(0.4, 0.4, 0.4), std=(0.2, 0.2, 0.2))
    images, labels = next(batches(split, held))
    inside = labels == 7
    assert (inside.sum(dim=(1, 2)) == 2 * 4).all()  # half of 4 by half of 8
    assert (labels[~inside] == 255).all()
    shown = inside[:, None].expand_as(images)
    assert torch.allclose(images[shown], torch.tensor(3.0))
    assert torch.allclose(images[~shown], torch.tensor(0.0), atol=1e-5)
    assert len(labels[:, :, 0].unique(dim=0)) > 1  # not always in the same place


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
    black = Split(np.zeros((5, 4, 6, 3), np.uint8), np.zeros((5, 4, 6), np.uint8))
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


def test_channels_last_changes_where_numbers_lie_and_none_of_them():
    plain, beside = workload(scale=(0.5, 2.0)), workload(scale=(0.5, 2.0), engine=Engine(channels_last=True))
    (one, labels), (other, same) = next(batches(numbered(), plain)), next(batches(numbered(), beside))
    assert torch.equal(one, other)
    assert torch.equal(labels, same)
    assert one.is_contiguous()
    assert other.is_contiguous(memory_format=torch.channels_last)


def test_images_of_different_sizes_are_cut_to_crops_of_one():
    sizes = ((4, 6), (9, 5), (12, 12))
    images = [np.full((*size, 3), 10 * number, np.uint8) for number, size in enumerate(sizes)]
    split = Split(images, [np.full(size, number, np.uint8) for number, size in enumerate(sizes)])
    pictures, labels = next(batches(split, workload(batch=3)))
    shown = labels != 255
    assert sorted(shown.sum(dim=(1, 2)).tolist()) == [4 * 5, 4 * 6, 4 * 6]
    assert torch.equal(pictures[:, 0][shown], 10.0 * labels[shown])


def test_colours_are_distorted_only_where_the_workload_says_so_and_labels_never():
    split, held = numbered(), workload(batch=8)
    coloured = held.model_copy(update={"augmentation": held.augmentation.model_copy(update={"photometric": True})})
    (one, labels), (other, same) = next(batches(split, held)), next(batches(split, coloured))
    assert batches(split, held).draw().uniform.shape == (8, 4)
    assert batches(split, coloured).draw().uniform.shape == (8, 13)
    assert labels.shape == same.shape
    assert not torch.equal(one, other)
    assert 0 <= other.min() <= other.max() <= 255


def test_distorted_colours_leave_the_padding_as_it_is():
    """Half of the height and half of the width show the image, wherever it is put, mirrored or not."""
    held = workload(batch=40, scale=(0.5, 0.5), flip=0.5, mean=(0.4, 0.5, 0.6), std=(1.0, 1.0, 1.0))
    held = held.model_copy(update={"augmentation": held.augmentation.model_copy(update={"photometric": True})})
    split = Split(np.full((1, 4, 6, 3), 100, np.uint8), np.zeros((1, 4, 6), np.uint8))
    images, labels = next(batches(split, held))
    padding = (labels == 255)[:, None].expand_as(images)
    assert padding.sum() == 40 * 3 * (24 - 6)
    assert images[padding].abs().max() <= 0.5 / 255 + 1e-6
    assert images[~padding].unique().numel() > 20
