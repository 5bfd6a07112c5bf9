"""What `Scopes` save: a stack of functions, the variables of each in a checkpoint inside the checkpoint."""

from __future__ import annotations

from typing import Any, Dict

import numpy

from .archive import STATE, Archive, is_state
from .errors import DamagedError
from .state import Decoder

#: The name of the state in the manifest.
SCOPES = "Scopes"


def is_stack(manifest: Dict[str, Any]) -> bool:
    """True for the stack of scopes. The state of a program may have its name, and not its fields."""
    return is_state(manifest, SCOPES, ("calls", "frames"))


def unfold(path: str, stack: Any, verify: bool) -> Any:
    """The same stack, with the values of the inner checkpoints in their place."""

    def value(frame: str, what: str, content: Any) -> Any:
        if content is None:
            return None
        if not isinstance(content, numpy.ndarray) or content.dtype != numpy.dtype("u1"):
            raise DamagedError(path, f"{what} of scope {frame!r} is no checkpoint", STATE)
        archive = Archive(f"{path} (scope {frame!r}, {what})", buffer=content.data)
        if verify:
            archive.verify()
        return Decoder(archive, verify).decode()

    try:
        for frame in stack["frames"]:
            name = frame["name"]
            frame["kept"] = value(name, "kept", frame["kept"])
            frame["done"] = {key: value(name, key, content) for key, content in frame["done"].items()}
    except (KeyError, TypeError, AttributeError) as error:
        raise DamagedError(path, f"it is called {SCOPES}, and is no stack of scopes: {error!r}", STATE) from error
    return stack
