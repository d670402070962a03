"""Where the machine code of the compiled loop is kept, so that later processes need no compiler.

``loop-HASH`` in the user's cache: HASH is that of the sources it was compiled from. The loop of a
supervisor is in ``notify_loop-HASH``.
"""

from __future__ import annotations

import contextlib
import os
import sys
from importlib.machinery import PathFinder
from typing import Final

from bpf import user_cache

__all__ = ["LOOP", "NOTIFY_LOOP", "load", "path", "store"]

_MAGIC: Final = b"accel loop x86-64\n"
LOOP: Final = "accel._loop"
NOTIFY_LOOP: Final = "accel._notify_loop"
#: What both are made of besides.
_PARTS: Final = ("accel._loop_words", "accel._loop_judge")


def path(module: str = LOOP) -> str:
    """Tell where the file is; empty if it cannot be anywhere. Cost: it reads the sources."""
    name = _name(module)
    return os.path.join(user_cache.directory(), name) if name and user_cache.directory() else ""


def load(module: str = LOOP) -> bytes | None:
    """Read the code; None if there is none that can be trusted."""
    content = user_cache.take(_name(module))
    if content is None or not content.startswith(_MAGIC):
        return None
    return content.removeprefix(_MAGIC) or None


def store(code: bytes, module: str = LOOP) -> bool:
    """Keep the code for later processes; False where nothing can be written."""
    name = _name(module)
    return bool(name) and user_cache.keep(name, _MAGIC + code)


def _name(module: str) -> str:
    sources = [_source(name) for name in (*_PARTS, module)]
    name = user_cache.named(module.rpartition("._")[2], after=b"".join(sources))
    return name if all(sources) else ""


def _source(module: str) -> bytes:
    """Read the source of a module without importing it."""
    package = sys.modules["accel"].__path__
    spec = PathFinder.find_spec(module, package)
    with contextlib.suppress(OSError):
        if spec is not None and spec.origin:
            with open(spec.origin, "rb") as file:
                return file.read()
    return b""
