"""Start a child in which nothing runs but a list of system calls.

Between clone and exec a child of a multi-threaded process may take no lock and allocate nothing:
another thread may have held that lock when the child was made. Python, libc and their at-fork
handlers cannot promise that, so here the child runs 123 bytes of machine code: it makes the system
calls of a table one after the other, until execve(2) replaces it or one fails. What a start is made
of (redirections, signal mask, filter) is therefore data, prepared before the clone.

As with posix_spawn(3) the child shares the parent's memory (CLONE_VM: no page table is copied, a
start costs the same in a host of any size), but unlike there its parent runs on, so that it can
attach to the child, which waits for a byte on a pipe. The child touches neither stack nor thread
data; CLONE_CLEAR_SIGHAND (Linux 5.5) keeps the host's signal handlers out of it.

Once the child has a filter its calls may be answered by that, so what it has to tell from there on
it tells without one: at a ``MEETING`` it shows the result of its last call in memory, and turns
until the parent lets it go.
"""

from __future__ import annotations

import ctypes
import errno
import functools
import mmap
import os
import signal
import struct
from collections.abc import Callable, Sequence
from typing import Any, Final

from accel._kernel.machine_code import executable, function
from accel._kernel.signals import blocked
from bpf.value import frozen

__all__ = [
    "CODE",
    "MEETING",
    "Launch",
    "Step",
    "call",
    "default_action",
    "launch",
    "launch_copied",
    "launch_sharing",
]

# long spawn(long a1, long a2, struct step *steps, struct report *report, long number)
CODE: Final = bytes.fromhex(
    "4154"  # spawn:  push r12
    "4155"  #         push r13
    "4989d4"  #         mov  r12, rdx             ; steps
    "4989cd"  #         mov  r13, rcx             ; report
    "4c89c0"  #         mov  rax, r8              ; clone3, or clone where it is refused
    "0f05"  #         syscall                   ; rdi and rsi as the caller gave them
    "4885c0"  #         test rax, rax
    "7405"  #         jz   next                 ; in the child
    "415d"  #         pop  r13
    "415c"  #         pop  r12
    "c3"  #         ret                       ; in the parent: the pid, or -errno
    "498b0424"  # next:   mov  rax, [r12]
    "4885c0"  #         test rax, rax
    "7831"  #         js   wait                 ; no call, but a meeting
    "498b7c2408"  #         mov  rdi, [r12+8]
    "498b742410"  #         mov  rsi, [r12+16]
    "498b542418"  #         mov  rdx, [r12+24]
    "4d8b542420"  #         mov  r10, [r12+32]
    "4d8b442428"  #         mov  r8,  [r12+40]
    "4d8b4c2430"  #         mov  r9,  [r12+48]
    "0f05"  #         syscall
    "49894510"  #         mov  [r13+16], rax
    "493b442438"  #         cmp  rax, [r12+56]        ; the least result that is a success
    "7c19"  #         jl   failed
    "4983c440"  # done:   add  r12, 64
    "ebc6"  #         jmp  next
    "49c7451801000000"  # wait:   mov  qword ptr [r13+24], 1
    "f390"  # turn:   pause                     ; a call could be answered by the filter
    "49837d2000"  #         cmp  qword ptr [r13+32], 0
    "74f7"  #         je   turn
    "ebe7"  #         jmp  done
    "49894508"  # failed: mov  [r13+8], rax
    "4d896500"  #         mov  [r13], r12
    "bf7f000000"  #         mov  edi, 127
    "b8e7000000"  #         mov  eax, 231             ; exit_group
    "0f05"  #         syscall
    "f4"  #         hlt
)

_SYS_CLONE: Final = 56
_SYS_CLONE3: Final = 435
_SYS_RT_SIGACTION: Final = 13
_CLONE_VM: Final = 0x100
_CLONE_CLEAR_SIGHAND: Final = 0x1_0000_0000

_STEP = struct.Struct("=q6Qq")
_REPORT = struct.Struct("=Qq")
#: Behind it: the result of the last call; whether the child is at a meeting; whether it may go on.
_MEETING = struct.Struct("=qQQ")
_GO = struct.Struct("=Q")
_GO_OFFSET: Final = _REPORT.size + 2 * _GO.size
_CLONE_ARGS = struct.Struct("=11Q")
_ANY_RESULT: Final = -(1 << 63)
#: Containers that hide clone3; Linux 5.3 and 5.4, whose clone3 has no CLONE_CLEAR_SIGHAND.
_NO_CLONE3: Final = (errno.ENOSYS, errno.EPERM, errno.EINVAL)


@frozen
class Step:
    """One system call of the child; the start fails if its result is below ``minimum``."""

    name: str
    number: int
    arguments: tuple[int, ...] = ()
    minimum: int = 0

    def pack(self) -> bytes:
        """Lay the step out as the machine code reads it: eight 64-bit words."""
        words = [value & 0xFFFF_FFFF_FFFF_FFFF for value in self.arguments]
        return _STEP.pack(self.number, *words, *[0] * (6 - len(words)), self.minimum)


