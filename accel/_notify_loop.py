"""The loop of a supervisor, compiled: see ``accel._loop``, with which it shares building blocks.

``next_notification`` waits at a listener, seccomp_unotify(2), and answers the notifications that
the tables of ``accel.mechanisms.notify_tables`` answer, without the GIL;
``accel.mechanisms.notify_twin`` is the same in Python. A change of this file, of ``_loop_words`` or
of ``_loop_judge`` is all that makes its machine code stale.
"""

# mypy: disable-error-code="untyped-decorator,no-any-return"

from __future__ import annotations

from typing import Final

from numba import njit

from accel._loop_judge import judge
from accel._loop_words import _call, _get, _set, _syscall, add

__all__ = ["next_notification"]

_SYS_POLL, _SYS_IOCTL, _SYS_TGKILL = 7, 16, 234
_RECV: Final = 0xC050_2100
_SEND: Final = 0xC018_2101
_CONTINUE: Final = 1
_POLLIN, _POLLHUP = 1, 16
_EPERM, _ENOENT, _EINTR = 1, 2, 4
_AUDIT_ARCH_X86_64: Final = 0xC000003E
_AUDIT_ARCH_I386: Final = 0x40000003

# The layout of the tables: a copy, as in ``_loop``.
_BEAT_DUE, _NOTIFIED, _ENDED, _ASKED = 0, 1, 2, 16
_TO_PYTHON, _RESUME, _SKIP, _JUDGE, _ASK = 0, 1, 2, 5, 6
_NOBODY: Final = 1 << 16
_MAX_NUMBER: Final = 1024
_ACTION, _VALUE, _RULE, _ENTRY, _ENTRY_STATE, _ANSWER_WORDS = 0, 1, 2, 3, 4, 8
_CALLS, _ERRORS, _HANDLER_CALLS, _COUNTER_WORDS = 0, 1, 2, 3
_LISTENER, _POLLS, _BEAT, _REPLY, _NOTIFICATIONS, _ANSWERED, _VOID = 0, 1, 2, 3, 4, 5, 6
_PROCESS, _ASKS = 7, 8
_ANSWER_TABLE, _COUNTER_TABLE, _IDENTITY_TABLE, _VERDICT_TABLE = 22, 23, 24, 25
_INFO, _INFO_WORDS, _RESPONSE, _POLLFD, _RECORD, _NEW_VALUE = 32, 10, 44, 48, 52, 80


@njit(inline="always")
def _call_of(number: int, arch: int) -> int:
    """Index a call in the tables; -1 if they have no place for it."""
    if number < 0 or number >= _MAX_NUMBER:
        return -1
    if arch == _AUDIT_ARCH_X86_64:
        return number
    return number + _MAX_NUMBER if arch == _AUDIT_ARCH_I386 else -1


@njit(inline="always")
def _poll(control: int, events: int, timeout: int) -> int:
    """Wait for an event of the listener; return those that are there. POLLHUP always is one."""
    pollfd = control + 8 * _POLLFD
    _set(pollfd, 0, _get(control, _LISTENER) | events << 32)
    _syscall(_SYS_POLL, pollfd, 1, timeout, 0, 0, 0)
    return (_get(pollfd, 0) >> 48) & 0xFFFF


@njit(inline="always")
def _send(control: int) -> int:
    """Send the response; return 0, or -errno. One that is void was for a thread that was killed."""
    response = control + 8 * _RESPONSE
    sent = _syscall(_SYS_IOCTL, _get(control, _LISTENER), _SEND, response, 0, 0, 0)
    if sent == -_ENOENT:
        add(control, _VOID, 1)
        return 0
    return sent


@njit(inline="always")
def _receive(control: int) -> int:
    """Wait for a notification; return 0, or -errno, -ENOENT also when nobody is left."""
    if _get(control, _POLLS) != 0 and _poll(control, _POLLIN, -1) & _POLLIN == 0:
        return -_ENOENT
    info = control + 8 * _INFO
    for word in range(_INFO_WORDS):
        _set(info, word, 0)
    return _syscall(_SYS_IOCTL, _get(control, _LISTENER), _RECV, info, 0, 0, 0)


@njit
def _process_of(control: int, tid: int) -> int:
    """Look the process of a thread up; 0 if it is not known, or the tid is another thread's now."""
    pid = _get(_get(control, _IDENTITY_TABLE), tid)
    if pid == 0:
        return 0
    found = _syscall(_SYS_TGKILL, pid, tid, 0, 0, 0, 0)
    return pid if found in (0, -_EPERM) else 0


