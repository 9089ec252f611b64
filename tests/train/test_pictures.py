"""Pictures of what networks predict: of the first images, as large as they are shown, and never at a score's cost."""

from pathlib import Path

import numpy as np
import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from torch import Tensor, nn

from harness.ledger.pictures import read_pictures, read_student
from harness.ledger.record import Outcome
from harness.ledger.results import COUNTS, PREDICTIONS, SCENE, predictions_path, scene_path, tracking_folder
from harness.ledger.spec import Extras, Ground, RunSpec
from harness.segmentation.data import Split, load
from harness.segmentation.evaluate import confusion, tallied
from harness.segmentation.staged import Staged
from harness.train.event_files import TensorBoardTracker
from harness.train.heartbeat import Heartbeat
from harness.train.pictures import Predictions, are_wanted, resized, scene_of, thinned, thinning
from harness.train.run import Run
from tests import factories
from tests.factories import spec, workload
from tests.train.tiny import resolved, standing

CPU = torch.device("cpu")
ITERATIONS = 6


# Parts


class OfTheImage(nn.Module):
    """Logits that name each pixel's class: the value of its red channel."""

    def forward(self, images: Tensor) -> Tensor:
        return -(images[:, :1] - torch.arange(3)[None, :, None, None]).abs()


def test_of_how_many_pixels_one_is_shown():
    """As few as leave no side longer than 512."""
    assert [thinning(size) for size in ((64, 128), (512, 512), (513, 4), (360, 480), (1024, 2048))] == [1, 1, 2, 1, 4]


def test_predictions_of_the_first_three_images_are_kept_thinned_like_their_labels():
    """Every second pixel of 2×1024, of whatever number; the fourth image is let go."""
    wide = torch.arange(2048).reshape(2, 1024) % 11
    seen = Predictions()
    for number in range(4):
        seen.see(number, wide + number)
    label = wide.to(torch.uint8).numpy()
    assert [found.tolist() for found in seen.maps()] == [(thinned(label) + number).tolist() for number in range(3)]
    assert {(found.shape, found.dtype.name) for found in seen.maps()} == {((1, 512), "uint8")}


def test_an_image_is_shown_at_its_labels_size():
    """Twice as large: the mean of neighbours; as large: itself."""
    image = np.array([[[0] * 3, [100] * 3]] * 2, np.uint8)
    assert resized(image, np.zeros((1, 1), np.uint8)).tolist() == [[[50] * 3]]
    assert resized(image, np.zeros((2, 2), np.uint8)).tolist() == image.tolist()


def test_a_scene_is_the_first_images_their_labels_and_what_the_teacher_makes_of_them():
    """Two images of different sizes, and no third; the teacher reads the class off the image."""
    pixels = [[[0, 1], [2, 2]], [[1, 0, 2]]]
    images = [np.array(image, np.uint8)[..., None].repeat(3, axis=-1) for image in pixels]
    labels = [np.array([[0, 255], [2, 1]], np.uint8), np.array([[1, 1, 1]], np.uint8)]
    unit = (1 / 255, 1 / 255, 1 / 255)
    held = workload(classes=("road", "sky", "car"), mean=(0.0, 0.0, 0.0), std=unit)
    teacher = Staged({"logits": OfTheImage()}, {"logits": ("image",)}, {"logits": 3}, stride=1)
    found = scene_of(teacher, Split(images, labels), held, CPU)
    assert [each.tolist() for each in found.images] == [image.tolist() for image in images]
    assert [each.tolist() for each in found.labels] == [label.tolist() for label in labels]
    assert [each.tolist() for each in found.teacher] == pixels


@pytest.mark.parametrize(
    ("pictures", "asked", "scored_on", "wanted"),
    [
        ("public", False, "score", True),
        ("private", False, "score", False),
        ("private", True, "score", True),
        ("public", True, "tune", False),
    ],
)
def test_private_pictures_are_kept_where_a_person_asked_and_those_of_trials_never(
    pictures: str, asked: bool, scored_on: str, wanted: bool
):
    on = factories.ground(of=workload(pictures=pictures))
    planned = spec(on=on, scored_on=scored_on).model_copy(update={"extras": Extras(keeps_pictures=asked)})
    assert are_wanted(planned) is wanted


# Whole runs


@pytest.fixture(scope="module")
def whole_ground(tmp_path_factory: pytest.TempPathFactory) -> Ground:
    """Eight drawn scenes and a teacher of random weights."""
    held = workload()
    data = held.data.model_copy(update={"train": held.data.train.model_copy(update={"count": 8})})
    classes = ("sky", "building", "pole", "road", "pavement", "tree", "sign", "fence", "car", "pedestrian", "bicyclist")
    training = held.training.model_copy(update={"batch": 2})
    held = held.model_copy(update={"data": data, "classes": classes, "training": training})
    return standing(tmp_path_factory.mktemp("teacher"), held)


