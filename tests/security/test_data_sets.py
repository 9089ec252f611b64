"""Archives, lists and label maps of a stranger's data set: nothing outside is read, no memory filled, and lines."""

import gzip
import io
import os
import tarfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import psutil
import pytest
import scipy.io
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.ledger.errors import BadInput
from harness.segmentation.layouts import folders, voc
from harness.segmentation.layouts.voc import LIST_BYTES
from harness.segmentation.matlab import segmentation
from harness.segmentation.sources import Fault
from tests import layouts
from tests.layouts import folders_data
from tests.security.hostile import line_or_nothing

Archive = Callable[..., Path]
TYPES = (tarfile.REGTYPE, tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE, tarfile.CHRTYPE, tarfile.GNUTYPE_SPARSE)
SECRET = b"what lies outside"
PAIR = {"images/train/0.png": b"abc", "masks/train/0.png": b"abc"}


def archive(path: Path, *members: tuple[str, bytes, str], packed: bool = False) -> Path:
    """A tar of a data set of one pair a split, and of members beside it: a name, a type, what it links to."""
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w", format=tarfile.PAX_FORMAT) as made:
        for name in (f"{part}/{split}/0.png" for part in ("images", "masks") for split in ("train", "val", "test")):
            member = tarfile.TarInfo(name)
            member.size = 3
            made.addfile(member, io.BytesIO(b"abc"))
        for name, kind, link in members:
            member = tarfile.TarInfo(name)
            member.type, member.linkname = kind, link
            made.addfile(member)
    path.write_bytes(gzip.compress(content.getvalue()) if packed else content.getvalue())
    return path


def read(path: Path) -> dict[str, bytes]:
    """Every file of the training pairs of an archive by its name."""
    found = folders.listing(folders_data(train=1), "train", path, "mine")
    told, contents = [*found.problems], {}
    for source in (source for pair in found.pairs for source in (pair.image, pair.label)):
        try:
            contents[source.name] = source.read()
        except Fault as fault:
            told.append(str(fault))
    assert all(line.isprintable() for line in told)
    return contents


@pytest.mark.parametrize("packed", [False, True])
def test_a_link_in_an_archive_is_none_of_the_data_set(tmp_path: Path, packed: bool):
    """Symbolic or hard, to what lies outside or to a device."""
    (tmp_path / "secret.png").write_bytes(SECRET)
    for kind in TYPES[1:]:
        for link in (str(tmp_path / "secret.png"), "../secret.png", "/dev/zero"):
            path = archive(
                tmp_path / "a.tar",
                *((f"{part}/train/1.png", kind, link) for part in ("images", "masks")),
                packed=packed,
            )
            assert read(path) == PAIR


PARTS = st.sampled_from(
    ["images", "masks", "train", "..", ".", "", "0.png", "1.png", "\x1b[2J.png", "\u202e.png", "x" * 99]
)
NAMES = st.lists(PARTS | st.text(max_size=3), min_size=1, max_size=5).map(
    lambda parts: "/".join(parts).encode(errors="replace").decode()
)


def is_the_pair_and_no_more(folder: Path, names: list[str], kind: bytes) -> None:
    """Whatever else an archive names; what lies outside of it stays what it was."""
    (folder / "secret.png").write_bytes(SECRET)
    path = archive(folder / "data.tar", *((name, kind, "../secret.png") for name in names))
    before = sorted(os.walk(folder))
    found: dict[str, bytes] = {}
    assert len(line_or_nothing(lambda: found.update(read(path))).splitlines()) <= 1
    assert not any(SECRET in content for content in found.values())
    assert all(name.startswith(("images/train/", "masks/train/")) and ".." not in name for name in found)
    assert sorted(os.walk(folder)) == before


@settings(max_examples=60, deadline=None, derandomize=True, database=None)
@given(names=st.lists(NAMES, min_size=1, max_size=4), kind=st.sampled_from(TYPES))
def test_names_in_an_archive_lead_nowhere_else(tmp_path_factory, names: list[str], kind: bytes):
    """Nothing is written, nothing outside is read."""
    folder = tmp_path_factory.getbasetemp() / "archives"
    folder.mkdir(exist_ok=True)
    is_the_pair_and_no_more(folder, names, kind)


CUTS = st.lists(st.tuples(st.floats(0, 1), st.binary(min_size=1, max_size=8)), min_size=1, max_size=5)


def cut(content: bytes, cuts: list[tuple[float, bytes]]) -> bytes:
    whole = bytearray(content)
    for place, scrap in cuts:
        at = int(place * len(whole))
        whole[at : at + len(scrap)] = scrap
    return bytes(whole)


