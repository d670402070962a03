"""Where compiled eBPF programs are kept, so that later processes need no compiler.

``$XDG_CACHE_HOME/accel/probe-HASH``, or ``~/.cache/accel/probe-HASH``: HASH is that of the text and
of the kernel that it was compiled for. They are taken only from files that nobody but this user, or
root, can write; and the kernel verifies them anyway.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import stat
from typing import Final

from bpf.probes.object import Object, read_object

__all__ = ["find", "keep"]

#: Changes whenever objects are written or compiled otherwise.
_VERSION: Final = "accel probe 1\n"
#: How many are kept, of some KB each.
_MOST: Final = 100


def find(text: str) -> Object | None:
    """Return what ``text`` was compiled to; None if there is nothing that can be trusted."""
    try:
        with open(_path(text), encoding="ascii") as file:
            status = os.fstat(file.fileno())
            content = file.read()
        is_ours = status.st_uid in (0, os.geteuid()) and not status.st_mode & (
            stat.S_IWGRP | stat.S_IWOTH
        )
        if not is_ours or not content.startswith(_VERSION):
            return None
        return read_object(json.loads(content.removeprefix(_VERSION)))
    except (OSError, ValueError, KeyError, TypeError):
        return None


def keep(text: str, compiled: Object) -> bool:
    """Keep it for later processes; False where nothing can be written."""
    partial = ""
    try:
        name = _path(text)
        partial = f"{name}.{os.getpid()}"
        os.makedirs(os.path.dirname(name), mode=0o700, exist_ok=True)
        with open(partial, "x", encoding="ascii", opener=_private) as file:
            file.write(_VERSION + compiled.to_json())
        os.rename(partial, name)
        _forget_oldest(os.path.dirname(name))
    except OSError:
        with contextlib.suppress(OSError):
            os.unlink(partial)
        return False
    return True


def _forget_oldest(directory: str) -> None:
    """Make room: each selection of system calls is a program of its own."""
    with os.scandir(directory) as entries:
        kept = sorted(
            (entry.stat().st_mtime, entry.path)
            for entry in entries
            if entry.name.startswith("probe-")
        )
    for _, path in kept[:-_MOST]:
        os.unlink(path)


def _private(name: str, flags: int) -> int:
    return os.open(name, flags, 0o600)


def _path(text: str) -> str:
    """Name the file; raise FileNotFoundError if this user has no home."""
    base = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    if not os.path.isabs(base):
        raise FileNotFoundError(base)
    host = os.uname()
    named = f"{host.release}\0{host.version}\0{os.environ.get('BCC_KERNEL_SOURCE', '')}\0{text}"
    return os.path.join(base, "accel", f"probe-{hashlib.sha256(named.encode()).hexdigest()[:32]}")
