"""The loop in Python: answers stops where the compiled one is not there, and is its oracle.

Same tables, same contract, no shared line: see ``accel._loop``.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Sequence
from functools import partial
from time import monotonic_ns
from typing import Final

from accel._kernel import memory, ptrace
from accel._kernel.machine_code import function
from accel._kernel.wait import WSTOPPED_EVENT_SHIFT, wait_any
from accel.abi import Abi
from accel.decision import ERROR_RESULTS
from accel.mechanisms import stop_tables as t
from accel.mechanisms.ring import ALL_CAPTURED, ALL_READ, ALL_STRINGS, ALL_WRITTEN
from accel.records import (
    ABIS,
    ALONE,
    ENTERED,
    INJECTED,
    RETURNED,
    STRING_LIMIT,
    UNTERMINATED,
)

__all__ = ["enter", "hit", "leave", "next_change", "read_captured", "read_string"]

_SECCOMP_STOP: Final = ptrace.PTRACE_EVENT_SECCOMP << WSTOPPED_EVENT_SHIFT | 0x057F
_SYSCALL_STOP: Final = 0x857F  # WSTOPSIG is SIGTRAP | 0x80
_TRAP_STOP: Final = 0x057F
_VSYSCALL: Final = range(0xFFFF_FFFF_FF60_0000, 0xFFFF_FFFF_FF60_1000)
_NO_SYSTEM_CALL: Final = 0xFFFF_FFFF_FFFF_FFFF


def next_change(tables: t.StopTables, asked: Callable[[int], None]) -> int:
    """Answer stops until there is something for Python: return CHANGED, BEAT_DUE, RING_FULL.

    ``asked`` is called with the number of a rule whose handler is to be asked about a stop. Raise
    OSError of the reply, ChildProcessError when the thread has neither children nor tracees.
    """
    control, ring = tables.control.view, tables.ring
    _reply(tables)
    while True:
        if ring is not None and not ring.drops and ring.is_full:
            return t.RING_FULL
        if control[t.BEAT] <= 0:
            return t.BEAT_DUE
        if control[t.QUEUE_FIRST] == control[t.QUEUE_END]:
            _fill_queue(tables)
        change = tables.queue.view[control[t.QUEUE_FIRST]]
        control[t.QUEUE_FIRST] += 1
        tid, status = change >> 32, change & 0xFFFF_FFFF
        try:
            answered = _answer(tables, tid, status)
        except ProcessLookupError:
            answered = True  # It was killed in the stop, and wait will report its end.
        if not answered:
            control[t.CHANGE_TID], control[t.CHANGE_STATUS] = tid, status
            return t.CHANGED
        control[t.BEAT] -= 1
        if answered >= t.ASKED:
            control[t.CHANGE_TID], control[t.CHANGE_STATUS] = tid, status
            control[t.REPLY_REQUEST], control[t.REPLY_SIGNAL] = ptrace.PTRACE_CONT, 0
            asked(answered - t.ASKED)
            _reply(tables)


def _reply(tables: t.StopTables) -> None:
    control = tables.control.view
    tid, control[t.REPLY_TID] = control[t.REPLY_TID], 0
    effect, control[t.REPLY_EFFECT] = control[t.REPLY_EFFECT], 0
    if tid:
        with contextlib.suppress(ProcessLookupError):  # It was killed in the stop.
            if effect:
                _set_result(tables, tid, skips=effect == t.SKIP_CALL)
            ptrace.resume(control[t.REPLY_REQUEST], tid, control[t.REPLY_SIGNAL])


def _fill_queue(tables: t.StopTables) -> None:
    """Wait until tracees have changed, and take all that have.

    Taken one by one, those at the head of the kernel's list would be found ever anew, and starve
    the others.
    """
    control, queue = tables.control.view, tables.queue.view
    count, options = 0, 0
    while count < t.QUEUE_LENGTH:
        try:
            tid, status = wait_any(options)
        except ChildProcessError:
            if count:
                break
            raise
        if not tid:
            break
        queue[count] = tid << 32 | status
        count += 1
        if control[t.TRACEES] < 2:
            break  # Nobody waits behind it.
        options = os.WNOHANG
    control[t.QUEUE_FIRST], control[t.QUEUE_END] = 0, count


def _answer(tables: t.StopTables, tid: int, status: int) -> int:
    """Answer a change of a tracee; False if that is Python's, ASKED + a rule if its handler's."""
    if status == _TRAP_STOP:
        is_ready = tables.tracees.view[t.RECORD_WORDS * tid + t.TRACEE_STATE] == t.READY
        return is_ready and _trap_stop(tables, tid)
    if status not in (_SECCOMP_STOP, _SYSCALL_STOP):
        return False
    info = _info(tables, tid)
    is_seccomp = info.op == ptrace.PTRACE_SYSCALL_INFO_SECCOMP
    if info.op == ptrace.PTRACE_SYSCALL_INFO_NONE or is_seccomp != (status == _SECCOMP_STOP):
        return _ended(tables)  # By another thread's execve, or SIGKILL.
    state = tables.tracees.view[t.RECORD_WORDS * tid + t.TRACEE_STATE]
    if is_seccomp:
        return _seccomp_stop(tables, tid, info) if state != t.TO_PYTHON else False
    if info.op != ptrace.PTRACE_SYSCALL_INFO_EXIT or state < t.PENDING:
        return False
    return _exit_stop(tables, tid, info)


def _exit_stop(tables: t.StopTables, tid: int, info: ptrace.SyscallInfo) -> int:
    replaced = leave(tables, tid, info, monotonic_ns())
    if replaced >= t.ASKED:
        return replaced
    if replaced:
        _set_result(tables, tid, skips=False)
    ptrace.cont(tid)
    return True


def _info(tables: t.StopTables, tid: int) -> ptrace.SyscallInfo:
    """Ask what a stop is: OP_NONE, too, if a SIGKILL has ended it."""
    try:
        ptrace.read_syscall_info(tid, tables.control.address + 8 * t.INFO)
    except ProcessLookupError:
        tables.control.view[t.INFO] = ptrace.PTRACE_SYSCALL_INFO_NONE
    return tables.info


def _seccomp_stop(tables: t.StopTables, tid: int, info: ptrace.SyscallInfo) -> int:
    action = enter(tables, tid, info, monotonic_ns())
    if action == t.TO_PYTHON or action >= t.ASKED:
        return action
    if action in (t.SKIP, t.SKIP_INSPECT):
        _set_result(tables, tid, skips=True)
    (ptrace.syscall if action in (t.INSPECT, t.SKIP_INSPECT) else ptrace.cont)(tid)
    return True


def _ended(tables: t.StopTables) -> bool:
    """Count a stop that was over before it could be looked at; answered by that."""
    tables.control.view[t.ENDED_STOPS] += 1
    return True


def _trap_stop(tables: t.StopTables, tid: int) -> bool:
    """Answer the SIGTRAP of an exit event; False if it is another's, or comes late."""
    if not tables.event_rings.view[tid]:
        return False
    from accel._kernel import perf  # noqa: PLC0415 - few want exit events

    try:
        trap = perf.parse_trap(ptrace.get_siginfo(tid))
    except ProcessLookupError:
        return _ended(tables)
    if trap != (t.EVENT_COOKIE, 0):
        return False
    action = hit(tables, tid)
    if action == t.TO_PYTHON:
        return False
    if action == t.SKIP:
        _set_result(tables, tid, skips=False)
    ptrace.cont(tid)
    return True


