"""What this kernel, and the filters that are here already, allow of user notifications.

Tried in a child that shares this memory: some 100 us an attempt, and one attempt is enough where
all is there. doctor's probes ask for more, and for each thing by itself: ``accel._kernel.probes``.
"""

from __future__ import annotations

import ctypes
import errno
import os
import signal
import struct
from typing import Final

from accel._kernel import spawn
from accel._kernel.attempt import Child, Outcome, outcome_of
from accel._kernel.meeting import meet
from accel._kernel.notify import (
    FLAG_NEW_LISTENER,
    FLAG_WAIT_KILLABLE_RECV,
    IOCTL_SET_FLAGS,
    NOTIFICATION,
    RESPONSE,
    SYNC_WAKE_UP,
    pidfd_open,
    take_descriptor,
)
from bpf.value import frozen

__all__ = ["Notifications", "probe"]

_SYS_CLOSE, _SYS_IOCTL, _SYS_PRCTL, _SYS_SECCOMP = 3, 16, 157, 317
_PR_SET_PDEATHSIG, _PR_SET_NO_NEW_PRIVS = 1, 38
_SECCOMP_SET_MODE_FILTER, _SECCOMP_GET_NOTIF_SIZES = 1, 3
_RET_ALLOW: Final = 0x7FFF0000
_SECCOMP_DATA_SIZE: Final = 64
#: Since this release RECV ends when nobody is left under the filter. "seccomp: interrupt
#: SECCOMP_IOCTL_NOTIF_RECV when all users have exited"; a probe on an older kernel would hang.
_RECEIVE_ENDS: Final = (6, 11)


@frozen
class Notifications:
    """What of user notifications works here; ``refusal`` says why nothing does."""

    refusal: Outcome = Outcome()
    waits_killable: bool = False
    wakes_synchronously: bool = False
    receive_ends: bool = False

    @property
    def work(self) -> bool:
        """Whether there can be a listener."""
        return self.refusal.worked


class _AllowAll:
    """A filter of one instruction, in memory; no notification comes of it."""

    def __init__(self) -> None:
        self._code = ctypes.create_string_buffer(struct.pack("=HBBI", 6, 0, 0, _RET_ALLOW), 8)
        header = struct.pack("=H6xQ", 1, ctypes.addressof(self._code))
        self._header = ctypes.create_string_buffer(header, len(header))
        self.sizes = ctypes.create_string_buffer(6)

    def steps(self, flags: int, *, synchronous: bool) -> list[spawn.Step]:
        """Install it, with the listener as descriptor 0, and make what is asked of that."""
        program, sizes = ctypes.addressof(self._header), ctypes.addressof(self.sizes)
        steps = [
            spawn.call("prctl", _SYS_PRCTL, _PR_SET_NO_NEW_PRIVS, 1),
            spawn.call("sizes", _SYS_SECCOMP, _SECCOMP_GET_NOTIF_SIZES, 0, sizes),
            spawn.call("close", _SYS_CLOSE, 0, minimum=None),
            spawn.call("listener", _SYS_SECCOMP, _SECCOMP_SET_MODE_FILTER, flags, program),
        ]
        if synchronous:
            arguments = (0, IOCTL_SET_FLAGS, SYNC_WAKE_UP)
            steps.append(spawn.call("SYNC_WAKE_UP", _SYS_IOCTL, *arguments))
        died = (_PR_SET_PDEATHSIG, signal.SIGKILL)
        return [*steps, spawn.call("prctl", _SYS_PRCTL, *died), spawn.MEETING]


def probe() -> Notifications:
    """Try to have a listener; cost: one to three children that do not live for 100 us."""
    memory = _AllowAll()
    flags, synchronous = FLAG_NEW_LISTENER | FLAG_WAIT_KILLABLE_RECV, True
    refusal = _attempt(memory, flags, synchronous=synchronous)
    if refusal == Outcome("listener", errno.EINVAL):
        flags = FLAG_NEW_LISTENER
        refusal = _attempt(memory, flags, synchronous=synchronous)
    if refusal.step == "SYNC_WAKE_UP":
        synchronous = False
        refusal = _attempt(memory, flags, synchronous=synchronous)
    known = (NOTIFICATION.size, RESPONSE.size, _SECCOMP_DATA_SIZE)
    if refusal.worked and struct.unpack("=3H", memory.sizes.raw) != known:
        refusal = Outcome("structures of an unknown size")
    return Notifications(
        refusal, bool(flags & FLAG_WAIT_KILLABLE_RECV), synchronous, _release() >= _RECEIVE_ENDS
    )


def _attempt(memory: _AllowAll, flags: int, *, synchronous: bool) -> Outcome:
    steps = memory.steps(flags, synchronous=synchronous)
    return outcome_of(lambda: _outcome(*steps))


def _outcome(*steps: spawn.Step) -> Outcome:
    with Child(spawn.launch, *steps) as child:
        pidfd = pidfd_open(child.pid)
        try:
            if meet(child.launch, pidfd) is None:
                child.wait()
                return child.outcome
            os.close(take_descriptor(pidfd, 0))
            return Outcome()
        finally:
            os.close(pidfd)


def _release() -> tuple[int, int]:
    major, minor, *_rest = os.uname().release.split(".")
    digits = "".join(character for character in minor if character.isdigit())
    return int(major), int(digits or 0)
