"""Signals to one thread of a tracee."""

from __future__ import annotations

import struct
from typing import Final

from accel._kernel.libc import syscall

__all__ = ["by_kernel", "is_by_tgkill", "send"]

_SYS_TGKILL: Final = 234
# <asm-generic/siginfo.h>
_SI_KERNEL: Final = 0x80
_SI_TKILL: Final = -6
_SIGINFO_SIZE: Final = 128
#: The beginning of siginfo_t: signal, errno, code.
_HEAD: Final = struct.Struct("=3i")


def send(tid: int, pid: int, signal: int) -> None:
    """Send a signal to a thread of a process; raise OSError if that has ended. One tgkill(2)."""
    syscall(_SYS_TGKILL, pid, tid, signal, what="tgkill")


def is_by_tgkill(siginfo: bytes) -> bool:
    """Tell whether a siginfo_t is of a signal that somebody sent with tgkill(2)."""
    return len(siginfo) >= _HEAD.size and _HEAD.unpack_from(siginfo)[2] == _SI_TKILL


def by_kernel(signal: int) -> bytes:
    """Make the siginfo_t of a signal that the kernel sends: of no process, SI_KERNEL.

    As send_sig(sig, task, 1) fills it in: __send_signal_locked() in kernel/signal.c.
    """
    return _HEAD.pack(signal, 0, _SI_KERNEL).ljust(_SIGINFO_SIZE, b"\0")
