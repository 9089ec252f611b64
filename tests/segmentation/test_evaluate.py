"""Counts and the scores derived from them, by hand and against torchmetrics."""

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional
from torchmetrics.classification import MulticlassAccuracy, MulticlassJaccardIndex

from harness.ledger.counts import Counts, save, scores_of
from harness.ledger.errors import BadInput
from harness.ledger.workload import Engine, Sliding, Workload, read_workload, workload_path
from harness.segmentation import streets
from harness.segmentation.data import Split
from harness.segmentation.evaluate import PIXELS, as_scored, batched, confusion, evaluate, predicted, tallied
from harness.segmentation.networks import build
from harness.segmentation.staged import Staged
from harness.segmentation.weights import load_weights
from tests import factories

CPU = torch.device("cpu")


def counts(prediction: list, labels: list, classes: int, dtype: torch.dtype = torch.uint8) -> Counts:
    pairs = zip(torch.tensor(prediction), torch.tensor(labels, dtype=dtype), strict=True)
    return Counts(*torch.stack([tallied(confusion(*pair, classes)) for pair in pairs], dim=1).numpy())


class OfTheImage(nn.Module):
    """Logits that name each pixel's class: the value of its red channel."""

    def forward(self, images: Tensor) -> Tensor:
        classes = torch.arange(3)[None, :, None, None]
        return -(images[:, :1] - classes).abs()


def network() -> Staged:
    return Staged({"logits": OfTheImage()}, {"logits": ("image",)}, {"logits": 3}, stride=1)


def workload(**changes: object) -> Workload:
    unit = (1 / 255, 1 / 255, 1 / 255)
    return factories.workload(classes=("road", "sky", "car"), mean=(0.0, 0.0, 0.0), std=unit, **changes)


def split(pixels: list, labels: list) -> Split:
    """Grey images of these values, each of its own size if need be."""
    images = [np.array(image, np.uint8)[..., None].repeat(3, axis=-1) for image in pixels]
    return Split(images, [np.array(label, np.uint8) for label in labels])


def test_two_by_two_pixels_of_two_classes_by_hand():
    # Labelled 0 0 / 1 1, predicted 0 1 / 1 1: class 0 has 1 of 2, class 1 has 2 of 3.
    found = counts([[[0, 1], [1, 1]]], [[[0, 0], [1, 1]]], 2)
    assert found.intersections.tolist() == [[1, 2]]
    assert found.unions.tolist() == [[2, 3]]
    assert found.labelled.tolist() == [[2, 2]]
    score = scores_of(found)
    assert pytest.approx((1 / 2 + 2 / 3) / 2) == score.miou
    assert pytest.approx((1 / 2, 2 / 3)) == score.class_iou
    assert score.pixel_accuracy == 3 / 4
    assert score.images == 1


def test_ignored_pixels_count_nowhere():
    found = counts([[[0, 1], [1, 0]]], [[[0, 255], [1, 255]]], 2)
    assert [[1, 1]] == found.intersections.tolist() == found.unions.tolist() == found.labelled.tolist()
    assert scores_of(found).miou == scores_of(found).pixel_accuracy == 1


def test_a_pixel_predicted_as_another_class_is_a_miss_of_both():
    # Class 2 is predicted once and labelled nowhere: class 0 loses the pixel, 2 gains a union.
    found = counts([[[0, 2]]], [[[0, 0]]], 4)
    assert found.intersections.tolist() == [[1, 0, 0, 0]]
    assert found.unions.tolist() == [[2, 0, 1, 0]]


def test_three_conventions_differ_in_the_classes_that_they_average():
    score = scores_of(counts([[[0, 2]]], [[[0, 0]]], 4))
    assert score.miou == 1 / 2  # class 0 alone is labelled
    assert score.miou_absent_zero == 1 / 8  # all four classes
    assert score.miou_predicted == 1 / 4  # classes 0 and 2
    assert score.class_iou == (0.5, None, None, None)


def test_iou_is_of_all_images_pixels_together_not_a_mean_of_images():
    found = counts([[[0, 0]], [[0, 1]]], [[[0, 0]], [[1, 1]]], 2)
    assert found.intersections.tolist() == [[2, 0], [0, 1]]
    assert pytest.approx((2 / 3, 1 / 2)) == scores_of(found).class_iou