def carried_out(on: Ground, results: Path, name: str = "kd", **extras: object) -> tuple[RunSpec, Path, Outcome]:
    """The spec, the work folder and the outcome of a run of a few iterations."""
    planned = spec(resolved(name), on=on, budget=f"{ITERATIONS} it", pace="iterations", iterations=ITERATIONS)
    planned = planned.model_copy(update={"extras": Extras(**extras), "students": str(results / "students")})
    folder = results / "work" / planned.name
    folder.mkdir(parents=True)
    run = Run(planned, folder / "out.json", Heartbeat(folder / "out.json"), results)
    run.check_device = lambda: None  # type: ignore[method-assign]
    return planned, folder, run.carry_out()


def kept(folder: Path) -> set[str]:
    """Which files of pictures a run left."""
    return {path.name for path in folder.iterdir()} & {PREDICTIONS, SCENE}


def moved(planned: RunSpec, folder: Path, results: Path) -> None:
    """What a sweep does with the pictures."""
    (results / "pictures").mkdir()
    (folder / PREDICTIONS).rename(predictions_path(results, planned.name))
    (folder / SCENE).rename(scene_path(results, planned.ground.workload_digest))


def test_a_run_leaves_pictures_that_tell_what_its_counts_tell(whole_ground: Ground, tmp_path: Path):
    """Tallied again from the pictures: the first three images' counts, to the pixel."""
    planned, folder, outcome = carried_out(whole_ground, tmp_path)
    assert outcome.ending == "done"
    moved(planned, folder, tmp_path)
    scene = read_pictures(tmp_path, whole_ground.workload_digest)
    student = read_student(tmp_path, planned.name)
    assert scene is not None
    assert student is not None
    classes, counts = len(whole_ground.workload.classes), np.load(folder / COUNTS, allow_pickle=False)
    for number, (label, prediction) in enumerate(zip(scene.labels, student, strict=True)):
        cells = confusion(torch.from_numpy(prediction.copy()).long(), torch.from_numpy(label.copy()), classes)
        expected = np.stack([counts[part][number] for part in ("intersections", "unions", "labelled")])
        assert tallied(cells).tolist() == expected.tolist()
    split = load(whole_ground.workload, None, "score")
    assert all((image == split.images[number]).all() for number, image in enumerate(scene.images))
    assert [taught.shape for taught in scene.teacher] == [label.shape for label in scene.labels]


def test_a_workloads_pictures_are_made_once_and_by_a_run_with_a_teacher(whole_ground: Ground, tmp_path: Path):
    """The baseline keeps its predictions alone, and so does whoever finds the others there."""
    _, folder, _ = carried_out(whole_ground, tmp_path / "alone", "baseline")
    assert kept(folder) == {PREDICTIONS}
    path = scene_path(tmp_path / "later", whole_ground.workload_digest)
    path.parent.mkdir(parents=True)
    path.touch()
    _, folder, _ = carried_out(whole_ground, tmp_path / "later")
    assert kept(folder) == {PREDICTIONS}


def test_pictures_that_cannot_be_kept_cost_no_run_its_score(
    whole_ground: Ground, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
):
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("harness.train.run.write_student", full)
    _, folder, outcome = carried_out(whole_ground, tmp_path)
    assert outcome.ending == "done"
    assert outcome.scores is not None
    assert "no pictures, for OSError: [Errno 28] No space left on device" in capsys.readouterr().out
    assert kept(folder) == set()


def test_a_tracked_run_tells_its_curve_and_score_and_learns_what_it_would_have_learnt(
    whole_ground: Ground, tmp_path: Path
):
    """The record's own numbers, iteration by iteration; the weights are those of a run that nobody watches."""
    planned, _, outcome = carried_out(whole_ground, tmp_path / "tracked", track="tensorboard")
    folder = tracking_folder(tmp_path / "tracked", planned.name)
    assert folder == tmp_path / "tracked" / "tensorboard" / planned.name
    found = EventAccumulator(str(folder)).Reload()
    told = {tag: [(each.step, each.value) for each in found.Scalars(tag)] for tag in found.Tags()["scalars"]}
    assert set(told) == {"loss/task", "loss/kl@logits", "learning rate", "spent seconds", "mIoU"}
    single = [(point.iteration, np.float32(point.task_loss)) for point in outcome.curve]
    assert told["loss/task"] == single
    assert told["loss/kl@logits"] == [(p.iteration, np.float32(p.term_losses[0])) for p in outcome.curve]
    assert told["mIoU"] == [(ITERATIONS, np.float32(outcome.scores.miou))]
    _, _, unwatched = carried_out(whole_ground, tmp_path / "unwatched")
    assert outcome.student_sha256 == unwatched.student_sha256
    assert not (tmp_path / "unwatched" / "tensorboard").exists()


def test_a_tracker_that_fails_is_said_once_and_costs_nobody_the_run(
    whole_ground: Ground, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
):
    def full(self: TensorBoardTracker, iteration: int, numbers: dict) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(TensorBoardTracker, "tell", full)
    outcome = carried_out(whole_ground, tmp_path, "baseline", track="tensorboard")[2]
    assert (outcome.ending, outcome.iterations) == ("done", ITERATIONS)
    assert capsys.readouterr().out.count("not tracked any more, for OSError: [Errno 28]") == 1
