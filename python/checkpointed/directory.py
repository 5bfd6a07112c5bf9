"""The functions for users: load, list, manifest and arrays, of a file or of the newest usable one."""

from __future__ import annotations

import json
import os
import warnings
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any, Callable, Dict, List, Optional, TypeVar
from urllib.parse import unquote

import numpy

from . import groups, listing, remote
from .archive import Archive
from .errors import (
    CheckpointError,
    DamagedError,
    NoneUsableError,
    NotACheckpointError,
    NotFoundError,
    UnsupportedError,
)
from .listing import Path
from .npy import read
from .scopes import is_stack, unfold
from .state import Decoder

Result = TypeVar("Result")
CODEC = "bincode-1"
# The times that a directory is listed again because its generations disappeared during the reading.
LISTINGS = 16


@dataclass(frozen=True)
class Generation:
    """One checkpoint of a directory, as its manifest describes it."""

    generation: int
    path: str
    #: The time when the save began; `created` has its nanoseconds.
    time: datetime
    created: str
    #: The length of the file.
    bytes: int
    name: str
    version: int
    metadata: Dict[str, Any]


def load(path: Path, generation: Optional[int] = None, *, verify: bool = True, mmap: bool = True) -> Any:
    """Load the state of a checkpoint file, or of the newest checkpoint in a directory that verifies.

    Structs are dicts, numeric sequences read-only numpy arrays, options the value or None; the README
    has the table. Large arrays are memory maps: except for the verification, they cost nothing until
    they are used. While one of them lives, a lock keeps the file from being overwritten. `mmap=False`
    reads the file into memory instead. A path may be a URL, such as `s3://bucket/run.ckpt`, where
    fsspec is installed, with its package for the store; an object is read into memory as a whole. `verify=False` leaves out the checksums of the parts; the
    structure is always checked.

    A checkpoint of `Scopes` is `{"calls": …, "frames": […]}`. The variables that a frame has `kept`, and
    the results of the calls that it has `done`, are values like any others.

    In a checkpoint of a group of processes, arrays that they share are whole, in memory, values
    that are the same everywhere are there once, and a field that each process has by itself is an
    `EachRank`: a tuple by rank.

    In a directory, a damaged checkpoint is skipped for the next older one, with a warning, unless
    `generation` names one. Raises a `CheckpointError`: `NotFoundError` if there is no checkpoint,
    `NoneUsableError` if all are damaged.

    >>> load("run.ckpt")["step"]                     # doctest: +SKIP
    120000
    >>> load("run.ckpt", generation=41)["step"]      # doctest: +SKIP
    119000
    """

    def decode(file: str) -> Any:
        archive = Archive(file, mmap)
        if archive.manifest["codec"] != CODEC:
            raise UnsupportedError(file, f"an unknown codec {archive.manifest['codec']!r}: update this reader")
        if verify:
            archive.verify()
        value = Decoder(archive, verify).decode()
        if groups.is_table(archive.manifest):
            return groups.unfold(file, value, archive.manifest["generation"], verify, mmap)
        return unfold(file, value, verify) if is_stack(archive.manifest) else value

    return _newest(path, generation, decode)


def arrays(path: Path, generation: Optional[int] = None, *, verify: bool = True) -> Dict[str, numpy.ndarray]:
    """The arrays with entries of their own, by the path of their field, without the rest of the state.

    Of what a group of processes saved, these are the arrays that they have together, whole.

    >>> arrays("run.ckpt")["particles/positions"].shape   # doctest: +SKIP
    (1000000, 3)
    """

    def views(file: str) -> Dict[str, numpy.ndarray]:
        archive = Archive(file)
        if verify:
            archive.verify()
        if groups.is_table(archive.manifest):
            table = Decoder(archive, verify).decode()
            return groups.arrays(file, table, archive.manifest["generation"], verify)
        return {part.name[: -len(".npy")]: read(archive, part) for part in archive.parts[:-1]}

    return _newest(path, generation, views)


def manifest(path: Path, generation: Optional[int] = None) -> Dict[str, Any]:
    """The manifest of a checkpoint file, or of the newest in a directory with an intact structure.

    It has the fields of docs/format.md. The data are neither read nor verified.

    >>> manifest("run.ckpt")["library"]              # doctest: +SKIP
    'checkpointed 0.1.0'
    """
    return _newest(path, generation, lambda file: Archive(file).manifest)


def list(directory: Path) -> List[Generation]:
    """The checkpoints of a directory, oldest first, from their manifests; the data are not read.

    One that cannot be read is left out with a warning. A directory without checkpoints gives an empty list.

    >>> [(entry.generation, entry.bytes) for entry in list("run.ckpt")]   # doctest: +SKIP
    [(41, 24000896), (42, 24000896)]
    """
    found: List[Generation] = []
    for _, file in listing.generations(directory):
        try:
            found.append(_entry(file))
        except NotFoundError:
            continue  # It was removed after the directory was listed.
        except CheckpointError as error:
            warnings.warn(f"left out: {error}", stacklevel=2)
    return found


