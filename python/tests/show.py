"""Prints the result of `load` as JSON that keeps the types, and floats to the bit; for tests that compare it."""

import json
import struct
import sys
from pathlib import Path

sys.dont_write_bytecode = True
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import numpy  # noqa: E402

import checkpointed  # noqa: E402


def typed(value):
    """A value as JSON: `[type, content…]`, where plain JSON would lose the type or a bit."""
    if value is None or isinstance(value, (bool, str)):
        return value
    if isinstance(value, int):
        return ["int", str(value)]
    if isinstance(value, numpy.float32):
        return ["f32", f"{int(value.view('u4')):08x}"]
    if isinstance(value, float):
        return ["f64", struct.pack(">d", value).hex()]
    if isinstance(value, bytes):
        return ["bytes", value.hex()]
    if isinstance(value, (tuple, list)):
        return [type(value).__name__, *map(typed, value)]
    if isinstance(value, dict):
        return ["dict", *([typed(key), typed(inner)] for key, inner in value.items())]
    assert isinstance(value, numpy.ndarray), type(value)
    assert not value.flags.writeable and value.flags.aligned
    dtype = str(checkpointed.integers(value).dtype) if value.dtype.names else value.dtype.str
    content = [str(item) for item in checkpointed.integers(value).flat] if value.dtype.names else value.tobytes().hex()
    return ["array", dtype, list(value.shape), content]


if __name__ == "__main__":
    print(json.dumps(typed(checkpointed.load(sys.argv[1]))))
