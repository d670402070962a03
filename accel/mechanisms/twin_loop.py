"""The loop in Python: answers stops where the compiled one is not there, and is its oracle.

Same tables, same contract, no shared line: see ``accel._loop``.
"""

from __future__ import annotations

from time import monotonic_ns
from typing import Final

from accel._kernel import ptrace
from accel._kernel.wait import WSTOPPED_EVENT_SHIFT, wait_any
from accel.abi import Abi
from accel.mechanisms import stop_tables as t

__all__ = ["enter", "leave", "next_change"]

_SECCOMP_STOP: Final = ptrace.PTRACE_EVENT_SECCOMP << WSTOPPED_EVENT_SHIFT | 0x057F
_SYSCALL_STOP: Final = 0x857F  # WSTOPSIG is SIGTRAP | 0x80
_VSYSCALL: Final = range(0xFFFF_FFFF_FF60_0000, 0xFFFF_FFFF_FF60_1000)
_NO_SYSTEM_CALL: Final = 0xFFFF_FFFF_FFFF_FFFF


def next_change(tables: t.StopTables) -> int:
    """Answer stops until one is Python's: return its tid << 32 | status, or 0 at a beat.

    Raise ChildProcessError when the thread has neither children nor tracees.
    """
    while True:
        tid, status = wait_any()
        state = tables.tracees.view[2 * tid]
        # ESRCH: it was killed in the stop, and wait will report its end.
        if status == _SECCOMP_STOP and state != t.TO_PYTHON:
            answered = _seccomp_stop(tables, tid)
        elif status == _SYSCALL_STOP and state >= t.PENDING:
            answered = _exit_stop(tables, tid)
        else:
            answered = False
        if not answered:
            return tid << 32 | status
        tables.control.view[t.BEAT] -= 1
        if tables.control.view[t.BEAT] <= 0:
            return 0


def _seccomp_stop(tables: t.StopTables, tid: int) -> bool:
    try:
        info = ptrace.get_syscall_info(tid)
    except ProcessLookupError:
        tables.control.view[t.SECCOMP_STOPS] += 1
        return True
    if info.op != ptrace.PTRACE_SYSCALL_INFO_SECCOMP:
        return False  # Another thread's execve is ending this one: it has left the stop already.
    action = enter(tables, tid, info, monotonic_ns())
    try:
        if action == t.SKIP:
            registers = ptrace.get_registers(tid)
            registers.orig_rax = _NO_SYSTEM_CALL
            registers.rax = tables.answers.view[2 * info.ret_data + 1] & _NO_SYSTEM_CALL
            ptrace.set_registers(tid, registers)
        if action == t.INSPECT:
            ptrace.syscall(tid)
        elif action != t.TO_PYTHON:
            ptrace.cont(tid)
    except ProcessLookupError:
        pass
    return action != t.TO_PYTHON


def _exit_stop(tables: t.StopTables, tid: int) -> bool:
    try:
        info = ptrace.get_syscall_info(tid)
        if not leave(tables, tid, info, monotonic_ns()):
            return False
        ptrace.cont(tid)
    except ProcessLookupError:
        pass
    return True


def enter(tables: t.StopTables, tid: int, info: ptrace.SyscallInfo, now: int) -> int:
    """Look up what a seccomp-stop is answered with, and count it unless it is TO_PYTHON."""
    action = tables.answers.view[2 * info.ret_data]
    abi = Abi.of(info.arch, info.number)
    if abi in (None, Abi.X32) or not 0 <= info.number < t.MAX_NUMBER or action == t.TO_PYTHON:
        return t.TO_PYTHON
    if action == t.INSPECT and info.instruction_pointer in _VSYSCALL:
        action = t.RESUME  # It is emulated, and there is no exit-stop.
    call = info.number + (t.MAX_NUMBER if abi is Abi.I386 else 0)
    counters = tables.counters.view
    counters[t.COUNTER_WORDS * call + t.CALLS] += 1
    counters[t.COUNTER_WORDS * call + t.STOPS] += 1
    tables.control.view[t.SECCOMP_STOPS] += 1
    tracees = tables.tracees.view
    tracees[2 * tid] = t.READY
    if action == t.INSPECT:
        tracees[2 * tid] = t.PENDING + call
        tracees[2 * tid + 1] = now
    elif action == t.SKIP and -4095 <= tables.answers.view[2 * info.ret_data + 1] < 0:
        counters[t.COUNTER_WORDS * call + t.ERRORS] += 1
    return action


def leave(tables: t.StopTables, tid: int, info: ptrace.SyscallInfo, now: int) -> bool:
    """Count the exit-stop of the pending call; False if it is something else."""
    if info.op != ptrace.PTRACE_SYSCALL_INFO_EXIT:
        return False
    tracees, counters = tables.tracees.view, tables.counters.view
    call = tracees[2 * tid] - t.PENDING
    tracees[2 * tid] = t.READY
    counters[t.COUNTER_WORDS * call + t.STOPS] += 1
    counters[t.COUNTER_WORDS * call + t.NANOSECONDS] += now - tracees[2 * tid + 1]
    counters[t.COUNTER_WORDS * call + t.ERRORS] += -4095 <= info.result < 0
    tables.control.view[t.EXIT_STOPS] += 1
    return True
