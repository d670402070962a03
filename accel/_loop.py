"""The loop, compiled. Importing it loads numba and takes half a second.

``next_change`` waits for the tracees of the calling thread and answers the stops that the tables of
``accel.mechanisms.stop_tables`` answer; it holds no GIL, and returns when there is something that
Python must do. ``accel.mechanisms.twin_loop`` is the same in Python.

All state is in tables of 64-bit words; the control words hold the addresses of the others. System
calls are made in place, by an instruction: no symbol is needed and no errno, so the machine code
refers to nothing outside itself: ``accel._emit`` makes bytes of it, which a later process runs
without importing numba. A change of this file, of ``_loop_words`` or of ``_loop_judge`` is all that
makes these bytes stale, hence compiled code has nothing of any other.
"""

# mypy: disable-error-code="untyped-decorator,no-any-return"

from __future__ import annotations

from typing import Final

from numba import njit

from accel._loop_judge import judge
from accel._loop_words import (
    _STRING_LIMIT,
    _UNTERMINATED,
    _call,
    _get,
    _publish,
    _set,
    _syscall,
    add,
    read_block,
    read_string,
)

__all__ = ["append", "enter", "hit", "leave", "next_change"]

_SYS_WAIT4: Final = 61
_SYS_PTRACE: Final = 101
_SYS_CLOCK_GETTIME: Final = 228
_CLOCK_MONOTONIC: Final = 1
_WAIT_OPTIONS: Final = 0x4000_0000 | 0x2000_0000  # __WALL | __WNOTHREAD
_WNOHANG: Final = 1
_EINTR: Final = 4
_ESRCH: Final = 3

_PTRACE_CONT: Final = 7
_PTRACE_GETREGS: Final = 12
_PTRACE_SETREGS: Final = 13
_PTRACE_SYSCALL: Final = 24
_PTRACE_GETSIGINFO: Final = 0x4202
_PTRACE_GET_SYSCALL_INFO: Final = 0x420E
_SECCOMP_STOP: Final = 7 << 16 | 5 << 8 | 0x7F
_SYSCALL_STOP: Final = (5 | 0x80) << 8 | 0x7F
_SIGTRAP: Final = 5
_TRAP_STOP: Final = _SIGTRAP << 8 | 0x7F

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

# siginfo_t, in words: signal; si_code TRAP_PERF; cookie; TRAP_PERF_FLAG_ASYNC among type and flags.
_TRAP_PERF, _IS_LATE = 6, 1 << 32
_SI_CODE, _SI_COOKIE, _SI_FLAGS = 1, 3, 4
# struct perf_event_mmap_page, and a sample in the ring behind it: accel._kernel.perf.
_DATA_HEAD, _DATA_TAIL, _DATA_OFFSET, _DATA_SIZE = 128, 129, 130, 131
_PERF_RECORD_SAMPLE: Final = 9
_SAMPLE_SIZE: Final = 152
_SAMPLE_TIME, _SAMPLE_RAW, _SAMPLE_ABI, _SAMPLE_REGISTERS = 2, 4, 7, 8
_REGS_ABI_32, _REGS_ABI_64 = 1, 2
# Its registers: bx cx dx si di bp sp ip r8 r9 r10.
_BX, _CX, _DX, _SI, _DI, _BP, _SAMPLE_SP, _SAMPLE_IP, _R8, _R9, _R10 = range(11)

# The layout of the tables: a copy, as the bytes in the cache would miss a change of the original.
_BEAT_DUE, _CHANGED, _RING_FULL, _ASKED, _EXITS = 0, 1, 2, 16, 1 << 16
_TO_PYTHON, _READY, _PENDING = 0, 1, 2
_RESUME, _SKIP, _INSPECT, _SKIP_INSPECT, _JUDGE, _ASK = 1, 2, 3, 4, 5, 6
#: What a function of the user's may return at most.
_LAST_ACTION: Final = _INSPECT
_MAX_NUMBER: Final = 1024
_QUEUE_LENGTH: Final = 4096