def test_logits_are_enlarged_with_corners_aligned_before_the_class_is_chosen():
    # Class 0 falls 1, 0 from left to right, class 1 is 0.6 throughout: over four pixels 1, ⅔, ⅓, 0.
    logits = torch.tensor([[[1.0, 0.0]], [[0.6, 0.6]]])
    assert predicted(logits, (1, 4)).tolist() == [[0, 0, 1, 1]]


def test_a_network_that_is_right_everywhere_scores_one_in_batches_of_any_size():
    pixels = [[[0, 1], [2, 2]], [[1, 1], [0, 2]], [[2, 0], [0, 0]]]
    for batch in (1, 2, 3, 8):
        assert scores_of(evaluate(network(), split(pixels, pixels), workload(), CPU, batch)).miou == 1


def test_who_looks_on_sees_every_prediction_at_its_labels_size_and_the_counts_are_the_same():
    pixels = [[[0, 1], [2, 2]], [[1, 1], [0, 2]], [[2, 0, 1]]]
    seen: dict[int, list] = {}

    def see(number: int, prediction: Tensor) -> None:
        seen[number] = prediction.tolist()

    found = evaluate(network(), split(pixels, pixels), workload(), CPU, 2, see=see)
    assert list(seen) == [0, 1, 2]
    assert list(seen.values()) == pixels
    assert (found.labelled == evaluate(network(), split(pixels, pixels), workload(), CPU, 2).labelled).all()


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
    assert scores_of(evaluate(staged, split(pixels, pixels), workload(), CPU, 1)).miou == 1


def judged(prediction: Tensor, labels: Tensor, classes: int) -> tuple[list[float], float, float]:
    """What torchmetrics says: a class's IoU, their mean over the classes that the labels hold, pixel accuracy.

    It knows of one ignored value; what else is no class is made that one.
    """
    known = torch.where((labels >= 0) & (labels < classes), labels.long(), 255)
    iou = MulticlassJaccardIndex(classes, average=None, ignore_index=255)(prediction, known)
    accuracy = MulticlassAccuracy(classes, average="micro", ignore_index=255)(prediction, known)
    held = known[known != 255].unique()
    return iou.tolist(), iou[held].double().mean().item(), accuracy.item()


def agree(prediction: Tensor, labels: Tensor, classes: int) -> None:
    found = counts(prediction.tolist(), labels.tolist(), classes, labels.dtype)
    score = scores_of(found)
    iou, miou, accuracy = judged(prediction, labels, classes)
    expected = [value if (labels == number).any() else None for number, value in enumerate(iou)]
    assert [None if value is None else pytest.approx(value, abs=1e-6) for value in expected] == list(score.class_iou)
    assert pytest.approx(miou, abs=1e-6) == score.miou
    assert pytest.approx(accuracy, abs=1e-6) == score.pixel_accuracy


@pytest.mark.parametrize("classes", [2, 11, 19, 150])
@pytest.mark.parametrize("seed", [0, 1])
def test_torchmetrics_counts_the_same(classes, seed):
    random = torch.Generator().manual_seed(1000 * seed + classes)
    labels = torch.randint(classes, (3, 40, 50), generator=random, dtype=torch.uint8)
    other = torch.randint(classes, labels.shape, generator=random)
    prediction = torch.where(torch.rand(labels.shape, generator=random) < 0.6, labels.long(), other)
    labels[torch.rand(labels.shape, generator=random) < 0.1] = 255
    agree(prediction, labels, classes)


ADVERSARIAL = {
    "a class is in no label and in no prediction": ([[0, 1, 1]], [[0, 1, 0]]),
    "a class is predicted and in no label": ([[0, 2, 3]], [[0, 0, 3]]),
    "a class is in a label and never predicted": ([[0, 0, 0]], [[0, 2, 2]]),
    "a class is predicted on ignored pixels alone": ([[0, 3, 1]], [[0, 255, 1]]),
    "nothing is right": ([[1, 2, 3]], [[0, 0, 0]]),
    "one class": ([[1, 1, 1]], [[1, 1, 1]]),
    "one pixel": ([[2]], [[2]]),
    "one pixel, wrong": ([[2]], [[3]]),
    "all but one pixel are ignored": ([[0, 1, 2]], [[255, 255, 2]]),
    "every ignored value at once": ([[0, 1, 2, 3, 0, 1]], [[0, -1, 255, -128, 4, 1]]),
    "the last class beside the first that is none": ([[3, 3, 3]], [[3, 4, 2]]),
    "labels beyond a byte": ([[0, 1, 2]], [[256, 2**31, 2]]),
}


