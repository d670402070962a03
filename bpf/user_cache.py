"""Files that this user's processes keep for each other, under XDG_CACHE_HOME or ``~/.cache``.

What is in them is run, or loaded into the kernel: so they are taken only if nobody but this user,
or root, can write them. Nothing depends on them: what cannot be read or kept is made again.
"""

from __future__ import annotations

import contextlib
import os
import stat

__all__ = ["directory", "keep", "named", "take"]


def directory() -> str:
    """Tell where they are; "" if this user has no home."""
    base = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    return os.path.join(base, "accel") if os.path.isabs(base) else ""


def named(kind: str, *, after: bytes) -> str:
    """Name a file after all that it depends on."""
    import _imp  # noqa: PLC0415 - the hash of pycs; hashlib takes 5 ms to import

    return f"{kind}-{_imp.source_hash(0, after).hex()}"


def take(name: str) -> bytes | None:
    """Read a file; None if there is none that can be trusted."""
    try:
        # Whatever else is there in its place, a FIFO for one, nobody waits for it.
        with open(os.path.join(directory(), name), "rb", opener=_without_waiting) as file:
            status = os.fstat(file.fileno())
            others = stat.S_IWGRP | stat.S_IWOTH
            is_ours = status.st_uid in (0, os.geteuid()) and not status.st_mode & others
            return file.read() if is_ours and stat.S_ISREG(status.st_mode) else None
    except OSError:
        return None


def keep(name: str, content: bytes) -> bool:
    """Put a file there, whole or not at all; False where nothing can be written."""
    place = directory()
    path = os.path.join(place, name)
    partial = f"{path}.{os.getpid()}"
    if not place:
        return False
    try:
        os.makedirs(place, mode=0o700, exist_ok=True)
        with open(partial, "xb", opener=_private) as file:
            file.write(content)
        os.rename(partial, path)
    except OSError:
        with contextlib.suppress(OSError):
            os.unlink(partial)
        return False
    return True


def _without_waiting(name: str, flags: int) -> int:
    return os.open(name, flags | os.O_NONBLOCK)


def _private(name: str, flags: int) -> int:
    return os.open(name, flags, 0o600)
