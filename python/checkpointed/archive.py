"""One checkpoint file: its zip structure, byte for byte, its manifest and its checksums."""

from __future__ import annotations

import json
import mmap
import os
import re
import stat
import struct
import zlib
from typing import Any, BinaryIO, Dict, List, NamedTuple, Optional, Tuple

import numpy

from . import packed, remote
from .errors import (
    CheckpointError,
    DamagedError,
    FormatTooNewError,
    NotACheckpointError,
    NotFoundError,
    UnsupportedError,
)

try:
    import fcntl
except ImportError:  # Windows has no flock.
    fcntl = None  # type: ignore[assignment]

FORMAT_VERSION = 1
CHUNK = 1 << 20
MANIFEST = "checkpoint.json"
STATE = "state.bincode"
ENCRYPTED = b"age-encryption.org/v1\n"
ZIP64 = 0xFFFFFFFF
CRC = re.compile(r"[0-9a-f]{8}", re.ASCII)
# The epoch is that of a run in an object store: no zeros in front beyond six digits, and never 0.
GENERATION_NAME = re.compile(r"([0-9]{20})(?:-(?!0+\.)([0-9]{6}|[1-9][0-9]{6,}))?\.ckpt", re.ASCII)
# The times that another file may take the name between opening and locking, until it is an error.
ATTEMPTS = 16


class Unpacked(NamedTuple):
    """The unpacked form of a compressed entry."""

    length: int
    crc: int


class Part(NamedTuple):
    """An entry of the archive: the place of its data, and the CRC-32 of each of its chunks."""

    name: str
    start: int
    length: int
    chunks: Tuple[int, ...]
    unpacked: Optional[Unpacked]


def generation_of(name: str) -> Optional[int]:
    """The generation in a file name, or None if it is not the name of one."""
    found = generation_and_epoch_of(name)
    return found[0] if found else None


def generation_and_epoch_of(name: str) -> Optional[Tuple[int, int]]:
    """The generation and the epoch in a file name; the epoch is 0 in a name without one."""
    match = GENERATION_NAME.fullmatch(name)
    if not match:
        return None
    number, epoch = int(match.group(1)), int(match.group(2) or 0)
    return (number, epoch) if max(number, epoch) < 1 << 64 else None


def is_state(manifest: Dict[str, Any], name: str, fields: Tuple[str, ...]) -> bool:
    """True for a state of this name that is a struct with these fields."""
    if manifest.get("name") != name:
        return False
    try:
        schema = manifest["schema"]
        found = [field["name"] for field in schema["types"][schema["root"]["named"]]["struct"]["named"]]
    except (KeyError, TypeError, IndexError):
        return False
    return all(field in found for field in fields)