class ArgumentMemory:
    """What the steps of a start point to; it must live until the command has executed."""

    def __init__(self) -> None:
        self._buffers: list[object] = []

    def space(self, size: int) -> int:
        """Set ``size`` bytes aside; return their address."""
        return self._keep(ctypes.create_string_buffer(size))

    def string(self, value: bytes) -> int:
        """Keep a C string; return its address."""
        return self._keep(ctypes.create_string_buffer(value))

    def structure(self, value: bytes) -> int:
        """Keep a packed struct, which the kernel may write to; return its address."""
        return self._keep(ctypes.create_string_buffer(value, len(value)))

    def strings(self, values: Sequence[bytes]) -> int:
        """Keep a NULL-terminated array of C strings, as for execve(2); return its address."""
        return self._keep((ctypes.c_char_p * (len(values) + 1))(*values, None))

    def word(self, value: int) -> int:
        """Keep 64 bits; return their address."""
        return self._keep(ctypes.c_uint64(value))

    def _keep(self, buffer: ctypes._SimpleCData[int] | ctypes.Array[Any]) -> int:
        self._buffers.append(buffer)
        return ctypes.addressof(buffer)


def call(name: str, number: int, *arguments: int, minimum: int | None = 0) -> Step:
    """Build a step; ``minimum=None`` lets it fail."""
    return Step(name, number, arguments, _ANY_RESULT if minimum is None else minimum)


#: The step at which the child waits for ``Launch.go``, at most once: it keeps a CPU busy meanwhile,
#: so let it die with its parent (PR_SET_PDEATHSIG).
MEETING: Final = Step("meeting", -1)


@frozen
class Launch:
    """A child that was started, and the memory that it reads until it has executed."""

    pid: int
    steps: tuple[Step, ...]
    _table: ctypes.Array[ctypes.c_char]
    #: A page that parent and child share even if their memory is not: where a failure is told.
    _report: mmap.mmap

    def failure(self) -> tuple[Step, int] | None:
        """Tell the step that failed and its errno; None if none has."""
        address, result = _REPORT.unpack_from(self._report)
        if not address:
            return None
        index = (address - ctypes.addressof(self._table)) // _STEP.size
        return self.steps[index], -result if result < 0 else 0

    def met(self) -> int | None:
        """Tell what the last call before the MEETING returned; None until the child is there."""
        if not _MEETING.unpack_from(self._report, _REPORT.size)[1]:
            return None
        # Only now: the child stores the result first, and may do so while this reads.
        result: int = _MEETING.unpack_from(self._report, _REPORT.size)[0]
        return result

    def go(self) -> None:
        """Let the child go on from its MEETING."""
        _GO.pack_into(self._report, _GO_OFFSET, 1)


@functools.cache
def _spawn() -> Callable[[int, int, int, int, int], int]:
    return function(executable(CODE), 5)


def _reset_handlers() -> list[Step]:
    """Reset what the host handles, as execve would; only for children of a plain clone."""
    return [
        default_action(number)
        for number in signal.valid_signals()
        if signal.getsignal(number) not in (signal.SIG_DFL, signal.SIG_IGN)
    ]


#: struct kernel_sigaction with SIG_DFL, no flags, an empty mask.
_SIG_DFL = ctypes.create_string_buffer(32)


def default_action(number: int) -> Step:
    """Build the step that gives a signal its default action again."""
    return call("sigaction", _SYS_RT_SIGACTION, number, ctypes.addressof(_SIG_DFL), 0, 8)


def launch(steps: Sequence[Step], *, exit_signal: int = signal.SIGCHLD) -> Launch:
    """Start a child that makes ``steps``, the last of which must not return.

    The calling thread becomes its parent. Raise OSError when no process can be made. Cost: one
    clone3(2); every signal is blocked in the child until a step unblocks it.
    """
    try:
        return launch_sharing(steps, exit_signal=exit_signal)
    except OSError as error:
        if error.errno not in _NO_CLONE3:
            raise
    return launch_copied(steps, exit_signal=exit_signal)


def launch_sharing(steps: Sequence[Step], *, exit_signal: int = signal.SIGCHLD) -> Launch:
    """Start a child by clone3(2) that shares this memory; raise OSError where that is refused."""
    arguments = _CLONE_ARGS.pack(
        _CLONE_VM | _CLONE_CLEAR_SIGHAND, 0, 0, 0, exit_signal, 0, 0, 0, 0, 0, 0
    )
    clone3 = ctypes.create_string_buffer(arguments, len(arguments))
    return _start(ctypes.addressof(clone3), _CLONE_ARGS.size, tuple(steps), _SYS_CLONE3)


def launch_copied(steps: Sequence[Step], *, exit_signal: int = signal.SIGCHLD) -> Launch:
    """Start a child by clone(2) with a copy of this memory, as fork(2) does."""
    return _start(int(exit_signal), 0, (*_reset_handlers(), *steps), _SYS_CLONE)


def _start(a1: int, a2: int, steps: tuple[Step, ...], number: int) -> Launch:
    report = mmap.mmap(-1, mmap.PAGESIZE)
    packed = b"".join(step.pack() for step in steps)
    table = ctypes.create_string_buffer(packed, len(packed))
    shared = ctypes.addressof(ctypes.c_char.from_buffer(report))
    spawn = _spawn()
    with blocked():
        pid = spawn(a1, a2, ctypes.addressof(table), shared, number)
    if pid < 0:
        raise OSError(-pid, os.strerror(-pid), "clone3" if number == _SYS_CLONE3 else "clone")
    return Launch(pid, steps, table, report)
