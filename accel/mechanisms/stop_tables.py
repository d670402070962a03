"""What Python and the loop share of one run: which stops the loop answers, how, and its counts.

All of it is tables of 64-bit words, for compiled code to read and write; each is indexed by what
the kernel reports, so that looking up takes no search. Pages that nothing is written to take no
memory.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Final

from accel._kernel.words import Words
from accel.abi import Abi
from accel.decision import Decision
from accel.result import CallCounter

__all__ = [
    "BEAT",
    "CALLS",
    "CALL_SHIFT",
    "COUNTER_WORDS",
    "ERRORS",
    "EXIT_STOPS",
    "INSPECT",
    "MAX_NUMBER",
    "NANOSECONDS",
    "PENDING",
    "READY",
    "RESUME",
    "SCRATCH",
    "SECCOMP_STOPS",
    "SKIP",
    "STOPS",
    "TO_PYTHON",
    "StopTables",
]

#: include/linux/threads.h: no tid is as large on a 64-bit kernel, PID_MAX_LIMIT.
_PID_MAX_LIMIT: Final = 1 << 22
_RET_DATA_VALUES: Final = 1 << 16

# The state of a tracee: word 0 of its record; word 1 is when its pending call was entered.
TO_PYTHON: Final = 0
READY: Final = 1
#: From here on: a call that the loop let run is pending; the state is PENDING + its index.
PENDING: Final = 2

# What happens to a call: word 0 of the record of its RET_DATA; word 1 is the result to return.
# 0 is TO_PYTHON here, too.
RESUME: Final = 1
SKIP: Final = 2
INSPECT: Final = 3

# The counters of a call; its index is its number, plus MAX_NUMBER for i386.
CALL_SHIFT: Final = 10
MAX_NUMBER: Final = 1 << CALL_SHIFT
CALLS: Final = 0
STOPS: Final = 1
ERRORS: Final = 2
NANOSECONDS: Final = 3
COUNTER_WORDS: Final = 4

# The control words.
SECCOMP_STOPS: Final = 0
EXIT_STOPS: Final = 1
#: How many stops the loop answers before it returns 0, for Python to look at the clock.
BEAT: Final = 2
#: From here on: space for struct ptrace_syscall_info and struct user_regs_struct.
SCRATCH: Final = 4
_CONTROL_WORDS: Final = 64

_ABIS: Final = (Abi.X86_64, Abi.I386)
_ACTIONS: Final = {0: INSPECT, 1: RESUME, 3: SKIP}


class StopTables:
    """The tables of one tracing thread; only that thread writes, any may read the counts."""

    def __init__(self, answers: Mapping[int, Decision]) -> None:
        self.tracees = Words(2 * _PID_MAX_LIMIT)
        self.answers = Words(2 * _RET_DATA_VALUES)
        self.counters = Words(len(_ABIS) * MAX_NUMBER * COUNTER_WORDS)
        self.control = Words(_CONTROL_WORDS)
        actions = {ret_data: _action(decision) for ret_data, decision in answers.items()}
        for ret_data, action in actions.items():
            self.answers.view[2 * ret_data] = action
            if action == SKIP:
                self.answers.view[2 * ret_data + 1] = answers[ret_data].value or 0
        #: Whether there is anything for the loop to answer.
        self.has_answers = any(action != TO_PYTHON for action in actions.values())

    @property
    def addresses(self) -> tuple[int, int, int, int]:
        """Where the tables are, in the order in which compiled code takes them."""
        return (
            self.tracees.address,
            self.answers.address,
            self.counters.address,
            self.control.address,
        )

    # ------------------------------------------------------------------------- tracees

    def is_pending(self, tid: int) -> bool:
        """Whether the loop let a call run whose exit-stop it waits for."""
        return self.tracees.view[2 * tid] >= PENDING

    def admit(self, tid: int) -> None:
        """Let the loop answer the stops of a tracee; nothing changes if it does already."""
        if self.tracees.view[2 * tid] == TO_PYTHON:
            self.tracees.view[2 * tid] = READY

    def withhold(self, tid: int) -> None:
        """Let all stops of a tracee come to Python; a pending call is forgotten."""
        self.tracees.view[2 * tid] = TO_PYTHON

    def rename(self, former: int, tid: int) -> None:
        """Follow a thread that has taken another tid, as execve(2) makes it."""
        view = self.tracees.view
        view[2 * tid], view[2 * tid + 1] = view[2 * former], view[2 * former + 1]
        view[2 * former] = TO_PYTHON

    # ------------------------------------------------------------------------- counts

    @property
    def answered(self) -> int:
        """How many stops the loop has answered."""
        return self.control.view[SECCOMP_STOPS] + self.control.view[EXIT_STOPS]

    def stops(self) -> Counter[str]:
        """Count the stops that the loop answered, by kind; kinds without any are left out."""
        kinds = {"seccomp": SECCOMP_STOPS, "exit": EXIT_STOPS}
        words = self.control.view
        return Counter({kind: words[index] for kind, index in kinds.items() if words[index]})

    def calls(self) -> Iterator[tuple[tuple[Abi, int], CallCounter]]:
        """List the calls that the loop answered, with what it counted."""
        words = self.counters.view
        for index in range(len(_ABIS) * MAX_NUMBER):
            at = index * COUNTER_WORDS
            if words[at + STOPS]:
                key = (_ABIS[index >> CALL_SHIFT], index & (MAX_NUMBER - 1))
                yield (
                    key,
                    CallCounter(
                        calls=words[at + CALLS],
                        stops=words[at + STOPS],
                        errors=words[at + ERRORS],
                        nanoseconds=words[at + NANOSECONDS],
                    ),
                )


def _action(decision: Decision) -> int:
    if (decision.value or 0) >= 1 << 63:
        return TO_PYTHON  # No signed word holds it.
    return _ACTIONS.get(decision.combination, TO_PYTHON)
