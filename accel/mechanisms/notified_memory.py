"""The memory of a thread that waits for the answer to its notification."""

from __future__ import annotations

from accel._kernel import notify
from accel.errors import TraceeDied
from accel.tracee import StopMemory, Tracee

__all__ = ["NotifiedMemory"]


class NotifiedMemory(StopMemory):
    """That of a ``StopMemory``, and each access asks whether the notification is still valid.

    No ptrace-stop holds the thread: it may be killed at any time, and its tid be another's. So what
    was read counts only if the notification is valid after it; before something is written it must
    be valid, too. seccomp_unotify(2), "Reading the memory of the target".
    """

    __slots__ = ("_listener", "_notification")

    def __init__(self, tracee: Tracee, listener: int, notification: int, stop_number: int) -> None:
        super().__init__(tracee, stop_number)
        self._listener = listener
        self._notification = notification

    def read(self, address: int, size: int) -> bytes:
        """Read up to ``size`` bytes. One process_vm_readv(2), one ioctl(2)."""
        found = super().read(address, size)
        self.check("process_vm_readv")
        return found

    def write(self, address: int, data: bytes) -> None:
        """Write ``data``. One process_vm_writev(2), two ioctl(2)."""
        self._live()
        self.check("process_vm_writev")
        super().write(address, data)
        self.check("process_vm_writev")

    def check(self, operation: str = "process_vm_readv") -> None:
        """Raise TraceeDied unless the thread still waits for its answer. One ioctl(2)."""
        if not notify.is_valid(self._listener, self._notification):
            raise TraceeDied(operation, self._tracee.tid)