# Words of an answer, of which each RET_DATA has one.
_ACTION, _VALUE, _RECORDED, _RULE, _ANSWER_WORDS = 0, 1, 2, 3, 8
_ENTRY, _ENTRY_STATE, _EXIT, _EXIT_STATE = 4, 5, 6, 7
# Words of a call's counters.
_CALLS, _STOPS, _ERRORS, _NANOSECONDS, _HANDLER_CALLS, _COUNTER_WORDS = 0, 1, 2, 3, 4, 5
# Words of a record: accel.records. In the table of tracees the last word is the tracee's state.
_ENTERED_NS, _LEFT_NS, _NUMBER, _ARGUMENTS, _RESULT, _STRINGS, _FLAGS = 0, 1, 3, 4, 10, 11, 12
_IP, _SP, _TRACEE_STATE, _RECORD_WORDS = 13, 14, 15, 16
_IS_ENTERED, _IS_INJECTED, _IS_RETURNED, _IS_ALONE = 1 << 6, 1 << 7, 1 << 8, 1 << 11
_ALL_STATES: Final = _IS_INJECTED | _IS_RETURNED
_MAX_STRINGS: Final = 3
# What is captured of a call: strings, blocks that it writes, their size, blocks that it reads.
_FIRST_WRITTEN, _BLOCK_SIZE, _FIRST_READ = 8, 16, 32
_ALL_STRINGS, _ALL_WRITTEN, _ALL_READ = 0x3F, 0x3F << 8, 0x3F << 32
_ALL_CAPTURED: Final = _ALL_STRINGS | _ALL_WRITTEN | _ALL_READ
#: The flag of the first of those captured, if it is a block.
_IS_BLOCK: Final = 1 << 13

# The control words.
_SECCOMP_STOPS, _EXIT_STOPS, _BEAT, _TRACEES = 0, 1, 2, 3
_CHANGE_TID, _CHANGE_STATUS = 4, 5
_REPLY_EFFECT, _REPLY_TID, _REPLY_REQUEST, _REPLY_SIGNAL = 6, 7, 8, 9
_SKIP_CALL, _SET_RESULT = 1, 2
_QUEUE_FIRST, _QUEUE_END = 10, 11
_RECORDING, _DROPS, _DROPPED, _RING_HEAD, _RING_TAIL, _RING_SIZE = 12, 13, 14, 15, 16, 17
_STRINGS_HEAD, _STRINGS_TAIL, _STRINGS_SIZE = 18, 19, 20
_TRACEE_TABLE, _ANSWER_TABLE, _COUNTER_TABLE, _CAPTURE_TABLE, _QUEUE = 21, 22, 23, 24, 25
_RING, _STRING_RING, _MEMORY = 26, 27, 28
_EXIT_EVENT_STOPS, _EVENT_RINGS, _EXIT_RULES = 29, 30, 31
_INFO, _REGISTERS, _STATUS, _TIME, _VECTORS, _NEW_VALUE, _SIGINFO = 32, 44, 72, 74, 76, 80, 84
_EVENT_COOKIE: Final = 0x6163_6365_6C00_0001
_ENDED_STOPS, _ASKS, _RUNNING = 101, 102, 103
#: RECORDING: besides whole calls, their beginnings.
_BEGINNINGS: Final = 2


@njit(inline="always")
def _ptrace(request: int, tid: int, addr: int, data: int) -> int:
    return _syscall(_SYS_PTRACE, request, tid, addr, data, 0, 0)


@njit(inline="always")
def _now(control: int) -> int:
    time = control + 8 * _TIME
    _syscall(_SYS_CLOCK_GETTIME, _CLOCK_MONOTONIC, time, 0, 0, 0, 0)
    return _get(time, 0) * 1_000_000_000 + _get(time, 1)


