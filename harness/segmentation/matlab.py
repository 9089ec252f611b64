"""The label map in a file of SBD: `GTcls.Segmentation` of a MATLAB 5 file, and nothing else of such files.

scipy.io.loadmat reads more, but descends by recursion in C: a few megabytes of cells in cells end its process.
MATLAB's "MAT-File Format" (The MathWorks) describes the bytes.
"""

import zlib
from collections.abc import Iterator
from itertools import islice
from math import prod
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Order = Literal["little", "big"]
ORDERS: dict[bytes, Order] = {b"IM": "little", b"MI": "big"}
HEADER_BYTES = 128
VARIABLES = 8
"""How many are looked at: a file of SBD holds one."""
UINT8, MATRIX, COMPRESSED = 2, 14, 15  # types of elements
STRUCT, UINT8_ARRAY = 2, 9  # classes of matrices
DIMENSIONS = 32

INFLATED_BYTES = 16 * 2**20
"""What no label map of SBD comes near; beyond it a stranger's file is meant to fill the memory."""

Element = tuple[int, memoryview]
"""Its type and its content."""


def segmentation(content: bytes) -> NDArray[np.uint8]:
    """H×W class indices; ValueError for whatever is no file of SBD."""
    order = ORDERS.get(content[HEADER_BYTES - 2 : HEADER_BYTES])
    if order is None:
        raise ValueError("not a MATLAB 5 file")
    for kind, found in islice(_elements(memoryview(content)[HEADER_BYTES:], order), VARIABLES):
        if kind == COMPRESSED:
            kind, found = _next(_elements(_inflated(found), order))
        if kind == MATRIX and (labels := _labels(found, order)) is not None:
            return labels
    raise ValueError("no GTcls.Segmentation")


def _elements(content: memoryview, order: Order) -> Iterator[Element]:
    """The elements that follow each other; ValueError where one reaches beyond the end."""
    at = 0
    while at + 8 <= len(content):
        kind, size = _word(content[at : at + 4], order), _word(content[at + 4 : at + 8], order)
        # A small one has its size in the upper half of the first word and its content in the second.
        is_small = kind > 0xFFFF
        begin, kind, size = (at + 4, kind & 0xFFFF, kind >> 16) if is_small else (at + 8, kind, size)
        if begin + size > len(content) or (is_small and size > 4):
            raise ValueError("truncated")
        yield kind, content[begin : begin + size]
        padded = size if kind == COMPRESSED else -(-size // 8) * 8
        at += 8 if is_small else 8 + padded


def _word(content: memoryview, order: Order) -> int:
    return int.from_bytes(content[:4], order)


def _next(elements: Iterator[Element]) -> Element:
    if (found := next(elements, None)) is None:
        raise ValueError("truncated")
    return found


def _inflated(content: memoryview) -> memoryview:
    inflating = zlib.decompressobj()
    try:
        inflated = inflating.decompress(content, INFLATED_BYTES)
    except zlib.error as error:
        raise ValueError(str(error)) from error
    if not inflating.eof:
        raise ValueError(f"truncated, or over {INFLATED_BYTES >> 20} MiB")
    return memoryview(inflated)


def _labels(matrix: memoryview, order: Order) -> NDArray[np.uint8] | None:
    """The field Segmentation of a struct that is called GTcls; None of any other variable."""
    elements = _elements(matrix, order)
    kind, shape, name = _head(elements, order)
    if (kind, name) != (STRUCT, b"GTcls"):
        return None
    length, names = _word(_next(elements)[1], order), _next(elements)[1]
    if prod(shape) != 1 or length < 1:
        raise ValueError("GTcls is not one struct")
    for at, (_, value) in zip(range(0, len(names), length), elements, strict=False):
        if bytes(names[at : at + length]).rstrip(b"\0") == b"Segmentation":
            return _array(value, order)
    return None


def _array(matrix: memoryview, order: Order) -> NDArray[np.uint8]:
    elements = _elements(matrix, order)
    kind, shape, _ = _head(elements, order)
    stored, values = _next(elements)
    if (kind, stored, len(shape)) != (UINT8_ARRAY, UINT8, 2) or min(shape) < 1 or prod(shape) != len(values):
        raise ValueError("GTcls.Segmentation is no matrix of bytes")
    return np.ascontiguousarray(np.frombuffer(values, np.uint8).reshape(shape[::-1]).T)  # MATLAB stores by column


def _head(elements: Iterator[Element], order: Order) -> tuple[int, tuple[int, ...], bytes]:
    """A matrix's class, shape and name, which its first three elements hold."""
    flags, sizes, name = (_next(elements)[1] for _ in range(3))
    if len(sizes) > 4 * DIMENSIONS:
        raise ValueError("too many dimensions")
    shape = tuple(_word(sizes[at : at + 4], order) for at in range(0, len(sizes), 4))
    return _word(flags, order) & 0xFF, shape, bytes(name)
