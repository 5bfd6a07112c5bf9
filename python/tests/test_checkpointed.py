"""Tests the reader alone, on files that are forged here: `python3 -m unittest discover python/tests`."""

import doctest
import json
import os
import struct
import sys
import tempfile
import unittest
import zipfile
import zlib
from pathlib import Path
from unittest import mock

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import numpy  # noqa: E402

import checkpointed  # noqa: E402
from checkpointed import archive, directory, state as decoding  # noqa: E402
from checkpointed import npy  # noqa: E402


def local(name, data, offset):
    """A local header with its padding, and the data."""
    padding = archive._padding(offset + 30 + len(name), 4096 if len(data) >= archive.CHUNK else 64)
    header = struct.pack(
        "<IHHHHHIIIHH", 0x04034B50, 20, 0x0800, 0, 0, 0x21, zlib.crc32(data), len(data), len(data), len(name), len(padding)
    )
    return header + name + padding + data


def forged(schema, state, **fields):
    """A complete file with correct checksums, for any state and any manifest."""
    manifest = {
        "format_version": 1, "library": "test", "name": "", "version": 1, "generation": 1,
        "created": "2026-01-01T00:00:00.000000000Z", "host": "", "process": 1, "codec": "bincode-1", "schema": schema,
        "parts": [{"name": "state.bincode", "length": len(state), "crc32": [f"{zlib.crc32(state):08x}"] if state else []}],
    }
    manifest.update(fields)
    text = json.dumps(manifest).encode()
    body, central = b"", b""
    for name, data in ((b"state.bincode", state), (b"checkpoint.json", text)):
        central += struct.pack(
            "<IHHHHHHIIIHHHHHII", 0x02014B50, 3 << 8 | 20, 20, 0x0800, 0, 0, 0x21, zlib.crc32(data), len(data),
            len(data), len(name), 0, 0, 0, 0, 0o100644 << 16, len(body),
        ) + name
        body += local(name, data, len(body))
    return body + central + archive._end(2, len(central), len(body))


