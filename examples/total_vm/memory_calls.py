"""The only calls that the host runs for the guest: those on its own address space and registers.

They name no file, no process and no time. All else is answered from the machine's state.
"""

from __future__ import annotations

import errno
import mmap
from typing import Final

from accel import Decision

from .dispatch import Answer, syscall
from .guest import error

__all__ = ["PASSED", "MemoryCalls"]

#: What may reach the host; ``execve`` only as the start of the guest.
PASSED: Final = frozenset(
    "arch_prctl brk execve exit exit_group madvise mmap mprotect mremap munmap".split()
)
_DROPPING: Final = frozenset((mmap.MADV_DONTNEED, mmap.MADV_FREE))


class MemoryCalls:
    """Memory without files, the registers, and the end."""

    @syscall("arch_prctl")
    @syscall("brk")
    @syscall("mprotect")
    @syscall("mremap")
    @syscall("munmap")
    @syscall("exit")
    @syscall("exit_group")
    def own(self) -> Answer:
        """Let the host do it: it concerns nothing but the process that the guest runs in."""
        return Decision.resume()

    @syscall("madvise")
    def madvise(self, advice: int) -> Answer:
        """Let the host drop pages; other advice need not be followed, and some harms the host.

        MADV_HWPOISON of a privileged process takes memory away from everybody: madvise(2).
        """
        return Decision.resume() if advice in _DROPPING else 0

    @syscall("mmap")
    def mmap(self, flags: int) -> Answer:
        """Let the host map memory; a file of this machine the host does not have."""
        if not flags & mmap.MAP_ANONYMOUS:
            raise error(errno.ENODEV)
        return Decision.resume()