class Archive:
    """An open checkpoint with a verified structure. :meth:`verify` verifies its parts."""

    def __init__(self, path: "os.PathLike[str] | str", map_file: bool = True, buffer: Any = None) -> None:
        """Open a file; or, with a buffer, a checkpoint inside another. The path is then its place there."""
        self.path = os.fspath(path)
        if buffer is None:
            buffer = remote.read(self.path) if remote.is_url(self.path) else _read(self.path, map_file)
        self.buffer = buffer
        self.data = memoryview(self.buffer).cast("B")
        if bytes(self.data[: len(ENCRYPTED)]) == ENCRYPTED:
            raise UnsupportedError(self.path, "it is encrypted: decrypt it with `age --decrypt` first")
        central, start, length = self._find_manifest()
        self.manifest = self._read_manifest(start, length)
        self.parts = self._layout(central, start, length)

    @property
    def size(self) -> int:
        """The length of the file in bytes."""
        return len(self.data)

    def damaged(self, why: str, part: Optional[str] = None) -> DamagedError:
        """An error that names this file."""
        return DamagedError(self.path, why, part)

    def part(self, part: Part) -> memoryview:
        """The data of a part, not copied unless it is compressed."""
        data = self.data[part.start : part.start + part.length]
        if part.unpacked is None:
            return data
        # A part is always verified before it is unpacked, also if the caller leaves verification out.
        self.verify_part(part)
        try:
            unpacked = packed.unpack(self.path, part.name, data, part.unpacked.length)
        except packed.Malformed as error:
            raise self.damaged(str(error), part.name) from error
        if zlib.crc32(unpacked) != part.unpacked.crc:
            raise self.damaged("the checksum of what it unpacks to is wrong; use an older checkpoint", part.name)
        return memoryview(unpacked)

    def verify(self) -> None:
        """Compare every chunk of every part with its CRC-32."""
        for part in self.parts:
            self.verify_part(part)

    def verify_part(self, part: Part) -> None:
        """Compare every chunk of a part with its CRC-32."""
        for index, expected in enumerate(part.chunks):
            begin = part.start + index * CHUNK
            end = min(begin + CHUNK, part.start + part.length)
            if zlib.crc32(self.data[begin:end]) != expected:
                raise self.damaged(f"the checksum of chunk {index} is wrong; use an older checkpoint", part.name)

    def _find_manifest(self) -> Tuple[int, int, int]:
        """The offsets of the central headers and of the manifest's local header, and the manifest's length."""
        end = self.size - 22
        if end < 0 or bytes(self.data[end : end + 4]) != b"PK\x05\x06":
            raise NotACheckpointError(self.path, "no end of a zip archive: no checkpoint, or one that is cut off")
        central = struct.unpack_from("<I", self.data, end + 16)[0]
        if central == ZIP64:
            if end < 76 or bytes(self.data[end - 76 : end - 72]) != b"PK\x06\x06":
                raise self.damaged("the zip64 end is missing")
            end -= 76
            central = struct.unpack_from("<Q", self.data, end + 48)[0]
        name = MANIFEST.encode()
        for extra in (0, 28):
            header = end - 46 - len(name) - extra
            if header < central or bytes(self.data[header : header + 4]) != b"PK\x01\x02":
                continue
            if bytes(self.data[header + 46 : header + 46 + len(name)]) != name:
                continue
            if extra:
                length, _, offset = struct.unpack_from("<QQQ", self.data, header + 46 + len(name) + 4)
            else:
                length, offset = struct.unpack_from("<I", self.data, header + 24) + struct.unpack_from("<I", self.data, header + 42)
            if offset + length <= central:
                return central, offset, length
        raise NotACheckpointError(self.path, f"a zip archive whose last entry is not {MANIFEST}")

    def _read_manifest(self, offset: int, length: int) -> Dict[str, Any]:
        local = self.data[offset : offset + 30]
        if len(local) < 30 or bytes(local[:4]) != b"PK\x03\x04":
            raise self.damaged("its header is missing", MANIFEST)
        crc = struct.unpack_from("<I", local, 14)[0]
        start = offset + 30 + sum(struct.unpack_from("<HH", local, 26))
        text = bytes(self.data[start : start + length])
        if len(text) != length or zlib.crc32(text) != crc:
            raise self.damaged("the checksum is wrong; use an older checkpoint", MANIFEST)
        try:
            manifest = json.loads(text.decode("utf-8"), parse_constant=_refuse, object_pairs_hook=_unique)
        except (ValueError, RecursionError) as error:
            raise self.damaged(f"no manifest: {error}", MANIFEST) from error
        version = manifest.get("format_version") if isinstance(manifest, dict) else None
        if not _is_unsigned(version) or version == 0:
            raise self.damaged("format_version is missing", MANIFEST)
        if version > FORMAT_VERSION:
            raise FormatTooNewError(
                self.path, f"format version {version}; this reader knows {FORMAT_VERSION}: update it", MANIFEST
            )
        self._check_manifest(manifest)
        self.manifest_text = text
        return manifest

    def _check_manifest(self, manifest: Dict[str, Any]) -> None:
        kinds = {"library": str, "name": str, "created": str, "host": str, "codec": str, "schema": dict, "parts": list}
        for field, kind in kinds.items():
            if not isinstance(manifest.get(field), kind):
                raise self.damaged(f"{field} is missing or no {kind.__name__}", MANIFEST)
        for field in ("version", "generation", "process"):
            if not _is_unsigned(manifest.get(field)):
                raise self.damaged(f"{field} is missing or no number", MANIFEST)
        if not isinstance(manifest.get("metadata", {}), dict):
            raise self.damaged("metadata is no object", MANIFEST)
        named = generation_of(os.path.basename(self.path))
        if named is not None and named != manifest["generation"]:
            raise self.damaged(
                f"the file says generation {manifest['generation']}, its name {named}: it was renamed", MANIFEST
            )

    def _layout(self, central: int, manifest_offset: int, manifest_length: int) -> List[Part]:
        """Compute every byte that is no data from the manifest, and compare it with the file."""
        described = [self._described(part) for part in self.manifest["parts"]]
        names = [name for name, _, _, _ in described]
        arrays = names[:-1]
        if names[-1:] != [STATE] or len(set(names)) != len(names) or not all(n.endswith(".npy") for n in arrays):
            raise self.damaged(f"the parts are not arrays, each with its own name, and then {STATE}", MANIFEST)
        parts: List[Part] = []
        headers = bytearray()
        offset = 0
        for name, length, chunks, unpacked in described:
            crc = unpacked.crc if unpacked else _joined(chunks, length)
            part, offset = self._entry(headers, Part(name, offset, length, chunks, unpacked), crc)
            parts.append(part)
        if offset != manifest_offset:
            raise self.damaged("the entries are not those of the manifest")
        text_start = central - manifest_length
        crc = zlib.crc32(self.data[text_start:central])
        _, offset = self._entry(headers, Part(MANIFEST, offset, manifest_length, (), None), crc)
        if offset != central:
            raise self.damaged("the central headers do not follow the last entry")
        self._expect(central, bytes(headers) + _end(len(parts) + 1, len(headers), central), "the central headers")
        if central + len(headers) + len(_end(len(parts) + 1, len(headers), central)) != self.size:
            raise self.damaged("there is something after the end")
        return parts

    def _described(self, part: Any) -> Tuple[str, int, Tuple[int, ...], Optional[Unpacked]]:
        if not isinstance(part, dict):
            raise self.damaged("a part is no object", MANIFEST)
        name, length, chunks = part.get("name"), part.get("length"), part.get("crc32")
        if not isinstance(name, str) or not _is_unsigned(length) or not isinstance(chunks, list):
            raise self.damaged("a part without name, length or crc32", MANIFEST)
        if not name or len(name) > 0xFFFF or length > self.size:
            raise self.damaged("it cannot be as long as the manifest says", name[:200])
        if len(chunks) != -(-length // CHUNK) or not all(map(_is_crc, chunks)):
            raise self.damaged("the manifest has not one CRC-32 for each of its chunks", name)
        return name, length, tuple(int(crc, 16) for crc in chunks), self._unpacked(name, length, part.get("unpacked"))

    def _unpacked(self, name: str, length: int, unpacked: Any) -> Optional[Unpacked]:
        if unpacked is None:
            return None
        if not isinstance(unpacked, dict) or not _is_unsigned(unpacked.get("length")) or not _is_crc(unpacked.get("crc32")):
            raise self.damaged("what it unpacks to is not described", name)
        if unpacked.get("method") != "zstd":
            raise UnsupportedError(self.path, f"it is compressed by {unpacked.get('method')!r}, which this reader does not know", name)
        if unpacked["length"] > length * packed.MOST:
            raise self.damaged("it cannot unpack to as much as the manifest says", name)
        return Unpacked(unpacked["length"], int(unpacked["crc32"], 16))

    def _entry(self, headers: bytearray, part: Part, crc: int) -> Tuple[Part, int]:
        """Check the bytes around an entry with its header at ``part.start``, and add its central header.

        Returns the offsets of its data and of the next entry.
        """
        name, offset, length, chunks, unpacked = part
        try:
            encoded = name.encode("utf-8")
        except UnicodeEncodeError as error:
            raise self.damaged("a name that is not Unicode", MANIFEST) from error
        if len(encoded) > 0xFFFF:
            raise self.damaged("a name that is too long", MANIFEST)
        whole = unpacked.length if unpacked else length
        zip64 = offset >= ZIP64 or (whole >= 0x80000000 if unpacked else length >= ZIP64)
        streamed = unpacked is not None or name.endswith(".npy")
        version, method = (63, 93) if unpacked else (45 if zip64 else 20, 0)
        flags = 0x0808 if streamed else 0x0800
        sizes = 0 if streamed else (ZIP64 if zip64 else length)
        extra = b""
        if zip64:
            extra += struct.pack("<HHQQ", 1, 16, *((0, 0) if streamed else (length, length)))
        alignment = 4096 if length >= CHUNK and not unpacked else 64
        extra += _padding(offset + 30 + len(encoded) + len(extra), alignment)
        local = struct.pack(
            "<IHHHHHIIIHH", 0x04034B50, version, flags, method, 0, 0x21, 0 if streamed else crc, sizes, sizes,
            len(encoded), len(extra),
        ) + encoded + extra
        self._expect(offset, local, name)
        start = offset + len(local)
        following = start + length
        if streamed:
            layout = "<IIQQ" if zip64 else "<IIII"
            descriptor = struct.pack(layout, 0x08074B50, crc, length, whole)
            self._expect(following, descriptor, name)
            following += len(descriptor)
        packed_size, size, place = (ZIP64, ZIP64, ZIP64) if zip64 else (length, whole, offset)
        central = struct.pack("<HHQQQ", 1, 24, whole, length, offset) if zip64 else b""
        headers += struct.pack(
            "<IHHHHHHIIIHHHHHII", 0x02014B50, 3 << 8 | version, version, flags, method, 0, 0x21, crc, packed_size, size,
            len(encoded), len(central), 0, 0, 0, 0o100644 << 16, place,
        )
        headers += encoded + central
        return Part(name, start, length, chunks, unpacked), following

    def _expect(self, offset: int, expected: bytes, what: str) -> None:
        if bytes(self.data[offset : offset + len(expected)]) != expected:
            raise self.damaged("the bytes of the archive around it are not as they must be", what)


def _read(path: str, map_file: bool) -> Any:
    """The bytes of the file, as a mapping that holds a shared lock while it lives, or as a copy."""
    for _ in range(ATTEMPTS):
        try:
            with open(path, "rb", opener=_opened) as file:
                if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                    raise NotACheckpointError(path, "it is no regular file")
                locked = _lock(file)
                if locked is not None and _still_named(file, path):
                    return _content(file, map_file and locked)
        except (FileNotFoundError, NotADirectoryError) as error:
            raise NotFoundError(path, "there is no such file") from error
        except IsADirectoryError as error:
            raise NotACheckpointError(path, "it is a directory") from error
        except OSError as error:
            raise CheckpointError(path, f"cannot be read: {error}") from error
    raise CheckpointError(path, "it is being replaced all the time; try again")


def _opened(path: str, flags: int) -> int:
    """Opens a file, and does not wait for a writer of what may be a FIFO."""
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))


