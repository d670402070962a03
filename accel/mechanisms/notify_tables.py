"""What Python and the loop share of one supervisor: who answers which notification, and counts.

Tables of 64-bit words, as in ``stop_tables``; words that functions of the user's look at
(``accel.jit``) or that calls are judged by are at the same places there. A notification does not
carry SECCOMP_RET_DATA, so answers are found by the number of the call; where rules have conditions
the loop judges it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from accel._kernel.notify import CONTINUE, NOTIFICATION
from accel._kernel.words import Words
from accel.abi import Abi
from accel.decision import ERROR_RESULTS, Answer
from accel.mechanisms.ring import CONTROL_WORDS
from accel.mechanisms.stop_tables import (
    ASK,
    CALL_SHIFT,
    JUDGE,
    JUDGED,
    JUDGEMENT,
    MAX_NUMBER,
    NOBODY,
    RESUME,
    SKIP,
    TO_PYTHON,
    entry_of,
)
from accel.records import ABIS
from accel.results import CallCounter

if TYPE_CHECKING:
    from accel.checks import Judgements
    from accel.mechanisms.judge_tables import JudgeTables

__all__ = ["NotifyTables"]

_PID_MAX_LIMIT: Final = 1 << 22

# What a loop finds, or -errno: so many were answered; one that is Python's; nobody is left under
# the filter; from ASKED on, one that only the handler of a rule has to see, as in ``stop_tables``.
BEAT_DUE: Final = 0
NOTIFIED: Final = 1
ENDED: Final = 2

# An answer, of which each call has one; its action is TO_PYTHON, RESUME, SKIP, ASK, or JUDGE: then
# it is that of a verdict, in a table of their own. NOBODY's calls are not counted.
ACTION, VALUE, RULE, ENTRY, ENTRY_STATE, ANSWER_WORDS = 0, 1, 2, 3, 4, 8
# The counters of a call.
CALLS, ERRORS, HANDLER_CALLS, COUNTER_WORDS = 0, 1, 2, 3

# The control words. POLLS: whether RECV would not end, so that poll(2) must tell. REPLY: whether
# RESPONSE is to be sent first. NOTIFICATIONS: how many were received. ANSWERED: by the loop. VOID:
# whose thread did not wait any more. PROCESS: of the one that is Python's, 0 if it is not known.
# ASKS: whether handlers are asked at once, where that is the answer, and the process is known.
LISTENER, POLLS, BEAT, REPLY, NOTIFICATIONS, ANSWERED, VOID, PROCESS, ASKS = range(9)
ANSWER_TABLE, COUNTER_TABLE, IDENTITY_TABLE, VERDICT_TABLE = 22, 23, 24, 25
MEMORY_TABLE: Final = 28
#: struct seccomp_notif; struct seccomp_notif_resp; struct pollfd; a record for a user's function.
INFO, ANSWER, POLLFD, RECORD = 32, 44, 48, 52
NEW_VALUE: Final = 80
_MEMORY_WORDS: Final = 512 + 64


class NotifyTables:
    """The tables of one supervisor; only its thread writes, any may read the counts."""

    def __init__(
        self,
        listener: int,
        answers: Mapping[tuple[Abi, int], Answer],
        judgements: Judgements | None = None,
        *,
        polls: bool,
    ) -> None:
        self.control = Words(CONTROL_WORDS)
        self.entry = entry_of(self.control)
        self.answers = Words(len(ABIS) * MAX_NUMBER * ANSWER_WORDS)
        self.counters = Words(len(ABIS) * MAX_NUMBER * COUNTER_WORDS)
        #: Of each thread that Python has looked up, its process.
        self.identities = Words(_PID_MAX_LIMIT)
        self.memory = Words(_MEMORY_WORDS)
        #: Whom the loop asks, by the number of the rule.
        self.handlers: dict[int, Callable[[Any], object]] = {}
        #: Tell what was received: id, tid, flags, number, arch, ip, six arguments.
        self.notification = partial(NOTIFICATION.unpack_from, self.control.bytes, 8 * INFO)
        view = self.control.view
        view[LISTENER], view[POLLS] = listener, polls
        view[ANSWER_TABLE], view[COUNTER_TABLE] = self.answers.address, self.counters.address
        view[IDENTITY_TABLE], view[MEMORY_TABLE] = self.identities.address, self.memory.address
        for (abi, number), answer in answers.items():
            if number < MAX_NUMBER:
                self._store(self.answers, call_index(abi, number), answer)
        #: What calls are judged by, and the answers to those that were.
        self.judge: JudgeTables | None = None
        self.verdicts = Words(ANSWER_WORDS * 2 * JUDGED)
        if judgements is not None:
            self._begin_judging(judgements)

    def _begin_judging(self, judgements: Judgements) -> None:
        from accel.mechanisms.judge_tables import JudgeTables  # noqa: PLC0415 - few need them

        judge = self.judge = JudgeTables(judgements)
        view = self.control.view
        view[JUDGEMENT], view[VERDICT_TABLE] = judge.words.address, self.verdicts.address
        for ret_data, answer in judgements.answers:
            self._store(self.verdicts, JUDGED + ret_data, answer)
        self.verdicts.view[ANSWER_WORDS * NOBODY + ACTION] = RESUME
        for (abi, number), _candidates in judgements.candidates:
            if number < MAX_NUMBER:
                self.answers.view[ANSWER_WORDS * call_index(abi, number) + ACTION] = JUDGE

    def _store(self, table: Words, index: int, answer: Answer) -> None:
        view, at = table.view, ANSWER_WORDS * index
        view[at + ACTION] = action = _action(answer)
        view[at + VALUE] = answer.decision.value or 0 if action == SKIP else 0
        view[at + RULE] = answer.rule
        view[at + ENTRY], view[at + ENTRY_STATE] = answer.entry
        if answer.asks is not None:
            self.handlers[answer.rule] = answer.asks

    def let_run(self) -> None:
        """Let the loop answer: the call runs. It does so before it waits.

        The response has the number of the notification already, and zeros else.
        """
        view = self.control.view
        view[ANSWER + 2] = CONTINUE << 32
        view[REPLY] = 1

    def skip(self, value: int) -> None:
        """Let the loop answer: the call returns ``value``, or fails with -``value``."""
        view = self.control.view
        if value in ERROR_RESULTS:
            view[ANSWER + 2] = value & 0xFFFF_FFFF
        else:
            view[ANSWER + 1] = value if value < 1 << 63 else value - (1 << 64)
        view[REPLY] = 1

    def failed(self, abi: Abi, number: int) -> None:
        """Count that a call which a handler was asked about fails."""
        self.counters.view[COUNTER_WORDS * call_index(abi, number) + ERRORS] += 1

    def calls(self) -> Iterator[tuple[tuple[Abi, int], CallCounter]]:
        """List the calls that the loop answered or asked about, with what it counted."""
        words = self.counters.view
        for index in range(len(ABIS) * MAX_NUMBER):
            at = index * COUNTER_WORDS
            count = words[at + CALLS]
            if count:
                yield (
                    (ABIS[index >> CALL_SHIFT], index & (MAX_NUMBER - 1)),
                    CallCounter(
                        calls=count,
                        notifications=count,
                        errors=words[at + ERRORS],
                        handler_calls=words[at + HANDLER_CALLS],
                    ),
                )


def call_index(abi: Abi, number: int) -> int:
    """Tell the place of a call in the tables; its number must be less than MAX_NUMBER."""
    return number + (ABIS.index(abi) << CALL_SHIFT)


def _action(answer: Answer) -> int:
    decision = answer.decision
    if answer.asks is not None:
        return ASK
    if answer.entry[0]:
        return RESUME  # It decides itself.
    if (decision.value or 0) >= 1 << 63:
        return TO_PYTHON  # No signed word holds it.
    return {1: RESUME, 3: SKIP}.get(decision.combination, TO_PYTHON)
