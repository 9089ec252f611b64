"""The numbers of the literature's recipes, held against the same facts written down a second time."""

from functools import cache

import pytest

from harness.ledger.datasets import HeldOut, StreetsData, values_of
from harness.ledger.descriptor import method_path, read_method, resolve_method, shipped_methods
from harness.ledger.networks import DilatedNetwork, LightNetwork, SegformerNetwork
from harness.ledger.workload import Workload, read_workload, shipped_workloads, workload_path

RECIPES = (
    "ade20k-deeplabv3-r18",
    "ade20k-pspnet-r18",
    "camvid",
    "cityscapes-deeplabv3-r18",
    "cityscapes-pspnet-r18",
    "cityscapes-segformer-b0",
    "voc-deeplabv3-r18",
)
CITYSCAPES = tuple(name for name in RECIPES if name.startswith("cityscapes"))
ADE20K = tuple(name for name in RECIPES if name.startswith("ade20k"))
# cityscapesScripts, labels.py: the ids of the classes that are scored.
CITYSCAPES_IDS = {
    "road": 7,
    "sidewalk": 8,
    "building": 11,
    "wall": 12,
    "fence": 13,
    "pole": 17,
    "traffic light": 19,
    "traffic sign": 20,
    "vegetation": 21,
    "terrain": 22,
    "sky": 23,
    "person": 24,
    "rider": 25,
    "car": 26,
    "truck": 27,
    "bus": 28,
    "train": 31,
    "motorcycle": 32,
    "bicycle": 33,
}
IN_THE_METHODS_ALONE = {"coco_stuff", "default"}
"""Under these names methods give weights, though no workload is called so."""


@cache
def workload(name: str) -> Workload:
    """Read once: all of them are asked for many times."""
    return read_workload(workload_path(name))


def class_values(name: str) -> dict[str, int]:
    """The label value of each class."""
    found = workload(name)
    return dict(zip(found.classes, values_of(found.data, len(found.classes)), strict=True))


def dilated(name: str) -> list[DilatedNetwork]:
    """Those of a workload's two networks that are a CNN."""
    found = workload(name)
    return [network for network in (found.student, found.teacher.network) if isinstance(network, DilatedNetwork)]


def test_these_workloads_ship():
    """The recipes, and two for CPUs."""
    assert set(shipped_workloads()) == {*RECIPES, "camvid-small", "streets"}


# Data


@pytest.mark.parametrize(
    ("name", "dataset", "classes", "train", "tune", "score"),
    [
        ("cityscapes-pspnet-r18", "cityscapes", 19, 2975, 297, 500),
        ("cityscapes-deeplabv3-r18", "cityscapes", 19, 2975, 297, 500),
        ("cityscapes-segformer-b0", "cityscapes", 19, 2975, 297, 500),
        ("ade20k-pspnet-r18", "ade20k", 150, 20210, 2021, 2000),
        ("ade20k-deeplabv3-r18", "ade20k", 150, 20210, 2021, 2000),
        ("voc-deeplabv3-r18", "voc", 21, 10582, 1058, 1449),
        ("camvid", "camvid", 11, 367, 101, 233),
    ],
)
def test_a_recipe_has_its_data_sets_published_counts(name, dataset, classes, train, tune, score):
    """Of classes and of images."""
    found = workload(name)
    counts = (found.data.train.count, found.data.tune.count, found.data.score.count)
    assert (found.dataset, len(found.classes), *counts) == (dataset, classes, train, tune, score)


@pytest.mark.parametrize("name", RECIPES)
def test_what_is_tuned_on_is_a_tenth_of_train_unless_it_was_published(name):
    """As many as there are whole tens; CamVid has a split of its own."""
    data = workload(name).data
    if name == "camvid":
        assert not isinstance(data.tune, HeldOut)
    else:
        assert HeldOut(every=10, count=data.train.count // 10) == data.tune


@pytest.mark.parametrize("name", CITYSCAPES)
def test_cityscapes_ids_stand_for_the_classes_of_that_name(name):
    """In the order of the train ids: 7 is road, the first, 33 bicycle, the last."""
    found = class_values(name)
    assert list(found.items()) == list(CITYSCAPES_IDS.items())
    assert (list(found.values()).index(7), list(found.values()).index(33)) == (0, 18)


@pytest.mark.parametrize("name", CITYSCAPES)
def test_every_cityscapes_id_is_scored_or_ignored(name):
    """0 to 33, each once."""
    data = workload(name).data
    assert sorted((*values_of(data, 19), *data.unlabelled)) == list(range(34))


@pytest.mark.parametrize("name", ADE20K)
def test_ade20k_counts_its_classes_from_1(name):
    """objectInfo150.txt of the benchmark; 0 is other objects."""
    found = class_values(name)
    assert workload(name).data.unlabelled == (0,)
    assert list(found.values()) == list(range(1, 151))
    by_hand = {"wall": 1, "person": 13, "car": 21, "chest of drawers": 45, "bus": 81, "van": 103, "bicycle": 128}
    assert by_hand | {"traffic light": 137, "clock": 149, "flag": 150} == {
        each: found[each] for each in (*by_hand, "traffic light", "clock", "flag")
    }


def test_voc_counts_its_classes_from_0_and_ignores_the_border():
    """Background is a class like the others."""
    found = class_values("voc-deeplabv3-r18")
    assert workload("voc-deeplabv3-r18").data.unlabelled == (255,)
    assert [found[each] for each in ("background", "aeroplane", "dog", "person", "tvmonitor")] == [0, 1, 12, 15, 20]


@pytest.mark.parametrize("name", RECIPES)
def test_pictures_are_normalised_as_the_backbones_know_them(name):
    """ImageNet's mean and deviation, also where the recipe's authors had others."""
    found = workload(name)
    assert (found.mean, found.std) == ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))


