"""What Python and the loop share of one run: which stops the loop answers, how, and its counts.

All of it is tables of 64-bit words, for compiled code to read and write; each is indexed by what
the kernel reports, so that looking up takes no search. Pages that nothing is written to take no
memory. The control words hold the addresses of all other tables.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from accel._kernel import machine_code, ptrace
from accel._kernel.words import Words
from accel.abi import Abi
from accel.decision import Answer
from accel.mechanisms.ring import CONTROL_WORDS, FOUND, Ring
from accel.records import ABIS, LAYOUT, RECORD_SIZE
from accel.results import CallCounter

if TYPE_CHECKING:
    from accel.checks import Judgements

__all__ = ["StopTables"]

#: include/linux/threads.h: no tid is as large on a 64-bit kernel, PID_MAX_LIMIT.
_PID_MAX_LIMIT: Final = 1 << 22
_RET_DATA_VALUES: Final = 1 << 16

# What a loop finds, or -errno: the number of answered stops that was asked for; a change that is
# Python's; a ring that may not hold what one more stop writes; from ASKED on, a stop that only the
# handler of a rule has to see: ASKED + the position of that rule, + EXITS if it is an exit-stop.
BEAT_DUE: Final = 0
CHANGED: Final = 1
RING_FULL: Final = 2
ASKED: Final = 16
EXITS: Final = 1 << 16

# A tracee has a record: that of its pending call, see accel.records. Where a record in the ring
# tells of the strings, the last word here is the state.
RECORD_WORDS: Final = RECORD_SIZE // 8
ENTERED_NS, LEFT_NS, IDENTITY, NUMBER, ARGUMENTS, RESULT, STRINGS, FLAGS = 0, 1, 2, 3, 4, 10, 11, 12
INSTRUCTION_POINTER, STACK_POINTER, TRACEE_STATE = 13, 14, 15
TO_PYTHON: Final = 0
READY: Final = 1
#: From here on: a call that the loop let run is pending; the state is PENDING + its RET_DATA.
PENDING: Final = 2

# What happens to a call: an answer for each RET_DATA. Its action is TO_PYTHON, or one of these.
# ASK: the handler of its rule decides, and nobody else looks. The loop counts the call, and leaves
# it to Python to say how the tracee is resumed (REPLY_TID). EXIT may be ASK, too. Both are
# TO_PYTHON unless the control words say that the loop ASKS.
# JUDGE: the filter could not tell the rule; the answer is then that of JUDGED + the RET_DATA of the
# rule that the call falls under, that of NOBODY, or UNKNOWN, which is TO_PYTHON.
RESUME: Final = 1
SKIP: Final = 2
INSPECT: Final = 3
SKIP_INSPECT: Final = 4
JUDGE: Final = 5
ASK: Final = 6
JUDGED: Final = _RET_DATA_VALUES
NOBODY: Final = JUDGED
UNKNOWN: Final = 2 * JUDGED - 1
ACTION, VALUE, RECORDED, RULE, ANSWER_WORDS = 0, 1, 2, 3, 8
ENTRY, ENTRY_STATE, EXIT, EXIT_STATE = 4, 5, 6, 7

# The counters of a call; its index is its number, plus MAX_NUMBER for i386.
CALL_SHIFT: Final = 10
MAX_NUMBER: Final = 1 << CALL_SHIFT
CALLS, STOPS, ERRORS, NANOSECONDS, HANDLER_CALLS, COUNTER_WORDS = 0, 1, 2, 3, 4, 5

# The control words. BEAT: after how many answered stops Python wants to look. TRACEES: how many
# there are. REPLY_*: how to resume the tracee whose stop Python has answered, and what to do to its
# call before: SKIP_CALL, SET_RESULT or nothing. The queue: changes that wait(2) has reported. INFO:
# the struct ptrace_syscall_info of a syscall-stop or seccomp-stop.
SECCOMP_STOPS, EXIT_STOPS, BEAT, TRACEES = 0, 1, 2, 3
CHANGE_TID, CHANGE_STATUS, REPLY_EFFECT, REPLY_TID, REPLY_REQUEST, REPLY_SIGNAL = 4, 5, 6, 7, 8, 9
SKIP_CALL, SET_RESULT = 1, 2
QUEUE_FIRST, QUEUE_END = 10, 11
# 12 to 20 are the ring's.
TABLES: Final = 21
#: Behind the tables: exit events, see exit_events. How many were answered; two more tables: of each
#: thread, where its ring is; of each call, the RET_DATA of the rule that it falls under, or 0.
EXIT_EVENT_STOPS, EVENT_RINGS, EXIT_RULES = 29, 30, 31
INFO: Final = 32
#: The value that a function of the user's returned.
NEW_VALUE: Final = 80
#: 81 is FOUND, see ring. Where numba would put an exception: the loop raises none.
EXCEPTION: Final = 82
#: The siginfo_t of a signal-delivery-stop, and what an exit event's SIGTRAP carries in it.
SIGINFO: Final = 84
EVENT_COOKIE: Final = 0x6163_6365_6C00_0001
#: Where the tables are that calls are judged by, see judge_tables; 0: there are none.
JUDGEMENT: Final = 100
#: How many stops a SIGKILL or another thread's execve ended before they could be looked at.
ENDED_STOPS: Final = 101
#: Whether handlers are asked at once, where that is the answer.
ASKS: Final = 102
#: A page and more that functions of the user's read tracee memory into.
_MEMORY_WORDS: Final = 512 + 64
QUEUE_LENGTH: Final = 4096

_ACTIONS: Final = {0: INSPECT, 1: RESUME, 2: SKIP_INSPECT, 3: SKIP}


class StopTables:
    """The tables of one tracing thread; only that thread writes, any may read the counts.

    ``answers`` are given by RET_DATA; ``captures`` tells which arguments of a call are strings to
    record, as bits, by ABI and number; ``exit_rules`` which RET_DATA, though no filter returns it,
    stands for the rule of a call that stops by an exit event. ``judgements`` are of the calls whose
    rule the filter does not tell.
    """

    def __init__(
        self,
        answers: Mapping[int, Answer],
        ring: Ring | None = None,
        captures: Mapping[tuple[Abi, int], int] | None = None,
        exit_rules: Mapping[tuple[Abi, int], int] | None = None,
        judgements: Judgements | None = None,
    ) -> None:
        self.control = ring.control if ring is not None else Words(CONTROL_WORDS)
        self.entry = entry_of(self.control)
        self.tracees = Words(RECORD_WORDS * _PID_MAX_LIMIT)
        self.answers = Words(ANSWER_WORDS * 2 * _RET_DATA_VALUES)
        self.counters = Words(len(ABIS) * MAX_NUMBER * COUNTER_WORDS)
        self.captures = Words(len(ABIS) * MAX_NUMBER)
        self.queue = Words(QUEUE_LENGTH)
        self.memory = Words(_MEMORY_WORDS)
        self.ring = ring
        #: Whom the loop asks, by the number of the rule.
        self.handlers: dict[int, Callable[[Any], object]] = {}
        #: Tell what ``info`` does, without making a value of it: op, arch, ip, sp, number,
        #: arguments, RET_DATA.
        self.words = partial(ptrace.SYSCALL_INFO.unpack_from, self.control.bytes, 8 * INFO)
        tables = (self.tracees, self.answers, self.counters, self.captures, self.queue)
        words = [*tables, *(ring.tables if ring is not None else (self.memory,) * 2), self.memory]
        for index, table in enumerate(words):
            self.control.view[TABLES + index] = table.address
        for ret_data, answer in answers.items():
            self._store(ANSWER_WORDS * ret_data, answer)
        self.event_rings = Words(_PID_MAX_LIMIT)
        self.exit_rules = Words(len(ABIS) * MAX_NUMBER)
        self.control.view[EVENT_RINGS] = self.event_rings.address
        self.control.view[EXIT_RULES] = self.exit_rules.address
        for table, values in ((self.captures, captures), (self.exit_rules, exit_rules)):
            for (abi, number), value in (values or {}).items():
                if number < MAX_NUMBER:
                    table.view[ABIS.index(abi) * MAX_NUMBER + number] = value
        #: What calls are judged by.
        self.judge = None
        if judgements is not None:
            from accel.mechanisms.judge_tables import JudgeTables  # noqa: PLC0415 - few need them

            self._store_judged(judgements)
            self.judge = JudgeTables(judgements)
            self.control.view[JUDGEMENT] = self.judge.words.address

    def _store_judged(self, judgements: Judgements) -> None:
        view = self.answers.view
        for ret_data in judgements.judged:
            view[ANSWER_WORDS * ret_data + ACTION] = JUDGE
        for ret_data, answer in judgements.answers:
            self._store(ANSWER_WORDS * (JUDGED + ret_data), answer)
        view[ANSWER_WORDS * NOBODY + ACTION] = RESUME

    def _store(self, at: int, answer: Answer) -> None:
        view = self.answers.view
        view[at + ACTION] = action = _action(answer)
        view[at + VALUE] = answer.decision.value or 0 if action in (SKIP, SKIP_INSPECT) else 0
        view[at + RECORDED] = answer.is_recorded and self.ring is not None
        view[at + RULE] = answer.rule
        view[at + ENTRY], view[at + ENTRY_STATE] = answer.entry
        view[at + EXIT], view[at + EXIT_STATE] = answer.exit
        if answer.asks is not None:
            self.handlers[answer.rule] = answer.asks
            view[at + EXIT] = ASK if action == INSPECT else 0

    # ------------------------------------------------------------------------- tracees

    def is_pending(self, tid: int) -> bool:
        """Whether the loop let a call run whose exit-stop it waits for."""
        return self.tracees.view[RECORD_WORDS * tid + TRACEE_STATE] >= PENDING

    def admit(self, tid: int, pid: int) -> bool:
        """Let the loop answer the stops of a tracee; tell whether a call of it is pending there."""
        view, at = self.tracees.view, RECORD_WORDS * tid
        state = view[at + TRACEE_STATE]
        if state == TO_PYTHON:
            view[at + IDENTITY] = tid | pid << 32
            view[at + TRACEE_STATE] = READY
        return state >= PENDING

    def withhold(self, tid: int) -> None:
        """Let all stops of a tracee come to Python; a pending call is one that never returns."""
        view, at = self.tracees.view, RECORD_WORDS * tid
        state, view[at + TRACEE_STATE] = view[at + TRACEE_STATE], TO_PYTHON
        if state >= PENDING and self.answers.view[ANSWER_WORDS * (state - PENDING) + RECORDED]:
            assert self.ring is not None
            self.ring.append(self.record(tid))

    def record(self, tid: int) -> bytes:
        """Copy the record of a tracee's pending call."""
        at = RECORD_WORDS * tid
        return bytes(self.tracees.view[at : at + RECORD_WORDS])

    def fields(self, tid: int) -> tuple[int, ...]:
        """Read that record, as ``accel.records.LAYOUT`` does."""
        return LAYOUT.unpack_from(self.tracees.bytes, RECORD_SIZE * tid)

    def rename(self, former: int, tid: int) -> None:
        """Follow a thread that has taken another tid, as execve(2) makes it."""
        view = self.tracees.view
        old, new = RECORD_WORDS * former, RECORD_WORDS * tid
        view[new : new + RECORD_WORDS] = view[old : old + RECORD_WORDS]
        view[new + IDENTITY] = tid | view[old + IDENTITY] >> 32 << 32
        view[old + TRACEE_STATE] = TO_PYTHON

    # ------------------------------------------------------------------------- the loop's words

    @property
    def change(self) -> tuple[int, int]:
        """The tid and status of the change that the loop has left to Python."""
        view = self.control.view
        return view[CHANGE_TID], view[CHANGE_STATUS]

    def has_more_of(self, tid: int) -> bool:
        """Tell whether another change of a tracee waits in the queue."""
        first, end = self.control.view[QUEUE_FIRST], self.control.view[QUEUE_END]
        return any(change >> 32 == tid for change in self.queue.view[first:end])

    @property
    def info(self) -> ptrace.SyscallInfo:
        """What PTRACE_GET_SYSCALL_INFO says of that change, a syscall-stop or seccomp-stop."""
        return ptrace.parse_syscall_info(self.control.bytes, 8 * INFO)

    def reply(self, tid: int, request: int, signal: int) -> None:
        """Let the loop resume a tracee, before it waits."""
        view = self.control.view
        view[REPLY_TID], view[REPLY_REQUEST], view[REPLY_SIGNAL] = tid, request, signal

    def skip_call(self, value: int) -> None:
        """Let that tracee's call not run, and return ``value``, at an entry- or seccomp-stop.

        The number becomes -1, which no filter judges again (kernel/seccomp.c), and the result is
        set at once, since no exit-stop may follow. Two ptrace calls.
        """
        self._affect(SKIP_CALL, value)

    def set_result(self, value: int) -> None:
        """Let that tracee see another result, at an exit-stop. Two ptrace calls."""
        self._affect(SET_RESULT, value)

    def take_effect(self) -> tuple[int, int]:
        """Take back what was to be done to the call of the tracee that is stopped now."""
        view = self.control.view
        effect, view[REPLY_EFFECT] = view[REPLY_EFFECT], 0
        return effect, view[NEW_VALUE]

    def restore_effect(self, effect: int, value: int) -> None:
        """Let it be done after all, to the tracee that is replied to next."""
        view = self.control.view
        view[REPLY_EFFECT], view[NEW_VALUE] = effect, value

    def _affect(self, effect: int, value: int) -> None:
        view = self.control.view
        view[REPLY_EFFECT] = effect
        view[NEW_VALUE] = value - (1 << 64) if value >> 63 > 0 else value

    # ------------------------------------------------------------------------- counts

    def failed(self, abi: Abi, number: int, more: int = 1) -> None:
        """Count that a call which a handler was asked about fails, or that it does not."""
        call = number + MAX_NUMBER * ABIS.index(abi)
        self.counters.view[COUNTER_WORDS * call + ERRORS] += more

    @property
    def answered(self) -> int:
        """How many stops the loop has answered, or asked handlers about."""
        view = self.control.view
        return view[SECCOMP_STOPS] + view[EXIT_STOPS] + view[EXIT_EVENT_STOPS]

    def stops(self) -> Counter[str]:
        """Count those stops by kind; kinds without any are left out."""
        kinds = {
            "seccomp": SECCOMP_STOPS,
            "exit": EXIT_STOPS,
            "exit-event": EXIT_EVENT_STOPS,
            "ended": ENDED_STOPS,
        }
        words = self.control.view
        return Counter({kind: words[index] for kind, index in kinds.items() if words[index]})

    def calls(self) -> Iterator[tuple[tuple[Abi, int], CallCounter]]:
        """List the calls that the loop answered or asked about, with what it counted."""
        words = self.counters.view
        for index in range(len(ABIS) * MAX_NUMBER):
            at = index * COUNTER_WORDS
            if words[at + STOPS]:
                key = (ABIS[index >> CALL_SHIFT], index & (MAX_NUMBER - 1))
                yield (
                    key,
                    CallCounter(
                        calls=words[at + CALLS],
                        stops=words[at + STOPS],
                        errors=words[at + ERRORS],
                        nanoseconds=words[at + NANOSECONDS],
                        handler_calls=words[at + HANDLER_CALLS],
                    ),
                )


def entry_of(control: Words) -> tuple[object, ...]:
    """Make the arguments of a compiled loop: int f(int64 *result, void **exception, int64 control).

    That is how numba enters a function.
    """
    address = control.address
    return machine_code.words(address + 8 * FOUND, address + 8 * EXCEPTION, address)


def _action(answer: Answer) -> int:
    if answer.asks is not None and not answer.decision.exit:
        return ASK
    if answer.entry[0]:
        return INSPECT  # It decides itself; this says that it may need the time of day.
    if (answer.decision.value or 0) >= 1 << 63:
        return TO_PYTHON  # No signed word holds it.
    return _ACTIONS.get(answer.decision.combination, TO_PYTHON)
