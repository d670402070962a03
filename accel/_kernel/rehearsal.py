"""Trace a child under a filter as accel does, and write down every stop.

The child calls getppid(2) three times and getpgrp(2) once. The filter returns RET_TRACE for the
first and RET_ERRNO for the second; the tracer resumes so that each order of stops shows once::

    getppid   resumed by PTRACE_CONT:     a seccomp-stop; an exit-stop, asked for by PTRACE_SYSCALL
    getppid   resumed by PTRACE_SYSCALL:  an entry-stop, a seccomp-stop, an exit-stop
    getppid   resumed by PTRACE_CONT:     a seccomp-stop, where the call is skipped
    getpgrp                               no stop
"""

from __future__ import annotations

import ctypes
import errno
import os
import struct
from dataclasses import dataclass, replace
from typing import Final

from accel._kernel import memory, ptrace, spawn
from accel._kernel.attempt import UNTRIED, Child, Outcome, outcome_of

__all__ = [
    "EXPECTED_STOPS",
    "GETPGRP",
    "NO_NEW_PRIVS",
    "Filter",
    "Rehearsal",
    "answered",
    "rehearse",
]

_SYS_READ, _SYS_CLOSE, _SYS_GETPPID, _SYS_GETPGRP = 0, 3, 110, 111
_SYS_PRCTL, _SYS_SECCOMP = 157, 317
_PR_SET_NO_NEW_PRIVS: Final = 38
_SECCOMP_SET_MODE_FILTER: Final = 1

NO_NEW_PRIVS: Final = spawn.call("prctl", _SYS_PRCTL, _PR_SET_NO_NEW_PRIVS, 1)

# <linux/filter.h>, <linux/seccomp.h>, <linux/audit.h>
_LOAD, _JUMP_IF_EQUAL, _RETURN = 0x20, 0x15, 0x06
_ARCH_OFFSET, _NUMBER_OFFSET = 4, 0
_AUDIT_ARCH_X86_64: Final = 0xC000003E
_RET_ALLOW, _RET_TRACE, _RET_ERRNO = 0x7FFF0000, 0x7FF00000, 0x00050000

#: What the filter makes of getpgrp, which by itself cannot fail.
_ERRNO: Final = errno.EXDEV
#: What the tracer makes of the third getppid: more than any pid.
_SKIPPED: Final = 1 << 40

EXPECTED_STOPS: Final = ("seccomp", "exit", "entry", "seccomp", "exit", "seccomp")
_STOP_NAMES: Final = {
    ptrace.PTRACE_SYSCALL_INFO_NONE: "other",
    ptrace.PTRACE_SYSCALL_INFO_ENTRY: "entry",
    ptrace.PTRACE_SYSCALL_INFO_EXIT: "exit",
    ptrace.PTRACE_SYSCALL_INFO_SECCOMP: "seccomp",
}

#: All that accel asks for.
_OPTIONS: Final = (
    ptrace.PTRACE_O_TRACESYSGOOD
    | ptrace.PTRACE_O_TRACEFORK
    | ptrace.PTRACE_O_TRACEVFORK
    | ptrace.PTRACE_O_TRACECLONE
    | ptrace.PTRACE_O_TRACEEXEC
    | ptrace.PTRACE_O_TRACEEXIT
    | ptrace.PTRACE_O_TRACESECCOMP
    | ptrace.PTRACE_O_EXITKILL
)
_SYSCALL_STOP: Final = 5 | 0x80  # SIGTRAP, marked by TRACESYSGOOD


class Filter:
    """A struct sock_fprog in this memory, for as long as the object is referenced."""

    def __init__(self, *, trace: bool) -> None:
        program = (
            (_LOAD, 0, 0, _ARCH_OFFSET),
            (_JUMP_IF_EQUAL, 0, 3, _AUDIT_ARCH_X86_64),
            (_LOAD, 0, 0, _NUMBER_OFFSET),
            (_JUMP_IF_EQUAL, 2, 0, _SYS_GETPPID),
            (_JUMP_IF_EQUAL, 2, 0, _SYS_GETPGRP),
            (_RETURN, 0, 0, _RET_ALLOW),
            (_RETURN, 0, 0, _RET_TRACE if trace else _RET_ALLOW),
            (_RETURN, 0, 0, _RET_ERRNO | _ERRNO),
        )
        code = b"".join(struct.pack("=HBBI", *instruction) for instruction in program)
        self._code = ctypes.create_string_buffer(code, len(code))
        header = struct.pack("=H6xQ", len(program), ctypes.addressof(self._code))
        self._header = ctypes.create_string_buffer(header, len(header))

    def install(self, name: str, flags: int = 0) -> spawn.Step:
        """Build the step that installs it."""
        address = ctypes.addressof(self._header)
        return spawn.call(name, _SYS_SECCOMP, _SECCOMP_SET_MODE_FILTER, flags, address)


