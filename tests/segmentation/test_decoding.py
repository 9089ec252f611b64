"""From bytes to arrays and class indices, in pictures of a few pixels."""

import io
import struct
import warnings
import zlib

import numpy as np
import pytest
import scipy.io
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from harness.ledger.datasets import FoldersData, FolderSplit
from harness.ledger.workload import Workload
from harness.segmentation import decoding
from harness.segmentation.decoding import PIXELS, Decoded, claimed_pixels, class_table, decode
from harness.segmentation.layouts import listing
from harness.segmentation.sources import Fault, Source, SourcePair
from tests import factories, layouts

SPLIT = FolderSplit(count=1, images="images", labels="labels")
LAYOUT = FoldersData(reader="folders", train=SPLIT, tune=SPLIT, score=SPLIT, unlabelled=(3, 7))
LABEL = np.array([[0, 1, 2, 3], [2, 2, 7, 255]], np.uint8)
CLASSES = [[0, 1, 2, 255], [2, 2, 255, 255]]


def workload(layout: FoldersData = LAYOUT, **changes: object) -> Workload:
    sizes: dict[str, object] = {"image_size": (2, 4), "label_size": (2, 4), "classes": ("road", "sky", "car")}
    return factories.workload(data=layout, **(sizes | changes))


def saved(image: Image.Image | np.ndarray, kind: str = "PNG", **settings: object) -> bytes:
    content = io.BytesIO()
    (image if isinstance(image, Image.Image) else Image.fromarray(image)).save(content, kind, **settings)
    return content.getvalue()


def picture(grey: int = 9, size: tuple[int, int] = (2, 4)) -> bytes:
    return saved(np.full((*size, 3), grey, np.uint8))


def source(name: str, content: bytes) -> Source:
    return Source(name, len(content), 0, lambda: content)


def decoded(
    image: bytes, label: bytes, of: Workload | None = None, *, resize_label: bool = True, ending: str = "png"
) -> Decoded:
    pair = SourcePair(source("images/a.png", image), source(f"labels/a.{ending}", label))
    return decode(pair, image, label, of or workload(), resize_label=resize_label)


def grey_png(rows: list[bytes], depth: int, width: int) -> bytes:
    """A PNG of greys of so many bits, which Pillow does not write."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    head = struct.pack(">IIBBBBB", width, len(rows), depth, 0, 0, 0, 0)
    pixels = zlib.compress(b"".join(b"\0" + row for row in rows))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")


# Values


def test_a_label_map_is_counted_and_looked_up_a_block_at_a_time(monkeypatch: pytest.MonkeyPatch):
    """Numpy takes eight bytes for each pixel of a block; the last one is shorter."""
    whole = decoded(picture(), saved(LABEL))
    monkeypatch.setattr(decoding, "BLOCK", 3)
    longest: list[int] = []
    for name in ("bincount", "take"):
        real = getattr(np, name)
        part = 0 if name == "bincount" else 1
        monkeypatch.setattr(
            np,
            name,
            lambda *given, real=real, part=part, **named: longest.append(given[part].size) or real(*given, **named),
        )
    parts = decoded(picture(), saved(LABEL))
    assert longest == [3, 3, 2] * 2
    assert (parts.label.tolist(), parts.pixels.tolist()) == (whole.label.tolist(), whole.pixels.tolist())


def test_what_headers_claim_is_known_before_anything_is_decoded():
    """Of a header alone, of two pictures the larger, of what is none nothing, and no more than is ever decoded."""
    assert claimed_pixels(picture(size=(3, 5)), picture(size=(2, 7))) == 15
    assert claimed_pixels(b"no picture", picture()[:45]) == 8
    assert claimed_pixels(b"", b"") == 0
    assert claimed_pixels(grey_png([b""] * 2**14, 8, 2**14), b"") == PIXELS


def test_values_become_classes_and_unlabelled_ones_255():
    found = decoded(picture(), saved(LABEL))
    assert found.label.tolist() == CLASSES
    assert found.pixels[:4].tolist() == [1, 1, 3, 0]
    assert [found.pixels[4:255].sum(), found.pixels[255]] == [0, 3]
    assert (found.image.dtype, found.label.dtype, found.pixels.dtype) == (np.uint8, np.uint8, np.int64)
    assert found.image.tolist() == [[[9, 9, 9]] * 4] * 2


def test_each_class_may_have_a_value_of_its_own():
    """As Cityscapes' 7, 8, 11, …, or a mask of 0 and 255, where 255 is not ignored."""
    listed = workload(LAYOUT.model_copy(update={"label_values": (2, 7, 1), "unlabelled": (0, 3)}))
    found = decoded(picture(), saved(LABEL), listed)
    assert found.label.tolist() == [[255, 2, 0, 255], [0, 0, 1, 255]]
    assert found.pixels[:3].tolist() == [3, 1, 1]
    mask = workload(LAYOUT.model_copy(update={"label_values": (0, 255), "unlabelled": ()}), classes=("none", "some"))
    assert (
        decoded(picture(), saved(np.array([[0, 255, 255, 0]] * 2, np.uint8)), mask).label.tolist() == [[0, 1, 1, 0]] * 2
    )