class Reader(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = folder.name
        self.path = os.path.join(folder.name, "a.ckpt")
        # It takes seconds to reach the real limit.
        limit = mock.patch.object(decoding, "NOTHINGS", 1 << 10)
        limit.start()
        self.addCleanup(limit.stop)

    def load(self, root, state, types=(), **fields):
        with open(self.path, "wb") as file:
            file.write(forged({"root": root, "types": list(types)}, state, **fields))
        return checkpointed.load(self.path)

    def refused(self, error, *arguments, **fields):
        with self.assertRaises(error) as caught:
            self.load(*arguments, **fields)
        self.assertIn(self.path, str(caught.exception))

    def test_the_forgery_is_a_checkpoint(self):
        self.assertEqual(self.load("u8", b"\x07"), 7)

    def test_forged_lengths_are_refused_before_anything_is_allocated(self):
        many = struct.pack("<Q", (1 << 64) - 2)
        for root in ("string", "bytes", {"seq": "f64"}, {"seq": "string"}, {"seq": "unit"}, {"map": ["unit", "unit"]}):
            self.refused(checkpointed.DamagedError, root, many)
        for size in (1 << 40, 1 << 70):
            self.refused(checkpointed.DamagedError, {"array": ["unit", size]}, b"")
            self.refused(checkpointed.DamagedError, {"array": ["u8", size]}, b"")
            self.refused(checkpointed.DamagedError, {"seq": {"array": [{"array": ["u8", 0]}, size]}}, many)

    def test_types_without_end_are_refused(self):
        self.refused(checkpointed.DamagedError, {"named": 0}, b"", [{"name": "A", "struct": {"newtype": {"named": 0}}}])
        doubling = [{"name": "A", "struct": {"tuple": [{"named": i + 1}] * 2}} for i in range(64)]
        self.refused(checkpointed.DamagedError, {"named": 0}, b"", doubling + [{"name": "Z", "struct": "unit"}])
        deep = "u8"
        for _ in range(400):
            deep = {"option": deep}
        self.assertEqual(self.load(deep, b"\x01" * 400 + b"\x09"), 9)

    def test_bytes_that_are_no_value_are_refused(self):
        short = struct.pack("<Q", 1)
        bad = [
            ("bool", b"\x02"), ({"option": "u8"}, b"\x02"), ("string", short + b"\xff"), ("char", b"\xc3\x28"),
            ({"seq": "bool"}, short + b"\x02"), ("u8", b"\x01\x02"), ("u16", b"\x01"), ("wrong", b""), ({}, b""),
            ({"named": 0}, b""), ({"named": -1}, b""), (None, b""), ({"seq": "u8"}, b"\xff" * 8 + bytes(16)),
        ]
        for root, state in bad:
            self.refused(checkpointed.DamagedError, root, state)

    def test_what_cannot_be_read_is_said_by_its_own_error(self):
        self.refused(checkpointed.FormatTooNewError, "u8", b"\x07", format_version=2)
        self.refused(checkpointed.UnsupportedError, "u8", b"\x07", codec="pickle")
        self.refused(checkpointed.UnsupportedError, {"opaque": "Foreign"}, b"\x07")
        with self.assertRaises(checkpointed.NotFoundError):
            checkpointed.load(self.folder)
        with self.assertRaises(checkpointed.NotFoundError):
            checkpointed.load(os.path.join(self.folder, "none"))

    def test_a_zip_of_something_else_is_no_checkpoint(self):
        with zipfile.ZipFile(self.path, "w") as other:
            other.writestr("a.txt", "a")
        with self.assertRaises(checkpointed.NotACheckpointError):
            checkpointed.load(self.path)

    def test_a_renamed_generation_is_refused(self):
        self.path = os.path.join(self.folder, f"{2:020}.ckpt")
        self.refused(checkpointed.DamagedError, "u8", b"\x07")
        self.assertEqual(self.load("u8", b"\x07", generation=2), 7)

    def test_of_one_number_the_highest_epoch_counts(self):
        for number, name in [(1, ""), (2, "-000009"), (3, "-000010"), (4, "-1000000"), (5, "-0000011"), (6, "-000000")]:
            self.path = os.path.join(self.folder, f"{7:020}{name}.ckpt")
            self.load("u8", bytes([number]), generation=7)
        self.assertEqual(checkpointed.load(self.folder), 4)
        self.assertEqual(checkpointed.load(self.folder, generation=7), 4)

    def test_a_newer_one_is_looked_for_when_the_newest_vanishes(self):
        def put(number):
            self.path = os.path.join(self.folder, f"{number:020}.ckpt")
            self.load("u8", bytes([number]), generation=number)
            return self.path

        put(1)
        old = [put(41), put(42)]

        def use(file):
            # A program saves two more, and its retention removes two.
            while old:
                put(45 - len(old))
                os.remove(old.pop())
            return archive.Archive(file).manifest["generation"]

        self.assertEqual(directory._newest(self.folder, None, use), 44)

    def test_a_file_that_is_listed_and_not_there_is_passed_over_with_a_warning(self):
        self.path = os.path.join(self.folder, f"{1:020}.ckpt")
        self.load("u8", b"\x07")
        os.symlink("nowhere", os.path.join(self.folder, f"{2:020}.ckpt"))
        with self.assertWarnsRegex(UserWarning, "skipped for an older"):
            self.assertEqual(checkpointed.load(self.folder), 7)

    def test_unread_fields_of_the_manifest_are_passed_over(self):
        self.assertEqual(self.load("u8", b"\x07", later={"a": [1]}), 7)

    def test_a_map_that_no_dict_can_hold_is_a_list_of_pairs(self):
        two = struct.pack("<Q", 2)
        zeros = two + struct.pack("<dBdB", 0.0, 1, -0.0, 2)
        self.assertEqual(self.load({"map": ["f64", "u8"]}, zeros), [(0.0, 1), (-0.0, 2)])

    def test_checksums_are_joined_as_if_they_were_computed_at_once(self):
        data = bytes(range(256)) * 9000
        chunks = tuple(zlib.crc32(data[i : i + archive.CHUNK]) for i in range(0, len(data), archive.CHUNK))
        self.assertEqual(archive._joined(chunks, len(data)), zlib.crc32(data))

    def test_the_examples_in_the_documentation_run(self):
        self.assertEqual(doctest.testmod(npy).failed, 0)

    def test_wide_integers_keep_their_sign(self):
        halves = numpy.array([(0, -1)], dtype=npy.I128)
        self.assertEqual(checkpointed.integers(halves).tolist(), [-1 << 64])


if __name__ == "__main__":
    unittest.main()
