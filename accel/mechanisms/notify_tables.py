"""What Python and the loop share of one supervisor: who answers which notification, and counts.

Tables of 64-bit words, as in ``stop_tables``; words that functions of the user's look at
(``accel.jit``) are at the same places there. A notification does not carry SECCOMP_RET_DATA, so
answers are found by the number of the call: the loop has those that the number alone tells.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

from accel._kernel.notify import CONTINUE, NOTIFICATION, RESPONSE
from accel._kernel.words import Words
from accel.abi import Abi
from accel.decision import Answer
from accel.mechanisms.ring import CONTROL_WORDS
from accel.mechanisms.stop_tables import CALL_SHIFT, MAX_NUMBER, RESUME, SKIP, TO_PYTHON
from accel.records import ABIS
from accel.results import CallCounter

__all__ = ["NotifyTables"]

_PID_MAX_LIMIT: Final = 1 << 22

# What ``next_notification`` returns, or -errno: so many were answered; one that is Python's; nobody
# is left under the filter.
BEAT_DUE: Final = 0
NOTIFIED: Final = 1
ENDED: Final = 2

# An answer, of which each call has one; its action is TO_PYTHON, RESUME or SKIP.
ACTION, VALUE, RULE, ENTRY, ENTRY_STATE, ANSWER_WORDS = 0, 1, 2, 3, 4, 8
# The counters of a call.
CALLS, ERRORS, COUNTER_WORDS = 0, 1, 2

# The control words. POLLS: whether RECV would not end, so that poll(2) must tell. REPLY: whether
# RESPONSE is to be sent first. NOTIFICATIONS: how many were received. ANSWERED: by the loop. VOID:
# whose thread did not wait any more.
LISTENER, POLLS, BEAT, REPLY, NOTIFICATIONS, ANSWERED, VOID = 0, 1, 2, 3, 4, 5, 6
ANSWER_TABLE, COUNTER_TABLE, IDENTITY_TABLE = 22, 23, 24
MEMORY_TABLE: Final = 28
#: struct seccomp_notif; struct seccomp_notif_resp; struct pollfd; a record for a user's function.
INFO, ANSWER, POLLFD, RECORD = 32, 44, 48, 52
NEW_VALUE: Final = 80
_MEMORY_WORDS: Final = 512 + 64
_MAX_ERRNO: Final = 4095


class NotifyTables:
    """The tables of one supervisor; only its thread writes, any may read the counts."""

    def __init__(
        self, listener: int, answers: Mapping[tuple[Abi, int], Answer], *, polls: bool
    ) -> None:
        self.control = Words(CONTROL_WORDS)
        self.answers = Words(len(ABIS) * MAX_NUMBER * ANSWER_WORDS)
        self.counters = Words(len(ABIS) * MAX_NUMBER * COUNTER_WORDS)
        #: Of each thread that Python has looked up, its process.
        self.identities = Words(_PID_MAX_LIMIT)
        self.memory = Words(_MEMORY_WORDS)
        view = self.control.view
        view[LISTENER], view[POLLS] = listener, polls
        view[ANSWER_TABLE], view[COUNTER_TABLE] = self.answers.address, self.counters.address
        view[IDENTITY_TABLE], view[MEMORY_TABLE] = self.identities.address, self.memory.address
        for (abi, number), answer in answers.items():
            if number < MAX_NUMBER:
                self._store(ANSWER_WORDS * call_index(abi, number), answer)

    def _store(self, at: int, answer: Answer) -> None:
        view = self.answers.view
        view[at + ACTION] = action = _action(answer)
        view[at + VALUE] = answer.decision.value or 0 if action == SKIP else 0
        view[at + RULE] = answer.rule
        view[at + ENTRY], view[at + ENTRY_STATE] = answer.entry

    @property
    def notification(self) -> tuple[int, ...]:
        """What was received: id, tid, flags, number, arch, ip, six arguments."""
        return NOTIFICATION.unpack_from(self.control.bytes, 8 * INFO)

    def let_run(self) -> None:
        """Let the loop answer: the call runs. It does so before it waits."""
        self._reply(0, 0, CONTINUE)

    def skip(self, value: int) -> None:
        """Let the loop answer: the call returns ``value``, or fails with -``value``."""
        is_error = -_MAX_ERRNO <= value < 0
        signed = value - (1 << 64) if value >> 63 > 0 else value
        self._reply(0 if is_error else signed, value if is_error else 0, 0)

    def _reply(self, value: int, error: int, flags: int) -> None:
        control = self.control
        notification = control.view[INFO] & 0xFFFF_FFFF_FFFF_FFFF
        RESPONSE.pack_into(control.bytes, 8 * ANSWER, notification, value, error, flags)
        control.view[REPLY] = 1

    def calls(self) -> Iterator[tuple[tuple[Abi, int], CallCounter]]:
        """List the calls that the loop answered, with what it counted."""
        words = self.counters.view
        for index in range(len(ABIS) * MAX_NUMBER):
            count = words[index * COUNTER_WORDS + CALLS]
            if count:
                key = (ABIS[index >> CALL_SHIFT], index & (MAX_NUMBER - 1))
                errors = words[index * COUNTER_WORDS + ERRORS]
                yield key, CallCounter(calls=count, notifications=count, errors=errors)


def call_index(abi: Abi, number: int) -> int:
    """Tell the place of a call in the tables; its number must be less than MAX_NUMBER."""
    return number + (ABIS.index(abi) << CALL_SHIFT)


def _action(answer: Answer) -> int:
    decision = answer.decision
    if answer.entry[0]:
        return RESUME  # It decides itself.
    if (decision.value or 0) >= 1 << 63:
        return TO_PYTHON  # No signed word holds it.
    return {1: RESUME, 3: SKIP}.get(decision.combination, TO_PYTHON)
