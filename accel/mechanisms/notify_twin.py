"""The loop of a supervisor in Python: where the compiled one is not there, and its oracle.

Same tables, same contract, no shared line: see ``accel._notify_loop``.
"""

from __future__ import annotations

import select
from collections.abc import Callable, Sequence
from typing import Final

from accel._kernel import notify
from accel._kernel.machine_code import function
from accel.abi import Abi
from accel.decision import ERROR_RESULTS
from accel.mechanisms import notify_tables as t
from accel.mechanisms.stop_tables import (
    ASK,
    ASKED,
    JUDGE,
    MAX_NUMBER,
    NOBODY,
    RESUME,
    SKIP,
    TO_PYTHON,
)

__all__ = ["next_notification"]

_NOTHING: Final = bytes(notify.NOTIFICATION.size)


def next_notification(tables: t.NotifyTables, asked: Callable[[int], None]) -> int:
    """Answer notifications until there is something for Python: BEAT_DUE, NOTIFIED, ENDED.

    ``asked`` is called with the number of a rule whose handler is to be asked.
    """
    control = tables.control.view
    _reply(tables)
    while control[t.BEAT] > 0:
        if not _receive(tables):
            if _has_ended(tables):
                return t.ENDED
            continue
        control[t.NOTIFICATIONS] += 1
        control[t.ANSWER], control[t.ANSWER + 1], control[t.ANSWER + 2] = control[t.INFO], 0, 0
        found = _answer(tables)
        if not found:
            control[t.PROCESS] = _process_of(tables, tables.notification()[1])
            return t.NOTIFIED
        control[t.BEAT] -= 1
        if found >= ASKED:
            asked(found - ASKED)
            _reply(tables)
        else:
            _send(tables)
            control[t.ANSWERED] += 1
    return t.BEAT_DUE


def _reply(tables: t.NotifyTables) -> None:
    control = tables.control.view
    if control[t.REPLY]:
        control[t.REPLY] = 0
        _send(tables)


def _send(tables: t.NotifyTables) -> None:
    control = tables.control
    if not notify.send(control.view[t.LISTENER], control.address + 8 * t.ANSWER):
        control.view[t.VOID] += 1


def _receive(tables: t.NotifyTables) -> bool:
    control = tables.control
    listener = control.view[t.LISTENER]
    if control.view[t.POLLS] and not _poll(listener, select.POLLIN, None) & select.POLLIN:
        return False
    control.bytes[8 * t.INFO : 8 * t.INFO + len(_NOTHING)] = _NOTHING
    try:
        notify.receive(listener, control.address + 8 * t.INFO)
    except (FileNotFoundError, InterruptedError):
        return False
    return True


def _has_ended(tables: t.NotifyTables) -> bool:
    return bool(_poll(tables.control.view[t.LISTENER], 0, 0) & select.POLLHUP)


def _poll(listener: int, events: int, timeout: int | None) -> int:
    poll = select.poll()
    poll.register(listener, events)
    ready = poll.poll(timeout)
    return ready[0][1] if ready else 0


def _answer(tables: t.NotifyTables) -> int:
    """Fill the response in; False if that is Python's to do, ASKED + a rule if its handler's."""
    _id, tid, _flags, number, arch, *_rest = tables.notification()
    abi = Abi.of(arch, number)
    if abi not in (Abi.X86_64, Abi.I386) or not 0 <= number < MAX_NUMBER:
        return False
    index = t.call_index(abi, number)
    answer, is_counted = _find(tables, tid, index)
    action, value = answer[t.ACTION], answer[t.VALUE]
    if action == ASK:
        return _ask(tables, index, tid, answer[t.RULE])
    if action == TO_PYTHON:
        return False
    if answer[t.ENTRY]:
        action, value = _decide(tables, answer, tid, number, is_32bit=abi is Abi.I386)
    if action not in (RESUME, SKIP):
        return False
    if action == RESUME:
        tables.let_run()
    else:
        tables.skip(value)
        if value in ERROR_RESULTS:
            tables.counters.view[index * t.COUNTER_WORDS + t.ERRORS] += 1
    tables.control.view[t.REPLY] = 0
    tables.counters.view[index * t.COUNTER_WORDS + t.CALLS] += is_counted
    return True


def _ask(tables: t.NotifyTables, index: int, tid: int, rule: int) -> int:
    """Leave a call to the handler of its rule, where Python knows the thread; else to Python."""
    process = _process_of(tables, tid) if tables.control.view[t.ASKS] else 0
    if not process:
        return False
    tables.control.view[t.PROCESS] = process
    tables.counters.view[index * t.COUNTER_WORDS + t.CALLS] += 1
    tables.counters.view[index * t.COUNTER_WORDS + t.HANDLER_CALLS] += 1
    return ASKED + rule


def _find(tables: t.NotifyTables, tid: int, index: int) -> tuple[Sequence[int], bool]:
    """Find the answer to a call, judging it if its number does not tell; and whether it counts."""
    answer = tables.answers.view[t.ANSWER_WORDS * index :][: t.ANSWER_WORDS]
    if answer[t.ACTION] != JUDGE:
        return answer, True
    from accel.mechanisms.twin_judge import judge  # noqa: PLC0415 - few need it

    assert tables.judge is not None
    word = 0xFFFF_FFFF if index >= MAX_NUMBER else (1 << 64) - 1
    arguments = [argument & word for argument in tables.notification()[6:]]
    verdict = judge(tables.judge, tid, index, 0, arguments)
    return tables.verdicts.view[t.ANSWER_WORDS * verdict :][: t.ANSWER_WORDS], verdict != NOBODY


def _process_of(tables: t.NotifyTables, tid: int) -> int:
    """Look the process of a thread up; 0 if it is not known, or the tid is another thread's now."""
    pid = tables.identities.view[tid]
    return pid if pid and notify.is_thread_of(pid, tid) else 0


def _decide(
    tables: t.NotifyTables, answer: Sequence[int], tid: int, number: int, *, is_32bit: bool
) -> tuple[int, int]:
    """Ask a function of the user's; TO_PYTHON where the thread's process is not known."""
    control = tables.control
    pid = _process_of(tables, tid)
    if not pid:
        return TO_PYTHON, 0
    width = 0xFFFF_FFFF if is_32bit else -1
    view, record = control.view, t.RECORD
    view[record + 2] = tid | pid << 32
    view[record + 3] = number | is_32bit << 32 | answer[t.RULE] << 48
    for position in range(6):
        view[record + 4 + position] = view[t.INFO + 4 + position] & width
    view[record + 10] = 0
    entry = function(answer[t.ENTRY], 3)
    action = entry(control.address + 8 * record, answer[t.ENTRY_STATE], control.address)
    return action, view[t.NEW_VALUE]