@njit(inline="always")
def _record_of(control: int, tid: int) -> int:
    return _get(control, _TRACEE_TABLE) + 8 * _RECORD_WORDS * tid


@njit(inline="always")
def _answer_of(control: int, ret_data: int) -> int:
    """Find the answer to the calls of a rule; with JUDGED, to those that were found to be its."""
    return _get(control, _ANSWER_TABLE) + 8 * _ANSWER_WORDS * (ret_data & 0x1FFFF)


@njit(inline="always")
def _call_of(number: int, arch: int) -> int:
    """Index a call in the counters; -1 if they have no place for it."""
    if number < 0 or number >= _MAX_NUMBER:
        return -1
    if arch == _AUDIT_ARCH_X86_64:
        return number
    return number + _MAX_NUMBER if arch == _AUDIT_ARCH_I386 else -1


# ------------------------------------------------------------------------- recording


@njit(inline="always")
def _is_full(control: int) -> bool:
    """Whether the rings may not hold what one more stop writes."""
    records = _get(control, _RING_HEAD) - _get(control, _RING_TAIL)
    strings = _get(control, _STRINGS_HEAD) - _get(control, _STRINGS_TAIL)
    # Captured bytes are in one piece, so as much may be left out at the end of the ring.
    needed = 2 * _MAX_STRINGS * _STRING_LIMIT
    return records + 2 > _get(control, _RING_SIZE) or strings + needed > _get(
        control, _STRINGS_SIZE
    )


@njit
def append(control: int, record: int) -> None:
    """Write a record to the ring; count it as dropped if there is no room."""
    if _is_full(control):
        add(control, _DROPPED, 1)
        return
    head = _get(control, _RING_HEAD)
    slot = _get(control, _RING) + 8 * _RECORD_WORDS * (head & (_get(control, _RING_SIZE) - 1))
    for word in range(_TRACEE_STATE):
        _set(slot, word, _get(record, word))
    _set(slot, _TRACEE_STATE, _get(control, _STRINGS_HEAD))
    _publish(control, _RING_HEAD, head + 1)


@njit
def _capture(control: int, record: int, tid: int, captured: int) -> None:
    """Copy what arguments point to into the ring of strings, as it is now."""
    size = _get(control, _STRINGS_SIZE)
    head = _get(control, _STRINGS_HEAD)
    left = size - (head & (size - 1))
    if left < _MAX_STRINGS * _STRING_LIMIT:
        head += left
    _set(record, _STRINGS, head)
    flags = (captured | captured >> _FIRST_WRITTEN | captured >> _FIRST_READ) & _ALL_STRINGS
    block_size = captured >> _BLOCK_SIZE & 0xFFFF
    shift = 16
    mark = _IS_BLOCK
    for position in range(6):
        if (flags >> position) & 1:
            target = _get(control, _STRING_RING) + (head & (size - 1))
            address = _get(record, _ARGUMENTS + position)
            if (captured >> position) & 1:
                length = read_string(control, tid, address, target)
            else:
                length = read_block(control, tid, address, target, block_size)
                flags |= mark
            flags |= length << shift
            shift += 16
            mark <<= 1
            head += length & ~_UNTERMINATED
    _set(record, _FLAGS, flags)
    _set(control, _STRINGS_HEAD, head)


@njit(inline="always")
def _captured(control: int, call: int, result: int) -> int:
    """Tell what is captured of a call with a result: blocks are written by those that succeed."""
    captured = _get(_get(control, _CAPTURE_TABLE), call)
    return captured & ~_ALL_WRITTEN if -4095 <= result < 0 else captured


@njit
def _begin(control: int, record: int, tid: int, captured: int, is_pending: bool) -> None:
    """Record the beginning of a call: its strings, and itself if somebody wants to see that."""
    if _is_full(control):
        return
    has_captures = captured & _ALL_CAPTURED != 0
    if has_captures:
        _capture(control, record, tid, captured)
    begun = has_captures or _get(control, _RECORDING) == _BEGINNINGS
    if is_pending and begun:
        flags = _get(record, _FLAGS)
        _set(record, _FLAGS, flags | _IS_ENTERED)
        append(control, record)
        _set(record, _FLAGS, flags)