@settings(max_examples=100, deadline=None, derandomize=True, database=None)
@given(cuts=CUTS, packed=st.booleans())
def test_a_mutated_archive_is_one_or_a_line(tmp_path_factory, cuts, packed: bool):
    """A few bytes others, before it is packed."""
    path = tmp_path_factory.getbasetemp() / "mutated.tar"
    content = cut(archive(path).read_bytes(), cuts)
    path.write_bytes(gzip.compress(content) if packed else content)
    found: dict[str, bytes] = {}
    assert len(line_or_nothing(lambda: found.update(read(path))).splitlines()) <= 1
    assert found.keys() <= PAIR.keys()


def test_no_more_is_unpacked_than_half_of_the_memory_that_is_free(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Images and labels together: six bytes where eleven are free are one too many; before any is."""
    path = archive(tmp_path / "data.tar", packed=True)
    free = psutil.virtual_memory()
    monkeypatch.setattr(psutil, "virtual_memory", lambda: free._replace(available=12))
    assert read(path) == PAIR
    monkeypatch.setattr(psutil, "virtual_memory", lambda: free._replace(available=11))
    with pytest.raises(
        BadInput,
        match=r"images/train/ and masks/train/ hold 0\.0 GiB, more than half .*: unpack it and name ",
    ):
        read(path)


def header(kind: bytes, *words: str) -> bytes:
    """A header that says something of the next file, or of all that follow, in words of up to six letters."""
    said = "".join(f"{len(word) + 3} {word}\n" for word in words).encode()
    about = tarfile.TarInfo("about")
    about.type, about.size = kind, len(said)
    return about.tobuf(tarfile.USTAR_FORMAT) + said.ljust(-(-len(said) // 512) * 512, b"\0")


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("kind", [tarfile.XGLTYPE, tarfile.XHDTYPE])
def test_what_an_archive_says_of_all_its_files_is_not_copied_for_each_without_end(
    tmp_path: Path, kind: bytes, packed: bool
):
    """Tarfile does so for every file of which anything more is said; nor is very much said of one."""
    path = archive(tmp_path / "data.tar")
    whole = path.read_bytes()
    for words, expected in ((folders.KEYS, ""), (folders.KEYS + 1, "over 100 words on one file, or on all at once")):
        content = header(kind, *(f"k{word:03d}=" for word in range(words))) + whole
        path.write_bytes(gzip.compress(content) if packed else content)
        assert expected in line_or_nothing(lambda: read(path))
        assert expected or read(path) == PAIR


def test_headers_on_headers_are_a_line(tmp_path: Path):
    """Tarfile reads each inside the one before, holding what that one said."""
    path = tmp_path / "data.tar"
    path.write_bytes(header(tarfile.XHDTYPE, "k=v") * 1000 + archive(path).read_bytes())
    assert "not a folder nor a readable tar: " in line_or_nothing(lambda: read(path))


def test_what_is_said_of_a_file_is_not_kept(tmp_path: Path):
    """Half a million of them would say as much again."""
    path = tmp_path / "data.tar"
    path.write_bytes(header(tarfile.XHDTYPE, "k=v") + archive(path).read_bytes())
    with tarfile.open(path) as opened:
        assert [member.pax_headers for _, member in folders._members(opened)] == [{}] * 6


@pytest.mark.parametrize("name", ["train.txt", "trainaug.txt"])
def test_a_list_of_very_many_names_is_not_read(tmp_path: Path, name: str):
    """A line of two bytes takes fifty in memory."""
    home = layouts.voc(tmp_path, sbd=False)
    lists = next(home.rglob("ImageSets/Segmentation"))
    (lists.parent.parent / "SegmentationClassAug").mkdir(exist_ok=True)
    (lists / "trainaug.txt").touch()
    (lists / name).write_bytes(b"a\n" * (LIST_BYTES // 2 + 1))
    with pytest.raises(BadInput, match=rf"{name}: found 2,097,154 bytes: expected at most 2,097,152$"):
        voc.listing(tmp_path, "train", 5)


def labels(packed: bool) -> bytes:
    """A label map as SBD has it."""
    file = io.BytesIO()
    scipy.io.savemat(file, layouts.sbd_label(np.arange(12, dtype=np.uint8).reshape(3, 4)), do_compression=packed)
    return file.getvalue()


MAPS = [labels(packed) for packed in (False, True)]


@settings(max_examples=300, deadline=None, derandomize=True, database=None)
@given(content=st.sampled_from(MAPS), cuts=CUTS)
def test_a_mutated_label_map_is_one_or_a_value_error(content: bytes, cuts):
    """Which its reader tells of as a fault of that file."""
    try:
        found = segmentation(cut(content, cuts))
    except ValueError:
        return
    assert (found.dtype, found.size) == (np.uint8, 12)