def steps(pipeline: Path) -> Dict[str, str]:
    """The checkpoint directory of each step of a pipeline; its generations are the versions of its output.

    >>> load(steps("analysis.pipeline")["fit"])      # doctest: +SKIP
    [1.5, 2.5]
    """
    folder = os.path.join(os.fspath(pipeline), "steps")
    try:
        names = sorted(os.listdir(folder))
    except OSError as error:
        raise NotFoundError(folder, f"no pipeline: {error}") from error
    found = {unquote(name): os.path.join(folder, name) for name in names}
    return {step: path for step, path in found.items() if os.path.isdir(path)}


def produced(pipeline: Path) -> Dict[str, Dict[str, str]]:
    """The files that the newest version of each step of a pipeline produced: their paths, by their names in the project.

    Their content is neither read nor compared. A step that produces no files is left out.

    >>> produced("analysis.pipeline")["plot"]        # doctest: +SKIP
    {'plot.svg': '/home/anna/analysis/plot.svg'}
    """
    pipeline = os.path.abspath(os.fspath(pipeline))
    found: Dict[str, Dict[str, str]] = {}
    for step, folder in steps(pipeline).items():
        try:
            metadata = manifest(folder).get("metadata", {})
        except NotFoundError:
            continue  # It was begun and never finished.
        files = _files_of(folder, pipeline, metadata.get("step", "{}"))
        if files:
            found[step] = files
    return found


def _files_of(folder: str, pipeline: str, text: Any) -> Dict[str, str]:
    """The paths of the files that a version of a step produced, by their names in the project."""
    try:
        record = json.loads(text)
        fields = {"produced": dict, "project": str, "directory": str}
        if any(record.get(field) is not None and not isinstance(record[field], kind) for field, kind in fields.items()):
            raise TypeError("a field of another type")
        produced, project, beside = record.get("produced") or {}, record.get("project") or "..", record.get("directory")
        if any("\0" in name for name in (project, beside or "", *produced)):
            raise ValueError("a name with a zero byte")
    except (ValueError, TypeError, AttributeError, RecursionError) as error:
        raise DamagedError(folder, f"the record of the step is none: {error}", "checkpoint.json") from error
    root = os.path.normpath(os.path.join(pipeline, project))

    def path(name: str) -> str:
        return os.path.join(beside or root, name[2:]) if name.startswith("./") else os.path.join(root, name)

    return {name: path(name) for name in produced}


def _entry(file: str) -> Generation:
    archive = Archive(file)
    described = archive.manifest
    created = described["created"]
    try:
        # To the microsecond: Python before 3.11 reads neither nanoseconds nor the Z.
        time = datetime.strptime(created[:19], "%Y-%m-%dT%H:%M:%S").replace(tzinfo=timezone.utc)
        time = time.replace(microsecond=int((created[20:26].rstrip("Z") or "0").ljust(6, "0")))
    except ValueError as error:
        raise archive.damaged(f"created is no time: {created[:40]!r}", "checkpoint.json") from error
    return Generation(
        described["generation"], file, time, created, archive.size, described["name"], described["version"],
        described.get("metadata", {}),
    )


def _newest(path: Path, generation: Optional[int], use: Callable[[str], Result]) -> Result:
    folder = os.fspath(path)
    if remote.is_url(folder):
        folder = folder.rstrip("/")
        is_folder = not remote.is_file(folder)
    else:
        is_folder = os.path.isdir(folder)
    if not is_folder:
        if generation is not None:
            raise NotFoundError(folder, "no directory, so it has no generations to choose from")
        return use(folder)
    if generation is not None:
        files = dict(listing.generations(folder))
        return use(files.get(generation, listing.join(folder, f"{generation:020}.ckpt")))
    for _ in range(LISTINGS):
        files = listing.generations(folder)
        if not files:
            raise NotFoundError(folder, "the directory has no checkpoints")
        tried: List[CheckpointError] = []
        for _, file in reversed(files):
            try:
                result = use(file)
            except (NotFoundError, DamagedError, NotACheckpointError) as error:
                # It may have been removed, or written over, after the directory was listed: then there is a newer one.
                if all(file != other for _, other in listing.generations(folder)):
                    break
                tried.append(error)
                continue
            for error in tried:
                warnings.warn(f"skipped for an older checkpoint: {error}", stacklevel=3)
            return result
        else:
            raise NoneUsableError(folder, tried)
    raise CheckpointError(folder, "its checkpoints are replaced faster than they can be read; try again")
