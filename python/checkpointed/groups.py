"""What a group of processes saved: a table, and the part of each process in a file of its own."""

from __future__ import annotations

import zlib
from typing import Any, Dict, List, Tuple

import numpy

from . import listing
from .archive import STATE, Archive
from .errors import DamagedError, NotFoundError
from .state import Decoder

#: The name of the state in the manifest of a table.
GROUP = "Group"
#: The names of the types of blocks, and of values that are the same in all processes.
SHARDED, SHARED = "group::Sharded", "group::Shared"


class EachRank(tuple):
    """The values of a field that each process has by itself, by rank."""


class Same:
    """A value that is the same in all processes."""

    def __init__(self, value: Any) -> None:
        self.value = value


class Block:
    """The part of an array that one process has."""

    def __init__(self, path: str, fields: Dict[str, Any]) -> None:
        try:
            self.shape, self.offset, self.extent = (
                tuple(int(length) for length in fields[name]) for name in ("shape", "offset", "extent")
            )
            self.data = fields["data"]
            # Kept apart it has the shape of the block; in the rest of the state, elements one after the other.
            depth = len(self.extent) if self.data.shape[: len(self.extent)] == self.extent else 1
            self.data = self.data.reshape(self.extent + self.data.shape[depth:])
        except (KeyError, TypeError, AttributeError, ValueError) as error:
            raise DamagedError(path, f"a block of an array is none: {error!r}", STATE) from error


def wrap(path: str, name: str, value: Any) -> Any:
    """Marks the values of a part by which it fits the others."""
    if name == SHARDED:
        return Block(path, value)
    return Same(value) if name == SHARED else value


def unfold(path: str, table: Any, generation: int, verify: bool, mmap: bool) -> Any:
    """The state of all processes: whole arrays, what all have alike once, and the rest by rank."""
    return _join(path, [_part(path, table, rank, generation, verify, mmap) for rank in range(_size(path, table))])


def arrays(path: str, table: Any, generation: int, verify: bool) -> Dict[str, numpy.ndarray]:
    """The whole arrays that the processes have together, by their paths."""
    found: Dict[str, List[Block]] = {}

    def collect(value: Any, steps: Tuple[str, ...]) -> None:
        if isinstance(value, Block):
            found.setdefault("/".join(steps), []).append(value)
        elif isinstance(value, dict):
            for key, inner in value.items():
                collect(inner, steps + (str(key),))
        elif isinstance(value, (list, tuple)):
            for index, inner in enumerate(value):
                collect(inner, steps + (str(index),))

    for rank in range(_size(path, table)):
        collect(_part(path, table, rank, generation, verify, True), ())
    return {name: _whole(path, blocks) for name, blocks in found.items()}


def _size(path: str, table: Any) -> int:
    try:
        size = table["size"]
        if not isinstance(size, int) or size != len(table["shards"]):
            raise TypeError("it does not have one part for each process")
        return size
    except (KeyError, TypeError) as error:
        raise DamagedError(path, f"it is called {GROUP}, and is no table: {error!r}", STATE) from error


def _part(path: str, table: Any, rank: int, generation: int, verify: bool, mmap: bool) -> Any:
    folder = listing.join(listing.parent(path), "ranks", f"{rank:06}")
    file = listing.join(folder, f"{generation:020}.ckpt")
    try:
        # One that was saved in an object store has an epoch in its name.
        file = dict(listing.generations(folder)).get(generation, file)
        archive = Archive(file, mmap)
    except NotFoundError as error:
        raise DamagedError(file, f"the part of rank {rank} is missing; use an older checkpoint") from error
    try:
        attempt, crc = table["attempt"], table["shards"][rank]["manifest_crc32"]
    except (KeyError, TypeError) as error:
        raise DamagedError(path, f"it is called {GROUP}, and is no table: {error!r}", STATE) from error
    if archive.manifest.get("metadata", {}).get("checkpointed.attempt") != attempt:
        raise DamagedError(file, "it belongs to another save of the group; use an older checkpoint")
    if crc is not None and crc != zlib.crc32(archive.manifest_text):
        raise DamagedError(file, "it is not the part that the table describes; use an older checkpoint")
    if verify:
        archive.verify()
    return Decoder(archive, verify, lambda name, value: wrap(file, name, value)).decode()


def _is_joint(value: Any) -> bool:
    if isinstance(value, (Block, Same)):
        return True
    if isinstance(value, dict):
        return any(_is_joint(inner) for inner in value.values())
    return isinstance(value, (list, tuple)) and any(_is_joint(inner) for inner in value)


def _join(path: str, values: List[Any]) -> Any:
    first = values[0]
    if all(isinstance(value, Block) for value in values):
        return _whole(path, values)
    if all(isinstance(value, Same) for value in values):
        return first.value
    if any(_is_joint(value) for value in values):
        if all(isinstance(value, dict) and value.keys() == first.keys() for value in values):
            return {key: _join(path, [value[key] for value in values]) for key in first}
        if all(type(value) is type(first) and len(value) == len(first) for value in values):
            return type(first)(_join(path, [value[index] for value in values]) for index in range(len(first)))
    return EachRank(_plain(value) for value in values)


def _plain(value: Any) -> Any:
    """A value that does not fit those of the other processes, without marks."""
    if isinstance(value, Same):
        return value.value
    if isinstance(value, Block):
        return {"shape": value.shape, "offset": value.offset, "extent": value.extent, "data": value.data}
    if isinstance(value, dict):
        return {key: _plain(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(_plain(inner) for inner in value)
    return value


def _whole(path: str, blocks: List[Block]) -> numpy.ndarray:
    first = blocks[0]
    inner, dtype = first.data.shape[len(first.extent) :], first.data.dtype
    covered = 0
    for block in blocks:
        is_inside = len(block.offset) == len(block.extent) == len(first.shape) and all(
            offset + extent <= length for offset, extent, length in zip(block.offset, block.extent, first.shape)
        )
        if not is_inside or block.shape != first.shape or block.data.dtype != dtype:
            raise DamagedError(path, "the blocks of an array do not fit together", STATE)
        covered += int(numpy.prod(block.extent, dtype=object))
    if covered != int(numpy.prod(first.shape, dtype=object)):
        raise DamagedError(path, "the blocks of an array do not cover it", STATE)
    whole = numpy.empty(first.shape + inner, dtype)
    for block in blocks:
        place = tuple(slice(offset, offset + extent) for offset, extent in zip(block.offset, block.extent))
        whole[place] = block.data
    whole.flags.writeable = False
    return whole
