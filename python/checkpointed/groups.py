"""What a group of processes saved: a table, and the part of each process in a file of its own."""

from __future__ import annotations

import zlib
import os
from typing import Any, Dict, Generator, List, Optional, Set, Tuple

import numpy

from . import listing, remote
from .archive import STATE, Archive, is_state
from .errors import CheckpointError, DamagedError, NotFoundError
from .state import NUMBERS, Decoder, Row

#: The name of the state in the manifest of a table.
GROUP = "Group"
#: The names of the types of blocks, and of values that are the same in all processes.
SHARDED, SHARED = "group::Sharded", "group::Shared"
#: The complex numbers that are pairs of these.
COMPLEX = {"f32": numpy.dtype("<c8"), "f64": numpy.dtype("<c16")}


class EachRank(tuple):
    """The values of a field that each process has by itself, by rank."""


class Same:
    """A value that is the same in all processes."""

    def __init__(self, value: Any) -> None:
        self.value = value


class Block:
    """The part of an array that one process has; `row` is what one of its elements consists of."""

    def __init__(self, path: str, fields: Dict[str, Any], row: Optional[Row] = None) -> None:
        try:
            self.shape, self.offset, self.extent = (
                tuple(int(length) for length in fields[name]) for name in ("shape", "offset", "extent")
            )
            # Kept apart it has the shape of the block; in the rest of the state, elements one after the other.
            data = fields["data"]
            number, dims = row or (None, ())
            if isinstance(data, list):
                data = numpy.array(data, NUMBERS[number]).reshape((len(data),) + dims)
            if number is None:
                depth = len(self.extent) if data.shape[: len(self.extent)] == self.extent else 1
            else:
                depth = data.ndim - len(dims) + (data.dtype.kind == "c")
            self.data = data.reshape(self.extent + data.shape[depth:])
        except (KeyError, TypeError, AttributeError, ValueError) as error:
            raise DamagedError(path, f"a block of an array is none: {error!r}", STATE) from error


def is_table(manifest: Dict[str, Any]) -> bool:
    """True for the table of a group. The state of a program may have its name, and not its fields."""
    return is_state(manifest, GROUP, ("attempt", "size", "shards"))


def wrap(path: str, name: str, value: Any, rows: Dict[str, Row]) -> Any:
    """Marks the values of a part by which it fits the others."""
    if name == SHARDED:
        return Block(path, value, rows.get("data"))
    return Same(value) if name == SHARED else value


def unfold(path: str, table: Any, generation: int, verify: bool, mmap: bool) -> Any:
    """The state of all processes: whole arrays, what all have alike once, and the rest by rank."""
    return _join(path, [_part(path, table, rank, generation, verify, mmap) for rank in range(_size(path, table))])


def arrays(path: str, table: Any, generation: int, verify: bool) -> Dict[str, numpy.ndarray]:
    """The whole arrays that the processes have together, by their paths."""
    found: Dict[str, List[Block]] = {}
    for rank in range(_size(path, table)):
        for name, block in _blocks(_part(path, table, rank, generation, verify, True)):
            found.setdefault(name, []).append(block)
    return {name: _whole(path, blocks) for name, blocks in found.items()}


def _blocks(part: Any) -> List[Tuple[str, Block]]:
    """The blocks in a part, each with its path."""
    found: List[Tuple[str, Block]] = []
    # A list instead of recursion: values are deeper than Python recurses.
    left: List[Tuple[Any, Any]] = [(part, None)]
    while left:
        value, steps = left.pop()
        if isinstance(value, Block):
            found.append((_path(steps), value))
        elif isinstance(value, dict):
            left.extend((inner, (steps, str(key))) for key, inner in reversed(value.items()))
        elif isinstance(value, (list, tuple)):
            left.extend((inner, (steps, str(index))) for index, inner in reversed([*enumerate(value)]))
    return found


def _path(steps: Any) -> str:
    """The path of steps, each of which knows the one before it."""
    names: List[str] = []
    while steps is not None:
        steps, name = steps
        names.append(name)
    return "/".join(reversed(names))


def _size(path: str, table: Any) -> int:
    try:
        size = table["size"]
        if not isinstance(size, int) or size < 1 or size != len(table["shards"]):
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
        # The table is on the machine of rank 0.
        if rank > 0 and not remote.is_url(folder) and not os.path.isdir(folder):
            raise CheckpointError(
                folder, f"the parts of rank {rank} are not here; bring the directories of all ranks to one place"
            ) from error
        raise DamagedError(file, f"the part of rank {rank} is missing; use an older checkpoint") from error
    try:
        attempt, crc = table["attempt"], table["shards"][rank]["manifest_crc32"]
    except (KeyError, TypeError) as error:
        raise DamagedError(path, f"it is called {GROUP}, and is no table: {error!r}", STATE) from error
    metadata = archive.manifest.get("metadata", {})
    if metadata.get("checkpointed.attempt") != attempt or metadata.get("checkpointed.rank") != rank:
        raise DamagedError(file, "it belongs to another save or rank of the group; use an older checkpoint")
    if crc is not None and crc != zlib.crc32(archive.manifest_text):
        raise DamagedError(file, "it is not the part that the table describes; use an older checkpoint")
    if verify:
        archive.verify()
    return Decoder(archive, verify, lambda name, value, rows: wrap(file, name, value, rows)).decode()


