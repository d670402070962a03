"""Signals to one thread of a tracee, and those that a thread of this process is deaf to."""

from __future__ import annotations

import contextlib
import ctypes
import struct
from collections.abc import Iterator
from signal import SIG_BLOCK, SIG_SETMASK, SIGRTMIN
from typing import Final

from accel._kernel.libc import syscall

__all__ = ["block", "blocked", "by_kernel", "is_by_tgkill", "send"]

_SYS_RT_SIGPROCMASK: Final = 14
_SYS_TGKILL: Final = 234
# <asm-generic/siginfo.h>
_SI_KERNEL: Final = 0x80
_SI_TKILL: Final = -6
_SIGINFO_SIZE: Final = 128
#: From the first real-time signal to that which libc calls so: nptl(7), "Signals".
_LIBC: Final = sum(1 << (number - 1) for number in range(32, SIGRTMIN))
#: The beginning of siginfo_t: signal, errno, code.
_HEAD: Final = struct.Struct("=3i")


def send(tid: int, pid: int, signal: int) -> None:
    """Send a signal to a thread of a process; raise OSError if that has ended. One tgkill(2)."""
    syscall(_SYS_TGKILL, pid, tid, signal, what="tgkill")


def block(*, but: int) -> None:
    """Block every signal ``but`` one in the calling thread. Cost: one rt_sigprocmask(2).

    Those that libc keeps for itself stay, too: setuid(2) waits for all threads to heed one. To ask
    ``signal.pthread_sigmask`` takes half a millisecond: it makes an enum of every signal.
    """
    _change(SIG_BLOCK, ~(_LIBC | 1 << (but - 1)))


@contextlib.contextmanager
def blocked() -> Iterator[None]:
    """Block every signal in the calling thread, libc's own too, within the block."""
    before = _change(SIG_BLOCK, ~0)
    try:
        yield
    finally:
        _change(SIG_SETMASK, before)


def _change(how: int, signals: int) -> int:
    """Change the mask of the calling thread; return what it was."""
    new, old = ctypes.c_uint64(signals), ctypes.c_uint64()
    addresses = ctypes.addressof(new), ctypes.addressof(old)
    syscall(_SYS_RT_SIGPROCMASK, how, *addresses, ctypes.sizeof(new), what="rt_sigprocmask")
    return old.value


def is_by_tgkill(siginfo: bytes) -> bool:
    """Tell whether a siginfo_t is of a signal that somebody sent with tgkill(2)."""
    return len(siginfo) >= _HEAD.size and _HEAD.unpack_from(siginfo)[2] == _SI_TKILL


def by_kernel(signal: int) -> bytes:
    """Make the siginfo_t of a signal that the kernel sends: of no process, SI_KERNEL.

    As send_sig(sig, task, 1) fills it in: __send_signal_locked() in kernel/signal.c.
    """
    return _HEAD.pack(signal, 0, _SI_KERNEL).ljust(_SIGINFO_SIZE, b"\0")
