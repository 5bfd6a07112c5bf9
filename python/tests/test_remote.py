"""Tests the reader at URLs: `python3 -m unittest discover python/tests`. It needs fsspec; s3fs and moto for S3."""

import os
import sys
import unittest
import warnings
from pathlib import Path
from unittest import mock

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
sys.path.insert(0, str(Path(__file__).resolve().parent))

import checkpointed  # noqa: E402
from checkpointed import remote  # noqa: E402
from test_checkpointed import forged  # noqa: E402

try:
    import fsspec
except ImportError:
    fsspec = None
try:
    import s3fs  # noqa: F401
    from moto.server import ThreadedMotoServer
except ImportError:
    ThreadedMotoServer = None


def generation(number, value, name=None):
    """The name and the content of a checkpoint with a `u8`."""
    return name or f"{number:020}.ckpt", forged({"root": "u8", "types": []}, bytes([value]), generation=number)


class Urls(unittest.TestCase):
    def test_a_url_is_told_from_a_path(self):
        for path in ("run.ckpt", "/s3:/x", "C:\\run.ckpt", "./a://b", "://x"):
            self.assertFalse(remote.is_url(path), path)
        for url in ("s3://bucket/run.ckpt", "gs://b/x", "az://c/x", "memory://x"):
            self.assertTrue(remote.is_url(url), url)

    def test_without_fsspec_the_error_says_what_to_install(self):
        with mock.patch.dict(sys.modules, {"fsspec": None}):
            with self.assertRaisesRegex(checkpointed.UnsupportedError, "pip install fsspec s3fs"):
                checkpointed.load("s3://bucket/run.ckpt")
            with self.assertRaisesRegex(checkpointed.UnsupportedError, "pip install fsspec gcsfs"):
                checkpointed.list("gs://bucket/run.ckpt")


class Store:
    """The promises at a URL, whatever store it is in."""

    url = ""

    def put(self, name, content):
        raise NotImplementedError

    def remove(self, name):
        raise NotImplementedError

    def test_the_newest_generation_and_the_highest_epoch_count(self):
        self.put(*generation(41, 1))
        self.put(*generation(42, 2, f"{42:020}-000003.ckpt"))
        self.put(*generation(42, 3, f"{42:020}-000012.ckpt"))
        self.put(*generation(42, 4))
        self.put(".claims/000012", b"{}")
        self.put(f"{43:020}-0.ckpt", b"no name of a generation")
        self.put("notes.txt", b"")
        self.assertEqual(checkpointed.load(self.url), 3)
        self.assertEqual(checkpointed.load(self.url + "/"), 3)
        self.assertEqual(checkpointed.load(self.url, generation=41), 1)
        self.assertEqual([entry.generation for entry in checkpointed.list(self.url)], [41, 42])
        self.assertEqual(checkpointed.load(f"{self.url}/{42:020}-000003.ckpt"), 2)
        self.assertEqual(checkpointed.manifest(self.url)["generation"], 42)
        # A listing is never an old one.
        self.put(*generation(43, 5))
        self.assertEqual(checkpointed.load(self.url), 5)
        self.remove(f"{43:020}.ckpt")
        self.assertEqual(checkpointed.load(self.url), 3)

    def test_the_parts_of_a_group_are_found_by_the_highest_epoch(self):
        saved = Path(__file__).resolve().parents[2] / "tests" / "compatibility" / "group"
        for file in saved.rglob("*.ckpt"):
            folder = file.relative_to(saved).parent.as_posix()
            self.put(f"{folder}/{file.stem}-000002.ckpt".removeprefix("./"), file.read_bytes())
            if folder != ".":
                self.put(f"{folder}/{file.stem}-000001.ckpt", b"the part of an earlier job")
        self.assertEqual(repr(checkpointed.load(self.url)), repr(checkpointed.load(saved)))
        self.assertEqual(repr(checkpointed.arrays(self.url)), repr(checkpointed.arrays(saved)))

    def test_a_damaged_one_is_skipped_and_none_is_not_found(self):
        with self.assertRaises(checkpointed.NotFoundError):
            checkpointed.load(self.url)
        self.assertEqual(checkpointed.list(self.url), [])
        self.put(*generation(1, 7))
        name, content = generation(2, 8)
        self.put(name, content[:100] + bytes([content[100] ^ 1]) + content[101:])
        with warnings.catch_warnings(record=True) as heard:
            warnings.simplefilter("always")
            self.assertEqual(checkpointed.load(self.url), 7)
        self.assertIn("skipped", str(heard[0].message))
        with self.assertRaises(checkpointed.NotFoundError):
            checkpointed.load(self.url, generation=9)

    def test_a_transfer_that_breaks_off_is_no_damage(self):
        self.put(*generation(1, 7))
        self.put(*generation(2, 8))
        whole = remote._system

        def with_transfers(transfer):
            """File systems whose transfers go through this function."""

            def system(url):
                system, path = whole(url)
                broken = mock.Mock(wraps=system)
                broken.cat_file.side_effect = lambda path: transfer(system.cat_file(path))
                return broken, path

            return mock.patch.object(remote, "_system", system)

        def refuse(_content):
            raise ConnectionError("the store is out of reach")

        with with_transfers(lambda content: content[:-1]):
            with self.assertRaisesRegex(checkpointed.CheckpointError, "bytes; try again"):
                checkpointed.load(self.url)
        with with_transfers(refuse):
            with self.assertRaisesRegex(checkpointed.CheckpointError, "out of reach"):
                checkpointed.load(self.url)
        self.assertEqual(checkpointed.load(self.url), 8)


@unittest.skipUnless(fsspec, "there is no fsspec")
class Memory(Store, unittest.TestCase):
    url = "memory://bucket/run.ckpt"

    def setUp(self):
        self.system = fsspec.filesystem("memory")
        self.system.store.clear()

    def put(self, name, content):
        self.system.pipe_file(f"/bucket/run.ckpt/{name}", content)

    def remove(self, name):
        self.system.rm_file(f"/bucket/run.ckpt/{name}")


@unittest.skipUnless(fsspec and ThreadedMotoServer, "there is no fsspec with s3fs, or no moto")
class S3(Store, unittest.TestCase):
    def setUp(self):
        # All servers of one process have the same buckets.
        self.bucket = f"bucket-{self.id().rsplit('.', 1)[-1].replace('_', '-')}"
        self.url = f"s3://{self.bucket}/run.ckpt"
        server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
        server.start()
        self.addCleanup(server.stop)
        host, port = server.get_host_and_port()
        environment = {
            "AWS_ENDPOINT_URL": f"http://{host}:{port}", "AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b",
            "AWS_DEFAULT_REGION": "us-east-1", "AWS_REGION": "us-east-1",
        }
        patched = mock.patch.dict(os.environ, environment)
        patched.start()
        self.addCleanup(patched.stop)
        s3fs.S3FileSystem.clear_instance_cache()
        fsspec.filesystem("s3").mkdir(self.bucket)

    def put(self, name, content):
        self.other().pipe_file(f"{self.bucket}/run.ckpt/{name}", content)

    def remove(self, name):
        self.other().rm_file(f"{self.bucket}/run.ckpt/{name}")

    def other(self):
        """Another program: the reader's own file system does not learn of its changes."""
        return s3fs.S3FileSystem(skip_instance_cache=True)


if __name__ == "__main__":
    unittest.main()
