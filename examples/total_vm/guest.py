"""The guest at one of its stops: the arguments of its call, and its memory."""

from __future__ import annotations

import errno
import os

from accel import SyscallEntryStop
from accel.errors import FaultError
from accel.stops import Arguments

__all__ = ["Guest", "error"]


class Guest:
    """What a handler may use of a stop; memory that is not there raises EFAULT, as in a kernel.

    The guest has one thread, and that is stopped: nothing changes while it is looked at.
    """

    def __init__(self, stop: SyscallEntryStop) -> None:
        self._stop = stop

    @property
    def args(self) -> Arguments:
        """The arguments of the call, by name."""
        return self._stop.args

    @property
    def host_pid(self) -> int:
        """The process of the host that the guest runs in."""
        return self._stop.pid

    def read(self, address: int, size: int) -> bytes:
        """Read ``size`` bytes. Cost: one process_vm_readv(2)."""
        data = self._stop.read(address, size)
        if len(data) != size:
            raise error(errno.EFAULT)
        return data

    def string(self, address: int) -> bytes:
        """Read a path. Cost: one process_vm_readv(2), another for each page."""
        if not self._stop.read(address, 1):
            raise error(errno.EFAULT)
        return self._stop.read_string(address)

    def write(self, address: int, data: bytes) -> None:
        """Write ``data``; read-only pages are refused. Cost: one process_vm_writev(2)."""
        if not data:
            return
        try:
            self._stop.write(address, data)
        except FaultError:
            raise error(errno.EFAULT) from None


def error(number: int) -> OSError:
    """Make the exception that the guest sees as its errno."""
    return OSError(number, os.strerror(number))
