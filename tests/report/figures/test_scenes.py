"""Validation pictures: which students, where they are wrong, small files."""

import base64
import io
import re
import xml.etree.ElementTree as ElementTree
from dataclasses import replace

import numpy as np
from PIL import Image

from harness.report.facts.scenes import IGNORED, scenes_of, shown_students
from harness.report.figures.scenes import NO_LABEL, differing, draw, palette, wrong_share
from harness.report.style import styles_of
from harness.score.leaderboard import boards
from harness.score.runs import runs_of
from tests.factories import record

NAMES = ("road", "sky", "pole")


def scenes(students, size=(8, 16), count=1, classes=NAMES):
    """Images of one colour, labels of class 0; a student predicts its number everywhere."""
    images = [np.full((*size, 3), 128, np.uint8) for _ in range(count)]
    labels = [np.zeros(size, np.uint8) for _ in range(count)]
    predictions = {name: [np.full(size, index, np.uint8) for _ in range(count)] for name, index in students.items()}
    return scenes_of(images, labels, labels, predictions, classes)


def drawn(value):
    return draw(value, styles_of(guess.who for guess in value.guesses), "scenes")


def texts(picture):
    return [node.text for node in ElementTree.fromstring(picture.svg).iter("{http://www.w3.org/2000/svg}text")]


def embedded(picture):
    """Every raster image of the SVG."""
    files = re.findall(r'xlink:href="data:image/(?:png|jpeg);base64,([^"]+)"', picture.svg)
    return [Image.open(io.BytesIO(base64.b64decode(file))) for file in files]


def test_a_prediction_is_wrong_where_a_label_says_otherwise():
    """A pixel without a label is neither right nor wrong."""
    found = differing(np.array([[0, 1, 2]], np.uint8), np.array([[0, 2, IGNORED]], np.uint8))

    assert found.tolist() == [[0, 1, 2]]
    assert wrong_share(found) == 0.5
    assert wrong_share(np.full((2, 2), 2, np.uint8)) is None


def test_the_best_and_the_student_alone_are_shown():
    """Then the next best, four at most, in the order of the board; nobody below the line."""
    mious = {"at": 0.8, "cwd": 0.7, "dist": 0.6, "mgd": 0.55, "kd": 0.5, "baseline": 0.4}
    records = [record(name, miou=miou) for name, miou in mious.items()]
    [board] = boards(runs_of([*records, record("broken", ending="failed")]))

    assert [row.method for row in shown_students(board)] == ["at", "cwd", "dist", "baseline"]


def test_the_caption_says_which_runs_these_are():
    """Budget, seed, and by what rule the methods were chosen."""
    value = replace(scenes({"kd": 1}), budget="90s", seeds=(3,))

    assert "budget 90s, seed 3, the first scored: the best method, the baseline, then the next" in drawn(value).caption


def test_a_student_whose_maps_are_of_another_size_is_left_out():
    """Of another workload, or a stranger's."""
    images, labels = [np.zeros((4, 4, 3), np.uint8)], [np.zeros((4, 4), np.uint8)]
    found = scenes_of(images, labels, labels, {"kd": labels, "at": [np.zeros((4, 5), np.uint8)], "cwd": []}, NAMES)

    assert [guess.who for guess in found.guesses] == ["teacher", "kd"]
    assert scenes_of(images, labels, labels, {"cwd": []}, NAMES) is None


def test_three_images_and_four_students_are_enough():
    """What is more is left out."""
    found = scenes({f"m{place}": 0 for place in range(6)}, count=5)

    assert (len(found.images), len(found.guesses)) == (3, 5)


def test_large_images_are_made_smaller_without_mixing_classes():
    """300 pixels are 100, every third; the array as a whole is not carried along."""
    found = scenes({"kd": 1}, size=(150, 300))

    assert [each.shape for each in (found.images[0], found.labels[0])] == [(50, 100, 3), (50, 100)]
    assert all(each.base is None for each in (*found.images, *found.labels))


def test_no_image_makes_a_tower_of_the_figure():
    """A stranger's may be a pixel wide and 128 high, or the other way round."""
    towers = [Image.open(io.BytesIO(drawn(scenes({"kd": 1}, size=size)).png)) for size in ((128, 1), (1, 128))]

    assert all(image.height < 1.5 * image.width for image in towers)


def test_the_shares_of_wrong_pixels_are_said():
    """The teacher has none, a student that sees sky everywhere nothing else."""
    picture = drawn(scenes({"kd": 1}))

    assert [text for text in texts(picture) if text.endswith("wrong")] == ["0.0 % wrong", "100.0 % wrong"]
    assert [part.text for part in picture.parts if part.method == "kd"] == [
        "kd on image 1",
        "kd on image 1: 100.0 % wrong",
    ]


def test_only_classes_that_are_to_be_seen_are_in_the_legend():
    """Road of the labels, sky of the student; and a class that has no name is none."""
    assert [name for name in NAMES if name in texts(drawn(scenes({"kd": 1})))] == ["road", "sky"]
    assert [name for name in NAMES if name in texts(drawn(scenes({"kd": 77})))] == ["road"]


def test_every_picture_is_a_part_with_a_small_file_of_its_own():
    """The embedded maps hold the colours of the palette."""
    picture = drawn(scenes({"kd": 1, "baseline": 2}))
    found = embedded(picture)
    ids = {node.get("id") for node in ElementTree.fromstring(picture.svg).iter()}

    assert len(found) == len(picture.parts) == 2 + 2 * 3
    assert {f"part-{place}" for place in range(8)} <= ids
    assert found[1].convert("RGB").getpixel((0, 0)) == tuple(palette()[0])
    assert found[4].convert("RGB").getpixel((3, 5)) == tuple(palette()[1])
    assert {each.size for each in found} == {(16, 8)}


def test_the_pictures_of_streets_are_small():
    """Three images of 64×128 that no compression helps with, and four students that are wrong here and there."""
    draws = np.random.default_rng(0)
    images = [draws.normal(128, 12, (64, 128, 3)).clip(0, 255).astype(np.uint8) for _ in range(3)]
    labels = [np.repeat(np.arange(8, dtype=np.uint8), 8)[:, None].repeat(128, axis=1) for _ in range(3)]
    shifted = [np.roll(label, 1, axis=0) for label in labels]
    found = scenes_of(images, labels, shifted, dict.fromkeys(("kd", "cwd", "at", "baseline"), shifted), ("a",) * 8)

    assert len(drawn(found).svg) < 60_000


def test_the_colours_of_classes_differ():
    """255 of them, none the grey of what has no label; the first dozen from afar."""
    colours = palette()
    first = colours[:12].astype(int)
    apart = np.abs(first[:, None] - first[None]).sum(axis=2)[np.triu_indices(12, 1)]

    assert len({tuple(colour) for colour in colours.tolist()}) == 256
    assert tuple(colours[IGNORED]) == NO_LABEL
    assert apart.min() > 70


def test_strange_names_are_drawn_as_text():
    """Of a method and a class."""
    strange = "<script>$\\frac{1}{</script>" * 9
    picture = drawn(scenes({strange: 1}, classes=(strange, strange)))

    assert "script" not in {node.tag.rpartition("}")[2] for node in ElementTree.fromstring(picture.svg).iter()}
    assert max(map(len, texts(picture))) < 60
