"""One execution of a system call, and the memory it points into."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

from accel.abi import Abi
from bpf.value import frozen

__all__ = ["Call", "Look", "Memory", "WritableMemory"]


@frozen
class Call:
    """What the registers of a tracee said when it entered the kernel."""

    #: The tracee: a thread.
    tid: int
    #: Its thread group, the process.
    pid: int
    abi: Abi
    number: int
    #: Six raw register values: unsigned, 64 bits wide, 32 for i386.
    arguments: tuple[int, int, int, int, int, int]
    #: Instruction pointer after the system call instruction; 0 when unknown.
    instruction_pointer: int = 0
    #: Stack pointer, where the frames are that rt_sigreturn returns from; 0 when unknown.
    stack_pointer: int = 0

    @property
    def name(self) -> str:
        """The call's name in its own ABI, as strace spells an unknown one: ``syscall_0x1b7``."""
        return self.abi.call_name(self.number)


class Memory(Protocol):
    """The memory of a stopped tracee; ``testing`` has a fake one."""

    def read(self, address: int, size: int) -> bytes:
        """Read up to ``size`` bytes; fewer (perhaps none) where the tracee has nothing mapped."""


@runtime_checkable
class WritableMemory(Memory, Protocol):
    """The memory of a stop that is live; that of a record cannot be written."""

    def write(self, address: int, data: bytes) -> None:
        """Write all of ``data``; raise FaultError where memory is missing or read-only."""


class Look:
    """Tracee memory as one look finds it: what was read once is not read again.

    So that all conditions on one call judge the same bytes, and each page costs one read.
    """

    __slots__ = ("_memory", "_seen")

    def __init__(self, memory: Memory) -> None:
        self._memory = memory
        self._seen: dict[tuple[int, int], bytes] = {}

    def read(self, address: int, size: int) -> bytes:
        """Read up to ``size`` bytes; fewer (perhaps none) where the tracee has nothing mapped."""
        found = self._seen.get((address, size))
        if found is None:
            found = self._seen[address, size] = self._memory.read(address, size)
        return found