def _content(file: BinaryIO, map_file: bool) -> Any:
    size = os.fstat(file.fileno()).st_size
    if size == 0:
        return b""
    if map_file:
        # The mapping duplicates the descriptor, and so keeps the lock until its last array is gone.
        return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    buffer = numpy.empty(size, dtype=numpy.uint8)
    view, done = memoryview(buffer), 0
    while done < size:
        count = file.readinto(view[done:])  # type: ignore[attr-defined]
        if not count:
            raise OSError("it became shorter while it was read")
        done += count
    buffer.flags.writeable = False
    return buffer


def _lock(file: BinaryIO) -> Optional[bool]:
    """True with the lock, False if the system has no locks, None while another program overwrites the file."""
    if fcntl is None:
        return False
    try:
        fcntl.flock(file.fileno(), fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return None
    except OSError:
        return False
    return True


def _still_named(file: BinaryIO, path: str) -> bool:
    return os.path.samestat(os.fstat(file.fileno()), os.stat(path))


def _padding(position: int, alignment: int) -> bytes:
    """The extra field that makes the data begin at a multiple of the alignment. It is always there, even without zeros."""
    zeros = -(position + 6) % alignment
    return struct.pack("<HHH", 0xD935, 2 + zeros, alignment) + bytes(zeros)


def _end(count: int, size: int, offset: int) -> bytes:
    end = b""
    if count >= 0xFFFF or size >= ZIP64 or offset >= ZIP64:
        end += struct.pack("<IQHHIIQQQQ", 0x06064B50, 44, 3 << 8 | 45, 45, 0, 0, count, count, size, offset)
        end += struct.pack("<IIQI", 0x07064B50, 0, offset + size, 1)
        count, size, offset = 0xFFFF, ZIP64, ZIP64
    return end + struct.pack("<IHHHHIIH", 0x06054B50, 0, 0, count, count, size, offset, 0)


def _times(left: int, right: int) -> int:
    """The product of two polynomials modulo that of CRC-32, both reflected."""
    product = 0
    while left:
        if left & 0x80000000:
            product ^= right
        left = left << 1 & 0xFFFFFFFF
        right = right >> 1 ^ (0xEDB88320 if right & 1 else 0)
    return product


def _shift(length: int) -> int:
    """x to the power of 8 * length: the factor of a CRC-32 for this number of bytes after it."""
    result, power, bits = 0x80000000, 0x40000000, length * 8
    while bits:
        if bits & 1:
            result = _times(result, power)
        power = _times(power, power)
        bits >>= 1
    return result


def _joined(chunks: Tuple[int, ...], length: int) -> int:
    """The CRC-32 of the whole from those of its chunks."""
    crc, whole = 0, _shift(CHUNK)
    for index, chunk in enumerate(chunks):
        last = index + 1 == len(chunks)
        crc = _times(_shift(length - index * CHUNK) if last else whole, crc) ^ chunk
    return crc


def _is_unsigned(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 1 << 64


def _is_crc(value: Any) -> bool:
    return isinstance(value, str) and CRC.fullmatch(value) is not None


def _refuse(constant: str) -> Any:
    raise ValueError(f"{constant} is no JSON")


def _unique(pairs: List[Tuple[str, Any]]) -> Dict[str, Any]:
    result = dict(pairs)
    if len(result) != len(pairs):
        raise ValueError("a field twice")
    return result
