"""Everything that is held fixed, read from one file."""

from pathlib import Path

import pytest

from harness.ledger import workload as module
from harness.ledger.errors import BadInput
from harness.ledger.networks import PspNetwork
from harness.ledger.workload import (
    Checkpoint,
    read_workload,
    shipped_workloads,
    shown_size,
    workload_digest,
    workload_path,
)
from tests import factories

TEXT = """title: Two classes
standing: smoke test
caveat: none
dataset: streets
classes: [road, sky]
pictures: public
data:
  reader: streets
  train: {count: 10, seed: 1}
  tune: {count: 4, seed: 2}
  score: {count: 4, seed: 3}
image_size: [64, 128]
label_size: [64, 128]
mean: [0.5, 0.5, 0.5]
std: [0.25, 0.25, 0.25]
stride: 4
augmentation: {scale: [0.5, 2], crop: [64, 66], flip: 0.5}
student: {architecture: light, widths: [8, 16, 24, 32], blocks: [1, 1, 1, 1], decoder: 16, dropout: 0.1}
teacher:
  network: {architecture: pspnet, backbone: resnet18, pretrained: true, decoder: 64, dropout: 0.1, auxiliary: true}
  weights: null
  sha256: null
  miou: null
  band: 0.02
  training: {iterations: 100, batch: 4, learning_rate: 5e-2, seed: 0, stored_as: float32}
training:
  batch: 4
  learning_rate: 5e-2
  momentum: 0.9
  weight_decay: 1e-4
  power: 0.9
  auxiliary_weight: 0
  recipe_epochs: 40
threads: 1
"""


@pytest.fixture
def write(tmp_path):
    def write(old: str = "", new: str = "") -> Path:
        assert TEXT.count(old) == 1 or not old
        path = tmp_path / "mine.yaml"
        path.write_text(TEXT.replace(old, new) if old else TEXT)
        return path

    return write


def test_a_workload_is_read_with_its_numbers_and_unions(write):
    """`5e-2` is a number, 2 a fraction where one is meant, and the network is the one that its architecture names."""
    found = read_workload(write())
    assert (found.training.learning_rate, found.augmentation.scale) == (0.05, (0.5, 2.0))
    assert isinstance(found.teacher.network, PspNetwork)


def test_an_epoch_is_rounded_up(write):
    """Ten images in batches of four are three iterations."""
    assert read_workload(write()).epoch == 3


