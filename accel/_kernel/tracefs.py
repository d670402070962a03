"""The ids that tracefs gives to tracepoints, wherever it is mounted; where it is not, without.

fsopen(2) and fsmount(2) make a mount that no path leads to, and that ends with its descriptor.
"""

from __future__ import annotations

import ctypes
import functools
import os
from typing import Final

from accel._kernel.libc import syscall

__all__ = ["tracepoint_id"]

_SYS_FSOPEN, _SYS_FSCONFIG, _SYS_FSMOUNT = 430, 431, 432
_FSOPEN_CLOEXEC: Final = 1
_FSCONFIG_CMD_CREATE: Final = 6
_FSMOUNT_CLOEXEC: Final = 1
_PLACES: Final = ("/sys/kernel/tracing", "/sys/kernel/debug/tracing")


@functools.cache
def tracepoint_id(name: str) -> int:
    """Tell the id of ``group/event``.

    Raise OSError: EACCES or EPERM without the right to read tracefs, ENOENT for an event that this
    kernel does not have, ENODEV for a kernel without tracefs.
    """
    for place in _PLACES:
        if os.path.isdir(f"{place}/events"):
            return _read(os.open(f"{place}/events/{name}/id", os.O_RDONLY | os.O_CLOEXEC))
    root = _unseen_mount()
    try:
        return _read(os.open(f"events/{name}/id", os.O_RDONLY | os.O_CLOEXEC, dir_fd=root))
    finally:
        os.close(root)


def _read(descriptor: int) -> int:
    with open(descriptor, encoding="ascii") as file:
        return int(file.read())


def _unseen_mount() -> int:
    """Mount tracefs nowhere; return a descriptor of its root."""
    name = ctypes.create_string_buffer(b"tracefs")
    context = syscall(_SYS_FSOPEN, ctypes.addressof(name), _FSOPEN_CLOEXEC, what="fsopen tracefs")
    try:
        syscall(_SYS_FSCONFIG, context, _FSCONFIG_CMD_CREATE, 0, 0, 0, what="fsconfig tracefs")
        return syscall(_SYS_FSMOUNT, context, _FSMOUNT_CLOEXEC, 0, what="fsmount tracefs")
    finally:
        os.close(context)
