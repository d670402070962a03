"""What a filter returns: a SECCOMP_RET_* value, action in the upper half, data in the lower."""

from __future__ import annotations

import errno as errno_names
from typing import Final

from bpf.value import frozen

__all__ = ["Action"]

# <linux/seccomp.h>
SECCOMP_RET_KILL_PROCESS: Final = 0x80000000
SECCOMP_RET_KILL_THREAD: Final = 0x00000000
SECCOMP_RET_TRAP: Final = 0x00030000
SECCOMP_RET_ERRNO: Final = 0x00050000
SECCOMP_RET_USER_NOTIF: Final = 0x7FC00000
SECCOMP_RET_TRACE: Final = 0x7FF00000
SECCOMP_RET_LOG: Final = 0x7FFC0000
SECCOMP_RET_ALLOW: Final = 0x7FFF0000

SECCOMP_RET_ACTION_FULL: Final = 0xFFFF0000
SECCOMP_RET_DATA: Final = 0x0000FFFF

#: The kernel caps SECCOMP_RET_ERRNO data here, <linux/err.h>.
MAX_ERRNO: Final = 4095

_NAMES: Final = {
    SECCOMP_RET_KILL_PROCESS: "RET_KILL_PROCESS",
    SECCOMP_RET_KILL_THREAD: "RET_KILL_THREAD",
    SECCOMP_RET_TRAP: "RET_TRAP",
    SECCOMP_RET_ERRNO: "RET_ERRNO",
    SECCOMP_RET_USER_NOTIF: "RET_USER_NOTIF",
    SECCOMP_RET_TRACE: "RET_TRACE",
    SECCOMP_RET_LOG: "RET_LOG",
    SECCOMP_RET_ALLOW: "RET_ALLOW",
}
#: Actions whose data somebody reads: a handler of SIGSYS, the caller, a tracer.
_WITH_DATA: Final = frozenset({SECCOMP_RET_TRAP, SECCOMP_RET_ERRNO, SECCOMP_RET_TRACE})


@frozen
class Action:
    """A SECCOMP_RET_* value; equal when all 32 bits are."""

    value: int

    def __post_init__(self) -> None:
        if not 0 <= self.value <= 0xFFFFFFFF:
            raise ValueError(f"an action is a word of 32 bits, not {self.value:#x}")

    @classmethod
    def allow(cls) -> Action:
        """Let the call run."""
        return cls(SECCOMP_RET_ALLOW)

    @classmethod
    def errno(cls, number: int) -> Action:
        """Skip the call and return ``-number``, 0 to 4095; 0 makes it appear to succeed."""
        if not 0 <= number <= MAX_ERRNO:
            raise ValueError(f"an errno is 0 to {MAX_ERRNO}, not {number}")
        return cls(SECCOMP_RET_ERRNO | number)

    @classmethod
    def trace(cls, data: int) -> Action:
        """Stop at PTRACE_EVENT_SECCOMP with 16 bits of ``data``; ENOSYS if there is no tracer."""
        return cls(SECCOMP_RET_TRACE | _data(data))

    @classmethod
    def notify(cls) -> Action:
        """Ask the listener (seccomp_unotify(2)); ENOSYS if there is none."""
        return cls(SECCOMP_RET_USER_NOTIF)

    @classmethod
    def trap(cls, data: int = 0) -> Action:
        """Skip the call and send SIGSYS with ``data`` as si_errno."""
        return cls(SECCOMP_RET_TRAP | _data(data))

    @classmethod
    def log(cls) -> Action:
        """Let the call run and have the kernel log it."""
        return cls(SECCOMP_RET_LOG)

    @classmethod
    def kill_process(cls) -> Action:
        """End the process as by SIGSYS."""
        return cls(SECCOMP_RET_KILL_PROCESS)

    @classmethod
    def kill_thread(cls) -> Action:
        """End the calling thread alone as by SIGSYS; this is what a return of 0 means."""
        return cls(SECCOMP_RET_KILL_THREAD)

    @property
    def data(self) -> int:
        """SECCOMP_RET_DATA, the lower 16 bits."""
        return self.value & SECCOMP_RET_DATA

    @property
    def precedence(self) -> int:
        """Rank among the answers of several filters: the lowest wins, of equals the newest.

        The kernel compares the upper halves as signed numbers, which puts RET_KILL_PROCESS
        (0x80000000) first; seccomp(2), "Return value"; kernel/seccomp.c, ACTION_ONLY.
        """
        action = self.value & SECCOMP_RET_ACTION_FULL
        return action - (1 << 32) if action & 0x80000000 else action

    def __str__(self) -> str:
        action = self.value & SECCOMP_RET_ACTION_FULL
        name = _NAMES.get(action)
        if name is None:
            return f"RET_UNKNOWN({self.value:#010x})"
        if action == SECCOMP_RET_ERRNO:
            return f"{name}({errno_names.errorcode.get(self.data, self.data)})"
        return f"{name}({self.data})" if self.data or action in _WITH_DATA else name

    def __repr__(self) -> str:
        return f"<Action {self}>"


def _data(data: int) -> int:
    if not 0 <= data <= SECCOMP_RET_DATA:
        raise ValueError(f"SECCOMP_RET_DATA has 16 bits, {data:#x} has more")
    return data