@njit
def _end(control: int, record: int, tid: int, captured: int, flags: int) -> None:
    """Record the end of a call, with the blocks that it has written instead of what it read."""
    if captured & _ALL_WRITTEN != 0 and not _is_full(control):
        _capture(control, record, tid, captured & ~(_ALL_STRINGS | _ALL_READ))
        flags = flags & _ALL_STATES | _get(record, _FLAGS)
    _set(record, _FLAGS, flags)
    append(control, record)


# ------------------------------------------------------------------------- two kinds of stops


@njit(inline="always")
def _fill(record: int, info: int, numbers: int, now: int) -> None:
    """Begin the record of a call from what the kernel says of it."""
    _set(record, _ENTERED_NS, now)
    _set(record, _LEFT_NS, 0)
    _set(record, _NUMBER, numbers)
    # int 0x80 from 64-bit code leaves the upper halves as they were; the kernel ignores them.
    width = 0xFFFFFFFF if (numbers >> 32) & 1 else -1
    for position in range(6):
        _set(record, _ARGUMENTS + position, _get(info, 4 + position) & width)
    _set(record, _RESULT, 0)
    _set(record, _FLAGS, 0)
    _set(record, _IP, _get(info, 1))
    _set(record, _SP, _get(info, 2))


@njit(inline="always")
def _settle(control: int, tid: int, call: int, ret_data: int) -> int:
    """Find the answer to a seccomp-stop: that of the rule that the filter named, or judge."""
    if _get(_answer_of(control, ret_data), _ACTION) != _JUDGE or call < 0:
        return ret_data
    return judge(control, tid, call, ret_data, control + 8 * (_INFO + 4))


@njit(inline="always")
def _count_stop(control: int, call: int, handlers: int) -> int:
    """Count a seccomp-stop, and its call; return where the counters of that are."""
    counters = _get(control, _COUNTER_TABLE) + 8 * _COUNTER_WORDS * call
    add(counters, _CALLS, 1)
    add(counters, _STOPS, 1)
    add(counters, _HANDLER_CALLS, handlers)
    add(control, _SECCOMP_STOPS, 1)
    return counters


@njit(inline="always")
def _may_answer(control: int, answer: int) -> bool:
    """Whether an answer asks no handler, or handlers are asked in passing."""
    is_asking = _get(answer, _ACTION) == _ASK or _get(answer, _EXIT) == _ASK
    return not is_asking or _get(control, _ASKS) != 0


@njit
def enter(control: int, tid: int, now: int) -> int:
    """Look up the answer to a seccomp-stop; count and record it, unless it is TO_PYTHON.

    ASKED + a rule: its handler is to be asked.
    """
    info = control + 8 * _INFO
    number = _get(info, 3)
    call = _call_of(number, (_get(info, 0) >> 32) & 0xFFFFFFFF)
    verdict = _settle(control, tid, call, _get(info, 10) & 0xFFFF)
    answer = _answer_of(control, verdict)
    action = _get(answer, _ACTION)
    if call < 0 or action == _TO_PYTHON or not _may_answer(control, answer):
        return _TO_PYTHON
    record = _record_of(control, tid)
    if action == _ASK:
        _count_stop(control, call, 1)
        _set(record, _TRACEE_STATE, _READY)
        return _ASKED + _get(answer, _RULE)
    _fill(record, info, number | (call >> 10) << 32 | _get(answer, _RULE) << 48, now)
    value = _get(answer, _VALUE)
    if _get(answer, _ENTRY) != 0:
        action = _call(_get(answer, _ENTRY), record, _get(answer, _ENTRY_STATE), control)
        value = _get(control, _NEW_VALUE)
        if action <= _TO_PYTHON or action > _LAST_ACTION:
            return _TO_PYTHON
    _set(control, _NEW_VALUE, value)
    is_pending = action in (_INSPECT, _SKIP_INSPECT)
    if is_pending and _VSYSCALL <= _get(info, 1) < _VSYSCALL + 4096:
        # It is emulated, and there is no exit-stop.
        action = _RESUME if action == _INSPECT else _SKIP
        is_pending = False
    counters = _count_stop(control, call, 0)
    _set(record, _TRACEE_STATE, _PENDING + (verdict & 0xFFFF) if is_pending else _READY)
    is_recorded = _get(answer, _RECORDED) != 0
    if is_recorded:
        captured = _captured(control, call, value if action == _SKIP else -1)
        _begin(control, record, tid, captured, is_pending)
    if action in (_SKIP, _SKIP_INSPECT):
        _set(record, _RESULT, value)
        _set(record, _FLAGS, _get(record, _FLAGS) | _IS_INJECTED)
    if action == _SKIP and -4095 <= value < 0:
        add(counters, _ERRORS, 1)
    if is_recorded and not is_pending:
        append(control, record)
    return action


