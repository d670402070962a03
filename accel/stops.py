"""What the kernel reported, as values: the closed set of stops, and the two ways to end.

A stop is *live* while its handler runs: only then can tracee memory be read through it. A stop that
was taken from ``Tracer.exits()`` is a snapshot: its text was decoded when it happened.
"""

from __future__ import annotations

import errno
import signal
from collections.abc import Iterator
from typing import TypeAlias

from accel.abi import Abi
from accel.call import Call, Memory, WritableMemory
from accel.decision import ERROR_RESULTS
from accel.roles import signature
from accel.scalars import value_of
from bpf.value import frozen, hidden

__all__ = [
    "Arguments",
    "EventStop",
    "Exited",
    "GroupStop",
    "Killed",
    "SignalDeliveryStop",
    "Stop",
    "SyscallEntryStop",
    "SyscallExitStop",
]

_PATH_MAX = 4096
#: Most strings are shorter: to read, and throw away, the rest of a page takes as long again.
_FIRST_READ = 256
_ERESTART = range(-516, -511)


class Arguments:
    """The arguments of a call: ``args.fd`` by the kernel's names, ``args[0]`` raw.

    A named one has its C type's width and sign; ``args[i]`` is the register, unsigned. It iterates
    and has a length, and is no ``collections.abc.Sequence``: ``count`` is an argument's name.
    """

    __slots__ = ("_abi", "_number", "_registers")

    def __init__(self, registers: tuple[int, ...], abi: Abi, number: int) -> None:
        self._registers = registers
        self._abi = abi
        self._number = number

    def __getitem__(self, index: int) -> int:
        return self._registers[index]

    def __len__(self) -> int:
        return len(self._registers)

    def __iter__(self) -> Iterator[int]:
        return iter(self._registers)

    def __getattr__(self, name: str) -> int:
        call = self._abi.call_name(self._number)
        arguments = signature(self._abi, call)
        for argument, register in zip(arguments, self._registers, strict=False):
            if argument.name == name:
                return value_of(argument, self._abi, register)
        known = ", ".join(argument.name for argument in arguments) or "none by name"
        raise AttributeError(f"{call} has no argument {name!r}; it has {known}")

    def __repr__(self) -> str:
        return f"Arguments({', '.join(f'{value:#x}' for value in self)})"


class _OfCall:
    """What entry and exit stops share."""

    __slots__ = ()
    call: Call

    @property
    def tid(self) -> int:
        """The thread that made the call."""
        return self.call.tid

    @property
    def pid(self) -> int:
        """Its process."""
        return self.call.pid

    @property
    def abi(self) -> Abi:
        """The ABI the call was made in."""
        return self.call.abi

    @property
    def number(self) -> int:
        """The call's number in that ABI."""
        return self.call.number

    @property
    def name(self) -> str:
        """The call's name in that ABI."""
        return self.call.name

    @property
    def args(self) -> Arguments:
        """The arguments, by name or number."""
        call = self.call
        return Arguments(call.arguments, call.abi, call.number)


@frozen
class SyscallEntryStop(_OfCall):
    """A tracee is about to make a call (a seccomp-stop or a syscall-entry-stop)."""

    call: Call
    memory: Memory = hidden()
    #: CLOCK_MONOTONIC, nanoseconds.
    time_ns: int = 0

    def read(self, address: int, size: int) -> bytes:
        """Read tracee memory, less than ``size`` where it ends; while the stop is live.

        Another thread of the tracee can change the memory before the kernel reads it: judging it
        and then letting the call run is a race. Cost: one process_vm_readv(2).
        """
        return self.memory.read(address, size)

    def read_string(self, address: int, limit: int = _PATH_MAX) -> bytes:
        """Read a C string of at most ``limit`` bytes, without NUL; ``read`` tells of the race."""
        return read_string(self.memory, address, limit)

    def write(self, address: int, data: bytes) -> None:
        """Write tracee memory; raise FaultError where it is missing or read-only.

        While the stop is live, so not in a record: RuntimeError. Cost: one process_vm_writev(2).
        """
        write(self.memory, address, data)