def hit(tables: t.StopTables, tid: int) -> int:
    """Count and record the call that an exit event tells of; TO_PYTHON if it is not so simple.

    Else RESUME or, if its result is replaced, SKIP. The tracee must be READY.
    """
    from accel._kernel import perf  # noqa: PLC0415 - few want exit events

    sample = perf.only_sample(tables.event_rings.view[tid])
    if sample is None or sample.number >= t.MAX_NUMBER:
        return t.TO_PYTHON
    if not sample.is_32bit and not sample.is_by_syscall:
        return t.TO_PYTHON
    call = sample.number + t.MAX_NUMBER * sample.is_32bit
    ret_data = tables.exit_rules.view[call]
    if not ret_data:
        return t.TO_PYTHON
    perf.take_only_sample(tables.event_rings.view[tid])
    at = t.ANSWER_WORDS * ret_data
    answer = tables.answers.view[at : at + t.ANSWER_WORDS]
    record = tables.tracees.view[t.RECORD_WORDS * tid :][: t.RECORD_WORDS]
    record[t.ENTERED_NS] = record[t.LEFT_NS] = sample.time_ns
    record[t.NUMBER] = sample.number | sample.is_32bit << 32 | answer[t.RULE] << 48
    for position, argument in enumerate(sample.arguments):
        record[t.ARGUMENTS + position] = _signed(argument)
    record[t.RESULT], record[t.FLAGS] = sample.result, 0
    record[t.INSTRUCTION_POINTER] = _signed(sample.instruction_pointer)
    record[t.STACK_POINTER] = _signed(sample.stack_pointer)
    captured = _captured(tables, call, sample.result)
    if answer[t.RECORDED] and captured & ALL_CAPTURED:
        assert tables.ring is not None
        if not tables.ring.is_full:
            _capture(tables, tid, captured)
    flags = record[t.FLAGS] | RETURNED | ALONE
    has_function = answer[t.EXIT] not in (0, t.ASK)
    replaced = has_function and bool(_call(tables, answer[t.EXIT], tid, answer[t.EXIT_STATE]))
    if replaced:
        record[t.RESULT] = tables.control.view[t.NEW_VALUE]
        flags |= INJECTED
    record[t.FLAGS] = flags
    _count(tables, call, calls=1, stops=1, errors=record[t.RESULT] in ERROR_RESULTS)
    tables.control.view[t.EXIT_EVENT_STOPS] += 1
    if answer[t.RECORDED]:
        assert tables.ring is not None
        tables.ring.append(tables.record(tid))
    return t.SKIP if replaced else t.RESUME