@njit
def leave(control: int, tid: int, now: int) -> int:
    """Count and record the exit-stop of the pending call; tell whether its result is replaced.

    ASKED + EXITS + a rule: its handler is to be asked.
    """
    info = control + 8 * _INFO
    record = _record_of(control, tid)
    answer = _answer_of(control, _get(record, _TRACEE_STATE) - _PENDING)
    numbers = _get(record, _NUMBER)
    call = (numbers & 0xFFFF) + ((numbers >> 32) & 1) * _MAX_NUMBER
    flags = _get(record, _FLAGS) | _IS_RETURNED
    _set(record, _TRACEE_STATE, _READY)
    _set(record, _LEFT_NS, now)
    _set(record, _RESULT, _get(info, 3))
    replaced = False
    asks = _get(answer, _EXIT) == _ASK and _get(control, _ASKS) != 0
    if _get(answer, _EXIT) not in (0, _ASK):
        replaced = _call(_get(answer, _EXIT), record, _get(answer, _EXIT_STATE), control) != 0
    if replaced:
        _set(record, _RESULT, _get(control, _NEW_VALUE))
        flags |= _IS_INJECTED
    result = _get(record, _RESULT)
    counters = _get(control, _COUNTER_TABLE) + 8 * _COUNTER_WORDS * call
    add(counters, _STOPS, 1)
    add(counters, _NANOSECONDS, now - _get(record, _ENTERED_NS))
    if -4095 <= result < 0:
        add(counters, _ERRORS, 1)
    add(control, _EXIT_STOPS, 1)
    if _get(answer, _RECORDED) != 0:
        _end(control, record, tid, _captured(control, call, result), flags)
    if asks:
        add(counters, _HANDLER_CALLS, 1)
        return _ASKED + _EXITS + _get(answer, _RULE)
    return 1 if replaced else 0


@njit
def _set_result(control: int, tid: int, effect: int) -> None:
    """Let a call return NEW_VALUE, and not run if ``effect`` is SKIP_CALL; ESRCH: it was killed."""
    registers = control + 8 * _REGISTERS
    if _ptrace(_PTRACE_GETREGS, tid, 0, registers) < 0:
        return
    if effect == _SKIP_CALL:
        _set(registers, _ORIG_RAX, -1)
    _set(registers, _RAX, _get(control, _NEW_VALUE))
    _ptrace(_PTRACE_SETREGS, tid, 0, registers)


