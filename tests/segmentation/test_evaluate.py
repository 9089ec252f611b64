"""Counts and the scores derived from them, by hand and against torchmetrics."""

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torchmetrics.classification import MulticlassJaccardIndex

from harness.ledger.workload import Workload
from harness.segmentation.data import Split
from harness.segmentation.evaluate import Counts, confusion, counted, evaluate, predicted, save, scores
from harness.segmentation.staged import Staged
from tests import factories

CPU = torch.device("cpu")


def counts(prediction: list, labels: list, classes: int) -> Counts:
    pairs = zip(torch.tensor(prediction), torch.tensor(labels, dtype=torch.uint8), strict=True)
    return counted(torch.stack([confusion(*pair, classes) for pair in pairs]).numpy())


class OfTheImage(nn.Module):
    """Logits that name each pixel's class: the value of its red channel."""

    def forward(self, images: Tensor) -> Tensor:
        classes = torch.arange(3)[None, :, None, None]
        return -(images[:, :1] - classes).abs()


def network() -> Staged:
    return Staged({"logits": OfTheImage()}, {"logits": ("image",)}, {"logits": 3}, stride=1)


def workload() -> Workload:
    unit = (1 / 255, 1 / 255, 1 / 255)
    return factories.workload(classes=("road", "sky", "car"), mean=(0.0, 0.0, 0.0), std=unit)


def split(pixels: list, labels: list) -> Split:
    images = np.array(pixels, np.uint8)[:, None].repeat(3, axis=1)
    return Split(images, np.array(labels, np.uint8))


def test_two_by_two_pixels_of_two_classes_by_hand():
    # Labelled 0 0 / 1 1, predicted 0 1 / 1 1: class 0 has 1 of 2, class 1 has 2 of 3.
    found = counts([[[0, 1], [1, 1]]], [[[0, 0], [1, 1]]], 2)
    assert found.intersections.tolist() == [[1, 2]]
    assert found.unions.tolist() == [[2, 3]]
    assert found.labelled.tolist() == [[2, 2]]
    score = scores(found)
    assert pytest.approx((1 / 2 + 2 / 3) / 2) == score.miou
    assert pytest.approx((1 / 2, 2 / 3)) == score.class_iou
    assert score.pixel_accuracy == 3 / 4
    assert score.images == 1


def test_ignored_pixels_count_nowhere():
    found = counts([[[0, 1], [1, 0]]], [[[0, 255], [1, 255]]], 2)
    assert [[1, 1]] == found.intersections.tolist() == found.unions.tolist() == found.labelled.tolist()
    assert scores(found).miou == scores(found).pixel_accuracy == 1


def test_a_pixel_predicted_as_another_class_is_a_miss_of_both():
    # Class 2 is predicted once and labelled nowhere: class 0 loses the pixel, 2 gains a union.
    found = counts([[[0, 2]]], [[[0, 0]]], 4)
    assert found.intersections.tolist() == [[1, 0, 0, 0]]
    assert found.unions.tolist() == [[2, 0, 1, 0]]


def test_three_conventions_differ_in_the_classes_that_they_average():
    score = scores(counts([[[0, 2]]], [[[0, 0]]], 4))
    assert score.miou == 1 / 2  # class 0 alone is labelled
    assert score.miou_absent_zero == 1 / 8  # all four classes
    assert score.miou_predicted == 1 / 4  # classes 0 and 2
    assert score.class_iou == (0.5, None, None, None)


def test_iou_is_of_all_images_pixels_together_not_a_mean_of_images():
    found = counts([[[0, 0]], [[0, 1]]], [[[0, 0]], [[1, 1]]], 2)
    assert found.intersections.tolist() == [[2, 0], [0, 1]]
    assert pytest.approx((2 / 3, 1 / 2)) == scores(found).class_iou


def test_logits_are_enlarged_with_corners_aligned_before_the_class_is_chosen():
    # Class 0 falls 1, 0 from left to right, class 1 is 0.6 throughout: over four pixels 1, ⅔, ⅓, 0.
    logits = torch.tensor([[[1.0, 0.0]], [[0.6, 0.6]]])
    assert predicted(logits, (1, 4)).tolist() == [[0, 0, 1, 1]]


def test_a_network_that_is_right_everywhere_scores_one_in_batches_of_any_size():
    pixels = [[[0, 1], [2, 2]], [[1, 1], [0, 2]], [[2, 0], [0, 0]]]
    for batch in (1, 2, 3, 8):
        assert scores(evaluate(network(), split(pixels, pixels), workload(), CPU, batch)).miou == 1


def test_evaluation_leaves_a_network_in_the_mode_in_which_it_came():
    pixels = [[[0, 1], [2, 2]]]
    seen = network()
    for mode in (True, False):
        evaluate(seen.train(mode), split(pixels, pixels), workload(), CPU, 1)
        assert seen.training is mode


def test_only_logits_are_asked_of_the_network():
    class Unwanted(nn.Module):
        def forward(self, images: Tensor) -> Tensor:
            raise AssertionError("an auxiliary head was run")

    heads = {"logits": OfTheImage(), "aux_logits": Unwanted()}
    inputs = {"logits": ("image",), "aux_logits": ("image",)}
    pixels = [[[0, 1], [2, 2]]]
    staged = Staged(heads, inputs, {"logits": 3, "aux_logits": 3}, stride=1)
    assert scores(evaluate(staged, split(pixels, pixels), workload(), CPU, 1)).miou == 1


@pytest.mark.parametrize("classes", [2, 11, 150])
def test_torchmetrics_counts_the_same(classes):
    random = torch.Generator().manual_seed(classes)
    labels = torch.randint(classes, (3, 40, 50), generator=random, dtype=torch.uint8)
    other = torch.randint(classes, labels.shape, generator=random)
    prediction = torch.where(torch.rand(labels.shape, generator=random) < 0.6, labels.long(), other)
    labels[torch.rand(labels.shape, generator=random) < 0.1] = 255
    judge = MulticlassJaccardIndex(classes, average=None, ignore_index=255)
    expected = judge(prediction, labels.long())
    score = scores(counts(prediction.tolist(), labels.tolist(), classes))
    assert pytest.approx(expected.tolist(), abs=1e-6) == list(score.class_iou)
    assert pytest.approx(expected.mean().item(), abs=1e-6) == score.miou


def test_saved_counts_hold_every_image_and_can_be_read_without_pickle(tmp_path):
    found = counts([[[0, 0]], [[0, 1]]], [[[0, 0]], [[1, 1]]], 2)
    save(found, tmp_path / "counts.npz")
    with np.load(tmp_path / "counts.npz", allow_pickle=False) as read:
        assert {"intersections", "unions", "labelled"} == set(read)
        assert (read["intersections"] == found.intersections).all()
        assert (read["unions"] == found.unions).all()
    assert [path.name for path in tmp_path.iterdir()] == ["counts.npz"]