@njit
def _decide(control: int, answer: int, tid: int, numbers: int) -> int:
    """Ask a function of the user's; TO_PYTHON where the thread's process is not known."""
    pid = _process_of(control, tid)
    if pid == 0:
        return _TO_PYTHON
    info, record = control + 8 * _INFO, control + 8 * _RECORD
    width = 0xFFFFFFFF if (numbers >> 32) & 1 else -1
    _set(record, 2, tid | pid << 32)
    _set(record, 3, numbers | _get(answer, _RULE) << 48)
    for position in range(6):
        _set(record, 4 + position, _get(info, 4 + position) & width)
    _set(record, 10, 0)
    return _call(_get(answer, _ENTRY), record, _get(answer, _ENTRY_STATE), control)


@njit
def _ask(control: int, call: int, tid: int, rule: int) -> int:
    """Leave a call to the handler of its rule, where Python knows the thread; else to Python."""
    process = _process_of(control, tid) if _get(control, _ASKS) != 0 else 0
    if process == 0:
        return 0
    _set(control, _PROCESS, process)
    counters = _get(control, _COUNTER_TABLE) + 8 * _COUNTER_WORDS * call
    add(counters, _CALLS, 1)
    add(counters, _HANDLER_CALLS, 1)
    return _ASKED + rule


@njit(inline="always")
def _begin_response(control: int) -> None:
    """Make the response one to the notification that was received."""
    response = control + 8 * _RESPONSE
    _set(response, 0, _get(control, _INFO))
    _set(response, 1, 0)
    _set(response, 2, 0)


@njit
def _answer(control: int) -> int:
    """Fill the response in; 0 if that is Python's to do, ASKED + a rule if its handler decides."""
    info = control + 8 * _INFO
    number, arch = _get(info, 2) & 0xFFFFFFFF, (_get(info, 2) >> 32) & 0xFFFFFFFF
    call = _call_of(number, arch)
    if call < 0:
        return 0
    tid = _get(info, 1) & 0xFFFFFFFF
    answer = _get(control, _ANSWER_TABLE) + 8 * _ANSWER_WORDS * call
    is_counted = 1
    if _get(answer, _ACTION) == _JUDGE:
        # It is void if the thread is gone, and its memory another's: then so is the response.
        verdict = judge(control, tid, call, 0, info + 8 * 4)
        answer = _get(control, _VERDICT_TABLE) + 8 * _ANSWER_WORDS * verdict
        is_counted = 0 if verdict == _NOBODY else 1
    action, value = _get(answer, _ACTION), _get(answer, _VALUE)
    if action == _ASK:
        return _ask(control, call, tid, _get(answer, _RULE))
    if action == _TO_PYTHON:
        return 0
    if _get(answer, _ENTRY) != 0:
        action = _decide(control, answer, tid, number | (call >> 10) << 32)
        value = _get(control, _NEW_VALUE)
    if action not in (_RESUME, _SKIP):
        return 0
    counters = _get(control, _COUNTER_TABLE) + 8 * _COUNTER_WORDS * call
    add(counters, _CALLS, is_counted)
    response = control + 8 * _RESPONSE
    if action == _RESUME:
        _set(response, 2, _CONTINUE << 32)
    else:
        is_error = -4095 <= value < 0
        if is_error:
            add(counters, _ERRORS, 1)
        _set(response, 2 if is_error else 1, value & 0xFFFFFFFF if is_error else value)
    return 1


@njit(no_cpython_wrapper=True, no_cfunc_wrapper=True)
def next_notification(control: int) -> int:
    """Answer notifications until there is something for Python.

    BEAT_DUE, NOTIFIED, ENDED, ASKED + a rule; or -errno, of an ioctl(2).
    """
    error = 0
    if _get(control, _REPLY) != 0:
        _set(control, _REPLY, 0)
        error = _send(control)
    while error == 0:
        if _get(control, _BEAT) <= 0:
            return _BEAT_DUE
        received = _receive(control)
        if received in (-_ENOENT, -_EINTR):
            if _poll(control, 0, 0) & _POLLHUP != 0:
                return _ENDED
            continue
        if received < 0:
            return received
        add(control, _NOTIFICATIONS, 1)
        _begin_response(control)
        found = _answer(control)
        if found == 0:
            tid = _get(control, _INFO + 1) & 0xFFFFFFFF
            _set(control, _PROCESS, _process_of(control, tid))
            return _NOTIFIED
        if found >= _ASKED:
            add(control, _BEAT, -1)
            return found
        error = _send(control)
        add(control, _ANSWERED, 1)
        add(control, _BEAT, -1)
    return error
