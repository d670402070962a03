"""The C library's ``syscall(2)``, with errors as exceptions."""

from __future__ import annotations

import ctypes
import os
from typing import Final

__all__ = ["failure", "raw_syscall", "syscall"]

_library = ctypes.CDLL(None, use_errno=True)

#: ``long syscall(long number, ...)``; -1 and ``ctypes.get_errno()`` on failure. Six word-sized
#: arguments are always passed, so that no value is truncated to a C int. The GIL is released.
raw_syscall: Final = _library.syscall
raw_syscall.restype = ctypes.c_long
raw_syscall.argtypes = [ctypes.c_long] * 7


def failure(what: str = "") -> OSError:
    """Build the exception for the errno that the last raw call left."""
    number = ctypes.get_errno()
    return OSError(number, os.strerror(number), what or None)


def syscall(number: int, *arguments: int, what: str = "") -> int:
    """Make a system call; raise OSError when it fails. Cost: about 1 us besides the call itself."""
    padded = arguments + (0,) * (6 - len(arguments))
    result: int = raw_syscall(number, *padded)
    if result == -1:
        raise failure(what)
    return result
