from hashlib import sha256

import numpy as np
import pytest

from harness.segmentation.streets import CLASSES, Scenes, draw


@pytest.fixture(scope="module")
def scenes() -> Scenes:
    return draw(40, seed=1)


def test_classes() -> None:
    """The classes are the eleven of CamVid, each named once."""
    assert len(CLASSES) == len(set(CLASSES)) == 11
    assert {"sky", "road", "pole", "bicyclist"} < set(CLASSES)


def test_shapes(scenes: Scenes) -> None:
    """Pictures have three channels of bytes, labels one."""
    assert (scenes.images.dtype, scenes.images.shape) == (np.uint8, (40, 3, 64, 128))
    assert (scenes.labels.dtype, scenes.labels.shape) == (np.uint8, (40, 64, 128))


def test_no_scenes() -> None:
    """None can be drawn."""
    assert draw(0, seed=1).images.shape == (0, 3, 64, 128)


def test_same_seed_same_scenes(scenes: Scenes) -> None:
    """A seed's scenes can be drawn again, and the first ones are the same however many are drawn."""
    again = draw(3, seed=1)
    np.testing.assert_array_equal(again.images, scenes.images[:3])
    np.testing.assert_array_equal(again.labels, scenes.labels[:3])


def test_same_bytes_everywhere() -> None:
    """The first scenes have the bytes that they had on the machine where they were made: results can be compared."""
    scenes = draw(4, seed=1)
    digest = sha256(scenes.images.tobytes() + scenes.labels.tobytes()).hexdigest()
    assert digest == "51e60460a18baf868d1a3620cce951b92bbebf4d172c5c9c953c21e643447aa1"


def test_other_seed_other_scenes(scenes: Scenes) -> None:
    """No scene comes twice, within a seed or in two."""
    pictures = [picture.tobytes() for picture in [*scenes.images, *draw(40, seed=2).images]]
    assert len(set(pictures)) == 80


def test_draws_from_no_global_generator() -> None:
    """Drawing neither reads nor moves numpy's global generator."""
    np.random.seed(5)
    draw(1, seed=1)
    expected = np.random.RandomState(5).random_sample()
    assert expected == np.random.random_sample()


def test_every_class_is_there(scenes: Scenes) -> None:
    """Every label is a class or 255, and every class is in a tenth of the scenes or more."""
    assert set(np.unique(scenes.labels)) == {*range(len(CLASSES)), 255}
    shares = [(scenes.labels == index).any(axis=(1, 2)).mean() for index in range(len(CLASSES))]
    assert min(shares) >= 0.1


def test_little_is_ignored(scenes: Scenes) -> None:
    """Pixels that are not scored exist and are fewer than one in twenty."""
    assert 0 < (scenes.labels == 255).mean() < 0.05


def test_sky_above_road(scenes: Scenes) -> None:
    """Shape matters: no road is above the horizon, no sky in the lower half."""
    road, sky = CLASSES.index("road"), CLASSES.index("sky")
    assert not (scenes.labels[:, :20] == road).any()
    assert not (scenes.labels[:, 32:] == sky).any()


def test_colour_does_not_tell(scenes: Scenes) -> None:
    """Road and pavement differ less in brightness than pixels of the road do among themselves."""
    brightness = scenes.images.mean(axis=1)
    road = brightness[scenes.labels == CLASSES.index("road")]
    pavement = brightness[scenes.labels == CLASSES.index("pavement")]
    assert abs(road.mean() - pavement.mean()) < road.std()
