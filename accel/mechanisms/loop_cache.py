"""Where the machine code of the compiled loop is kept, so that later processes need no compiler.

``$XDG_CACHE_HOME/accel/loop-HASH``, or ``~/.cache/accel/loop-HASH``: HASH is that of the source it
was compiled from. The loop of a supervisor is in ``notify_loop-HASH`` there. Code is taken only
from files that nobody but this user, or root, can write.
"""

from __future__ import annotations

import contextlib
import os
import stat
import sys
from importlib.machinery import PathFinder
from typing import Final

__all__ = ["LOOP", "NOTIFY_LOOP", "load", "path", "store"]

_MAGIC: Final = b"accel loop x86-64\n"
LOOP: Final = "accel._loop"
NOTIFY_LOOP: Final = "accel._notify_loop"


def path(module: str = LOOP) -> str:
    """Tell the file's name; empty if this user has no home. Cost: it reads the source."""
    import _imp  # noqa: PLC0415 - the hash of pycs; hashlib takes 2 ms to import

    base = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    source = _source(LOOP) + (_source(module) if module != LOOP else b"")
    if not os.path.isabs(base) or not source:
        return ""
    digest = _imp.source_hash(0, source).hex()
    return os.path.join(base, "accel", f"{module.rpartition('._')[2]}-{digest}")


def load(module: str = LOOP) -> bytes | None:
    """Read the code; None if there is none that can be trusted."""
    try:
        with open(path(module), "rb") as file:
            status = os.fstat(file.fileno())
            content = file.read()
    except OSError:
        return None
    is_ours = status.st_uid in (0, os.geteuid()) and not status.st_mode & (
        stat.S_IWGRP | stat.S_IWOTH
    )
    if not is_ours or not content.startswith(_MAGIC):
        return None
    return content.removeprefix(_MAGIC) or None


def store(code: bytes, module: str = LOOP) -> bool:
    """Keep the code for later processes; False where nothing can be written."""
    name = path(module)
    partial = f"{name}.{os.getpid()}"
    try:
        os.makedirs(os.path.dirname(name), mode=0o700, exist_ok=True)
        with open(partial, "xb", opener=_private) as file:
            file.write(_MAGIC + code)
        os.rename(partial, name)
    except OSError:
        with contextlib.suppress(OSError):
            os.unlink(partial)
        return False
    return True


def _private(name: str, flags: int) -> int:
    return os.open(name, flags, 0o600)


def _source(module: str) -> bytes:
    """Read the source of a module without importing it."""
    package = sys.modules["accel"].__path__
    spec = PathFinder.find_spec(module, package)
    with contextlib.suppress(OSError):
        if spec is not None and spec.origin:
            with open(spec.origin, "rb") as file:
                return file.read()
    return b""