@njit
def _seccomp_stop(control: int, tid: int) -> int:
    """Answer a seccomp-stop; 0 if it is Python's, ASKED + a rule if its handler is to be asked.

    A request fails when the tracee was killed.
    """
    info = control + 8 * _INFO
    answer = _answer_of(control, _get(info, 10) & 0xFFFF)
    timed = _INSPECT <= _get(answer, _ACTION) <= _JUDGE or _get(answer, _RECORDED) != 0
    action = enter(control, tid, _now(control) if timed or _get(answer, _ENTRY) != 0 else 0)
    if action == _TO_PYTHON or action >= _ASKED:
        return action
    if action in (_SKIP, _SKIP_INSPECT):
        _set_result(control, tid, _SKIP_CALL)
    is_pending = action in (_INSPECT, _SKIP_INSPECT)
    _ptrace(_PTRACE_SYSCALL if is_pending else _PTRACE_CONT, tid, 0, 0)
    return 1


@njit
def _exit_stop(control: int, tid: int) -> int:
    """Answer the exit-stop of a pending call; ASKED + EXITS + a rule if its handler's."""
    replaced = leave(control, tid, _now(control))
    if replaced >= _ASKED:
        return replaced
    if replaced != 0:
        _set_result(control, tid, _SET_RESULT)
    _ptrace(_PTRACE_CONT, tid, 0, 0)
    return 1


@njit
def _sample_of(control: int, tid: int) -> int:
    """Find the one sample in the ring of a thread's exit events; 0 if it is not so simple.

    Several samples tell of calls whose signals were blocked; one that is broken by the end of the
    ring is not worth the code.
    """
    ring = _get(_get(control, _EVENT_RINGS), tid)
    if ring == 0:
        return 0
    head, tail, size = _get(ring, _DATA_HEAD), _get(ring, _DATA_TAIL), _get(ring, _DATA_SIZE)
    position = tail & (size - 1)
    if head - tail != _SAMPLE_SIZE or position + _SAMPLE_SIZE > size:
        return 0
    sample = ring + _get(ring, _DATA_OFFSET) + position
    return sample if _get(sample, 0) & 0xFFFFFFFF == _PERF_RECORD_SAMPLE else 0


@njit
def _fill_from(record: int, sample: int, numbers: int, result: int) -> None:
    """Make the record of a call from its sample."""
    is_32bit = (numbers >> 32) & 1
    registers = sample + 8 * _SAMPLE_REGISTERS
    width = 0xFFFFFFFF if is_32bit else -1
    _set(record, _ENTERED_NS, _get(sample, _SAMPLE_TIME))
    _set(record, _LEFT_NS, _get(sample, _SAMPLE_TIME))
    _set(record, _NUMBER, numbers)
    _set(record, _ARGUMENTS, _get(registers, _BX if is_32bit else _DI) & width)
    _set(record, _ARGUMENTS + 1, _get(registers, _CX if is_32bit else _SI) & width)
    _set(record, _ARGUMENTS + 2, _get(registers, _DX) & width)
    _set(record, _ARGUMENTS + 3, _get(registers, _SI if is_32bit else _R10) & width)
    _set(record, _ARGUMENTS + 4, _get(registers, _DI if is_32bit else _R8) & width)
    _set(record, _ARGUMENTS + 5, _get(registers, _BP if is_32bit else _R9) & width)
    _set(record, _RESULT, result)
    _set(record, _FLAGS, 0)
    _set(record, _IP, _get(registers, _SAMPLE_IP))
    _set(record, _SP, _get(registers, _SAMPLE_SP))


