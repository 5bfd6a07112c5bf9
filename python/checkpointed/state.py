"""The state: `state.bincode`, decoded by the schema, without recursion, and without trust in any number."""

from __future__ import annotations

import math
import struct
from typing import Any, Callable, Dict, Generator, List, Optional, Tuple

import numpy

from .archive import STATE, Archive
from .npy import I128, U128, read
from .errors import DamagedError, UnsupportedError

# The depth of values inside each other. Only memory would limit it, but a recursive type has no end.
DEEPEST = 16384
ELSEWHERE = (1 << 64) - 1
# Values without bytes (units) cost nothing in the file: this many more than the bytes are accepted.
NOTHINGS = 1 << 21

INTEGERS = {f"{sign}{bits}": (bits // 8, sign == "i") for sign in "ui" for bits in (8, 16, 32, 64, 128)}
NUMBERS: Dict[str, numpy.dtype] = {
    "bool": numpy.dtype("?"), "u128": U128, "i128": I128,
    **{f"{sign}{bits}": numpy.dtype(f"<{sign}{bits // 8}") for sign in "ui" for bits in (8, 16, 32, 64)},
    "f32": numpy.dtype("<f4"), "f64": numpy.dtype("<f8"),
}
# The type of the numbers in an entry of their own, where numpy has none: 128-bit integers and bfloat16.
APART = {**{name: dtype.str for name, dtype in NUMBERS.items()}, "u128": "|V16", "i128": "|V16", "f16": "<f2", "bf16": "|V2"}
# The types inside each other of one element of an array: numpy has at most 64 dimensions.
ROW_DEPTH = 64

Steps = Generator[Tuple[object, Any], Any, Any]
# The number of which an element of an array consists, if the file tells it, and its dimensions.
Row = Tuple[Optional[str], Tuple[int, ...]]


class Decoder:
    """Reads the bytes once. Each kind of value with others inside is a generator that requests them."""

    def __init__(self, archive: Archive, verify: bool, wrap: Optional[Callable[[str, Any, Dict[str, Row]], Any]] = None) -> None:
        """Decode all of a file.

        `wrap` is given the name and the value of each struct, and what the elements of its fields that are sequences
        consist of, where they are numbers. It returns what stands for the struct.
        """
        self.archive = archive
        self.wrap = wrap
        schema = archive.manifest["schema"]
        self.types = schema.get("types")
        if "root" not in schema or not isinstance(self.types, list):
            raise archive.damaged("the schema has no root or no types", "checkpoint.json")
        self.root = schema["root"]
        self.data = archive.part(archive.parts[-1])
        self.arrays = [read(archive, part) for part in archive.parts[:-1]]
        self.verify = verify
        self.position = 0
        self.used = 0
        self.nothings = NOTHINGS + 16 * len(self.data)
        self.steps: List[object] = []
        # For each definition that was looked at, what a row of it consists of.
        self.rows: Dict[int, Optional[Row]] = {}

    def decode(self) -> Any:
        """The value of the root, which must use every byte and every array."""
        value = self._run(self.root)
        if self.position != len(self.data):
            raise self._damaged(f"{len(self.data) - self.position} bytes are left over")
        if self.used != len(self.arrays):
            raise self._damaged(f"{len(self.arrays)} arrays, of which it refers to {self.used}")
        return value

    def _run(self, kind: Any) -> Any:
        stack: List[Tuple[Steps, int]] = []
        step: object = ""
        while True:
            if isinstance(kind, str):
                value = self._leaf(kind)
            else:
                if len(stack) >= DEEPEST:
                    raise self._damaged(f"values nested deeper than {DEEPEST}")
                stack.append((self._open(kind), self.position))
                self.steps.append(step)
                value = None
            while stack:
                steps, began = stack[-1]
                try:
                    step, kind = steps.send(value)
                    break
                except StopIteration as done:
                    value = done.value
                    stack.pop()
                    self.steps.pop()
                    if began == self.position:
                        self._nothing()
            else:
                return value

    def _leaf(self, kind: str) -> Any:
        if kind in INTEGERS:
            width, signed = INTEGERS[kind]
            return int.from_bytes(self._take(width), "little", signed=signed)
        if kind == "f64":
            return struct.unpack("<d", self._take(8))[0]
        if kind == "f32":
            # A Python float would quieten a signalling NaN.
            return numpy.frombuffer(self._take(4), "<f4")[0]
        if kind == "string":
            return self._text(self._take(self._count()))
        if kind == "bool":
            return self._flag()
        if kind == "char":
            return self._char()
        if kind == "bytes":
            # Written as a sequence, they may be an array.
            length = self._count()
            return self._elsewhere("u8").tobytes() if length == ELSEWHERE else bytes(self._take(length))
        if kind == "unit":
            self._nothing()
            return None
        raise self._schema(f"an unknown type {kind[:40]!r}")

    def _open(self, kind: Any) -> Steps:
        if not isinstance(kind, dict) or len(kind) != 1:
            raise self._schema("a type that is no object of one field")
        ((word, inner),) = kind.items()
        if word == "option":
            return self._option(inner)
        if word == "seq":
            return self._sequence(inner)
        if word == "grid":
            return self._grid(inner)
        if word == "map":
            return self._map(*self._list(inner, 2))
        if word == "tuple":
            return self._tuple(self._list(inner))
        if word == "array":
            element, count = self._list(inner, 2)
            return self._elements(element, self._natural(count))
        if word == "named":
            return self._named(inner)
        if word == "opaque":
            where = "/".join(str(step) for step in self.steps) or STATE
            raise UnsupportedError(
                self.archive.path,
                f"the form of the type {str(inner)[:80]!r} is not in the file; arrays() still gives the arrays", where,
            )
        raise self._schema(f"an unknown type {word[:40]!r}")

    def _option(self, inner: Any) -> Steps:
        return (yield "", inner) if self._flag() else None

    def _sequence(self, inner: Any) -> Steps:
        count = self._count()
        if count == ELSEWHERE:
            return self._elsewhere(inner)
        return (yield from self._elements(inner, count))

    def _grid(self, grid: Any) -> Steps:
        """Fixed arrays: all their elements in one sequence, to which the schema gives the shape."""
        if not isinstance(grid, dict) or "element" not in grid:
            raise self._schema("a grid without an element")
        lengths = tuple(self._natural(length) for length in self._list(grid.get("lengths")))
        element, count = grid["element"], self._count()
        leading = 1
        if count == ELSEWHERE:
            values, leading, count = self._apart(element)
        else:
            values = yield from self._elements(element, count)
        one = 0 if 0 in lengths else 1
        for length in lengths:
            # A product of which one factor is forged is not computed to its last digit.
            one = min(one * length, ELSEWHERE)
        rows = count // max(one, 1)
        if one * (rows if grid.get("is_vec") else 1) != count:
            raise self._damaged(f"{count} elements are no whole number of fixed arrays of {one}")
        shape = (rows,) * bool(grid.get("is_vec")) + lengths
        if isinstance(values, numpy.ndarray):
            return self._shaped(values, shape + values.shape[leading:])
        for length in reversed(shape[1:]):
            if values:
                values = [values[begin : begin + length] for begin in range(0, len(values), length)]
        return values

    def _shaped(self, array: numpy.ndarray, shape: Tuple[int, ...]) -> numpy.ndarray:
        try:
            return array.reshape(shape)
        except (ValueError, OverflowError) as error:
            raise self._damaged(f"{array.size} elements of shape {shape}: {error}") from error

    def _elements(self, inner: Any, count: int) -> Steps:
        number = self._number(inner)
        if number is not None:
            return self._inline(*number, count)
        values = []
        for index in range(count):
            values.append((yield index, inner))
        return values

    def _map(self, key: Any, inner: Any) -> Steps:
        pairs = []
        for index in range(self._count()):
            name = yield index, key
            pairs.append((name, (yield index, inner)))
        try:
            result = dict(pairs)
        except TypeError:
            return pairs
        return result if len(result) == len(pairs) else pairs

    def _tuple(self, kinds: List[Any]) -> Steps:
        values = []
        for index, kind in enumerate(kinds):
            values.append((yield index, kind))
        return tuple(values)

    def _named(self, index: Any) -> Steps:
        definition = self._definition(index)
        if _float16(definition) is not None:
            # A bfloat16 is the upper half of a float32.
            bits = bytes(self._take(2))
            half = definition["name"] == "f16"
            return numpy.frombuffer(bits if half else b"\0\0" + bits, "<f2" if half else "<f4")[0]
        if "struct" in definition:
            value = yield from self._fields(definition["struct"])
            if self.wrap is None:
                return value
            return self.wrap(definition.get("name", ""), value, self._rows_of_fields(definition["struct"]))
        variants = self._list(definition.get("enum"))
        number = int.from_bytes(self._take(4), "little")
        if number >= len(variants):
            raise self._damaged(f"variant {number} of an enum of {len(variants)}")
        variant = variants[number]
        if not isinstance(variant, dict) or not isinstance(variant.get("name"), str):
            raise self._schema("a variant without a name")
        fields = variant.get("fields")
        if fields == "unit":
            return variant["name"]
        return {variant["name"]: (yield from self._fields(fields))}

    def _rows_of_fields(self, fields: Any) -> Dict[str, Row]:
        """For each named field that is a sequence of numbers, what its elements consist of."""
        rows: Dict[str, Row] = {}
        for field in fields.get("named", []) if isinstance(fields, dict) else []:
            kind = field["type"]
            row = self._row_within(kind["seq"], ROW_DEPTH) if isinstance(kind, dict) and "seq" in kind else None
            if row is not None:
                rows[field["name"]] = row
        return rows

    def _fields(self, fields: Any) -> Steps:
        if fields == "unit":
            return None
        if not isinstance(fields, dict) or len(fields) != 1:
            raise self._schema("fields of no known kind")
        ((word, inner),) = fields.items()
        if word == "newtype":
            return (yield "", inner)
        if word == "tuple":
            return (yield from self._tuple(self._list(inner)))
        if word != "named":
            raise self._schema("fields of no known kind")
        values: Dict[str, Any] = {}
        for field in self._list(inner):
            name = field.get("name") if isinstance(field, dict) else None
            if not isinstance(name, str) or "type" not in field or name in values:
                raise self._schema("a field without name or type, or twice")
            values[name] = yield name, field["type"]
        return values

    def _elsewhere(self, inner: Any) -> numpy.ndarray:
        """The array that stands for a sequence; it must be the next one, of the right type and length."""
        return self._apart(inner)[0]

    def _apart(self, inner: Any) -> Tuple[numpy.ndarray, int, int]:
        """The array that stands for a sequence, how many of its dimensions have the elements, and their number."""
        index, count = self._count(), self._count()
        if index != self.used or index >= len(self.arrays):
            raise self._damaged(f"array {index} where {self.used} of {len(self.arrays)} must come")
        array, part = self.arrays[index], self.archive.parts[index].name
        self.used += 1
        number, dims = self._row(inner)
        if number is not None:
            if array.dtype.kind == "c" and dims[-1:] == (2,):
                # The schema has a complex number as a pair.
                dims, fitting = dims[:-1], "<c8" if number == "f32" else "<c16" if number == "f64" else ""
                is_fitting = array.dtype.str == fitting
            else:
                fitting = APART[number]
                # The schema may have a 16-bit float as its bits.
                is_fitting = array.dtype.str in ((fitting, "<f2", "|V2") if number == "u16" else (fitting,))
            if not is_fitting:
                raise self.archive.damaged(f"it has elements of {array.dtype}, its sequence of {fitting or number}", part)
            if number in ("u128", "i128"):
                array = array.view(NUMBERS[number])
            if self.verify and number == "bool" and bool((array.view("u1") > 1).any()):
                raise self.archive.damaged("a truth value that is neither 0 nor 1", part)
        leading = array.ndim - len(dims)
        if number is None:
            # Any dimensions may be those of the elements.
            leading = next((at for at in range(leading + 1) if math.prod(array.shape[:at]) == count), -1)
        # An array of no dimension has one element.
        product = math.prod(array.shape[: max(leading, 0)])
        if leading < 0 or (number is not None and array.shape[leading:] != dims) or product != count:
            raise self.archive.damaged(f"shape {array.shape} for {count} elements of shape {dims}", part)
        return array, leading, count

    def _row(self, kind: Any) -> Row:
        """The number of which an element that is kept apart consists, and its dimensions.

        The number is None if the file does not have the form of the element. Tuples and structs of
        equal members are dimensions too, such as a complex number, which is a pair.
        """
        row = self._row_within(kind, ROW_DEPTH)
        if row is None:
            raise self._damaged("an array of elements that are no numbers")
        return row

    def _row_within(self, kind: Any, depth: int) -> Optional[Row]:
        if isinstance(kind, str):
            return (kind, ()) if kind in NUMBERS else None
        if depth == 0 or not isinstance(kind, dict) or len(kind) != 1:
            return None
        ((word, inner),) = kind.items()
        if word == "opaque":
            return None, ()
        if word == "array":
            element, size = self._list(inner, 2)
            return self._row_of([element], self._natural(size), depth)
        if word == "grid" and isinstance(inner, dict) and not inner.get("is_vec"):
            row = self._row_within(inner.get("element"), depth - 1)
            lengths = tuple(self._natural(length) for length in self._list(inner.get("lengths")))
            return row and (row[0], lengths + row[1])
        if word == "tuple":
            return self._row_of(self._list(inner), len(self._list(inner)), depth)
        if word != "named":
            return None
        number = self._natural(inner)
        if number not in self.rows:
            self.rows[number] = None  # A type that contains itself is no row of numbers.
            self.rows[number] = self._row_of_struct(self._definition(number), depth)
        return self.rows[number]

    def _row_of_struct(self, definition: Dict[str, Any], depth: int) -> Optional[Row]:
        if _float16(definition) is not None:
            return definition["name"], ()
        fields = definition.get("struct")
        if not isinstance(fields, dict) or len(fields) != 1:
            return None
        ((word, inner),) = fields.items()
        if word == "newtype":
            return self._row_within(inner, depth - 1)
        members = self._list(inner)
        if word == "named":
            members = [member.get("type") if isinstance(member, dict) else None for member in members]
        return self._row_of(members, len(members), depth)

    def _row_of(
        self, members: List[Any], size: int, depth: int
    ) -> Optional[Row]:
        rows = [self._row_within(member, depth - 1) for member in members]
        if not rows or rows[0] is None or any(row != rows[0] for row in rows):
            return None
        number, dims = rows[0]
        return number, (size,) + dims if number is not None else ()

    def _inline(self, dtype: numpy.dtype, dims: Tuple[int, ...], count: int) -> numpy.ndarray:
        length = count * dtype.itemsize
        for size in dims:
            length *= size
        data = self._take(length)
        if dtype == numpy.dtype("?") and length and max(data) > 1:
            raise self._damaged("a truth value that is neither 0 nor 1")
        try:
            # The bytes are copied because they may not be aligned here.
            array = numpy.ndarray((count,) + dims, dtype, bytes(data)).copy()
        except (ValueError, TypeError, MemoryError) as error:
            raise self._damaged(f"{count} elements of shape {dims}: {error}") from error
        array.flags.writeable = False
        return array

    def _number(self, kind: Any) -> Optional[Tuple[numpy.dtype, Tuple[int, ...]]]:
        """The numpy type and the shape of an element, if it is a number or nested arrays of numbers."""
        dims: List[int] = []
        for _ in range(64):
            if isinstance(kind, str):
                dtype = NUMBERS.get(kind)
                return None if dtype is None else (dtype, tuple(dims))
            if not isinstance(kind, dict):
                return None
            if "array" in kind:
                kind, size = self._list(kind["array"], 2)
                dims.append(self._natural(size))
            elif "named" in kind:
                definition = self._definition(kind["named"])
                dtype = _float16(definition)
                if dtype is not None:
                    return dtype, tuple(dims)
                fields = definition.get("struct")
                if not isinstance(fields, dict) or "newtype" not in fields:
                    return None
                kind = fields["newtype"]
            else:
                return None
        return None

    def _definition(self, index: Any) -> Dict[str, Any]:
        number = self._natural(index)
        definition = self.types[number] if number < len(self.types) else None
        if not isinstance(definition, dict):
            raise self._schema(f"there is no type {number}")
        return definition

    def _take(self, length: int) -> memoryview:
        if length > len(self.data) - self.position:
            raise self._damaged(f"{length} bytes where {len(self.data) - self.position} are left")
        begin = self.position
        self.position += length
        return self.data[begin : self.position]

    def _count(self) -> int:
        return int.from_bytes(self._take(8), "little")

    def _flag(self) -> bool:
        byte = self._take(1)[0]
        if byte > 1:
            raise self._damaged(f"{byte} where 0 or 1 must be")
        return byte == 1

    def _char(self) -> str:
        first = self._take(1)
        lead = first[0]
        more = 0 if lead < 0x80 else 1 if lead < 0xE0 else 2 if lead < 0xF0 else 3
        text = self._text(bytes(first) + bytes(self._take(more)))
        if len(text) != 1:
            raise self._damaged("more than one character where one must be")
        return text

    def _text(self, data: Any) -> str:
        try:
            return str(data, "utf-8")
        except UnicodeDecodeError as error:
            raise self._damaged(f"no UTF-8: {error}") from error

    def _nothing(self) -> None:
        self.nothings -= 1
        if self.nothings < 0:
            raise self._damaged("more values without bytes than can be believed")

    def _list(self, value: Any, length: Optional[int] = None) -> List[Any]:
        if not isinstance(value, list) or (length is not None and len(value) != length):
            raise self._schema("a list is missing or of the wrong length")
        return value

    def _natural(self, value: Any) -> int:
        if not isinstance(value, int) or isinstance(value, bool) or value < 0:
            raise self._schema("a number is missing")
        return value

    def _damaged(self, why: str) -> DamagedError:
        path = "/".join(str(step) for step in self.steps[:64] if step != "")
        return self.archive.damaged(f"byte {self.position}: {why}", f"{STATE} at {path}" if path else STATE)

    def _schema(self, why: str) -> DamagedError:
        return self.archive.damaged(f"the schema has {why}", "checkpoint.json")


def _float16(definition: Dict[str, Any]) -> Optional[numpy.dtype]:
    """The numpy type of a struct that is a float of 16 bits, or None; of bfloat16 numpy only knows the length."""
    if definition.get("struct") != {"newtype": "u16"} or definition.get("version") != 1:
        return None
    found = {"f16": "<f2", "bf16": "|V2"}.get(definition.get("name", ""))
    return None if found is None else numpy.dtype(found)
