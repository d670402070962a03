"""Where the machine code of the compiled loop is kept, so that later processes need no compiler.

In ``accel.user_cache``, as ``loop-HASH``: HASH is that of the source it was compiled from.
"""

from __future__ import annotations

import contextlib
import sys
from importlib.machinery import PathFinder
from typing import Final

from accel import user_cache

__all__ = ["load", "path", "store"]

_MAGIC: Final = b"accel loop x86-64\n"
_MODULE: Final = "accel._loop"


def path() -> str:
    """Tell the file's name; empty if this user has no home. Cost: it reads the source."""
    name = _name()
    return user_cache.path(name) if name else ""


def load() -> bytes | None:
    """Read the code; None if there is none that can be trusted."""
    name = _name()
    content = user_cache.read(name) if name else None
    if content is None or not content.startswith(_MAGIC):
        return None
    return content.removeprefix(_MAGIC) or None


def store(code: bytes) -> bool:
    """Keep the code for later processes; False where nothing can be written."""
    name = _name()
    return bool(name) and user_cache.write(name, _MAGIC + code)


def _name() -> str:
    import _imp  # noqa: PLC0415 - the hash of pycs; hashlib takes 2 ms to import

    source = _source()
    return f"loop-{_imp.source_hash(0, source).hex()}" if source else ""


def _source() -> bytes:
    """Read the source of the compiled loop without importing it."""
    package = sys.modules["accel"].__path__
    spec = PathFinder.find_spec(_MODULE, package)
    with contextlib.suppress(OSError):
        if spec is not None and spec.origin:
            with open(spec.origin, "rb") as file:
                return file.read()
    return b""