@njit
def hit(control: int, tid: int) -> int:
    """Count and record the call that an exit event tells of; 0 if it is Python's.

    Else RESUME or, if its result is replaced, SKIP. The tracee must be READY.
    """
    sample = _sample_of(control, tid)
    if sample == 0:
        return _TO_PYTHON
    registers = sample + 8 * _SAMPLE_REGISTERS
    abi = _get(sample, _SAMPLE_ABI)
    if abi == _REGS_ABI_64 and _get(registers, _CX) != _get(registers, _SAMPLE_IP):
        return _TO_PYTHON  # Not by ``syscall``, which leaves its address there: perhaps int 0x80.
    number = (_get(sample, _SAMPLE_RAW) >> 32) & 0xFFFFFFFF
    is_32bit = abi == _REGS_ABI_32
    call = _call_of(number, _AUDIT_ARCH_I386 if is_32bit else _AUDIT_ARCH_X86_64)
    if call < 0:
        return _TO_PYTHON
    ret_data = _get(_get(control, _EXIT_RULES), call)
    if ret_data == 0:
        return _TO_PYTHON
    # The raw data of the sample is not aligned: number and result lie across words.
    low = (_get(sample, _SAMPLE_RAW + 1) >> 32) & 0xFFFFFFFF
    result = low | _get(sample, _SAMPLE_RAW + 2) << 32
    answer = _answer_of(control, ret_data)
    record = _record_of(control, tid)
    numbers = number | (call >> 10) << 32 | _get(answer, _RULE) << 48
    _fill_from(record, sample, numbers, result)
    ring = _get(_get(control, _EVENT_RINGS), tid)
    _publish(ring, _DATA_TAIL, _get(ring, _DATA_HEAD))
    is_recorded = _get(answer, _RECORDED) != 0
    captured = _captured(control, call, result)
    if is_recorded and captured & _ALL_CAPTURED != 0 and not _is_full(control):
        _capture(control, record, tid, captured)
    flags = _get(record, _FLAGS) | _IS_RETURNED | _IS_ALONE
    replaced = 0
    if _get(answer, _EXIT) not in (0, _ASK):
        replaced = _call(_get(answer, _EXIT), record, _get(answer, _EXIT_STATE), control)
        if replaced != 0:
            result = _get(control, _NEW_VALUE)
            _set(record, _RESULT, result)
            flags |= _IS_INJECTED
    _set(record, _FLAGS, flags)
    counters = _get(control, _COUNTER_TABLE) + 8 * _COUNTER_WORDS * call
    add(counters, _CALLS, 1)
    add(counters, _STOPS, 1)
    if -4095 <= result < 0:
        add(counters, _ERRORS, 1)
    add(control, _EXIT_EVENT_STOPS, 1)
    if is_recorded:
        append(control, record)
    return _SKIP if replaced != 0 else _RESUME


@njit(inline="always")
def _ended(control: int) -> int:
    """Count a stop that was over before it could be looked at; answered by that."""
    add(control, _ENDED_STOPS, 1)
    return 1


@njit
def _trap_stop(control: int, tid: int) -> int:
    """Answer the SIGTRAP of an exit event; 0 if it is another's, or comes late."""
    if _get(_get(control, _EVENT_RINGS), tid) == 0:
        return 0
    siginfo = control + 8 * _SIGINFO
    if _ptrace(_PTRACE_GETSIGINFO, tid, 0, siginfo) < 0:
        return _ended(control)  # It was killed, which is reported next.
    is_ours = (
        _get(siginfo, 0) & 0xFFFFFFFF == _SIGTRAP
        and _get(siginfo, _SI_CODE) & 0xFFFFFFFF == _TRAP_PERF
        and _get(siginfo, _SI_COOKIE) == _EVENT_COOKIE
    )
    if not is_ours or _get(siginfo, _SI_FLAGS) & _IS_LATE != 0:
        return 0
    action = hit(control, tid)
    if action == _TO_PYTHON:
        return 0
    if action == _SKIP:
        _set_result(control, tid, _SET_RESULT)
    _ptrace(_PTRACE_CONT, tid, 0, 0)
    return 1


# ------------------------------------------------------------------------- waiting