def _set_result(tables: t.StopTables, tid: int, *, skips: bool) -> None:
    registers = ptrace.get_registers(tid)
    if skips:
        registers.orig_rax = _NO_SYSTEM_CALL
    registers.rax = tables.control.view[t.NEW_VALUE] & _NO_SYSTEM_CALL
    ptrace.set_registers(tid, registers)


# ------------------------------------------------------------------------- two kinds of stops


def enter(tables: t.StopTables, tid: int, info: ptrace.SyscallInfo, now: int) -> int:
    """Look up the answer to a seccomp-stop; count and record it, unless it is TO_PYTHON.

    ASKED + a rule: its handler is to be asked.
    """
    call = _call_of(info)
    verdict = _settle(tables, tid, call, info)
    answer = tables.answers.view[t.ANSWER_WORDS * verdict :][: t.ANSWER_WORDS]
    if call < 0 or answer[t.ACTION] in (t.TO_PYTHON, t.ASK) or not _may_answer(tables, answer):
        return _ask_or_leave(tables, tid, call, answer)
    word = _word(call)
    record = tables.tracees.view[t.RECORD_WORDS * tid :][: t.RECORD_WORDS]
    record[t.ENTERED_NS], record[t.LEFT_NS] = now, 0
    record[t.NUMBER] = _signed(info.number | call >> t.CALL_SHIFT << 32 | answer[t.RULE] << 48)
    for position, argument in enumerate(info.arguments):
        record[t.ARGUMENTS + position] = _signed(argument & word)
    record[t.RESULT] = record[t.FLAGS] = 0
    record[t.INSTRUCTION_POINTER] = _signed(info.instruction_pointer)
    record[t.STACK_POINTER] = _signed(info.stack_pointer)
    action, value = answer[t.ACTION], answer[t.VALUE]
    if answer[t.ENTRY]:
        action = _call(tables, answer[t.ENTRY], tid, answer[t.ENTRY_STATE])
        value = tables.control.view[t.NEW_VALUE]
        if action not in (t.RESUME, t.SKIP, t.INSPECT):
            return t.TO_PYTHON
    tables.control.view[t.NEW_VALUE] = value
    is_pending = action in (t.INSPECT, t.SKIP_INSPECT)
    if is_pending and info.instruction_pointer in _VSYSCALL:
        # It is emulated, and there is no exit-stop.
        action = t.RESUME if action == t.INSPECT else t.SKIP
        is_pending = False
    _count(tables, call, calls=1, stops=1)
    tables.control.view[t.SECCOMP_STOPS] += 1
    record[t.TRACEE_STATE] = t.PENDING + verdict % t.JUDGED if is_pending else t.READY
    if answer[t.RECORDED]:
        captured = _captured(tables, call, value if action == t.SKIP else -1)
        _begin(tables, tid, captured, is_pending=is_pending)
    if action in (t.SKIP, t.SKIP_INSPECT):
        record[t.RESULT], record[t.FLAGS] = value, record[t.FLAGS] | INJECTED
    if action == t.SKIP:
        _count(tables, call, errors=value in ERROR_RESULTS)
    if answer[t.RECORDED] and not is_pending:
        assert tables.ring is not None
        tables.ring.append(tables.record(tid))
    return action