def test_positions_are_those_of_a_crops_logits_rounded_up(write):
    """64×66 pixels at stride 4 are 16×17 positions."""
    assert read_workload(write()).positions == 16 * 17


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (
            "classes: [road, sky]",
            "classes: [road, sky, road]",
            "mine.yaml:5: classes[2]: 'road' is named twice",
        ),
        (
            "classes: [road, sky]",
            "classes: [road]",
            "mine.yaml:5: classes: found 1 classes: expected 2 to 255, as label 255 means ignore",
        ),
        (
            "classes: [road, sky]",
            f"classes: [{', '.join(f'c{n}' for n in range(256))}]",
            "mine.yaml:5: classes: found 256 classes: expected 2 to 255, as label 255 means ignore",
        ),
        (
            "scale: [0.5, 2]",
            "scale: [2, 0.5]",
            "mine.yaml:17: augmentation.scale: found [2, 0.5]: expected the smaller factor first",
        ),
        ("scale: [0.5, 2]", "scale: [0, 2]", "mine.yaml:17: augmentation.scale[0]: found 0: expected more than 0"),
        (
            "standing: smoke test",
            "standing: benchmrk",
            "mine.yaml:2: standing: found \"benchmrk\": expected 'demonstration', 'smoke test' or 'benchmark' "
            "(did you mean 'benchmark'?)",
        ),
        (
            "reader: streets",
            "reader: street",
            "mine.yaml:8: data.reader: found \"street\": expected 'streets', 'folders', 'segnet', 'cityscapes', "
            "'ade20k' or 'voc' (did you mean 'streets'?)",
        ),
        ("  tune: {count: 4, seed: 2}\n", "", "mine.yaml:7: data.tune: missing"),
        (
            "tune: {count: 4, seed: 2}",
            "tune: {coutn: 4, seed: 2}",
            "mine.yaml:10: data.tune.coutn: unknown key (did you mean 'count'?): known are count, seed",
        ),
        (
            "architecture: light",
            "architecture: ligth",
            "mine.yaml:18: student.architecture: found \"ligth\": expected 'light', 'pspnet', 'deeplabv3' "
            "or 'segformer' (did you mean 'light'?)",
        ),
        ("architecture: light, ", "", "mine.yaml:18: student.architecture: missing"),
        (
            "widths: [8, 16, 24, 32]",
            "widths: [8, 16, 24.5, 32]",
            "mine.yaml:18: student.widths[2]: found 24.5: expected a whole number",
        ),
        (
            "widths: [8, 16, 24, 32]",
            "widths: [8, 16, 24]",
            "mine.yaml:18: student.widths[3]: missing",
        ),
        (
            "decoder: 64",
            "decoder: 0",
            "mine.yaml:20: teacher.network.decoder: found 0: expected more than 0",
        ),
        ("flip: 0.5", "flip: 1.5", "mine.yaml:17: augmentation.flip: found 1.5: expected at most 1"),
        ("threads: 1", "threads: one", 'mine.yaml:34: threads: found "one": expected a whole number'),
        (
            "  momentum: 0.9\n",
            "  momentun: 0.9\n",
            "mine.yaml:29: training.momentun: unknown key (did you mean 'momentum'?): "
            "known are optimizer, batch, learning_rate, floor, momentum, weight_decay, power, auxiliary_weight, "
            "recipe_epochs",
        ),
        ("pictures: public", "pictures: no", "mine.yaml:6: pictures: found \"no\": expected 'public' or 'private'"),
    ],
)
def test_a_wrong_workload_is_told_on_one_line(write, tmp_path, old, new, message):
    """File, line, key, what was found, what was expected, the nearest name."""
    with pytest.raises(BadInput) as caught:
        read_workload(write(old, new))
    assert str(caught.value).replace(f"{tmp_path}/", "") == message


def test_a_digest_changes_with_what_decides_results(write):
    """The file's content, the data, the teacher's weights."""
    one = read_workload(write())
    other = read_workload(write("flip: 0.5", "flip: 0.25"))
    digests = {
        workload_digest(one, "data", "teacher"),
        workload_digest(other, "data", "teacher"),
        workload_digest(one, "data2", "teacher"),
        workload_digest(one, "data", "teacher2"),
        workload_digest(one, "data", None),
    }
    assert len(digests) == 5


def test_an_address_that_is_corrected_splits_no_track():
    """What the checkpoint is decides, not where it is to be had; without one the content is as it always was."""
    held = factories.workload()
    prose = {"title", "standing", "caveat", "pictures", "measured", "teacher_seconds"}
    assert held.content == held.model_dump_json(exclude=prose)

    def taken(sha256: str, url: str | None) -> str:
        checkpoint = Checkpoint(sha256=sha256, url=url)
        return held.model_copy(update={"teacher": held.teacher.model_copy(update={"checkpoint": checkpoint})}).content

    assert taken("1" * 64, "https://example.org/old") == taken("1" * 64, "https://example.org/new")
    assert len({held.content, taken("1" * 64, None), taken("2" * 64, None)}) == 3


def test_a_digest_keeps_to_what_decides_results():
    """Prose, and facts measured later, part no track."""
    plain = factories.workload()
    told = factories.workload(title="Other", caveat="Other", measured={"kd": "costs 2.4 baseline iterations"})
    assert workload_digest(told, "d", "t") == workload_digest(plain, "d", "t")


def test_a_name_or_a_path_finds_a_workload(tmp_path, monkeypatch):
    """A path is taken as it is; a name must be shipped."""
    (tmp_path / "streets.yaml").touch()
    monkeypatch.setattr(module, "SHIPPED", tmp_path)
    assert workload_path("streets") == tmp_path / "streets.yaml"
    assert workload_path("my/own.yml") == Path("my/own.yml")


