"""The loop, compiled: all numba code of accel. Importing it loads numba and takes half a second.

``next_change`` waits for the tracees of the calling thread and answers the stops that the tables of
``accel.mechanisms.stop_tables`` answer; it holds no GIL, and returns when there is something that
Python must see. ``accel.mechanisms.twin_loop`` is the same in Python.

Numbers go in and out as 64-bit words, tables as the addresses of their first words. System calls
are made in place, by an instruction: no symbol is needed and no errno, so that numba can cache the
code. numba notices a change of this file only, hence compiled code has nothing of another.
"""

# mypy: disable-error-code="untyped-decorator,no-any-return"

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import llvmlite.binding
from llvmlite import ir
from numba import int64, njit, void
from numba.extending import intrinsic

__all__ = ["enter", "leave", "next_change"]

# Inline assembly is parsed when code is compiled, not when it comes from the cache.
llvmlite.binding.initialize_native_asmparser()

_SYS_WAIT4: Final = 61
_SYS_PTRACE: Final = 101
_SYS_CLOCK_GETTIME: Final = 228
_CLOCK_MONOTONIC: Final = 1
_WAIT_OPTIONS: Final = 0x4000_0000 | 0x2000_0000  # __WALL | __WNOTHREAD
_EINTR: Final = 4

_PTRACE_CONT: Final = 7
_PTRACE_GETREGS: Final = 12
_PTRACE_SETREGS: Final = 13
_PTRACE_SYSCALL: Final = 24
_PTRACE_GET_SYSCALL_INFO: Final = 0x420E
_SECCOMP_STOP: Final = 7 << 16 | 5 << 8 | 0x7F
_SYSCALL_STOP: Final = (5 | 0x80) << 8 | 0x7F

# struct ptrace_syscall_info, in words: op and arch, ip, sp, number or result, arguments, ret_data.
_INFO_SIZE: Final = 88
_OP_EXIT: Final = 2
_OP_SECCOMP: Final = 3
_AUDIT_ARCH_X86_64: Final = 0xC000003E
_AUDIT_ARCH_I386: Final = 0x40000003
_VSYSCALL: Final = -0xA0_0000  # 0xffffffffff600000, signed
# struct user_regs_struct, in words.
_RAX: Final = 10
_ORIG_RAX: Final = 15

# The layout of the tables: a copy, as code in numba's cache would miss a change of the original.
_TO_PYTHON, _READY, _PENDING = 0, 1, 2
_RESUME, _SKIP, _INSPECT = 1, 2, 3
_MAX_NUMBER: Final = 1024
_CALLS, _STOPS, _ERRORS, _NANOSECONDS, _COUNTER_WORDS = 0, 1, 2, 3, 4
_SECCOMP_STOPS, _EXIT_STOPS, _BEAT, _SCRATCH = 0, 1, 2, 4
_INFO: Final = _SCRATCH
_REGISTERS: Final = _SCRATCH + 12
_STATUS: Final = _SCRATCH + 40
_TIME: Final = _SCRATCH + 42


