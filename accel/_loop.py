"""The loop, compiled: all numba code of accel. Importing it loads numba and takes half a second.

``next_change`` waits for the tracees of the calling thread and answers the stops that the tables of
``accel.mechanisms.stop_tables`` answer; it holds no GIL, and returns when there is something that
Python must do. ``accel.mechanisms.twin_loop`` is the same in Python.

All state is in tables of 64-bit words; the control words hold the addresses of the others. System
calls are made in place, by an instruction: no symbol is needed and no errno, so the machine code
refers to nothing outside itself: ``accel._emit`` makes bytes of it, which a later process runs
without importing numba. A change of this file is all that makes these bytes stale, hence compiled
code has nothing of another.
"""

# mypy: disable-error-code="untyped-decorator,no-any-return"

from __future__ import annotations

from typing import Any, Final

import llvmlite.binding
from llvmlite import ir
from numba import int64, njit, void
from numba.extending import intrinsic

__all__ = [
    "add",
    "append",
    "enter",
    "hit",
    "judge",
    "leave",
    "next_change",
    "read",
    "read_string",
]

# Inline assembly is parsed when code is compiled, not when it comes from a cache.
llvmlite.binding.initialize_native_asmparser()

_SYS_WAIT4: Final = 61
_SYS_PTRACE: Final = 101
_SYS_CLOCK_GETTIME: Final = 228
_SYS_PROCESS_VM_READV: Final = 310
_CLOCK_MONOTONIC: Final = 1
_WAIT_OPTIONS: Final = 0x4000_0000 | 0x2000_0000  # __WALL | __WNOTHREAD
_WNOHANG: Final = 1
_EINTR: Final = 4
_ESRCH: Final = 3
_EFAULT: Final = 14

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
_BEAT_DUE, _CHANGED, _RING_FULL = 0, 1, 2
_TO_PYTHON, _READY, _PENDING = 0, 1, 2
_RESUME, _SKIP, _INSPECT, _SKIP_INSPECT, _JUDGE = 1, 2, 3, 4, 5
#: What a function of the user's may return at most.
_LAST_ACTION: Final = _INSPECT
_MAX_NUMBER: Final = 1024
_QUEUE_LENGTH: Final = 4096

# Words of an answer, of which each RET_DATA has one.
_ACTION, _VALUE, _RECORDED, _RULE, _ANSWER_WORDS = 0, 1, 2, 3, 8
_ENTRY, _ENTRY_STATE, _EXIT, _EXIT_STATE = 4, 5, 6, 7
# Words of a call's counters.
_CALLS, _STOPS, _ERRORS, _NANOSECONDS, _COUNTER_WORDS = 0, 1, 2, 3, 4
# Words of a record: accel.records. In the table of tracees the last word is the tracee's state.
_ENTERED_NS, _LEFT_NS, _NUMBER, _ARGUMENTS, _RESULT, _STRINGS, _FLAGS = 0, 1, 3, 4, 10, 11, 12
_IP, _SP, _TRACEE_STATE, _RECORD_WORDS = 13, 14, 15, 16
_IS_ENTERED, _IS_INJECTED, _IS_RETURNED, _IS_ALONE = 1 << 6, 1 << 7, 1 << 8, 1 << 11
_MAX_STRINGS, _STRING_LIMIT, _UNTERMINATED, _PAGE = 3, 4096, 1 << 15, 4096
_SHORT: Final = 256  # Most strings are paths, and shorter; a page takes longer to copy.

