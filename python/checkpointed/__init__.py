"""Reads the checkpoints that the Rust library `checkpointed` writes.

>>> import checkpointed
>>> state = checkpointed.load("run.ckpt")            # doctest: +SKIP
>>> state["positions"].mean(axis=0)                  # doctest: +SKIP
>>> [entry.generation for entry in checkpointed.list("run.ckpt")]  # doctest: +SKIP
[41, 42]

It needs Python 3.9 and numpy, follows docs/format.md, runs nothing that a file says, and verifies every byte
before it gives out any.
"""

from __future__ import annotations

from .archive import FORMAT_VERSION
from .npy import bfloat16, integers
from .groups import EachRank
from .directory import Generation, arrays, list, load, manifest, produced, steps
from .errors import (
    CheckpointError,
    DamagedError,
    FormatTooNewError,
    NoneUsableError,
    NotACheckpointError,
    NotFoundError,
    UnsupportedError,
)

__version__ = "0.1.0"
__all__ = [
    "FORMAT_VERSION", "CheckpointError", "DamagedError", "EachRank", "FormatTooNewError", "Generation", "NoneUsableError",
    "NotACheckpointError", "NotFoundError", "UnsupportedError", "arrays", "bfloat16", "integers", "list", "load",
    "manifest", "produced", "steps",
]
