"""Machine code that is data: mapped where it can run, and called."""

from __future__ import annotations

import ctypes
import mmap
import os
from collections.abc import Callable
from typing import Final

from accel._kernel.libc import failure

__all__ = ["entered_with_words", "executable", "function", "words"]

_MAP_FAILED: Final = 0xFFFF_FFFF_FFFF_FFFF


def executable(code: bytes) -> int:
    """Map ``code`` for good; return its address. Raise OSError where that is forbidden.

    It is mapped from a file, since W^X policies refuse anonymous memory.
    """
    descriptor = os.memfd_create("accel-code", os.MFD_CLOEXEC)
    try:
        os.write(descriptor, code)
        libc_mmap = ctypes.CDLL(None, use_errno=True).mmap
        libc_mmap.restype = ctypes.c_void_p
        libc_mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, *[ctypes.c_int] * 3, ctypes.c_long]
        protection = mmap.PROT_READ | mmap.PROT_EXEC
        address = libc_mmap(None, len(code), protection, mmap.MAP_PRIVATE, descriptor, 0)
    finally:
        os.close(descriptor)
    if address == _MAP_FAILED:
        raise failure("mmap")
    return int(address)


def function(address: int, parameters: int) -> Callable[..., int]:
    """Make a C function of that many words callable; it returns a word and runs without the GIL."""
    return ctypes.CFUNCTYPE(ctypes.c_long, *[ctypes.c_long] * parameters)(address)


def entered_with_words(address: int) -> Callable[..., int]:
    """Make a C function callable with what ``words`` makes, in half the time that numbers take."""
    return ctypes.CFUNCTYPE(ctypes.c_long)(address)


def words(*values: int) -> tuple[object, ...]:
    """Make the arguments of a function of that many words."""
    return tuple(ctypes.c_long(value) for value in values)