def test_the_table_of_a_published_data_set_holds_its_classes_its_unlabelled_and_nothing_else():
    table = class_table(workload(layouts.cityscapes_data(), classes=tuple(map(str, range(19)))))
    assert table[[7, 8, 11, 33]].tolist() == [0, 1, 2, 18]
    assert table[[0, 29, 30, 255]].tolist() == [255] * 4
    assert list(range(34, 255)) == np.flatnonzero(table == -1).tolist()


def test_drawn_scenes_have_no_table():
    with pytest.raises(TypeError):
        class_table(factories.workload())


def test_palette_labels_are_read_as_indices_not_as_colours():
    assert decoded(picture(), saved(layouts.paletted(LABEL))).label.tolist() == CLASSES


def test_palettes_of_few_bits_are_indices_too():
    image = Image.fromarray(np.array([[0, 1, 2, 2]] * 2, np.uint8)).convert("P")
    image.putdata([0, 1, 2, 2] * 2)
    content = saved(image, bits=2)
    assert (content[24], content[25]) == (2, 3)
    assert decoded(picture(), content).label.tolist() == [[0, 1, 2, 2]] * 2


@pytest.mark.parametrize("depth", [2, 4])
def test_greys_of_few_bits_are_refused_as_pillow_stretches_them(depth):
    rows = [bytes([0b00011000 if depth == 2 else 1]) * (depth // 2)] * 2
    reason = rf"^labels/a\.png: a label map of {depth}-bit grey, expected 8-bit grey or palette: class indices$"
    with pytest.raises(Fault, match=reason):
        decoded(picture(), grey_png(rows, depth, 4))


def test_sbds_labels_are_read_by_their_ending():
    file = io.BytesIO()
    scipy.io.savemat(file, dict(layouts.sbd_label(LABEL)))
    assert decoded(picture(), file.getvalue(), ending="mat").label.tolist() == CLASSES


# Sizes


def test_images_and_training_labels_are_resized_and_scored_labels_are_not():
    halved = workload(image_size=(1, 2))
    checks = np.array([[0, 100, 40, 40], [100, 0, 40, 40]], np.uint8)[:, :, None].repeat(3, axis=2)
    train = decoded(saved(checks), saved(LABEL), halved)
    score = decoded(saved(checks), saved(LABEL), halved, resize_label=False)
    assert train.image.shape == score.image.shape == (1, 2, 3)
    assert 40 < train.image[0, 0, 0] < 60  # antialiased: of all four pixels, not of one
    assert train.label.shape == (1, 2)
    assert set(np.unique(train.label)) <= {0, 1, 2, 255}
    assert score.label.tolist() == CLASSES
    assert (train.pixels == score.pixels).all()  # of the file, not of what training makes of it


def test_an_image_that_has_its_size_already_is_not_touched():
    small = np.arange(6, dtype=np.uint8).reshape(1, 2, 3)
    found = decoded(saved(small), saved(LABEL), workload(image_size=(1, 2)))
    assert small.tolist() == found.image.tolist()


def test_without_sizes_every_picture_keeps_its_own():
    free = workload(image_size=None, label_size=None)
    for size in ((2, 4), (3, 5)):
        label = np.zeros(size, np.uint8)
        found = decoded(picture(size=size), saved(label), free)
        assert (found.image.shape, found.label.shape) == ((*size, 3), size)


def test_jpegs_are_images_whatever_their_name_says():
    found = decoded(saved(Image.new("RGB", (4, 2), (200, 10, 10)), "JPEG", quality=100), saved(LABEL))
    assert abs(int(found.image[0, 0, 0]) - 200) < 4


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGBA", "CMYK"])
def test_images_of_other_modes_become_colours(mode):
    content = saved(Image.new("RGB", (4, 2), (255, 255, 255)).convert(mode), "JPEG" if mode == "CMYK" else "PNG")
    assert decoded(content, saved(LABEL)).image.tolist() == [[[255, 255, 255]] * 4] * 2


# Faults


@pytest.mark.parametrize(
    ("label", "reason"),
    [
        (saved(LABEL + 3), "label value 4, 5, 6, 10, expected 0 to 2, or 3, 7, 255 for unlabelled"),
        (
            saved(np.array([range(8, 16)], np.uint8).reshape(2, 4)),
            "label value 8, 9, 10, 11, 12, …, expected 0 to 2, or",
        ),
        (saved(LABEL[:, :3]), "2×3, expected 2×4"),
        (picture(), "a label map of mode RGB, expected 8-bit grey or palette: class indices"),
        (saved(LABEL.astype(np.uint16)), "a label map of mode I;16, expected 8-bit grey or palette: class indices"),
        (saved(Image.new("1", (4, 2))), "a label map of 1-bit grey, expected 8-bit grey or palette: class indices"),
        (b"", "not a readable PNG"),
        (b"these are words\n", "not a readable PNG"),
        (saved(LABEL, "JPEG"), "not a readable PNG"),  # lossy: its values would not be classes
        (saved(LABEL)[:50], "truncated"),
    ],
)
def test_what_is_wrong_with_a_label_is_a_line_that_names_it(label, reason):
    with pytest.raises(Fault) as fault:
        decoded(picture(), label)
    assert str(fault.value).startswith(f"labels/a.png: {reason}")
    assert len(str(fault.value).splitlines()) == 1


@pytest.mark.parametrize(
    ("image", "reason"),
    [
        (saved(LABEL.T), "4×2, expected 2×4"),
        (b"", "not a readable PNG or JPEG"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n", "not a readable PNG or JPEG"),
        (saved(LABEL, "BMP"), "not a readable PNG or JPEG"),
        (picture()[:50], "truncated"),
        (saved(Image.new("RGB", (4, 2)), "JPEG")[:-3], "truncated"),
        (saved(LABEL.astype(np.uint16)), "a picture of mode I;16, expected 8-bit colours or greys"),
    ],
)
def test_what_is_wrong_with_an_image_is_a_line_that_names_it(image, reason):
    with pytest.raises(Fault) as fault:
        decoded(image, saved(LABEL))
    assert f"images/a.png: {reason}" == str(fault.value)


def test_sizes_that_may_be_either_are_both_named():
    with pytest.raises(Fault, match=r"^images/a\.png: 4×2, expected 2×4 or 1×2$"):
        decoded(saved(LABEL.T), saved(LABEL), workload(image_size=(1, 2)))


def test_without_sizes_a_label_has_its_images_size():
    with pytest.raises(Fault, match=r"^labels/a\.png: 2×4, its image is 4×2$"):
        decoded(saved(LABEL.T), saved(LABEL), workload(image_size=None, label_size=None))


def test_values_of_classes_that_are_no_range_are_told_in_runs():
    city = workload(layouts.cityscapes_data(), classes=tuple(map(str, range(19))))
    with pytest.raises(Fault) as fault:
        decoded(picture(), saved(LABEL * 0 + 77), city)
    assert str(fault.value).startswith(
        "labels/a.png: label value 77, expected 7, 8, 11 to 13, 17, 19 to 28, 31 to 33, or "
    )


@pytest.mark.parametrize("content", [b"", b"garbage" * 100, b"MATLAB 5.0 MAT-file".ljust(126) + b"IM" + b"\xff" * 64])
def test_garbage_in_place_of_sbds_labels_is_a_line(content):
    with pytest.raises(Fault, match=r"^labels/a\.mat: not a readable \.mat with GTcls\.Segmentation$"):
        decoded(picture(), content, ending="mat")


@pytest.mark.parametrize("side", [10_000, 33_000, 60_000])
def test_a_decompression_bomb_is_a_fault_and_is_not_decoded(side):
    bomb = grey_png([b""], 8, side)
    head = b"IHDR" + struct.pack(">II", side, side) + bomb[24:29]
    bomb = bomb[:12] + head + struct.pack(">I", zlib.crc32(head)) + bomb[33:]
    for image, label, name in ((bomb, saved(LABEL), "images"), (picture(), bomb, "labels")):
        with pytest.raises(Fault, match=rf"^{name}/a\.png: over 64 million pixels$"):
            decoded(image, label)


def test_text_that_inflates_without_end_is_a_fault():
    text = PngInfo()
    text.add_text("comment", "x" * 3 * 2**20, zip=True)
    with pytest.raises(Fault, match=r"^images/a\.png: not a readable PNG or JPEG$"):
        decoded(saved(np.zeros((2, 4, 3), np.uint8), pnginfo=text), saved(LABEL))


def test_a_palette_with_transparency_brings_no_warning():
    image = Image.new("P", (4, 2))
    image.putpalette([9, 9, 9, 0, 0, 0])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = decoded(saved(image, transparency=b"\x00\x80"), saved(LABEL))
    assert found.image.tolist() == [[[9, 9, 9]] * 4] * 2


def test_a_name_that_would_steer_the_terminal_is_shown_escaped():
    pair = SourcePair(source("a\x1b[2J.png", b""), source("b.png", saved(LABEL)))
    with pytest.raises(Fault) as fault:
        decode(pair, b"", saved(LABEL), workload(), resize_label=True)
    assert str(fault.value).isprintable()


# Whole data sets


@pytest.mark.parametrize(
    ("write", "data", "classes"),
    [
        (layouts.cityscapes, layouts.cityscapes_data(), 19),
        (layouts.ade20k, layouts.ade20k_data(), 150),
        (layouts.voc, layouts.voc_data(), 21),
        (layouts.folders, layouts.folders_data(), 3),
    ],
)
def test_every_class_of_every_layout_comes_through(tmp_path, write, data, classes):
    free = workload(data, classes=tuple(map(str, range(classes))), image_size=None, label_size=None)
    path = write(tmp_path)
    for split in ("train", "tune", "score"):
        for pair in listing(data, path, split, "any").pairs:
            found = decode(pair, pair.image.read(), pair.label.read(), free, resize_label=False)
            assert (found.pixels[:classes] > 0).all()
            assert found.pixels.sum() == found.label.size == found.image.size // 3
            assert np.bincount(found.label.reshape(-1), minlength=256).tolist() == found.pixels.tolist()
