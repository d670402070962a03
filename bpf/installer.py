"""Installs a filter on the calling thread: prctl(2), seccomp(2)."""

from __future__ import annotations

import ctypes
import errno
import os
from typing import Final

from bpf.errors import InvalidProgram
from bpf.program import Program
from bpf.verifier import verify

__all__ = ["FilterMemory", "install", "needs_no_new_privs"]

# <linux/prctl.h>
PR_SET_NO_NEW_PRIVS: Final = 38
# <linux/seccomp.h>
SECCOMP_SET_MODE_FILTER: Final = 1
SECCOMP_FILTER_FLAG_TSYNC: Final = 1 << 0
SECCOMP_FILTER_FLAG_LOG: Final = 1 << 1
SECCOMP_FILTER_FLAG_SPEC_ALLOW: Final = 1 << 2
SECCOMP_FILTER_FLAG_NEW_LISTENER: Final = 1 << 3
SECCOMP_FILTER_FLAG_TSYNC_ESRCH: Final = 1 << 4
SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV: Final = 1 << 5
# <linux/capability.h>
CAP_SYS_ADMIN: Final = 21
# <asm/unistd_64.h>
_SYS_SECCOMP: Final = 317


class _SockFprog(ctypes.Structure):
    """``struct sock_fprog``, <linux/filter.h>."""

    _fields_ = (("len", ctypes.c_ushort), ("filter", ctypes.c_void_p))


class FilterMemory:
    """A program where the kernel can read it, for as long as this object lives.

    For a child that shares or copies this memory and may itself do nothing but system calls:
    ``seccomp(SECCOMP_SET_MODE_FILTER, flags, address)``.
    """

    __slots__ = ("_fprog", "_instructions")

    def __init__(self, program: Program) -> None:
        packed = bytes(program)
        self._instructions = ctypes.create_string_buffer(packed, len(packed))
        self._fprog = _SockFprog(len(program), ctypes.addressof(self._instructions))

    @property
    def address(self) -> int:
        """Where the ``struct sock_fprog`` is."""
        return ctypes.addressof(self._fprog)


def needs_no_new_privs() -> bool:
    """Tell whether the calling thread must set no_new_privs before it may install a filter.

    Not with CAP_SYS_ADMIN in its user namespace, nor if the attribute is set already: seccomp(2).
    """
    with open("/proc/thread-self/status", "rb") as status:
        fields = dict(line.split(b":", 1) for line in status)
    privileged = int(fields[b"CapEff"], 16) >> CAP_SYS_ADMIN & 1
    return not privileged and fields[b"NoNewPrivs"].strip() == b"0"


def install(program: Program, *, no_new_privs: bool | None = None, flags: int = 0) -> int:
    """Install ``program`` on the calling thread for good: no filter can be removed.

    With ``no_new_privs`` None the attribute, which makes setuid programs run without privilege, is
    set only where the kernel insists on it. Return the listener if ``flags`` has
    SECCOMP_FILTER_FLAG_NEW_LISTENER, else 0. Raise OSError with the reason.
    """
    if os.uname().machine != "x86_64" or ctypes.sizeof(ctypes.c_void_p) != 8:
        raise OSError(errno.ENOSYS, f"no filters for {os.uname().machine} yet, only for x86_64")
    if needs_no_new_privs() if no_new_privs is None else no_new_privs:
        _call("prctl", PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    memory = FilterMemory(program)
    try:
        result = _call("syscall", _SYS_SECCOMP, SECCOMP_SET_MODE_FILTER, flags, memory.address)
    except OSError as error:
        reason = _reason(error.errno or 0, program)
        raise OSError(error.errno, f"seccomp: {reason}") from error
    if result and not flags & SECCOMP_FILTER_FLAG_NEW_LISTENER:  # SECCOMP_FILTER_FLAG_TSYNC
        raise OSError(errno.ESRCH, f"seccomp: thread {result} has a filter of its own")
    return result


def _call(function: str, *arguments: int) -> int:
    libc = ctypes.CDLL(None, use_errno=True)
    result: int = libc[function](*map(ctypes.c_long, arguments))
    if result == -1:
        number = ctypes.get_errno()
        raise OSError(number, f"{function}: {os.strerror(number)}")
    return result


def _reason(number: int, program: Program) -> str:
    if number == errno.EINVAL:
        try:
            verify(program)
        except InvalidProgram as invalid:
            return str(invalid)
        return "the kernel has no seccomp filters, or does not know these flags"
    return _REASONS.get(number, os.strerror(number))


_REASONS: Final = {
    errno.EACCES: "this thread has neither no_new_privs nor CAP_SYS_ADMIN",
    errno.ENOMEM: "this thread has too many filters already",
    errno.EBUSY: "a filter of this thread has a listener already",
}