def _joint(values: List[Any]) -> Set[int]:
    """The identities of those values, and of those inside them, that have something that all processes have together."""
    joint: Set[int] = set()
    for value in values:
        left = [(value, False)]
        while left:
            inner, is_done = left.pop()
            members = _members(inner)
            if isinstance(inner, (Block, Same)) or (is_done and any(id(member) in joint for member in members)):
                joint.add(id(inner))
            elif members and not is_done:
                left.append((inner, True))
                left.extend((member, False) for member in members)
    return joint


def _members(value: Any) -> List[Any]:
    if isinstance(value, dict):
        return list(value.values())
    return list(value) if isinstance(value, (list, tuple)) else []


Steps = Generator[Any, Any, Any]


def _run(steps: Steps) -> Any:
    """The result of steps that ask for those of others. Values are deeper than Python recurses."""
    stack, value = [steps], None
    while stack:
        try:
            stack.append(stack[-1].send(value))
            value = None
        except StopIteration as done:
            value = done.value
            stack.pop()
    return value


def _join(path: str, values: List[Any]) -> Any:
    return _run(_joined(path, values, _joint(values)))


def _joined(path: str, values: List[Any], joint: Set[int]) -> Steps:
    first = values[0]
    if all(isinstance(value, Block) for value in values):
        return _whole(path, values)
    if all(isinstance(value, Same) for value in values):
        return first.value
    if any(id(value) in joint for value in values):
        if all(isinstance(value, dict) and value.keys() == first.keys() for value in values):
            fields = {}
            for key in first:
                fields[key] = yield _joined(path, [value[key] for value in values], joint)
            return fields
        is_list = isinstance(first, (list, tuple))
        if is_list and all(type(value) is type(first) and len(value) == len(first) for value in values):
            members = []
            for index in range(len(first)):
                members.append((yield _joined(path, [value[index] for value in values], joint)))
            return type(first)(members)
    plain = []
    for value in values:
        plain.append((yield _plain(value, joint)))
    return EachRank(plain)


def _plain(value: Any, joint: Set[int]) -> Steps:
    """A value that does not fit those of the other processes, without marks."""
    if isinstance(value, Same):
        return value.value
    if isinstance(value, Block):
        return {"shape": value.shape, "offset": value.offset, "extent": value.extent, "data": value.data}
    if id(value) not in joint:
        return value
    if isinstance(value, dict):
        fields = {}
        for key, inner in value.items():
            fields[key] = yield _plain(inner, joint)
        return fields
    members = []
    for inner in value:
        members.append((yield _plain(inner, joint)))
    return type(value)(members)


def _make_complex(blocks: List[Block]) -> None:
    """Gives all blocks complex numbers if one has them: those of another may be pairs in the rest of its state."""
    fitting = {COMPLEX[name].str: NUMBERS[name] for name in COMPLEX}
    found = next((block.data.dtype for block in blocks if block.data.dtype.str in fitting), None)
    for block in blocks if found is not None else []:
        if block.data.dtype == fitting[found.str] and block.data.shape[len(block.extent) :][-1:] == (2,):
            block.data = numpy.ascontiguousarray(block.data).view(found)[..., 0]


def _are_apart(blocks: List[Block]) -> bool:
    """True if no two blocks, which are inside the array and not empty, have an element together."""
    axes = range(len(blocks[0].offset)) if blocks else range(0)
    # Along the dimension with the most offsets, the fewest blocks are beside each other.
    axis = max(axes, key=lambda axis: len({block.offset[axis] for block in blocks}), default=None)
    if axis is None:
        return len(blocks) <= 1
    beside: List[Block] = []
    for block in sorted(blocks, key=lambda block: block.offset[axis]):
        begin = block.offset[axis]
        beside = [other for other in beside if other.offset[axis] + other.extent[axis] > begin]
        for other in beside:
            pairs = zip(block.offset, block.extent, other.offset, other.extent)
            if all(one < two + length and two < one + extent for one, extent, two, length in pairs):
                return False
        beside.append(block)
    return True


def _whole(path: str, blocks: List[Block]) -> numpy.ndarray:
    _make_complex(blocks)
    first = blocks[0]
    inner, dtype = first.data.shape[len(first.extent) :], first.data.dtype
    covered = 0
    for block in blocks:
        is_inside = len(block.offset) == len(block.extent) == len(first.shape) and all(
            0 <= offset <= length - extent and extent >= 0 for offset, extent, length in zip(block.offset, block.extent, first.shape)
        )
        inner_of = block.data.shape[len(block.extent) :]
        if not is_inside or block.shape != first.shape or block.data.dtype != dtype or inner_of != inner:
            raise DamagedError(path, "the blocks of an array do not fit together", STATE)
        covered += int(numpy.prod(block.extent, dtype=object))
    filled = [block for block in blocks if 0 not in block.extent]
    # Blocks of the same elements would leave others without a value.
    if covered != int(numpy.prod(first.shape, dtype=object)) or not _are_apart(filled):
        raise DamagedError(path, "the blocks of an array do not cover it, each element once", STATE)
    try:
        whole = numpy.empty(first.shape + inner, dtype)
    except (ValueError, MemoryError) as error:
        raise DamagedError(path, f"numpy cannot hold an array of shape {first.shape + inner}: {error}", STATE) from error
    for block in blocks:
        place = tuple(slice(offset, offset + extent) for offset, extent in zip(block.offset, block.extent))
        whole[place] = block.data
    whole.flags.writeable = False
    return whole