#: The last step under a filter; it fails where the filter works.
GETPGRP: Final = spawn.call("getpgrp", _SYS_GETPGRP)


def answered(outcome: Outcome) -> Outcome:
    """Judge by a child whose last step was GETPGRP whether the filter answered it."""
    if outcome == Outcome("getpgrp", _ERRNO):
        return Outcome()
    return Outcome("RET_ERRNO") if outcome.worked else outcome


@dataclass(frozen=True, slots=True)
class Rehearsal:
    """What worked of tracing."""

    seize: Outcome = UNTRIED
    syscall_info: Outcome = UNTRIED
    #: process_vm_readv(2), and its substitute /proc/PID/mem.
    read_memory: Outcome = UNTRIED
    read_file: Outcome = UNTRIED
    #: "entry", "exit", "seccomp", "other".
    stops: tuple[str, ...] = ()
    #: The child's own view: was a skipped call answered by the tracer, the last by the filter?
    answers: Outcome = UNTRIED


def rehearse(*, read_memory: bool = True) -> Rehearsal:
    """Trace the child from its release to its end; raise OSError if it cannot be started.

    Without ``read_memory`` process_vm_readv(2) is not tried.
    """
    before = ctypes.create_string_buffer(b"as it was when the child was made")
    program = Filter(trace=True)
    waiting, release = os.pipe2(os.O_CLOEXEC)
    try:
        steps = (
            spawn.call("close", _SYS_CLOSE, release),
            spawn.call("read", _SYS_READ, waiting, ctypes.addressof(before), 1, minimum=1),
            NO_NEW_PRIVS,
            program.install("seccomp"),
            spawn.call("getppid", _SYS_GETPPID),
            spawn.call("getppid", _SYS_GETPPID),
            spawn.call("skipped getppid", _SYS_GETPPID, minimum=_SKIPPED),
            GETPGRP,
        )
        with Child(spawn.launch_copied, *steps) as child:
            seize = outcome_of(lambda: _seize(child))
            if not seize.worked:
                return Rehearsal(seize)
            os.write(release, before.raw[:1])
            return _follow(child, before, read_memory=read_memory)
    finally:
        os.close(waiting)
        os.close(release)


def _seize(child: Child) -> Outcome:
    ptrace.seize(child.pid, _OPTIONS)
    return Outcome()


def _follow(child: Child, before: ctypes.Array[ctypes.c_char], *, read_memory: bool) -> Rehearsal:
    seen = Rehearsal(seize=Outcome())
    stops: list[str] = []
    while os.WIFSTOPPED(status := child.wait()):
        signal, event = os.WSTOPSIG(status), status >> 16
        if signal != _SYSCALL_STOP and event != ptrace.PTRACE_EVENT_SECCOMP:
            # Its exit, or a signal from outside.
            ptrace.cont(child.pid, 0 if event else signal)
            continue
        try:
            stops.append(_STOP_NAMES.get(ptrace.get_syscall_info(child.pid).op, "other"))
        except OSError as error:
            return replace(seen, syscall_info=Outcome("PTRACE_GET_SYSCALL_INFO", error.errno or 0))
        if len(stops) == 1:
            memories = _read(child.pid, before, by_call=read_memory)
            seen = Rehearsal(Outcome(), Outcome(), *memories)
        _resume(child.pid, stops)
    return replace(seen, stops=tuple(stops), answers=answered(child.outcome))


def _resume(pid: int, stops: list[str]) -> None:
    if stops.count("exit") < 2:
        ptrace.syscall(pid)
        return
    if stops[-1] == "seccomp":
        registers = ptrace.get_registers(pid)
        registers.orig_rax = 0xFFFF_FFFF_FFFF_FFFF
        registers.rax = _SKIPPED
        ptrace.set_registers(pid, registers)
    ptrace.cont(pid)


def _read(
    pid: int, before: ctypes.Array[ctypes.c_char], *, by_call: bool
) -> tuple[Outcome, Outcome]:
    """Read the child's copy of ``before``, which is no longer what this process has there."""
    wanted, address = before.raw, ctypes.addressof(before)
    before.value = b"changed since"

    def compare(step: str, read: bytes) -> Outcome:
        return Outcome() if read == wanted else Outcome(step)

    def try_file() -> Outcome:
        with open(f"/proc/{pid}/mem", "rb", buffering=0) as file:
            return compare("/proc/PID/mem", os.pread(file.fileno(), len(wanted), address))

    def try_call() -> Outcome:
        return compare("process_vm_readv", memory.read(pid, address, len(wanted)))

    return outcome_of(try_call) if by_call else UNTRIED, outcome_of(try_file)
