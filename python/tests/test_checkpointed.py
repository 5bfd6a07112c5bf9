"""Tests the reader alone, on files that are forged here: `python3 -m unittest discover python/tests`."""

import doctest
import json
import os
import signal
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
from checkpointed import archive, directory, groups, state as decoding  # noqa: E402
from checkpointed import npy  # noqa: E402


def local(name, data, offset):
    """A local header with its padding, the data, and what follows those of an array."""
    padding = archive._padding(offset + 30 + len(name), 4096 if len(data) >= archive.CHUNK else 64)
    facts = zlib.crc32(data), len(data), len(data)
    is_array = name.endswith(b".npy")
    before, behind = ((0, 0, 0), struct.pack("<IIII", 0x08074B50, *facts)) if is_array else (facts, b"")
    flags = 0x0808 if is_array else 0x0800
    header = struct.pack("<IHHHHHIIIHH", 0x04034B50, 20, flags, 0, 0, 0x21, *before, len(name), len(padding))
    return header + name + padding + data + behind


def forged(schema, state, arrays=(), **fields):
    """A complete file with correct checksums, for any state, any manifest, and arrays of these `(descr, shape, data)`."""
    entries = []
    for number, (descr, shape, data) in enumerate(arrays):
        text = f"{{'descr': '{descr}', 'fortran_order': False, 'shape': {shape}, }}".encode()
        text += b" " * (-(10 + len(text) + 1) % 64) + b"\n"
        entries.append((f"{number}.npy".encode(), b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text + data))
    entries.append((b"state.bincode", state))
    manifest = {
        "format_version": 1, "library": "test", "name": "", "version": 1, "generation": 1,
        "created": "2026-01-01T00:00:00.000000000Z", "host": "", "process": 1, "codec": "bincode-1", "schema": schema,
        "parts": [
            {"name": name.decode(), "length": len(data), "crc32": [f"{zlib.crc32(data):08x}"] if data else []}
            for name, data in entries
        ],
    }
    manifest.update(fields)
    entries.append((b"checkpoint.json", json.dumps(manifest).encode()))
    body, central = b"", b""
    for name, data in entries:
        flags = 0x0808 if name.endswith(b".npy") else 0x0800
        central += struct.pack(
            "<IHHHHHHIIIHHHHHII", 0x02014B50, 3 << 8 | 20, 20, flags, 0, 0, 0x21, zlib.crc32(data), len(data),
            len(data), len(name), 0, 0, 0, 0, 0o100644 << 16, len(body),
        ) + name
        body += local(name, data, len(body))
    return body + central + archive._end(len(entries), len(central), len(body))


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

    def put(self, path, root, state, types=(), **fields):
        with open(path, "wb") as file:
            file.write(forged({"root": root, "types": list(types)}, state, **fields))

    def load(self, root, state, types=(), **fields):
        self.put(self.path, root, state, types, **fields)
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

    @unittest.skipUnless(hasattr(os, "mkfifo"), "there are no FIFOs")
    def test_anything_but_a_file_of_the_name_of_a_generation_is_passed_over(self):
        self.path = os.path.join(self.folder, f"{1:020}.ckpt")
        self.load("u8", b"\x07")
        other = os.path.join(self.folder, f"{2:020}.ckpt")
        for make, remove in ((os.mkfifo, os.remove), (os.mkdir, os.rmdir)):
            make(other)
            # A program that opened the FIFO as a file would wait for ever.
            signal.alarm(20)
            self.addCleanup(signal.alarm, 0)
            with self.assertWarnsRegex(UserWarning, "skipped for an older"):
                self.assertEqual(checkpointed.load(self.folder), 7)
            with self.assertWarnsRegex(UserWarning, "left out"):
                self.assertEqual([entry.generation for entry in checkpointed.list(self.folder)], [1])
            with self.assertRaises(checkpointed.NotACheckpointError):
                checkpointed.load(self.folder, generation=2)
            remove(other)

    def test_an_array_of_another_type_than_its_sequence_is_refused(self):
        apart = b"\xff" * 8 + struct.pack("<QQ", 0, 2)
        single = [{"name": "Pair", "struct": {"named": [{"name": "x", "type": "f32"}, {"name": "y", "type": "f32"}]}}]
        complex32 = ("<c8", (2,), bytes(16))
        pair = ("<f4", (2, 2), bytes(16))
        for element, array in (
            ({"tuple": ["f32", "f32"]}, complex32), ({"tuple": ["f32", "f32"]}, pair), ({"named": 0}, pair),
            ({"opaque": "Foreign"}, pair), ({"array": ["f32", 2]}, pair), ("u16", ("<f2", (2,), bytes(4))),
        ):
            self.assertEqual(len(self.load({"seq": element}, apart, single, arrays=[array])), 2)
        for element, array in (
            ({"tuple": ["f64", "f64"]}, complex32), ("f32", complex32), ({"tuple": ["f32", "f32"]}, ("<c16", (2,), bytes(32))),
            ("string", complex32), ({"seq": "f32"}, pair), ({"option": "f32"}, ("<f4", (2,), bytes(8))),
            ({"tuple": ["f32", "u32"]}, pair), ({"tuple": []}, ("<f4", (2, 0), b"")), ({"named": 0}, complex32[:1] + pair[1:]),
            ("u16", ("<u4", (2,), bytes(8))), ({"opaque": "Foreign"}, ("<f4", (3,), bytes(12))),
        ):
            self.refused(checkpointed.CheckpointError, {"seq": element}, apart, single, arrays=[array])
        doubling = [{"name": "A", "struct": {"tuple": [{"named": i + 1}] * 2}} for i in range(64)]
        doubling.append({"name": "Z", "struct": {"newtype": {"named": 0}}})
        self.refused(checkpointed.CheckpointError, {"seq": {"named": 0}}, apart, doubling, arrays=[pair])

    def test_the_shape_of_fixed_arrays_is_compared_with_their_number(self):
        def grid(lengths, count, data, **more):
            root = {"grid": {"element": "u8", "lengths": lengths, **more}}
            return root, struct.pack("<Q", count) + data

        self.assertEqual(self.load(*grid([2, 3], 6, bytes(6))).shape, (2, 3))
        self.assertEqual(self.load(*grid([2, 3], 12, bytes(12), is_vec=True)).shape, (2, 2, 3))
        self.assertEqual(self.load(*grid([2, 0], 0, b"")).shape, (2, 0))
        self.assertEqual(self.load(*grid([2, 0], 0, b"", is_vec=True)).shape, (0, 2, 0))
        apart = b"\xff" * 8 + struct.pack("<QQ", 0, 6)
        whole = self.load(grid([2, 3], 0, b"")[0], apart, arrays=[("|u1", (6,), bytes(6))])
        self.assertEqual(whole.shape, (2, 3))
        many = [1] * 100000
        for lengths, count, more in (
            ([2, 3], 5, {}), ([2, 3], 7, {"is_vec": True}), (["2"], 2, {}), (None, 2, {}), ([0], 2, {"is_vec": True}),
            (many, 1, {}), ([1 << 64] * 1000, 1, {}), ([1 << 40, 1 << 40, 0], 0, {}),
        ):
            self.refused(checkpointed.DamagedError, *grid(lengths, count, bytes(count), **more))
        words = {"grid": {"element": "unit", "lengths": [2, 2]}}
        self.assertEqual(self.load(words, struct.pack("<Q", 4)), [[None, None], [None, None]])

    def group(self, size=2, ranks=(0, 1), attempt="a", value=b"\x07"):
        """A checkpoint of a group whose parts are a number each, or what else is given for their schema."""
        types = [{"name": "Group", "struct": {"named": [
            {"name": "attempt", "type": "string"}, {"name": "size", "type": "u64"}, {"name": "shards", "type": {"seq": {"named": 1}}},
        ]}}, {"name": "Shard", "struct": {"named": [{"name": "manifest_crc32", "type": {"option": "u32"}}]}}]
        state = struct.pack("<Q1sQQ", 1, b"a", size, size) + bytes(size)
        self.put(os.path.join(self.folder, f"{1:020}.ckpt"), {"named": 0}, state, types, name="Group")
        for place, rank in enumerate(ranks):
            folder = os.path.join(self.folder, "ranks", f"{place:06}")
            os.makedirs(folder, exist_ok=True)
            metadata = {"checkpointed.attempt": attempt, "checkpointed.rank": rank}
            self.put(os.path.join(folder, f"{1:020}.ckpt"), "u8", value, metadata=metadata)
        return checkpointed.load(self.folder, generation=1)

    def test_a_part_of_another_process_or_save_is_refused(self):
        self.assertEqual(self.group(), checkpointed.EachRank((7, 7)))
        for forgery in ({"ranks": (1, 0)}, {"ranks": (0, 0)}, {"ranks": (0, None)}, {"attempt": "b"}, {"size": 0}):
            with self.assertRaises(checkpointed.DamagedError):
                self.group(**forgery)

    def test_a_state_with_the_name_of_a_table_is_a_state_like_others(self):
        for name in ("Group", "Scopes"):
            types = [{"name": name, "struct": {"named": [{"name": "size", "type": "u8"}]}}]
            self.put(os.path.join(self.folder, f"{1:020}.ckpt"), {"named": 0}, b"\x07", types, name=name)
            self.assertEqual(checkpointed.load(self.folder), {"size": 7})
            self.assertEqual(checkpointed.arrays(self.folder), {})

    def test_parts_on_other_machines_are_no_damage(self):
        self.group()
        os.rename(os.path.join(self.folder, "ranks", "000001"), os.path.join(self.folder, "elsewhere"))
        for generation in (1, None):
            with self.assertRaisesRegex(checkpointed.CheckpointError, "rank 1 are not here") as caught:
                checkpointed.load(self.folder, generation=generation)
            self.assertIs(type(caught.exception), checkpointed.CheckpointError)

    def test_blocks_that_leave_a_gap_or_overlap_are_refused(self):
        def whole(*blocks, shape=(4, 4)):
            parts = []
            for offset, extent in blocks:
                data = numpy.ones(extent, "u1")
                parts.append(groups.Block("x", {"shape": shape, "offset": offset, "extent": extent, "data": data}))
            return groups._whole("x", parts)

        self.assertTrue(whole(((0, 0), (4, 2)), ((0, 2), (4, 2))).all())
        self.assertTrue(whole(((0, 0), (4, 4)), ((4, 4), (0, 0)), ((0, 0), (0, 4))).all())
        self.assertTrue(whole(((2, 0), (2, 4)), ((0, 0), (2, 4))).all())
        for blocks in (
            [((0, 0), (4, 2)), ((0, 0), (4, 2))], [((0, 0), (4, 2)), ((0, 1), (4, 2))], [((0, 0), (4, 2))],
            [((0, 0), (2, 4)), ((1, 0), (2, 4))], [((-1, 0), (4, 4))], [((0, 0), (4, 5))],
        ):
            with self.assertRaises(checkpointed.DamagedError):
                whole(*blocks)

    def test_values_of_a_group_may_be_as_deep_as_any(self):
        def deep(value):
            for _ in range(5000):
                value = [{"next": (value,)}]
            return value

        joined = groups._join("x", [deep(groups.Same(7)), deep(groups.Same(7))])
        apart = groups._join("x", [deep(1), deep(groups.Same(2))])
        for _ in range(5000):
            joined, apart = joined[0]["next"][0], apart[0]["next"][0]
        self.assertEqual((joined, apart), (7, checkpointed.EachRank((1, 2))))
        found = groups._blocks(deep(groups.Block("x", {
            "shape": (1,), "offset": (0,), "extent": (1,), "data": numpy.ones(1),
        })))
        self.assertEqual(len(found), 1)
        # Maps of the same length with other keys are values of each process.
        other = groups._join("x", [{"a": groups.Same(1)}, {"b": groups.Same(1)}])
        self.assertEqual(other, checkpointed.EachRank(({"a": 1}, {"b": 1})))

    def test_a_step_with_a_forged_record_is_damaged(self):
        step = os.path.join(self.folder, "steps", "fit")
        os.makedirs(step)
        file = os.path.join(step, f"{1:020}.ckpt")

        def produced(record):
            self.put(file, "u8", b"\x07", metadata={"step": record})
            return checkpointed.produced(self.folder)

        self.assertEqual(list(produced('{"produced": {"a": {}}, "project": ".."}')["fit"]), ["a"])
        for record in (
            "[", "[]", "7", 7, '{"produced": []}', '{"produced": {"a": 1}, "project": 7}', '{"produced": {"a": 1}, "directory": []}',
            "[" * 100000, '{"produced": {"a\\u0000": 1}}',
        ):
            with self.assertRaises(checkpointed.DamagedError, msg=record):
                produced(record)

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
