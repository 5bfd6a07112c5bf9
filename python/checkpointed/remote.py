"""Checkpoints at a URL, such as `s3://bucket/run.ckpt`, by fsspec where it is installed."""

from __future__ import annotations

import re
from typing import Any, List, Tuple

from .errors import CheckpointError, NotFoundError, UnsupportedError

URL = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://.*", re.ASCII | re.DOTALL)
# The packages that fsspec needs for the stores in which the Rust library saves.
PACKAGES = {"s3": "s3fs", "s3a": "s3fs", "gs": "gcsfs", "az": "adlfs", "azure": "adlfs", "abfs": "adlfs", "abfss": "adlfs"}
# Their names in fsspec, where these differ from those that the Rust library takes.
PROTOCOLS = {"azure": "az"}


def is_url(path: str) -> bool:
    """True for a URL with a scheme, such as `s3://bucket/run.ckpt`."""
    return URL.fullmatch(path) is not None


def is_file(url: str) -> bool:
    """True if there is an object of exactly that name."""
    system, path = _system(url)
    return bool(_ask(url, lambda: system.isfile(path)))


def names(url: str) -> List[str]:
    """The names of the objects of a place, without folders; none where there are no objects."""
    system, path = _system(url)
    # A listing that fsspec keeps is old.
    system.invalidate_cache(path)
    try:
        found = _ask(url, lambda: system.ls(path, detail=True))
    except NotFoundError:
        return []
    return [entry["name"].rstrip("/").rsplit("/", 1)[-1] for entry in found if entry["type"] == "file"]


def read(url: str) -> bytes:
    """All bytes of an object. A transfer that breaks off is an error, and no damage of the object."""
    system, path = _system(url)
    system.invalidate_cache(path.rsplit("/", 1)[0])
    size = _ask(url, lambda: system.info(path))["size"]
    content = _ask(url, lambda: system.cat_file(path))
    if len(content) != size:
        raise CheckpointError(url, f"the store sent {len(content)} of {size} bytes; try again")
    return content


def _system(url: str) -> Tuple[Any, str]:
    """The file system of a URL, and the path in it."""
    match = URL.fullmatch(url)
    scheme = match.group(1).lower() if match else ""
    package = PACKAGES.get(scheme)
    install = f"`pip install fsspec {package}`" if package else "`pip install fsspec`, and its package for this kind of URL"
    try:
        import fsspec
    except ImportError as error:
        raise UnsupportedError(url, f"a URL needs fsspec, which is not installed: {install}") from error
    known = PROTOCOLS.get(scheme, scheme) + url[len(scheme) :]
    try:
        return fsspec.core.url_to_fs(known.rstrip("/"))
    except (ImportError, ValueError) as error:
        raise UnsupportedError(url, f"fsspec cannot open it: {error}; {install}") from error
    except Exception as error:
        raise CheckpointError(url, f"cannot be opened: {error}") from error


def _ask(url: str, request: Any) -> Any:
    """Makes a request. Only an object that is not there is not found: all else may pass."""
    try:
        return request()
    except (FileNotFoundError, NotADirectoryError) as error:
        raise NotFoundError(url, "there is no such object") from error
    except Exception as error:  # Each file system of fsspec has exceptions of its own.
        raise CheckpointError(url, f"cannot be read: {error}") from error