def _may_answer(tables: t.StopTables, answer: Sequence[int]) -> bool:
    """Tell whether an answer asks no handler, or handlers are asked in passing."""
    return t.ASK not in (answer[t.ACTION], answer[t.EXIT]) or bool(tables.control.view[t.ASKS])


def _ask_or_leave(tables: t.StopTables, tid: int, call: int, answer: Sequence[int]) -> int:
    """Count a call that the handler of its rule is to be asked about; else it is TO_PYTHON."""
    if call < 0 or answer[t.ACTION] != t.ASK or not _may_answer(tables, answer):
        return t.TO_PYTHON
    _count(tables, call, calls=1, stops=1, handler_calls=1)
    tables.control.view[t.SECCOMP_STOPS] += 1
    tables.tracees.view[t.RECORD_WORDS * tid + t.TRACEE_STATE] = t.READY
    return t.ASKED + answer[t.RULE]


def _call_of(info: ptrace.SyscallInfo) -> int:
    """Index a call in the counters; -1 if they have no place for it."""
    abi = Abi.of(info.arch, info.number)
    if abi not in ABIS or not 0 <= info.number < t.MAX_NUMBER:
        return -1
    return info.number + t.MAX_NUMBER * ABIS.index(abi)


def _word(call: int) -> int:
    """Tell how much of a register is an argument: int 0x80 leaves upper halves as they were."""
    return 0xFFFF_FFFF if call >= t.MAX_NUMBER else _NO_SYSTEM_CALL


def _settle(tables: t.StopTables, tid: int, call: int, info: ptrace.SyscallInfo) -> int:
    """Find the answer to a seccomp-stop: that of the rule that the filter named, or judge."""
    judges = tables.answers.view[t.ANSWER_WORDS * info.ret_data + t.ACTION] == t.JUDGE
    if not judges or call < 0:
        return info.ret_data
    from accel.mechanisms.twin_judge import judge  # noqa: PLC0415 - few need it

    assert tables.judge is not None
    arguments = [argument & _word(call) for argument in info.arguments]
    return judge(tables.judge, tid, call, info.ret_data, arguments)


def leave(tables: t.StopTables, tid: int, info: ptrace.SyscallInfo, now: int) -> int:
    """Count and record the exit-stop of the pending call; tell whether its result is replaced.

    ASKED + EXITS + a rule: its handler is to be asked.
    """
    record = tables.tracees.view[t.RECORD_WORDS * tid :][: t.RECORD_WORDS]
    at = t.ANSWER_WORDS * (record[t.TRACEE_STATE] - t.PENDING)
    answer = tables.answers.view[at : at + t.ANSWER_WORDS]
    numbers = record[t.NUMBER]
    call = (numbers & 0xFFFF) + (numbers >> 32 & 1) * t.MAX_NUMBER
    record[t.TRACEE_STATE], record[t.LEFT_NS], record[t.RESULT] = t.READY, now, info.result
    flags = record[t.FLAGS] | RETURNED
    asks = answer[t.EXIT] == t.ASK and bool(tables.control.view[t.ASKS])
    has_function = answer[t.EXIT] not in (0, t.ASK)
    replaced = has_function and bool(_call(tables, answer[t.EXIT], tid, answer[t.EXIT_STATE]))
    if replaced:
        record[t.RESULT] = tables.control.view[t.NEW_VALUE]
        flags |= INJECTED
    _count(
        tables,
        call,
        stops=1,
        nanoseconds=now - record[t.ENTERED_NS],
        errors=record[t.RESULT] in ERROR_RESULTS,
        handler_calls=asks,
    )
    tables.control.view[t.EXIT_STOPS] += 1
    if answer[t.RECORDED]:
        _end(tables, tid, _captured(tables, call, record[t.RESULT]), flags)
    return t.ASKED + t.EXITS + answer[t.RULE] if asks else replaced


