"""The arrays of a checkpoint: `.npy` entries as numpy arrays that share the bytes of the file."""

from __future__ import annotations

import ast
import re
from typing import Any, Tuple

import numpy

from .archive import CHUNK, Archive, Part

DESCRIPTIONS = frozenset(
    ["|u1", "<u2", "<u4", "<u8", "|i1", "<i2", "<i4", "<i8", "<f2", "<f4", "<f8", "|b1", "<c8", "<c16", "|V2", "|V16"]
)
HEADER = re.compile(
    rb"\{'descr': '([^']{3,4})', 'fortran_order': False, 'shape': (\((?:[0-9]+,(?: [0-9]+(?:, [0-9]+)*)?)?\)), \} *\n"
)
U128 = numpy.dtype([("low", "<u8"), ("high", "<u8")])
I128 = numpy.dtype([("low", "<u8"), ("high", "<i8")])


def read(archive: Archive, part: Part) -> numpy.ndarray:
    """The array of one entry, read-only and not copied."""
    data = archive.part(part)
    magic = bytes(data[:10])
    if len(magic) < 10 or magic[:8] != b"\x93NUMPY\x01\x00":
        raise archive.damaged("no .npy of version 1.0", part.name)
    begin = 10 + int.from_bytes(magic[8:], "little")
    header = bytes(data[10:begin])
    match = HEADER.fullmatch(header)
    description = match.group(1).decode("ascii", "replace") if match else ""
    if match is None or description not in DESCRIPTIONS:
        raise archive.damaged("its header is not one of this format", part.name)
    try:
        shape: Tuple[int, ...] = ast.literal_eval(match.group(2).decode("ascii"))
    except (ValueError, SyntaxError, RecursionError, MemoryError) as error:
        raise archive.damaged("its shape cannot be read", part.name) from error
    dtype = numpy.dtype(description)
    length = dtype.itemsize
    for size in shape:
        length *= size
    text = f"{{'descr': '{description}', 'fortran_order': False, 'shape': {shape}, }}"
    padded = 4096 if length >= CHUNK else 64
    if len(header) != -(-(10 + len(text) + 1) // padded) * padded - 10 or not header.startswith(text.encode()):
        raise archive.damaged("its header is not written as it must be", part.name)
    if begin + length != len(data):
        raise archive.damaged(f"it has {len(data) - begin} bytes of data, its shape needs {length}", part.name)
    try:
        array = numpy.ndarray(shape, dtype, data[begin:] if length else b"")
    except (ValueError, TypeError) as error:
        raise archive.damaged(f"numpy cannot hold its shape: {error}", part.name) from error
    array.flags.writeable = False
    return array


def integers(array: Any) -> numpy.ndarray:
    """An array of 128-bit integers, as `load` gives it, as Python integers (an array of objects).

    >>> halves = numpy.array([(1, 0), (0, 1)], dtype=U128)
    >>> integers(halves).tolist() == [1, 1 << 64]
    True
    """
    if array.dtype not in (U128, I128):
        raise TypeError(f"not an array of 128-bit integers: {array.dtype}")
    return (array["high"].astype(object) << 64) | array["low"].astype(object)


def bfloat16(array: Any) -> numpy.ndarray:
    """An array of bfloat16, which numpy lacks (`V2`), as `float32`; every value is kept.

    >>> float(bfloat16(numpy.array([b"\\x80\\x3f"], dtype="V2"))[0])
    1.0
    """
    if array.dtype != numpy.dtype("V2"):
        raise TypeError(f"not an array of bfloat16: {array.dtype}")
    return (array.view("<u2").astype("<u4") << 16).view("<f4")
