"""Where compiled eBPF programs are kept, so that later processes need no compiler.

``probe-HASH`` in the user's cache: HASH is that of the text and of the kernel that it was compiled
for. The kernel verifies what is loaded from there as it does anything else.
"""

from __future__ import annotations

import contextlib
import os
from typing import Final

from bpf import user_cache
from bpf.probes.object import Object, parse

__all__ = ["find", "keep"]

#: Changes whenever objects are written or compiled otherwise.
_VERSION: Final = b"accel probe 2\n"
#: How many are kept, of some KB each.
_MOST: Final = 100


def find(text: str) -> Object | None:
    """Return what ``text`` was compiled to; None if there is nothing that can be trusted."""
    kept = user_cache.take(_name(text))
    if kept is None or not kept.startswith(_VERSION):
        return None
    with contextlib.suppress(ValueError):
        return parse(kept.removeprefix(_VERSION).decode())
    return None


def keep(text: str, compiled: Object) -> bool:
    """Keep it for later processes; False where nothing can be written."""
    kept = user_cache.keep(_name(text), _VERSION + compiled.text().encode())
    with contextlib.suppress(OSError):
        _forget_oldest(user_cache.directory())
    return kept


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


def _name(text: str) -> str:
    host = os.uname()
    key = f"{host.release}\0{host.version}\0{os.environ.get('BCC_KERNEL_SOURCE', '')}\0{text}"
    return user_cache.named("probe", after=key.encode())