def _count(
    tables: t.StopTables,
    call: int,
    *,
    calls: int = 0,
    stops: int = 0,
    errors: int = 0,
    nanoseconds: int = 0,
    handler_calls: int = 0,
) -> None:
    view, at = tables.counters.view, t.COUNTER_WORDS * call
    counts = (calls, stops, errors, nanoseconds, handler_calls)
    for word, value in enumerate(counts, at):
        view[word] += value


def _captured(tables: t.StopTables, call: int, result: int) -> int:
    """Tell what is captured of a call with a result: blocks are written by those that succeed."""
    captured = tables.captures.view[call]
    return captured & ~ALL_WRITTEN if result in ERROR_RESULTS else captured


def _begin(tables: t.StopTables, tid: int, captured: int, *, is_pending: bool) -> None:
    """Record the beginning of a call: its strings, and itself if somebody wants to see that."""
    ring = tables.ring
    assert ring is not None
    if ring.is_full:
        return
    record = tables.tracees.view[t.RECORD_WORDS * tid :][: t.RECORD_WORDS]
    has_captures = captured & ALL_CAPTURED != 0
    if has_captures:
        _capture(tables, tid, captured)
    if is_pending and (has_captures or ring.beginnings):
        flags = record[t.FLAGS]
        record[t.FLAGS] = flags | ENTERED
        ring.append(tables.record(tid))
        record[t.FLAGS] = flags


def _end(tables: t.StopTables, tid: int, captured: int, flags: int) -> None:
    """Record the end of a call, with the blocks that it has written instead of what it read."""
    ring = tables.ring
    assert ring is not None
    record = tables.tracees.view[t.RECORD_WORDS * tid :][: t.RECORD_WORDS]
    if captured & ALL_WRITTEN and not ring.is_full:
        _capture(tables, tid, captured & ~(ALL_STRINGS | ALL_READ))
        flags = flags & (INJECTED | RETURNED) | record[t.FLAGS]
    record[t.FLAGS] = flags
    ring.append(tables.record(tid))


def _capture(tables: t.StopTables, tid: int, captured: int) -> None:
    """Copy what arguments point to into the ring of strings, as it is now."""
    assert tables.ring is not None
    record = tables.tracees.view[t.RECORD_WORDS * tid :][: t.RECORD_WORDS]
    arguments = tuple(record[t.ARGUMENTS + position] & _NO_SYSTEM_CALL for position in range(6))
    found = tables.ring.capture(captured, arguments, partial(read_captured, tid))
    record[t.STRINGS], record[t.FLAGS] = found[0], _signed(found[1])


def read_string(tid: int, address: int) -> tuple[bytes, int]:
    """Read a C string of at most PATH_MAX bytes, without its NUL; UNTERMINATED if there is none."""
    try:
        text = memory.read(tid, address, STRING_LIMIT)
    except OSError:  # It was killed, or memory cannot be read here: then there is none.
        text = b""
    found, nul, _rest = text.partition(b"\0")
    return found, 0 if nul else UNTERMINATED


def read_captured(tid: int, address: int, size: int) -> tuple[bytes, int]:
    """Read a block of ``size`` bytes, as far as it is there; if that is 0, as ``read_string``."""
    if not size:
        return read_string(tid, address)
    try:
        return memory.read(tid, address, size), UNTERMINATED
    except OSError:  # As above.
        return b"", UNTERMINATED


def _call(tables: t.StopTables, address: int, tid: int, state: int) -> int:
    """Call a function of the user's, compiled by ``accel.jit``."""
    record = tables.tracees.address + 8 * t.RECORD_WORDS * tid
    return function(address, 3)(record, state, tables.control.address)


def _signed(word: int) -> int:
    return (word & _NO_SYSTEM_CALL) - (word >> 63 << 64)
