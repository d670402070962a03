"""How wait(2) is made to return in the tracing thread when no tracee has changed.

A doorbell is a child that does nothing but wait at a pipe. When that child ends, wait(2) returns.
No signal handler is needed, none of the host's is touched, and no wake-up can be lost; if the host
dies, the pipe ends, and the doorbell with it.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import struct
from typing import Final

from accel._kernel import spawn
from accel._kernel.wait import wait_for

__all__ = ["Doorbell"]

_SYS_EXIT_GROUP, _SYS_PPOLL, _SYS_CLOSE_RANGE = 231, 271, 436
_LAST_DESCRIPTOR: Final = 0xFFFF_FFFF
#: Not SIGCHLD: a plain wait(2) elsewhere in the host does not see such a child.
_NO_SIGNAL: Final = 0
#: <asm-generic/poll.h>
_POLLIN: Final = 1
_POLLFD: Final = struct.Struct("=ihh")
_TIMESPEC: Final = struct.Struct("=qq")


class Doorbell:
    """A child of the calling thread whose end another thread causes by ``ring``.

    With ``duration_ns`` it ends by itself, too, so many nanoseconds after it was made or a little
    later. Raise OSError if there can be no pipe or no process. Cost: one clone(2).
    """

    def __init__(self, duration_ns: int | None = None) -> None:
        waiting, self._ringing = (_high(end) for end in os.pipe2(os.O_CLOEXEC))
        memory = spawn.ArgumentMemory()
        pollfd = memory.structure(_POLLFD.pack(waiting, _POLLIN, 0))
        timeout = 0
        if duration_ns is not None:
            timeout = memory.structure(_TIMESPEC.pack(*divmod(duration_ns, 1_000_000_000)))
        try:
            # It shares nothing of the host's descriptors: an open copy would keep pipes from
            # ending.
            child = spawn.launch(
                [
                    spawn.call("close", _SYS_CLOSE_RANGE, 0, waiting - 1),
                    spawn.call("close", _SYS_CLOSE_RANGE, waiting + 1, _LAST_DESCRIPTOR),
                    spawn.call("ppoll", _SYS_PPOLL, pollfd, 1, timeout, 0, 0, minimum=None),
                    spawn.call("exit", _SYS_EXIT_GROUP, 0),
                ],
                exit_signal=_NO_SIGNAL,
            )
        except OSError:
            os.close(self._ringing)
            raise
        finally:
            os.close(waiting)
        self.pid = child.pid
        self._memory = (child, memory)

    def ring(self) -> None:
        """End the child; from any thread, any number of times."""
        with contextlib.suppress(OSError):
            os.write(self._ringing, b"!")

    def close(self, *, reap: bool) -> None:
        """End the child, and ``reap`` it unless that is done; in the thread that made it."""
        self.ring()
        os.close(self._ringing)
        if reap:
            with contextlib.suppress(ChildProcessError):  # The loop has, and not looked at it yet.
                wait_for(self.pid)


def _high(descriptor: int) -> int:
    """Move a descriptor out of the way of 0, 1 and 2, which a host may have closed."""
    high = fcntl.fcntl(descriptor, fcntl.F_DUPFD_CLOEXEC, 3)
    os.close(descriptor)
    return high