# By what a call is judged whose rule the filter does not tell: mechanisms.judge_tables.
_JUDGED, _UNKNOWN = 1 << 16, (1 << 17) - 1
_FROM, _UNSIGNED, _SIGNED, _EQUALS, _STARTS, _WITHIN, _FAMILY, _PORT = 0, 1, 2, 3, 4, 5, 6, 7
_KIND, _ARGUMENT, _THEN, _OTHERWISE, _LOW, _HIGH, _DETAIL, _CHECK_WORDS = 0, 1, 2, 3, 4, 5, 6, 8
_CHAINS, _LOOKS, _LOOK_WORDS = 6, 8, 520
_UNSEEN, _ABSENT = -4096, -4097  # No errno is as large.
_BIAS: Final = -(1 << 63)
_AF_INET, _AF_INET6 = 2, 10
_SLASH, _DOT = 0x2F, 0x2E

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
_JUDGEMENT: Final = 100
_ENDED_STOPS: Final = 101
#: RECORDING: besides whole calls, their beginnings.
_BEGINNINGS: Final = 2


@intrinsic
def _syscall(_typing: Any, number: Any, a: Any, b: Any, c: Any, d: Any, e: Any, f: Any) -> Any:  # noqa: ARG001, PLR0917 - numba reads the names
    """Make a system call; return its result, or -errno."""

    def generate(_context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        word = ir.IntType(64)
        instruction = ir.InlineAsm(
            ir.FunctionType(word, [word] * 7),
            "syscall",
            "={rax},{rax},{rdi},{rsi},{rdx},{r10},{r8},{r9},~{rcx},~{r11},~{memory}",
            side_effect=True,
        )
        return builder.call(instruction, arguments)

    return int64(*[int64] * 7), generate


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


@intrinsic
def _publish(_typing: Any, table: Any, index: Any, value: Any) -> Any:  # noqa: ARG001 - numba reads the names
    """Write a word that tells another thread that all words before it are written."""

    def generate(context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        table, index, value = arguments
        builder.store_atomic(value, _word_at(builder, table, index), "release", 8)
        return context.get_dummy_value()

    return void(int64, int64, int64), generate


@intrinsic
def _byte(_typing: Any, address: Any) -> Any:  # noqa: ARG001 - numba reads the names
    """Read a byte of this process."""

    def generate(_context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        byte = builder.load(builder.inttoptr(arguments[0], ir.IntType(8).as_pointer()))
        return builder.zext(byte, ir.IntType(64))

    return int64(int64), generate


@intrinsic
def _call(_typing: Any, function: Any, record: Any, state: Any, control: Any) -> Any:  # noqa: ARG001 - numba reads the names
    """Call a function of the user's, compiled by ``accel.jit``: word f(record, state, control)."""

    def generate(_context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        word = ir.IntType(64)
        pointer = ir.FunctionType(word, [word] * 3).as_pointer()
        return builder.call(builder.inttoptr(arguments[0], pointer), arguments[1:])

    return int64(int64, int64, int64, int64), generate


@njit(inline="always")
def add(table: int, index: int, value: int) -> None:
    """Add to a word of a table."""
    _set(table, index, _get(table, index) + value)


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


# ------------------------------------------------------------------------- tracee memory


@njit
def read(control: int, tid: int, address: int, target: int, size: int) -> int:
    """Copy up to ``size`` bytes of a page of tracee memory; return how many, or -errno."""
    vectors = control + 8 * _VECTORS
    _set(vectors, 0, target)
    _set(vectors, 1, size)
    _set(vectors, 2, address)
    _set(vectors, 3, size)
    return _syscall(_SYS_PROCESS_VM_READV, tid, vectors, 1, vectors + 16, 1, 0)


@njit
def read_string(control: int, tid: int, address: int, target: int) -> int:
    """Copy a C string of at most PATH_MAX bytes; return its length, flagged if it has no NUL."""
    size = 0
    while address != 0 and size < _STRING_LIMIT:
        part = _PAGE - ((address + size) & (_PAGE - 1))  # A read over the end of a mapping fails.
        part = min(part, _STRING_LIMIT - size, _SHORT if size == 0 else _PAGE)
        part = read(control, tid, address + size, target + size, part)
        if part <= 0:
            break
        for at in range(size, size + part):
            if _byte(target + at) == 0:
                return at
        size += part
    return size | _UNTERMINATED


# ------------------------------------------------------------------------- judging


@njit
def _look_at_path(control: int, tid: int, address: int, target: int) -> int:
    """Copy a path; return its length, ABSENT where the kernel would find none, or -errno."""
    size = 0
    while address != 0 and size < _STRING_LIMIT:
        part = _PAGE - ((address + size) & (_PAGE - 1))  # A read over the end of a mapping fails.
        part = min(part, _STRING_LIMIT - size, _SHORT if size == 0 else _PAGE)
        part = read(control, tid, address + size, target + size, part)
        if part <= 0:
            return part if part < 0 and part != -_EFAULT else _ABSENT
        for at in range(size, size + part):
            if _byte(target + at) == 0:
                return at
        size += part
    return _ABSENT


@njit
def _look_at_address(control: int, tid: int, address: int, target: int, size: int) -> int:
    """Copy up to ``size`` bytes, fewer where the memory ends; return how many, or -errno."""
    done = 0
    while address != 0 and done < size:
        part = min(size - done, _PAGE - ((address + done) & (_PAGE - 1)))
        part = read(control, tid, address + done, target + done, part)
        if part <= 0:
            return part if part < 0 and part != -_EFAULT else done
        done += part
    return done


@njit
def _is_equal(one: int, other: int, size: int) -> bool:
    """Compare bytes of this process."""
    for at in range(size):  # noqa: SIM110 - compiled
        if _byte(one + at) != _byte(other + at):
            return False
    return True


@njit
def _end_of_name(text: int, start: int, size: int) -> int:
    """Find where the name in a path ends that begins at ``start``."""
    end = start
    while end < size and _byte(text + end) != _SLASH:
        end += 1
    return end


@njit
def _is_within(text: int, size: int, root: int, length: int) -> bool:
    """Tell whether a path is ``root``, or below it, when dots and double slashes are taken out.

    Of the names that are left of the path so far, the first ``matched`` are those of the root, of
    which the next begins at ``wanted``.
    """
    if size == 0 or _byte(text) != _SLASH:
        return False
    names, matched, wanted = 0, 0, 1
    start = 1
    while start < size:
        end = _end_of_name(text, start, size)
        dots = end - start if _byte(text + start) == _DOT else 0
        if dots == 2 and _byte(text + start + 1) == _DOT:
            names = max(names - 1, 0)
            if matched > names:
                matched = names
                wanted -= 1
                while _byte(root + wanted - 1) != _SLASH:
                    wanted -= 1
        elif end > start and dots != 1:
            if names == matched and wanted < length:
                same = _end_of_name(root, wanted, length) - wanted == end - start
                if same and _is_equal(text + start, root + wanted, end - start):
                    matched += 1
                    wanted += end - start + 1
            names += 1
        start = end + 1
    return wanted >= length


@njit
def _path_holds(kind: int, text: int, size: int, operand: int, length: int) -> bool:
    if kind == _WITHIN:
        return _is_within(text, size, operand, length)
    fits = size == length or (kind == _STARTS and size > length)
    return fits and _is_equal(text, operand, length)


@njit
def _field(kind: int, address: int, size: int) -> int:
    """Read a number of a socket address; -1 if it has none."""
    if size < 2:
        return -1
    family = _byte(address) | _byte(address + 1) << 8
    if kind == _FAMILY:
        return family
    if size < 4 or (family != _AF_INET and family != _AF_INET6):  # noqa: PLR1714 - compiled
        return -1
    return _byte(address + 2) << 8 | _byte(address + 3)


@njit
def _look(control: int, tid: int, check: int, arguments: int, width: int) -> int:
    """Look at what an argument points to, unless it was; return what LOOKED says, or -errno."""
    table = _get(control, _JUDGEMENT)
    argument = _get(check, _ARGUMENT)
    looked = _get(table, argument)
    if looked != _UNSEEN:
        return looked
    address = _get(arguments, argument) & width
    target = table + 8 * (_LOOKS + _LOOK_WORDS * argument)
    if _get(check, _KIND) <= _WITHIN:
        looked = _look_at_path(control, tid, address, target)
    else:
        detail = _get(check, _DETAIL)
        size = _get(arguments, detail) & 0xFFFFFFFF if detail >= 0 else 4
        looked = _look_at_address(control, tid, address, target, min(size, 4))
    _set(table, argument, looked)
    return looked


@njit
def _number_of(control: int, check: int, ret_data: int, arguments: int, width: int) -> int:
    """Find the number that a check compares, of a register or a socket address looked at."""
    kind, argument, detail = _get(check, _KIND), _get(check, _ARGUMENT), _get(check, _DETAIL)
    if kind == _FROM:
        return ret_data
    if kind >= _FAMILY:
        table = _get(control, _JUDGEMENT)
        address = table + 8 * (_LOOKS + _LOOK_WORDS * argument)
        return _field(kind, address, _get(table, argument))
    value = _get(arguments, argument) & width
    if kind == _UNSIGNED:
        return (value & detail) ^ _BIAS
    return value << detail >> detail


@njit
def judge(control: int, tid: int, call: int, ret_data: int, arguments: int) -> int:
    """Find the answer to a call of which the filter knows no more than RET_DATA; or UNKNOWN.

    Rules before the one that RET_DATA names are not asked; 0 asks all. ``call`` is the call's index
    in the counters, ``arguments`` the address of its six words. The answer is an index in the table
    of answers, JUDGED and up; where that has no action, as UNKNOWN has none, Python has to judge.
    The tracee must be stopped, or wait for the answer to a notification. Cost: one
    process_vm_readv(2) for each argument that is looked at, if it is short.
    """
    table = _get(control, _JUDGEMENT)
    width = 0xFFFFFFFF if call >= _MAX_NUMBER else -1
    for argument in range(6):
        _set(table, argument, _UNSEEN)
    check = _get(_get(table, _CHAINS), call)
    while check > 0:
        kind = _get(check, _KIND)
        looked = _look(control, tid, check, arguments, width) if kind >= _EQUALS else 0
        if looked < 0 and looked != _ABSENT:
            return _UNKNOWN
        if _EQUALS <= kind <= _WITHIN:
            text = table + 8 * (_LOOKS + _LOOK_WORDS * _get(check, _ARGUMENT))
            operand, length = _get(check, _LOW), _get(check, _HIGH)
            holds = looked >= 0 and _path_holds(kind, text, looked, operand, length)
        else:
            number = _number_of(control, check, ret_data, arguments, width)
            holds = _get(check, _LOW) <= number <= _get(check, _HIGH)
        check = _get(check, _THEN if holds else _OTHERWISE)
    return -1 - check if check < 0 else _UNKNOWN


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
def _capture(control: int, record: int, tid: int, mask: int) -> None:
    """Copy the strings that arguments point to into their ring, as they are now."""
    size = _get(control, _STRINGS_SIZE)
    head = _get(control, _STRINGS_HEAD)
    left = size - (head & (size - 1))
    if left < _MAX_STRINGS * _STRING_LIMIT:
        head += left
    _set(record, _STRINGS, head)
    flags = mask
    shift = 16
    for position in range(6):
        if (mask >> position) & 1:
            target = _get(control, _STRING_RING) + (head & (size - 1))
            length = read_string(control, tid, _get(record, _ARGUMENTS + position), target)
            flags |= length << shift
            shift += 16
            head += length & ~_UNTERMINATED
    _set(record, _FLAGS, flags)
    _set(control, _STRINGS_HEAD, head)


@njit
def _begin(control: int, record: int, tid: int, call: int, is_pending: bool) -> None:
    """Record the beginning of a call: its strings, and itself if somebody wants to see that."""
    if _is_full(control):
        return
    mask = _get(_get(control, _CAPTURE_TABLE), call)
    if mask != 0:
        _capture(control, record, tid, mask)
    begun = mask != 0 or _get(control, _RECORDING) == _BEGINNINGS
    if is_pending and begun:
        flags = _get(record, _FLAGS)
        _set(record, _FLAGS, flags | _IS_ENTERED)
        append(control, record)
        _set(record, _FLAGS, flags)


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


@njit
def enter(control: int, tid: int, now: int) -> int:
    """Look up the answer to a seccomp-stop; count and record it, unless it is TO_PYTHON."""
    info = control + 8 * _INFO
    number = _get(info, 3)
    call = _call_of(number, (_get(info, 0) >> 32) & 0xFFFFFFFF)
    verdict = _settle(control, tid, call, _get(info, 10) & 0xFFFF)
    answer = _answer_of(control, verdict)
    action = _get(answer, _ACTION)
    if call < 0 or action == _TO_PYTHON:
        return _TO_PYTHON
    record = _record_of(control, tid)
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
    counters = _get(control, _COUNTER_TABLE) + 8 * _COUNTER_WORDS * call
    add(counters, _CALLS, 1)
    add(counters, _STOPS, 1)
    add(control, _SECCOMP_STOPS, 1)
    _set(record, _TRACEE_STATE, _PENDING + (verdict & 0xFFFF) if is_pending else _READY)
    is_recorded = _get(answer, _RECORDED) != 0
    if is_recorded:
        _begin(control, record, tid, call, is_pending)
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
    """Count and record the exit-stop of the pending call; tell whether its result is replaced."""
    info = control + 8 * _INFO
    record = _record_of(control, tid)
    answer = _answer_of(control, _get(record, _TRACEE_STATE) - _PENDING)
    numbers = _get(record, _NUMBER)
    call = (numbers & 0xFFFF) + ((numbers >> 32) & 1) * _MAX_NUMBER
    flags = _get(record, _FLAGS) | _IS_RETURNED
    _set(record, _TRACEE_STATE, _READY)
    _set(record, _LEFT_NS, now)
    _set(record, _RESULT, _get(info, 3))
    replaced = 0
    if _get(answer, _EXIT) != 0:
        replaced = _call(_get(answer, _EXIT), record, _get(answer, _EXIT_STATE), control)
        if replaced != 0:
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
        _set(record, _FLAGS, flags)
        append(control, record)
    return replaced


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
    """Answer a seccomp-stop; 0 if it is Python's. A request fails when the tracee was killed."""
    info = control + 8 * _INFO
    answer = _answer_of(control, _get(info, 10) & 0xFFFF)
    timed = _get(answer, _ACTION) >= _INSPECT or _get(answer, _RECORDED) != 0
    action = enter(control, tid, _now(control) if timed or _get(answer, _ENTRY) != 0 else 0)
    if action == _TO_PYTHON:
        return 0
    if action in (_SKIP, _SKIP_INSPECT):
        _set_result(control, tid, _SKIP_CALL)
    is_pending = action in (_INSPECT, _SKIP_INSPECT)
    _ptrace(_PTRACE_SYSCALL if is_pending else _PTRACE_CONT, tid, 0, 0)
    return 1


@njit
def _exit_stop(control: int, tid: int) -> int:
    """Answer the exit-stop of a pending call."""
    if leave(control, tid, _now(control)) != 0:
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
    mask = _get(_get(control, _CAPTURE_TABLE), call)
    if is_recorded and mask != 0 and not _is_full(control):
        _capture(control, record, tid, mask)
    flags = _get(record, _FLAGS) | _IS_RETURNED | _IS_ALONE
    replaced = 0
    if _get(answer, _EXIT) != 0:
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
    """Answer a change of a tracee; 0 if that is Python's to do.

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


@njit(no_cpython_wrapper=True, no_cfunc_wrapper=True)
def next_change(control: int) -> int:
    """Answer stops until there is something for Python: return CHANGED, BEAT_DUE, RING_FULL.

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
        if _answer(control, tid, status) == 0:
            _set(control, _CHANGE_TID, tid)
            _set(control, _CHANGE_STATUS, status)
            return _CHANGED
        add(control, _BEAT, -1)
    return error
