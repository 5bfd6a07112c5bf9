"""The errors of checkpoints. Each names the file, the part of it, and the way out."""

from __future__ import annotations

from typing import Optional, Sequence


class CheckpointError(Exception):
    """The base of all errors here: ``path`` is the file or directory, ``part`` the place in it, if any."""

    def __init__(self, path: object, why: str, part: Optional[str] = None) -> None:
        self.path = str(path)
        self.part = part
        self.why = why
        where = f"{self.path}: {part}" if part else self.path
        super().__init__(f"{where}: {why}")


class NotFoundError(CheckpointError):
    """There is no such checkpoint, or the directory has none."""


class NotACheckpointError(CheckpointError):
    """The file is something else, or its end is missing."""


class DamagedError(CheckpointError):
    """The bytes of the checkpoint are not those that were written."""


class FormatTooNewError(CheckpointError):
    """A newer library wrote the file: update this package."""


class UnsupportedError(CheckpointError):
    """The file is whole, but only the program that wrote it can read its content."""


class NoneUsableError(CheckpointError):
    """The directory has checkpoints, and none of them verifies; ``tried`` holds the error of each, newest first."""

    def __init__(self, path: object, tried: Sequence[CheckpointError]) -> None:
        self.tried = tuple(tried)
        reasons = "; ".join(str(error) for error in self.tried)
        super().__init__(path, f"none of its {len(self.tried)} checkpoints can be used: {reasons}")