@pytest.mark.parametrize("case", ADVERSARIAL)
def test_torchmetrics_counts_the_same_where(case):
    prediction, labels = ADVERSARIAL[case]
    agree(torch.tensor([prediction]), torch.tensor([labels]), 4)


def test_an_ignored_image_counts_nowhere_but_among_the_images():
    both = counts([[[0, 1]], [[1, 1]]], [[[0, 0]], [[255, 255]]], 2)
    alone = counts([[[0, 1]]], [[[0, 0]]], 2)
    assert scores_of(both) == scores_of(alone).model_copy(update={"images": 2})
    assert both.labelled.tolist() == [[2, 0], [0, 0]]


def test_labels_without_any_class_are_refused_rather_than_scored_as_no_number():
    with pytest.raises(BadInput, match="none of the pixels of 2 images has a class"):
        scores_of(counts([[[0, 1]], [[1, 1]]], [[[-1, -1]], [[255, 255]]], 2, torch.int16))


def before(network: Staged, images: np.ndarray, labels: np.ndarray, held: Workload) -> np.ndarray:
    """Whole images of one size in eights as they were counted at first, written out: N×C×C."""
    scale = 1 / (255 * torch.tensor(held.std)[:, None, None])
    shift = -torch.tensor(held.mean)[:, None, None] / torch.tensor(held.std)[:, None, None]
    classes, found = len(held.classes), []
    for start in range(0, len(images), 8):
        pixels = torch.from_numpy(images[start : start + 8])
        with torch.inference_mode():
            logits = network(torch.addcmul(shift, pixels.float(), scale))["logits"]
        for each, label in zip(logits, torch.from_numpy(labels[start : start + 8]), strict=True):
            beside = each[None].contiguous(memory_format=torch.channels_last)
            chosen = functional.interpolate(beside, label.shape, mode="bilinear", align_corners=True)[0].argmax(dim=0)
            cells = label.int() * classes + chosen.int()
            found.append(torch.bincount(cells.flatten(), minlength=256 * classes).view(256, classes)[:classes])
    return torch.stack(found).numpy()


def test_streets_are_counted_as_ever_to_the_pixel():
    scenes = streets.draw(11, 5)
    path = workload_path("streets")
    held = read_workload(path)
    teacher = build(held.teacher.network, len(held.classes), held.stride).eval()
    load_weights(teacher, path.with_name(str(held.teacher.weights)), str(held.teacher.sha256))
    expected = before(teacher, scenes.images, scenes.labels, held)
    assert (expected.sum(axis=(0, 1)) > 0).all()  # every class is predicted somewhere
    images = np.ascontiguousarray(scenes.images.transpose(0, 2, 3, 1))
    found = evaluate(teacher, Split(images, scenes.labels), held, CPU, 8)
    assert (expected.sum(axis=2) == found.labelled).all()
    assert (expected.diagonal(axis1=1, axis2=2) == found.intersections).all()
    assert (expected.sum(axis=2) + expected.sum(axis=1) - found.intersections == found.unions).all()


def test_images_of_different_sizes_are_scored_each_at_its_own():
    pixels = [[[0, 1], [2, 2]], [[1, 0, 2]], [[0]], [[2]]]
    told = []
    found = evaluate(network(), split(pixels, pixels), workload(), CPU, 8, told.append)
    assert scores_of(found).miou == 1
    assert found.labelled.tolist() == [[1, 1, 2], [1, 1, 1], [1, 0, 0], [0, 0, 1]]
    assert told == [1, 2, 3, 4]


def test_a_label_may_have_another_size_than_its_image():
    # Red 0 … 2 from left to right: over three pixels the middle one is class 1.
    found = evaluate(network(), split([[[0, 2]]], [[[0, 1, 2]]]), workload(), CPU, 8)
    assert found.labelled.tolist() == [[1, 1, 1]]


def shaped(*sizes: tuple[int, int]) -> list[np.ndarray]:
    """Images that take no memory."""
    return [np.broadcast_to(np.uint8(0), (*size, 3)) for size in sizes]


def test_images_that_follow_each_other_in_one_size_go_together():
    images = shaped((4, 4), (4, 4), (4, 4), (4, 5), (4, 4), (5, 4), (5, 4))
    assert list(batched(images, 2)) == [[0, 1], [2], [3], [4], [5, 6]]


