"""Unpacks compressed parts: by Python itself from 3.14 on, or else by the package ``zstandard`` or ``backports.zstd``."""

from __future__ import annotations

import importlib
from typing import Any, Optional

from .errors import UnsupportedError

# The most bytes that Zstandard can make of one byte.
MOST = 32768
# The library writes no frame that looks back further; it would need as much memory.
WINDOW_LOG = 23


class Malformed(ValueError):
    """The data are not one frame of the declared length."""


def unpack(path: str, name: str, data: memoryview, length: int) -> bytes:
    """Unpack ``data``, which must be one frame, to exactly ``length`` bytes, and never more in memory."""
    for module in ("compression.zstd", "backports.zstd"):
        standard = _imported(module)
        if standard is not None:
            return _by_standard(standard, data, length)
    third = _imported("zstandard")
    if third is not None:
        return _by_zstandard(third, data, length)
    raise UnsupportedError(
        path, "it is compressed; Python 3.14 can unpack it, older ones with `pip install zstandard`", name
    )


def _imported(module: str) -> Optional[Any]:
    try:
        return importlib.import_module(module)
    except ImportError:
        return None


def _by_standard(zstd: Any, data: memoryview, length: int) -> bytes:
    options = {zstd.DecompressionParameter.window_log_max: WINDOW_LOG}
    try:
        if zstd.get_frame_info(data[:18]).decompressed_size != length:
            raise Malformed("the frame says another length than the manifest")
        unpacker = zstd.ZstdDecompressor(options=options)
        unpacked = unpacker.decompress(data, max_length=length + 1)
    except zstd.ZstdError as error:
        raise Malformed(f"it cannot be unpacked: {error}") from error
    # Any data left after this length are more than was declared.
    return _checked(unpacked, length, unpacker.eof and not unpacker.unused_data)


def _by_zstandard(zstd: Any, data: memoryview, length: int) -> bytes:
    try:
        if zstd.get_frame_parameters(data).content_size != length:
            raise Malformed("the frame says another length than the manifest")
        unpacker = zstd.ZstdDecompressor(max_window_size=1 << WINDOW_LOG).decompressobj()
        # A frame unpacks to its declared length, which was compared, or it is an error.
        unpacked = unpacker.decompress(data)
    except zstd.ZstdError as error:
        raise Malformed(f"it cannot be unpacked: {error}") from error
    return _checked(unpacked, length, unpacker.eof and not unpacker.unused_data)


def _checked(unpacked: bytes, length: int, is_whole: bool) -> bytes:
    if len(unpacked) != length or not is_whole:
        raise Malformed("it is not one frame of the length that the manifest says")
    return unpacked