def test_an_unknown_name_is_told_with_all_that_are_known(tmp_path, monkeypatch):
    """And that a path would do."""
    for name in ("streets", "camvid"):
        (tmp_path / f"{name}.yaml").touch()
    monkeypatch.setattr(module, "SHIPPED", tmp_path)
    with pytest.raises(BadInput) as caught:
        workload_path("steets")
    assert str(caught.value) == (
        "no workload 'steets' (did you mean 'streets'?): known are camvid, streets, or a path to a .yaml"
    )


@pytest.mark.parametrize("name", shipped_workloads())
def test_every_shipped_workload_reads(name):
    """And has classes, an epoch and positions."""
    found = read_workload(workload_path(name))
    assert found.epoch > 0
    assert found.positions > 0


FILED = """data:
  reader: folders
  train: {count: 10, images: a, labels: b}
  tune: {count: 5, every: 2}
  score: {count: 4, images: c, labels: d}
  label_values: [1, 2]
  unlabelled: [0]
"""


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("", "", None),
        (
            "image_size: [64, 128]",
            "image_size: null",
            "mine.yaml:14: image_size: found null: expected a height and a width",
        ),
        (
            "label_size: [64, 128]",
            "label_size: null",
            "mine.yaml:15: label_size: found null: expected a height and a width",
        ),
        (
            "label_size: [64, 128]",
            "label_size: [32, 64]",
            "mine.yaml:10: data.tune: images that are trained on are not sc",
        ),
        (
            "label_values: [1, 2]",
            "label_values: [1]",
            "mine.yaml:12: data.label_values: found 1 values: expected 2, one a",
        ),
        (
            "label_values: [1, 2]",
            "label_values: [1, 1]",
            "mine.yaml:12: data.label_values: found 1 values: expected 2, one",
        ),
        ("unlabelled: [0]", "unlabelled: [0, 2]", "mine.yaml:13: data.unlabelled: found 2, which stands for class 1"),
        ("unlabelled: [0]", "unlabelled: [256]", "mine.yaml:13: data.unlabelled[0]: found 256: expected at most 255"),
        ("every: 2", "every: 1", "mine.yaml:10: data.tune.every: found 1: expected at least 2"),
        (
            "count: 5, every: 2",
            "count: 3, every: 4",
            "mine.yaml:10: data.tune.count: found 3: expected 2, 1 in 4 of the 10 of train",
        ),
        ("count: 5, every: 2", "count: 2, every: 4", None),
        (
            "count: 5, every: 2",
            "count: 1, every: 11",
            "mine.yaml:10: data.tune.every: found 11: expected at most 10, the images of train",
        ),
        (
            "threads: 1",
            "threads: 1\nevaluation: {mode: sliding, window: [8, 8], step: [4, 9]}",
            "mine.yaml:37: evaluation.step: found [4, 9]: expected no more than the window, [8, 8]",
        ),
        (
            "threads: 1",
            "threads: 1\nevaluation: {mode: sliding, window: [64, 129], step: [64, 64]}",
            "mine.yaml:37: evaluation.window: found [64, 129]: expected no more than image_size, [64, 128]",
        ),
        ("threads: 1", "threads: 1\nevaluation: {mode: sliding, window: [64, 128], step: [64, 64]}", None),
    ],
)
def test_labels_and_sizes_fit_each_other(write, old, new, message):
    """Of images in folders, every second held out, whose label values are 1 and 2."""
    drawn = TEXT[TEXT.index("data:") : TEXT.index("image_size")]
    path = write(drawn, FILED)
    text = path.read_text()
    assert text.count(old) == 1 or not old
    path.write_text(text.replace(old, new) if old else text)
    if message is None:
        assert read_workload(path).data.label_values == (1, 2)
        return
    with pytest.raises(BadInput) as caught:
        read_workload(path)
    assert message in str(caught.value)


