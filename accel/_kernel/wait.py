"""wait(2) for the children and tracees of the calling thread, and no others."""

from __future__ import annotations

import os
from typing import Final

__all__ = ["WSTOPPED_EVENT_SHIFT", "has_changed", "wait_any", "wait_for", "wait_on"]

_WALL: Final = 0x4000_0000
_WNOTHREAD: Final = 0x2000_0000

#: A stop's status holds its PTRACE_EVENT above the signal: status >> 16.
WSTOPPED_EVENT_SHIFT: Final = 16


def wait_any(options: int = 0) -> tuple[int, int]:
    """Wait for the next change of any tracee of this thread; return (tid, status).

    With os.WNOHANG in ``options``, (0, 0) if there is none yet.
    __WNOTHREAD leaves the children of the host's other threads alone; __WALL includes threads.
    Raise ChildProcessError when the thread has neither children nor tracees.
    """
    return wait_on(-1, options)


def wait_for(pid: int) -> int:
    """Wait for the end of one child of any kind; return its status."""
    return os.waitpid(pid, _WALL)[1]


def has_changed(tid: int) -> bool:
    """Tell whether ``wait_any`` would report a change of this tracee; leave it to be reported."""
    options = os.WSTOPPED | os.WEXITED | os.WNOHANG | os.WNOWAIT | _WALL | _WNOTHREAD
    return os.waitid(os.P_PID, tid, options) is not None


def wait_on(tid: int, options: int = 0) -> tuple[int, int]:
    """Wait for the next change of one tracee, or with -1 of any, as ``wait_any`` does."""
    return os.waitpid(tid, _WALL | _WNOTHREAD | options)
