"""What accel keeps for later processes of this user: ``$XDG_CACHE_HOME/accel``, ``~/.cache/accel``.

Nothing is taken from a file that anybody but this user, or root, could have written, and nothing
fails where nothing can be kept: a cache is a hint.
"""

from __future__ import annotations

import contextlib
import os
import stat
from typing import Final

__all__ = ["path", "read", "write"]

#: What accel keeps is small; a larger file is none of its own.
_MOST_BYTES: Final = 1 << 20


def path(name: str) -> str:
    """Tell where a file of that name is kept; empty if this user has no home."""
    base = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    return os.path.join(base, "accel", name) if os.path.isabs(base) else ""


def read(name: str) -> bytes | None:
    """Read a file; None if it is not there, or cannot be trusted."""
    try:
        # Whatever else is there in its place, a FIFO for one, nobody waits for it.
        with open(path(name), "rb", opener=_without_waiting) as file:
            status = os.fstat(file.fileno())
            content = file.read(_MOST_BYTES + 1)
    except OSError:
        return None
    is_ours = status.st_uid in (0, os.geteuid()) and not status.st_mode & (
        stat.S_IWGRP | stat.S_IWOTH
    )
    is_file = stat.S_ISREG(status.st_mode) and len(content) <= _MOST_BYTES
    return content if is_ours and is_file else None


def write(name: str, content: bytes) -> bool:
    """Keep a file, whole or not at all; False where nothing can be written."""
    target = path(name)
    partial = f"{target}.{os.getpid()}"
    try:
        os.makedirs(os.path.dirname(target), mode=0o700, exist_ok=True)
        with open(partial, "xb", opener=_private) as file:
            file.write(content)
        os.rename(partial, target)
    except OSError:
        with contextlib.suppress(OSError):
            os.unlink(partial)
        return False
    return True


def _without_waiting(name: str, flags: int) -> int:
    return os.open(name, flags | os.O_NONBLOCK)


def _private(name: str, flags: int) -> int:
    return os.open(name, flags, 0o600)