def test_a_window_may_be_larger_than_images_of_which_nobody_knows_the_size(write):
    path = write(TEXT[TEXT.index("data:") : TEXT.index("mean:")], f"{FILED}image_size: null\nlabel_size: null\n")
    path.write_text(f"{path.read_text()}evaluation: {{mode: sliding, window: [512, 512], step: [9, 9]}}\n")
    assert read_workload(path).evaluation.window == (512, 512)


@pytest.mark.parametrize(
    ("student", "teacher", "floor", "above"),
    [
        ("5e-2", "1e-2", "1e-2", None),
        ("5e-2", "1e-1", "6e-2", "training.learning_rate, 0.05"),
        ("5e-2", "1e-2", "2e-2", "teacher.training.learning_rate, 0.01"),
    ],
)
def test_the_floor_is_below_the_learning_rate_of_either_network(write, student, teacher, floor, above):
    """The teacher's ends on the same."""
    path = write("batch: 4, learning_rate: 5e-2", f"batch: 4, learning_rate: {teacher}")
    path.write_text(path.read_text().replace("  momentum", f"  floor: {floor}\n  momentum"))
    if above is None:
        assert read_workload(path).training.floor == float(floor)
        return
    with pytest.raises(BadInput) as caught:
        read_workload(path)
    found = str(caught.value).removeprefix(f"{path}:29: training.floor: ")
    assert found == f"found {float(floor):g}: expected at most {above}"


def test_weights_and_a_checkpoint_are_one_too_many(write):
    """Nobody knows which of the two the teacher would be; either alone is well."""
    checkpoint = f"checkpoint: {{sha256: '{'1' * 64}'}}"
    assert read_workload(write("  band:", f"  {checkpoint}\n  band:")).teacher.checkpoint.sha256 == "1" * 64
    path = write("weights: null", f"weights: t.safetensors\n  {checkpoint}")
    with pytest.raises(BadInput) as caught:
        read_workload(path)
    assert str(caught.value) == (
        f"{path}:22: teacher.checkpoint: found one beside teacher.weights, 't.safetensors': expected one of the two"
    )


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (
            "threads: 1",
            "threads: 1\nevaluation: {mode: whole, window: [8, 8]}",
            "mine.yaml:35: evaluation.window: unknown key: known are mode",
        ),
        (
            "auxiliary: true",
            "auxiliary: true, rates: [6, 12, 18]",
            "mine.yaml:20: teacher.network.rates: unknown key: known are backbone, pretrained, backbone_sha256, stem, "
            "norm, decoder, dropout, auxiliary, architecture",
        ),
        (
            "tune: {count: 4, seed: 2}",
            "tune: {count: 4, seed: 2, every: 2}",
            "mine.yaml:10: data.tune.every: unknown key: known are count, seed",
        ),
        (
            "decoder: 16",
            "decoder: 16, pretrained: true, auxiliary: false, norm: batch",
            "mine.yaml:18: student.pretrained: unknown key: known are architecture, widths, blocks, decoder, dropout",
        ),
    ],
)
def test_a_key_of_another_member_of_a_union_is_answered_with_the_chosen_ones(write, tmp_path, old, new, message):
    """However many of the keys would fit the other."""
    with pytest.raises(BadInput) as caught:
        read_workload(write(old, new))
    assert str(caught.value).replace(f"{tmp_path}/", "") == message


@pytest.mark.parametrize(("size", "text"), [((360, 480), "360×480"), ((8,), "8")])
def test_a_size_is_shown_with_a_cross(size, text):
    assert shown_size(size) == text


def test_the_reader_of_older_records_is_that_of_folders(write):
    drawn = TEXT[TEXT.index("data:") : TEXT.index("image_size")]
    assert read_workload(write(drawn, FILED.replace("folders", "segnet"))).data.reader == "segnet"


def test_the_digest_knows_what_the_student_starts_from():
    """And is as it was where that is random weights."""
    held = factories.workload()
    plain = workload_digest(held, "d", "t")
    assert plain == workload_digest(held, "d", "t", None)
    assert len({plain, workload_digest(held, "d", "t", "b"), workload_digest(held, "d", "t", "c")}) == 3
