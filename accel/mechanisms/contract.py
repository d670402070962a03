"""What a mechanism asks of whoever runs it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from accel.abi import Abi
from accel.call import Call
from accel.decision import Answer, Decision
from accel.records import Sink
from accel.stops import Stop, SyscallEntryStop, SyscallExitStop

if TYPE_CHECKING:
    from accel.checks import Judgements

__all__ = ["Observer", "Policy", "RecordObserver", "RuleNumber"]

#: The position of a rule in its plan.
RuleNumber = int


class Policy(Protocol):
    """The answers: which rule a call falls under, and what that rule says."""

    def match(self, call: Call) -> RuleNumber | None:
        """Find the rule that a call, which no filter has judged, may fall under; None if none."""

    def settle(self, rule: RuleNumber, stop: SyscallEntryStop) -> RuleNumber | None:
        """Find the rule that a call does fall under, from one that it may; None if none.

        Rules that ask for tracee memory can be judged here only.
        """

    def rule_of(self, ret_data: int) -> RuleNumber | None:
        """Find the rule that the filter named in SECCOMP_RET_DATA; None if it is not a rule's."""

    def is_watched(self, ret_data: int) -> bool:
        """Tell whether the filter stopped a call for what it is, and not for a rule."""

    def loop_answers(self) -> Mapping[int, Answer]:
        """Map SECCOMP_RET_DATA to its answer, where no Python code needs to see the stop."""

    def judgements(self) -> Judgements | None:
        """Tell how the loop finds the rule of a call that ``settle`` is asked about; None: never.

        Where it does not find one that ``loop_answers`` would answer, the stop is Python's.
        """

    def event_rules(self) -> Mapping[tuple[Abi, int], int]:
        """Map calls that stop by exit events to a RET_DATA, where ``loop_answers`` has an answer.

        Those whose rule their number alone does not tell are left out.
        """

    def decide(self, rule: RuleNumber, stop: SyscallEntryStop) -> tuple[Decision, int]:
        """Answer a stop; tell how many handlers ran.

        At a stop before the call, 4 and 6 mean that it is not told, only the exit is.
        """

    def is_by_event(self, rule: RuleNumber) -> bool:
        """Tell whether the calls of a rule stop by an exit event."""

    def tells_exit(self, rule: RuleNumber, returned: int) -> bool:
        """Tell whether the exit of a call of that rule is to be told, as its result is."""

    def returned(self, stop: SyscallExitStop) -> tuple[int | None, int]:
        """Show a result to its handlers; return the one to replace it with, and how many ran."""


class Observer(Protocol):
    """Who is told of every stop, in the tracing thread, while the tracee is stopped."""

    def __call__(self, stop: Stop, /) -> None:
        """Take note of ``stop``; its memory is readable until this returns."""


@runtime_checkable
class RecordObserver(Observer, Sink, Protocol):
    """An observer that records are enough for: it is told of some calls later, by another thread.

    The two are never at work at the same time, and everything comes in the order of events. Records
    of calls that have only begun come, too (ENTERED), and no call that it has been told of as an
    observer.
    """

    def takes_records_of(self, abi: Abi, name: str, /) -> bool:
        """Tell whether a record, with the strings that arguments point to, says enough."""