@njit
def _fill_queue(control: int) -> int:
    """Wait until tracees have changed, and take all that have; return 0, or -errno.

    Taken one by one, those at the head of the kernel's list would be found ever anew, and starve
    the others.
    """
    status = control + 8 * _STATUS
    queue = _get(control, _QUEUE)
    options = _WAIT_OPTIONS
    count = 0
    while count < _QUEUE_LENGTH:
        tid = _syscall(_SYS_WAIT4, -1, status, options, 0, 0, 0)
        if tid == -_EINTR:
            continue
        if tid <= 0:
            break
        _set(queue, count, tid << 32 | (_get(status, 0) & 0xFFFFFFFF))
        count += 1
        if _get(control, _TRACEES) < 2:
            break  # Nobody waits behind it.
        options = _WAIT_OPTIONS | _WNOHANG
    _set(control, _QUEUE_FIRST, 0)
    _set(control, _QUEUE_END, count)
    return tid if count == 0 else 0


@njit
def _answer(control: int, tid: int, status: int) -> int:
    """Answer a change of a tracee; 0 if that is Python's to do, ASKED + a rule if its handler's.

    A stop may be over by now, as another thread's execve ends this one, or SIGKILL: the next change
    is reported like any other.
    """
    if status == _TRAP_STOP:
        is_ready = _get(_record_of(control, tid), _TRACEE_STATE) == _READY
        return _trap_stop(control, tid) if is_ready else 0
    if status not in (_SECCOMP_STOP, _SYSCALL_STOP):
        return 0
    info = control + 8 * _INFO
    if _ptrace(_PTRACE_GET_SYSCALL_INFO, tid, _INFO_SIZE, info) < 0:
        return _ended(control)
    operation = _get(info, 0) & 0xFF
    if operation == 0 or (operation == _OP_SECCOMP) != (status == _SECCOMP_STOP):
        return _ended(control)
    state = _get(_record_of(control, tid), _TRACEE_STATE)
    if operation == _OP_SECCOMP:
        return _seccomp_stop(control, tid) if state != _TO_PYTHON else 0
    return _exit_stop(control, tid) if operation == _OP_EXIT and state >= _PENDING else 0


@njit
def _reply(control: int) -> int:
    """Resume the tracee whose stop Python has answered; return 0, or -errno."""
    tid = _get(control, _REPLY_TID)
    effect = _get(control, _REPLY_EFFECT)
    _set(control, _REPLY_TID, 0)
    _set(control, _REPLY_EFFECT, 0)
    if tid != 0 and effect != 0:
        _set_result(control, tid, effect)
    request = _get(control, _REPLY_REQUEST)
    done = _ptrace(request, tid, 0, _get(control, _REPLY_SIGNAL)) if tid != 0 else 0
    return 0 if done == -_ESRCH else done  # It was killed in the stop.


@njit
def _next_change(control: int) -> int:
    """Answer stops until there is something for Python: CHANGED, BEAT_DUE, RING_FULL, ASKED + N.

    Or -errno, of the reply or of wait4(2).
    """
    error = _reply(control)
    while error == 0:
        if _get(control, _RECORDING) != 0 and _get(control, _DROPS) == 0 and _is_full(control):
            return _RING_FULL
        if _get(control, _BEAT) <= 0:
            return _BEAT_DUE
        first = _get(control, _QUEUE_FIRST)
        if first == _get(control, _QUEUE_END):
            error = _fill_queue(control)
            continue
        _set(control, _QUEUE_FIRST, first + 1)
        change = _get(_get(control, _QUEUE), first)
        tid, status = change >> 32, change & 0xFFFFFFFF
        found = _answer(control, tid, status)
        if found == 0 or found >= _ASKED:
            _set(control, _CHANGE_TID, tid)
            _set(control, _CHANGE_STATUS, status)
        if found == 0:
            return _CHANGED
        add(control, _BEAT, -1)
        if found >= _ASKED:
            _set(control, _REPLY_REQUEST, _PTRACE_CONT)
            _set(control, _REPLY_SIGNAL, 0)
            return found
    return error


@njit(no_cpython_wrapper=True, no_cfunc_wrapper=True)
def next_change(control: int) -> int:
    """Do as ``_next_change``, and tell other threads meanwhile that no Python runs here."""
    _set(control, _RUNNING, 1)
    found = _next_change(control)
    _set(control, _RUNNING, 0)
    return found