@pytest.mark.parametrize("names", [CITYSCAPES, ADE20K])
def test_recipes_on_one_data_set_agree_about_it(names):
    """Classes in one order, splits, label values, sizes, normalisation."""
    keys = {"dataset", "classes", "pictures", "data", "image_size", "label_size", "mean", "std"}
    assert len({workload(name).model_dump_json(include=keys) for name in names}) == 1


@pytest.mark.parametrize("name", RECIPES)
def test_a_crop_fits_into_the_image_and_is_whole_logits(name):
    """Where images have one size."""
    found = workload(name)
    height, width = found.augmentation.crop
    assert (height % found.stride, width % found.stride) == (0, 0)
    if found.image_size is not None:
        assert height <= found.image_size[0]
        assert width <= found.image_size[1]


def test_segformer_is_scored_in_the_halves_of_a_frame():
    """1024×1024, which do not overlap and leave nothing out."""
    found = workload("cityscapes-segformer-b0")
    assert found.evaluation.mode == "sliding"
    assert found.evaluation.window == found.evaluation.step == found.augmentation.crop == (1024, 1024)
    assert found.image_size == (1024, 2 * 1024)


# Training


@pytest.mark.parametrize(
    ("name", "iterations", "batch"),
    [
        ("cityscapes-pspnet-r18", 80_000, 8),
        ("cityscapes-deeplabv3-r18", 40_000, 16),
        ("cityscapes-segformer-b0", 160_000, 8),
        ("ade20k-pspnet-r18", 80_000, 16),
        ("ade20k-deeplabv3-r18", 40_000, 16),
        ("voc-deeplabv3-r18", 40_000, 16),
        ("camvid", 40_000, 8),
    ],
)
def test_epochs_are_the_recipes_iterations(name, iterations, batch):
    """Epochs × images / batch, to the nearest one."""
    found = workload(name)
    assert found.training.batch == batch
    assert round(found.training.recipe_epochs * found.data.train.count / batch) == iterations


@pytest.mark.parametrize(
    ("name", "optimizer", "learning_rate", "floor", "weight_decay", "photometric"),
    [
        ("cityscapes-pspnet-r18", "sgd", 0.01, 1e-4, 5e-4, True),
        ("ade20k-pspnet-r18", "sgd", 0.01, 1e-4, 5e-4, True),
        ("cityscapes-deeplabv3-r18", "sgd", 0.02, 0.0, 1e-4, False),
        ("ade20k-deeplabv3-r18", "sgd", 0.02, 0.0, 1e-4, False),
        ("voc-deeplabv3-r18", "sgd", 0.02, 0.0, 1e-4, False),
        ("cityscapes-segformer-b0", "adamw", 2e-4, 0.0, 1e-4, False),
    ],
)
def test_a_recipe_is_one_repositorys_and_no_mixture(name, optimizer, learning_rate, floor, weight_decay, photometric):
    """PSPNet as mmsegmentation trains it, the others as CIRKD does."""
    found = workload(name)
    training = found.training
    assert (training.optimizer, training.learning_rate, training.floor, training.weight_decay) == (
        optimizer,
        learning_rate,
        floor,
        weight_decay,
    )
    assert (training.momentum, training.power, found.augmentation.photometric) == (0.9, 0.9, photometric)


@pytest.mark.parametrize("name", RECIPES)
def test_whoever_has_an_auxiliary_head_trains_it_at_0_4(name):
    """SegFormer has none."""
    found = workload(name)
    heads = {network.auxiliary for network in dilated(name)}
    assert (found.training.auxiliary_weight, heads) in ((0.4, {True}), (0.0, set()))


@pytest.mark.parametrize("name", RECIPES)
def test_recipes_for_gpus_compute_alike(name):
    """So that their costs can be told side by side."""
    engine = workload(name).engine
    assert (engine.precision, engine.channels_last, engine.compile) == ("bfloat16", True, False)