@frozen
class SyscallExitStop(_OfCall):
    """A call has returned; ``result`` is None when it never does (exit_group, a killed thread)."""

    call: Call
    #: The raw signed return value; -errno on failure; None: the call never returned.
    result: int | None
    memory: Memory = hidden()
    #: CLOCK_MONOTONIC, nanoseconds.
    entered_ns: int = 0
    time_ns: int = 0
    #: Whether the tracer answered instead of the kernel.
    injected: bool = False
    #: strace's line, in snapshots.
    text: str = ""
    #: Whether this is all that is told of the call: there was no stop before it, and its arguments
    #: are those it left.
    alone: bool = False
    #: Whether the tracer kept the tracee in a stop of this call.
    delayed: bool = False

    @property
    def error(self) -> str | None:
        """The errno's name if the call failed; None otherwise."""
        if self.result is None or self.result not in ERROR_RESULTS:
            return None
        if self.result in _ERESTART:
            return "ERESTART"
        return errno.errorcode.get(-self.result, str(-self.result))

    def read(self, address: int, size: int) -> bytes:
        """Read tracee memory as the call left it; while the stop is live."""
        return self.memory.read(address, size)

    def read_string(self, address: int, limit: int = _PATH_MAX) -> bytes:
        """Read a C string of at most ``limit`` bytes, without its NUL."""
        return read_string(self.memory, address, limit)

    def write(self, address: int, data: bytes) -> None:
        """Write tracee memory; see ``SyscallEntryStop.write``."""
        write(self.memory, address, data)

    def __str__(self) -> str:
        return self.text or f"[{self.tid}] {self.name}(...) = {self.result}"


@frozen
class SignalDeliveryStop:
    """A signal is about to be delivered, and will be, unchanged."""

    tid: int
    pid: int
    signal: int
    #: The kernel's siginfo_t, 128 bytes; empty if it could not be read.
    siginfo: bytes = hidden(compared=True)
    time_ns: int = 0


@frozen
class GroupStop:
    """A tracee was stopped by a stop signal, and stays stopped until SIGCONT."""

    tid: int
    pid: int
    signal: int
    time_ns: int = 0


@frozen
class EventStop:
    """Something that is neither call nor signal: see ``event``."""

    tid: int
    pid: int
    #: "attached" and "detached"; "exec"; "fork", "vfork", "clone" (of the parent); "superseded" (by
    #: the execve of another thread); "blind-spot".
    event: str
    #: The new tid of fork, vfork and clone; the former tid of an exec or of what it superseded.
    message: int = 0
    #: What a blind spot hides.
    detail: str = ""
    time_ns: int = 0


@frozen
class Exited:
    """A tracee ended by itself."""

    tid: int
    pid: int
    status: int
    time_ns: int = 0

    @property
    def wait_status(self) -> int:
        """The end as wait(2) reported it."""
        return self.status << 8


@frozen
class Killed:
    """A tracee ended by a signal."""

    tid: int
    pid: int
    signal: int
    core_dumped: bool = False
    time_ns: int = 0

    @property
    def wait_status(self) -> int:
        """The end as wait(2) reported it."""
        return self.signal | (0x80 if self.core_dumped else 0)

    def __str__(self) -> str:
        return f"[{self.tid}] killed by {signal.Signals(self.signal).name}"


Stop: TypeAlias = (
    SyscallEntryStop
    | SyscallExitStop
    | SignalDeliveryStop
    | GroupStop
    | EventStop
    | Exited
    | Killed
)


def read_string(memory: Memory, address: int, limit: int) -> bytes:
    """Read up to the NUL, the limit or the end of the mapping: a little first, then by page."""
    found = b""
    size = _FIRST_READ
    while len(found) < limit:
        at = address + len(found)
        part = memory.read(at, min(limit - len(found), size, _PATH_MAX - at % _PATH_MAX))
        size = _PATH_MAX
        text, nul, _rest = part.partition(b"\0")
        found += text
        if nul or not part:
            break
    return found


def write(memory: Memory, address: int, data: bytes) -> None:
    """Write to memory, if it is a tracee's."""
    if isinstance(memory, WritableMemory):
        memory.write(address, data)
    else:
        text = "the stop is over: write tracee memory while its handler runs"
        raise RuntimeError(text)  # noqa: TRY004 - the kind is right, the time is wrong