def test_a_large_image_goes_alone_and_small_ones_as_many_as_asked():
    assert PIXELS == 1024 * 2048
    assert [len(numbers) for numbers in batched(shaped(*[(1024, 2048)] * 3), 8)] == [1, 1, 1]
    assert [len(numbers) for numbers in batched(shaped(*[(2048, 2048)] * 2), 8)] == [1, 1]
    assert [len(numbers) for numbers in batched(shaped(*[(512, 1024)] * 6), 8)] == [4, 2]
    assert [len(numbers) for numbers in batched(shaped(*[(64, 128)] * 12), 8)] == [8, 4]


def test_windows_change_nothing_for_a_network_that_looks_at_each_pixel_alone():
    pixels = [[[0, 1, 2, 2, 1], [2, 2, 0, 1, 0], [1, 0, 2, 1, 1]], [[0, 2]]]
    sliding = Sliding(mode="sliding", window=(2, 3), step=(1, 2))
    found = evaluate(network(), split(pixels, pixels), workload(evaluation=sliding), CPU, 8)
    assert scores_of(found).miou == 1
    assert found.labelled.sum() == 17


def test_a_score_is_of_the_weights_whatever_precision_they_were_trained_in():
    pixels = [[[0, 1], [2, 2]]]

    class Precise(OfTheImage):
        def forward(self, images: Tensor) -> Tensor:
            assert not torch.is_autocast_enabled("cpu")
            assert not torch.backends.cuda.matmul.allow_tf32
            assert not torch.backends.cudnn.allow_tf32
            assert not torch.backends.cudnn.benchmark
            return super().forward(images)

    precise = Staged({"logits": Precise()}, {"logits": ("image",)}, {"logits": 3}, stride=1)
    held = workload(engine=Engine(precision="bfloat16"))
    with torch.autocast("cpu", torch.bfloat16):
        assert scores_of(evaluate(precise, split(pixels, pixels), held, CPU, 1)).miou == 1
        assert torch.is_autocast_enabled("cpu")


def test_what_training_asked_of_the_device_holds_again_after_an_evaluation_that_failed():
    matmul, cudnn = torch.backends.cuda.matmul, torch.backends.cudnn
    was = matmul.allow_tf32, cudnn.allow_tf32, cudnn.benchmark
    matmul.allow_tf32 = cudnn.allow_tf32 = cudnn.benchmark = True
    try:
        with pytest.raises(RuntimeError, match="out of luck"), as_scored(workload(), CPU):
            raise RuntimeError("out of luck")
        assert (matmul.allow_tf32, cudnn.allow_tf32, cudnn.benchmark) == (True, True, True)
    finally:
        matmul.allow_tf32, cudnn.allow_tf32, cudnn.benchmark = was


def test_compiled_stages_are_scored_as_they_were_written():
    seen = []

    class Seeing(OfTheImage):
        def forward(self, images: Tensor) -> Tensor:
            seen.append(torch.compiler.is_compiling())
            return super().forward(images)

    compiled = Staged({"logits": Seeing()}, {"logits": ("image",)}, {"logits": 3}, stride=1)
    compiled.compile_stages()
    pixels = [[[0, 1], [2, 2]]]
    held = workload(engine=Engine(compile=True))
    assert scores_of(evaluate(compiled, split(pixels, pixels), held, CPU, 1)).miou == 1
    assert seen == [False]


def test_layouts_of_memory_are_those_of_the_workload():
    layouts = []

    class Looking(OfTheImage):
        def forward(self, images: Tensor) -> Tensor:
            layouts.append(images.is_contiguous(memory_format=torch.channels_last))
            return super().forward(images)

    looking = Staged({"logits": Looking()}, {"logits": ("image",)}, {"logits": 3}, stride=1)
    pixels = [[[0, 1], [2, 2]]]
    for beside in (False, True):
        evaluate(looking, split(pixels, pixels), workload(engine=Engine(channels_last=beside)), CPU, 1)
    assert layouts == [False, True]


def test_saved_counts_hold_every_image_and_can_be_read_without_pickle(tmp_path):
    found = counts([[[0, 0]], [[0, 1]]], [[[0, 0]], [[1, 1]]], 2)
    save(found, tmp_path / "counts.npz")
    with np.load(tmp_path / "counts.npz", allow_pickle=False) as read:
        assert {"intersections", "unions", "labelled"} == set(read)
        assert (read["intersections"] == found.intersections).all()
        assert (read["unions"] == found.unions).all()
    assert [path.name for path in tmp_path.iterdir()] == ["counts.npz"]