# Networks


@pytest.mark.parametrize(
    ("name", "miou", "band", "iterations", "batch", "learning_rate"),
    [
        ("cityscapes-pspnet-r18", 0.798, 0.005, 80_000, 8, 0.01),
        ("cityscapes-deeplabv3-r18", 0.781, 0.005, 80_000, 8, 0.01),
        ("cityscapes-segformer-b0", 0.812, 0.005, 160_000, 8, 2e-4),
        ("ade20k-pspnet-r18", 0.436, 0.01, 80_000, 16, 0.01),
        ("ade20k-deeplabv3-r18", 0.427, 0.01, 40_000, 16, 0.02),
        ("voc-deeplabv3-r18", 0.777, 0.01, 40_000, 16, 0.02),
        ("camvid", None, 0.02, 20_000, 8, 0.01),
    ],
)
def test_a_teacher_is_trained_and_expected_as_it_was_published(name, miou, band, iterations, batch, learning_rate):
    """Those of PSPNet and DeepLabV3 on Cityscapes as issue 5 has them."""
    teacher = workload(name).teacher
    training = teacher.training
    assert (teacher.miou, teacher.band) == (miou, band)
    assert (training.iterations, training.batch, training.learning_rate) == (iterations, batch, learning_rate)


@pytest.mark.parametrize(
    ("name", "student", "teacher"),
    [
        ("cityscapes-pspnet-r18", 128, 512),
        ("ade20k-pspnet-r18", 128, 512),
        ("camvid", 128, 512),
        ("cityscapes-deeplabv3-r18", 128, 256),
        ("ade20k-deeplabv3-r18", 128, 256),
        ("voc-deeplabv3-r18", 128, 256),
        ("cityscapes-segformer-b0", 256, 768),
    ],
)
def test_heads_are_as_wide_as_in_the_literature(name, student, teacher):
    """DeepLabV3's those of 2022, before CIRKDv2 widened them."""
    found = workload(name)
    assert (found.student.decoder, found.teacher.network.decoder) == (student, teacher)


@pytest.mark.parametrize("name", RECIPES)
def test_both_networks_are_of_one_kind_and_pretrained(name):
    """One head, one stem; a backbone of timm by its full tag."""
    found = workload(name)
    student, teacher = found.student, found.teacher.network
    assert student.architecture == teacher.architecture
    assert not isinstance(student, LightNetwork)
    assert student.pretrained
    assert teacher.pretrained
    if isinstance(student, SegformerNetwork):
        assert (student.backbone, teacher.backbone, found.stride) == ("mit-b0", "mit-b4", 4)
    else:
        assert (student.backbone, teacher.backbone, found.stride) == ("resnet18.tv_in1k", "resnet101.tv_in1k", 8)
        assert {(network.stem, network.norm) for network in dilated(name)} == {("7x7", "batch")}


def test_a_backbone_has_one_digest_wherever_it_is_used():
    """Or none: null where the digest of the file is not known; a beginning of it is the same one."""
    found: dict[str, set[str]] = {}
    for name in RECIPES:
        for network in (workload(name).student, workload(name).teacher.network):
            if not isinstance(network, LightNetwork) and network.backbone_sha256 is not None:
                found.setdefault(network.backbone, set()).add(network.backbone_sha256)
    for tag, digests in found.items():
        assert all(max(digests, key=len).startswith(digest) for digest in digests), tag
    assert found["resnet18.tv_in1k"] == {"694f673df6520a3158624e8a89af086f59923ee4cd7436fe5bc3bc71d295ad81"}


# Methods


@pytest.mark.parametrize(
    ("dataset", "batch"), sorted({(workload(name).dataset, workload(name).training.batch) for name in RECIPES})
)
def test_every_method_has_a_weight_for_every_recipe(dataset, batch):
    """Its authors', or one that is moved and says so: none is refused, and all but the baseline distil."""
    found = {name: resolve_method(method_path(name), dataset, batch).distils for name in shipped_methods()}
    assert [name for name, distils in found.items() if not distils] == ["baseline"]


def test_methods_give_weights_under_the_names_of_data_sets():
    """A misspelt name would be a weight that nobody uses."""
    known = {workload(name).dataset for name in shipped_workloads()} | IN_THE_METHODS_ALONE
    for method in shipped_methods():
        for term in read_method(method_path(method)).terms:
            for weighted in (term, *term.parts.values()):
                assert set(weighted.weight or {}) <= known, method


@pytest.mark.parametrize("name", shipped_workloads())
def test_only_drawn_pictures_are_public(name):
    """None of the data sets may be handed on."""
    found = workload(name)
    assert found.pictures == ("public" if isinstance(found.data, StreetsData) else "private")
