"""What a mechanism asks of whoever runs it, for whoever checks types: nothing here runs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, NoReturn, Protocol

from accel.abi import Abi
from accel.call import Call
from accel.decision import Answer, Decision
from accel.records import Blocks, Sink
from accel.results import CallCounter
from accel.stops import Stop, SyscallEntryStop, SyscallExitStop

if TYPE_CHECKING:
    from accel.checks import Judgements

__all__ = [
    "Loop",
    "Mechanism",
    "Observer",
    "Policy",
    "RecordObserver",
    "RuleNumber",
]

#: The position of a rule in its plan.
RuleNumber = int


class Policy(Protocol):
    """The answers: which rule a call falls under, and what that rule says."""

    def match(self, call: Call) -> RuleNumber | None:
        """Find the rule that a call, which no filter has judged, may fall under; None if none."""

    def sole_rule(self, abi: Abi, number: int) -> RuleNumber | None:
        """Find the rule of a call that its number alone tells; None if there is none."""

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

    @property
    def calls_observed(self) -> bool:
        """Whether somebody observes calls, and does not only count them."""

    def notify_answers(self) -> Mapping[tuple[Abi, int], Answer]:
        """Map calls that come by notification to their answer, where no Python code needs to see.

        Those whose rule their number alone does not tell are left out.
        """

    def notify_judgements(self) -> Judgements | None:
        """Tell how the loop finds the rule of those that were left out; None: never."""

    def watches(self, call: Call) -> bool:
        """Tell whether a call that no rule decides on is a blind spot to report."""

    def decide(self, rule: RuleNumber, stop: SyscallEntryStop, counter: CallCounter) -> Decision:
        """Answer a stop; count its handler, if there is one, before it runs.

        At a stop before the call, 4 and 6 mean that it is not told, only the exit is.
        """

    def raised(self, stop: SyscallEntryStop | SyscallExitStop, error: BaseException) -> NoReturn:
        """Raise what the handler of a stop has raised: TraceeDied, or an error of its own."""

    def decided(self, rule: RuleNumber, stop: SyscallEntryStop, answer: object) -> Decision:
        """Read what the handler of a rule returned; as ``decide``.

        Raise HandlerError if that is no decision, or cannot be done there.
        """

    def is_by_event(self, rule: RuleNumber) -> bool:
        """Tell whether the calls of a rule stop by an exit event."""

    def tells_exit(self, rule: RuleNumber, returned: int) -> bool:
        """Tell whether the exit of a call of that rule is to be told, as its result is."""

    def returned(self, stop: SyscallExitStop, counter: CallCounter) -> int | None:
        """Show a result to its handlers, counting these; return the one to replace it with."""

    def replacing(self, stop: SyscallExitStop, answer: object) -> int | None:
        """Read what the handler of an exit returned; raise HandlerError if that is no result."""


class Mechanism(Protocol):
    """What a thread runs from the start of its tracees to their end, and a Tracer asks of it."""

    @property
    def status(self) -> int | None:
        """How the command ended, as a status of wait(2); None while it runs."""

    @property
    def seen(self) -> int:
        """How many threads were ever traced."""

    @property
    def lost(self) -> int:
        """How many calls nobody could be told of."""

    @property
    def notifications(self) -> int:
        """How many user notifications there were so far; from any thread."""

    @property
    def is_helper(self) -> bool:
        """Whether the caller is a thread of its own that runs handlers, besides the tracing one."""

    def started(self) -> None:
        """Take note that the command runs; in the host's thread that started it."""

    def run(self) -> None:
        """Go on until no tracee is left; whatever it raises, the next time all will end."""

    def end(self) -> None:
        """Kill every tracee, or let those go that were attached to; in the tracing thread."""

    def abandon(self) -> None:
        """End without another word to anybody."""

    def close(self) -> None:
        """Hand over what was recorded; nothing is traced any more."""

    def stops_by_kind(self) -> Counter[str]:
        """Count all kernel stops so far; from any thread."""

    def counters(self) -> Mapping[tuple[Abi, int], CallCounter]:
        """Sum up every call so far; from any thread."""


class Loop(Mechanism, Protocol):
    """One that waits by wait(2)."""

    def step(self) -> None:
        """Go on with what ``run`` did not know of; raise ChildProcessError if there is nothing."""

    def add_bell(self, pid: int, ring: Callable[[], None]) -> None:
        """Call ``ring`` when the child ``pid`` ends: how another thread interrupts the wait."""

    def remove_bell(self, pid: int) -> None:
        """Forget a bell that its owner takes down."""


class Observer(Protocol):
    """Who is told of every stop, in the tracing thread, while the tracee is stopped."""

    def __call__(self, stop: Stop, /) -> None:
        """Take note of ``stop``; its memory is readable until this returns."""


class RecordObserver(Observer, Sink, Protocol):
    """An observer that records are enough for: it is told of some calls later, by another thread.

    The two are never at work at the same time, and everything comes in the order of events. Records
    of calls that have only begun come, too (ENTERED), and no call that it has been told of as an
    observer.
    """

    def takes_records_of(self, abi: Abi, name: str, /) -> bool:
        """Tell whether a record, with the strings that arguments point to, says enough."""

    def blocks_of(self, abi: Abi, name: str, /) -> Blocks:
        """Tell what is to be recorded besides.

        At most ``records.STRING_LIMIT`` bytes of each; with the strings ``records.MAX_STRINGS``.
        """