@intrinsic
def _syscall(_typing: Any, number: Any, a: Any, b: Any, c: Any, d: Any) -> Any:  # noqa: ARG001 - numba reads the names
    """Make a system call of up to four arguments; return its result, or -errno."""

    def generate(_context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        word = ir.IntType(64)
        instruction = ir.InlineAsm(
            ir.FunctionType(word, [word] * 5),
            "syscall",
            "={rax},{rax},{rdi},{rsi},{rdx},{r10},~{rcx},~{r11},~{memory}",
            side_effect=True,
        )
        return builder.call(instruction, arguments)

    return int64(int64, int64, int64, int64, int64), generate


def _word_at(builder: Any, table: Any, index: Any) -> Any:
    word = ir.IntType(64)
    return builder.gep(builder.inttoptr(table, word.as_pointer()), [index])


@intrinsic
def _get(_typing: Any, table: Any, index: Any) -> Any:  # noqa: ARG001 - numba reads the names
    """Read a word of a table."""

    def generate(_context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        return builder.load(_word_at(builder, *arguments))

    return int64(int64, int64), generate


@intrinsic
def _set(_typing: Any, table: Any, index: Any, value: Any) -> Any:  # noqa: ARG001 - numba reads the names
    """Write a word of a table."""

    def generate(context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        table, index, value = arguments
        builder.store(value, _word_at(builder, table, index))
        return context.get_dummy_value()

    return void(int64, int64, int64), generate


def _compiled(signature: Any) -> Callable[[Callable[..., int]], Callable[..., int]]:
    """Compile at once, or take from numba's cache; without a cache where none can be written."""

    def compile_function(function: Callable[..., int]) -> Callable[..., int]:
        try:
            return njit(signature, nogil=True, cache=True)(function)
        except RuntimeError:  # "cannot cache function: no locator available"
            return njit(signature, nogil=True)(function)

    return compile_function


@njit(inline="always")
def _add(table: int, index: int, value: int) -> None:
    _set(table, index, _get(table, index) + value)


@njit(inline="always")
def _ptrace(request: int, tid: int, addr: int, data: int) -> int:
    return _syscall(_SYS_PTRACE, request, tid, addr, data)


@njit(inline="always")
def _now(control: int) -> int:
    time = control + 8 * _TIME
    _syscall(_SYS_CLOCK_GETTIME, _CLOCK_MONOTONIC, time, 0, 0)
    return _get(time, 0) * 1_000_000_000 + _get(time, 1)


@njit(inline="always")
def _call_of(info: int) -> int:
    """Index the call of a seccomp-stop in the counters; -1 if they have no place for it."""
    arch = (_get(info, 0) >> 32) & 0xFFFFFFFF
    number = _get(info, 3)
    if number < 0 or number >= _MAX_NUMBER:
        return -1
    if arch == _AUDIT_ARCH_X86_64:
        return number
    return number + _MAX_NUMBER if arch == _AUDIT_ARCH_I386 else -1


@_compiled(int64(int64, int64, int64, int64, int64, int64))
def enter(tracees: int, answers: int, counters: int, control: int, tid: int, now: int) -> int:  # noqa: PLR0917 - words, not structures
    """Look up the answer to a seccomp-stop; count it, unless it is TO_PYTHON."""
    info = control + 8 * _INFO
    call = _call_of(info)
    answer = 2 * (_get(info, 10) & 0xFFFF)
    action = _get(answers, answer)
    if call < 0 or action == _TO_PYTHON:
        return _TO_PYTHON
    ip = _get(info, 1)
    if action == _INSPECT and _VSYSCALL <= ip < _VSYSCALL + 4096:
        action = _RESUME
    _add(counters, _COUNTER_WORDS * call + _CALLS, 1)
    _add(counters, _COUNTER_WORDS * call + _STOPS, 1)
    _add(control, _SECCOMP_STOPS, 1)
    _set(tracees, 2 * tid, _READY)
    if action == _INSPECT:
        _set(tracees, 2 * tid, _PENDING + call)
        _set(tracees, 2 * tid + 1, now)
    elif action == _SKIP and -4095 <= _get(answers, answer + 1) < 0:
        _add(counters, _COUNTER_WORDS * call + _ERRORS, 1)
    return action


@_compiled(int64(int64, int64, int64, int64, int64))
def leave(tracees: int, counters: int, control: int, tid: int, now: int) -> int:
    """Count the exit-stop of the pending call; 0 if it is something else."""
    info = control + 8 * _INFO
    if _get(info, 0) & 0xFF != _OP_EXIT:
        return 0
    call = _get(tracees, 2 * tid) - _PENDING
    result = _get(info, 3)
    _set(tracees, 2 * tid, _READY)
    _add(counters, _COUNTER_WORDS * call + _STOPS, 1)
    _add(counters, _COUNTER_WORDS * call + _NANOSECONDS, now - _get(tracees, 2 * tid + 1))
    if -4095 <= result < 0:
        _add(counters, _COUNTER_WORDS * call + _ERRORS, 1)
    _add(control, _EXIT_STOPS, 1)
    return 1


@_compiled(int64(int64, int64, int64, int64, int64))
def _seccomp_stop(tracees: int, answers: int, counters: int, control: int, tid: int) -> int:
    """Answer a seccomp-stop; 0 if it is Python's. A request fails when the tracee was killed."""
    info = control + 8 * _INFO
    if _ptrace(_PTRACE_GET_SYSCALL_INFO, tid, _INFO_SIZE, info) < 0:
        _add(control, _SECCOMP_STOPS, 1)
        return 1
    if _get(info, 0) & 0xFF != _OP_SECCOMP:
        return 0  # Another thread's execve is ending this one: it has left the stop already.
    answer = 2 * (_get(info, 10) & 0xFFFF)
    now = _now(control) if _get(answers, answer) == _INSPECT else 0
    action = enter(tracees, answers, counters, control, tid, now)
    if action == _TO_PYTHON:
        return 0
    if action == _SKIP:
        registers = control + 8 * _REGISTERS
        if _ptrace(_PTRACE_GETREGS, tid, 0, registers) < 0:
            return 1
        _set(registers, _ORIG_RAX, -1)
        _set(registers, _RAX, _get(answers, answer + 1))
        _ptrace(_PTRACE_SETREGS, tid, 0, registers)
    _ptrace(_PTRACE_SYSCALL if action == _INSPECT else _PTRACE_CONT, tid, 0, 0)
    return 1


@_compiled(int64(int64, int64, int64, int64))
def _exit_stop(tracees: int, counters: int, control: int, tid: int) -> int:
    """Answer a syscall-stop of a tracee with a pending call; 0 if it is Python's."""
    if _ptrace(_PTRACE_GET_SYSCALL_INFO, tid, _INFO_SIZE, control + 8 * _INFO) < 0:
        return 1
    if leave(tracees, counters, control, tid, _now(control)) == 0:
        return 0
    _ptrace(_PTRACE_CONT, tid, 0, 0)
    return 1


@_compiled(int64(int64, int64, int64, int64))
def next_change(tracees: int, answers: int, counters: int, control: int) -> int:
    """Answer stops until one is Python's: return its tid << 32 | status, 0 at a beat, or -errno."""
    while True:
        tid = _syscall(_SYS_WAIT4, -1, control + 8 * _STATUS, _WAIT_OPTIONS, 0)
        if tid == -_EINTR:
            continue
        if tid < 0:
            return tid
        status = _get(control, _STATUS) & 0xFFFFFFFF
        state = _get(tracees, 2 * tid)
        answered = 0
        if status == _SECCOMP_STOP and state != _TO_PYTHON:
            answered = _seccomp_stop(tracees, answers, counters, control, tid)
        elif status == _SYSCALL_STOP and state >= _PENDING:
            answered = _exit_stop(tracees, counters, control, tid)
        if answered == 0:
            return tid << 32 | status
        _add(control, _BEAT, -1)
        if _get(control, _BEAT) <= 0:
            return 0
