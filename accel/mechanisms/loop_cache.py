"""Where the machine code of the compiled loop is kept, so that later processes need no compiler.

``loop-HASH`` in the user's cache: HASH is that of the source it was compiled from.
"""

from __future__ import annotations

import contextlib
import os
import sys
from importlib.machinery import PathFinder
from typing import Final

from bpf import user_cache

__all__ = ["load", "path", "store"]

_MAGIC: Final = b"accel loop x86-64\n"
_MODULE: Final = "accel._loop"


def path() -> str:
    """Tell where the file is; empty if it cannot be anywhere. Cost: it reads the source."""
    name = _name()
    return os.path.join(user_cache.directory(), name) if name and user_cache.directory() else ""


def load() -> bytes | None:
    """Read the code; None if there is none that can be trusted."""
    content = user_cache.take(_name())
    if content is None or not content.startswith(_MAGIC):
        return None
    return content.removeprefix(_MAGIC) or None


def store(code: bytes) -> bool:
    """Keep the code for later processes; False where nothing can be written."""
    name = _name()
    return bool(name) and user_cache.keep(name, _MAGIC + code)


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
