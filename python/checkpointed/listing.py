"""The generations of a directory, or of a place at a URL."""

from __future__ import annotations

import os
from typing import List, Tuple, Union

from . import remote
from .archive import generation_and_epoch_of
from .errors import NotFoundError

Path = Union[str, "os.PathLike[str]"]


def generations(directory: Path) -> List[Tuple[int, str]]:
    """Number and path of every checkpoint, oldest first: by number, never by time. The highest epoch counts."""
    folder = os.fspath(directory)
    if remote.is_url(folder):
        folder = folder.rstrip("/")
        names = remote.names(folder)
    else:
        try:
            names = os.listdir(folder)
        except OSError as error:
            raise NotFoundError(folder, f"the directory cannot be read: {error}") from error
    numbered = ((generation_and_epoch_of(name), name) for name in names)
    newest = {found[0]: name for found, name in sorted((found, name) for found, name in numbered if found)}
    return [(number, join(folder, name)) for number, name in newest.items()]


def join(folder: str, *names: str) -> str:
    """A path inside a directory, or a URL inside a place."""
    return "/".join((folder, *names)) if remote.is_url(folder) else os.path.join(folder, *names)


def parent(path: str) -> str:
    """The directory of a file, or the place of an object."""
    return path.rpartition("/")[0] if remote.is_url(path) else os.path.dirname(path)
