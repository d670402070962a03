"""The user's answers at run time: constant decisions, handlers, and who wants to see results."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Final, NoReturn, TypeAlias

from accel.abi import Abi
from accel.call import Call, Look
from accel.decision import RESUME, Answer, Decision
from accel.errors import AccelError, HandlerError, TraceeDied
from accel.mask import SyscallMask
from accel.plan import Compiled, Plan, Rule
from accel.stops import SyscallEntryStop, SyscallExitStop
from bpf.value import frozen

if TYPE_CHECKING:
    from accel.checks import Judgements
    from accel.results import CallCounter

__all__ = ["ExitHandler", "ExitRule", "HandlerPolicy"]

#: Mechanisms whose stops tell no rule, so that the loop knows no answer.
_WITHOUT_LOOP: Final = ("ptrace-syscall", "sysemu")

_INSPECT: Final = Decision.inspect()

#: Sees a result; returns the one to put in its place, or None to keep it.
ExitHandler: TypeAlias = Callable[[SyscallExitStop], int | None]


@frozen
class ExitRule:
    """Who sees the results of the calls of a mask."""

    mask: SyscallMask
    handler: ExitHandler
    #: The handler, if it is compiled.
    compiled: Compiled | None = None


class HandlerPolicy:
    """Answers the stops of one run from its plan; a handler that raises ends the run."""

    def __init__(
        self,
        plan: Plan,
        exit_rules: Sequence[ExitRule] = (),
        *,
        exits_observed: bool = False,
        calls_observed: bool = True,
        is_recorded: bool = False,
    ) -> None:
        self.plan = plan
        self.exit_rules = exit_rules
        #: Whether somebody observes the results of observed calls.
        self.exits_observed = exits_observed
        #: Whether somebody observes calls at all, and not only counts them.
        self.calls_observed = calls_observed
        self._is_recorded = is_recorded
        #: Rules that a call only may fall under when it stops; every stop asks.
        self._unsettled = frozenset(
            index for index, rule in enumerate(plan.rules) if rule.judged or rule.where.reads_memory
        )
        self._has_filter = plan.has_filter
        self._found: dict[tuple[Abi, int], Sequence[ExitRule]] = {}
        #: Find the rule that the filter named; without another frame, as every stop asks.
        self.rule_of = plan.rule_of

    def match(self, call: Call) -> int | None:
        """Find the rule that a call, which no filter has judged, may fall under."""
        return self.plan.match(call)

    def sole_rule(self, abi: Abi, number: int) -> int | None:
        """Find the first rule about a call, if it has no condition."""
        for index, rule in enumerate(self.plan.rules):
            if (abi, number) in rule.mask:
                return index if not rule.where.all and index not in self._unsettled else None
        return None

    def settle(self, number: int, stop: SyscallEntryStop) -> int | None:
        """Find the rule that a call falls under, from one that it may fall under; None if none."""
        if number not in self._unsettled:
            return number
        return self.plan.settle(number, stop.call, Look(stop.memory))

    def is_watched(self, ret_data: int) -> bool:
        """Tell whether the call stopped for what it is, and not for a rule."""
        return self.plan.is_watched(ret_data)

    def loop_answers(self) -> dict[int, Answer]:
        """Map RET_DATA to the answer to the calls of a rule that no Python code looks at."""
        return self._answers(by_notify=False)

    def _answers(self, *, by_notify: bool) -> dict[int, Answer]:
        answers: dict[int, Answer] = {}
        decided = SyscallMask.none()
        for index, rule in enumerate(self.plan.rules):
            answer = None
            if rule.by_notify == by_notify:
                answer = self._loop_answer(index, rule, rule.mask - decided)
            if answer is not None:
                answers[self.plan.ret_data_of(index)] = answer
            if not rule.where.all:
                decided |= rule.mask
        return answers

    def judgements(self) -> Judgements | None:
        """Tell how the loop finds the rule of a call that ``settle`` is asked about; None: never.

        To the calls of rules that need no stop of their own it does what the filter would have.
        """
        if not self._unsettled or not self._has_filter:
            return None
        from accel.judgements import judgements  # noqa: PLC0415 - few need them

        return judgements(self.plan, self._unsettled, self._judged_answers(by_notify=False))

    def notify_judgements(self) -> Judgements | None:
        """Tell how the loop finds the rule of a call that comes by notification; None: never."""
        if not any(rule.by_notify for rule in self.plan.rules):
            return None
        if not any(rule.where.all for rule in self.plan.rules):
            return None
        from accel.judgements import judgements_of_notified  # noqa: PLC0415 - few need them

        return judgements_of_notified(self.plan, self._judged_answers(by_notify=True))

    def _judged_answers(self, *, by_notify: bool) -> dict[int, Answer]:
        answers = self._answers(by_notify=by_notify)
        for index, rule in enumerate(self.plan.rules):
            if rule.silent is not None:
                answers[self.plan.ret_data_of(index)] = _unheard(rule.silent, index)
        return answers

    def reasons_for_python(self) -> tuple[str, ...]:
        """Say of every rule why its stops go to Python; "" where the loop answers them."""
        reasons = []
        decided = SyscallMask.none()
        for rule in self.plan.rules:
            reasons.append(self._needs_python(rule, rule.mask - decided))
            if not rule.where.all:
                decided |= rule.mask
        if self.plan.mechanism in _WITHOUT_LOOP:
            reasons = [f"every stop of {self.plan.mechanism} goes to Python" for _ in reasons]
        return tuple(reasons)

    def _needs_python(self, rule: Rule, mask: SyscallMask) -> str:
        """Say why Python answers the calls of ``mask`` under a rule; "" if the loop can."""
        exits = self._seeing(mask)
        is_judged = bool(rule.judged or rule.where.reads_memory)
        if is_judged and not self._has_filter:
            reason = "Python judges its conditions"
        elif is_judged and rule.silent is not None:
            reason = ""  # What the filter would do, if it could tell that the rule matches.
        elif rule.decision is not None and (does := _done_by_python(rule.decision, rule)):
            reason = does
        elif rule.handler is not None and rule.compiled is None:
            reason = "its handler is not compiled (jit=True)"
        elif any(one.compiled is None for one in exits):
            reason = "its results go to a handler that is not compiled (jit=True)"
        elif len(exits) > 1 or any(mask - one.mask for one in exits):
            reason = "no single function sees all its results"
        elif self._looks_at(rule):
            reason = "Python looks at its stops"
        elif rule.by_event and rule.where.all:
            reason = "Python compares its arguments"
        else:
            reason = ""
        return reason

    def _seeing(self, mask: SyscallMask) -> list[ExitRule]:
        """Find who sees results of some calls of ``mask``."""
        return [one for one in self.exit_rules if mask & one.mask]

    def _looks_at(self, rule: Rule) -> bool:
        """Tell whether each call of a rule is shown to Python, which writes records itself."""
        return (self.calls_observed and not rule.recorded) or (rule.by_notify and self._is_recorded)

    def _loop_answer(self, index: int, rule: Rule, mask: SyscallMask) -> Answer | None:
        """Make the loop's answer to the calls of ``mask`` under a rule; None if it has none."""
        if self._needs_python(rule, mask):
            return self._asking(index, rule, mask)
        exits = self._seeing(mask)
        leaving = exits[0].compiled if exits else None
        entering = rule.compiled
        wanted = bool(exits) or (rule.observed and self.exits_observed)
        return Answer(
            decision=rule.decision or self._wanted(wanted),
            rule=index,
            entry=(entering.address, entering.state_address) if entering is not None else (0, 0),
            exit=(leaving.address, leaving.state_address) if leaving is not None else (0, 0),
        )

    def _asking(self, index: int, rule: Rule, mask: SyscallMask) -> Answer | None:
        """Make an answer to the calls of a rule that only one handler looks at, once; or None."""
        is_watched = self.calls_observed or (rule.observed and self.exits_observed)
        if is_watched or self._is_recorded or rule.by_event or not self._has_filter:
            return None
        exits = self._seeing(mask)
        is_undecided = rule.decision is None or rule.decision == _INSPECT
        if rule.handler is not None and rule.compiled is None and not exits:
            return Answer(RESUME, index, asks=rule.handler)
        if rule.handler is None and is_undecided and len(exits) == 1 and not rule.by_notify:
            [leaving] = exits
            if leaving.compiled is None and not (mask - leaving.mask or rule.where.results):
                return Answer(_INSPECT, index, asks=leaving.handler)
        return None

    def tells_exit(self, number: int, returned: int) -> bool:
        """Tell whether the exit of a call of a rule is to be told."""
        return self.plan.rules[number].where.tells(returned)

    def is_by_event(self, number: int) -> bool:
        """Tell whether the calls of a rule stop by an exit event."""
        return self.plan.rules[number].by_event

    def event_rules(self) -> dict[tuple[Abi, int], int]:
        """Map calls that stop by exit events to the RET_DATA of their rule."""
        answers = self.loop_answers()
        found: dict[tuple[Abi, int], int] = {}
        seen = SyscallMask.none()
        for index, rule in enumerate(self.plan.rules):
            ret_data = self.plan.ret_data_of(index)
            if rule.by_event and not rule.where.all and ret_data in answers:
                found |= dict.fromkeys(rule.mask - seen, ret_data)
            seen |= rule.mask
        return found

    def notify_answers(self) -> dict[tuple[Abi, int], Answer]:
        """Map calls that come by notification, under one rule alone, to its answer."""
        found: dict[tuple[Abi, int], Answer] = {}
        seen = SyscallMask.none()
        for index, rule in enumerate(self.plan.rules):
            if rule.by_notify and not rule.where.all:
                answer = self._loop_answer(index, rule, rule.mask - seen)
                if answer is not None:
                    found |= dict.fromkeys(rule.mask - seen, answer)
            seen |= rule.mask
        return found

    def watches(self, call: Call) -> bool:
        """Tell whether a call that no rule decides on is a blind spot to report."""
        return call in self.plan.watched

    def decide(self, number: int, stop: SyscallEntryStop, counter: CallCounter) -> Decision:
        """Answer a stop; count its handler."""
        rule = self.plan.rules[number]
        if self._has_filter and rule.silent is not None:
            return rule.silent  # It stopped for another rule, or for what it is.
        if rule.handler is None:
            return rule.decision or self._default(stop, rule)
        counter.handler_calls += 1
        try:
            answer = rule.handler(stop)
        except BaseException as error:  # noqa: BLE001 - raised again
            self.raised(stop, error)
        return self.decided(number, stop, answer)

    def raised(self, stop: SyscallEntryStop | SyscallExitStop, error: BaseException) -> NoReturn:
        """Raise what a handler has raised, as a HandlerError where it is an error of its own."""
        if isinstance(error, TraceeDied) and error.tid == stop.tid:
            raise error  # It was killed while its memory was read: nobody waits for an answer.
        if not isinstance(error, Exception):
            raise error
        is_exit = isinstance(stop, SyscallExitStop)
        if is_exit and isinstance(error, AccelError) and not isinstance(error, TraceeDied):
            raise error
        what = "exit handler" if is_exit else "handler"
        raise HandlerError(f"the {what} of {stop.name} raised {error!r}") from error

    def decided(self, number: int, stop: SyscallEntryStop, answer: object) -> Decision:
        """Read what the handler of a rule returned."""
        rule = self.plan.rules[number]
        if answer is None:
            return self._default(stop, rule)
        if not isinstance(answer, Decision):
            raise HandlerError(
                f"the handler of {stop.name} returned {answer!r}: return a Decision, or None"
            )
        if answer.injected is not None and not rule.by_notify:
            raise HandlerError(
                f"the handler of {stop.name} returned {answer}, and was called at a stop:"
                ' register it with mechanism="user-notify"'
            )
        return answer if answer.start else _at_a_stop(answer, stop)

    def _default(self, stop: SyscallEntryStop, rule: Rule) -> Decision:
        """Choose what a call gets that nobody decides on: an exit-stop only if it is wanted."""
        if rule.by_notify:
            return Decision.resume()
        wanted = (rule.observed and self.exits_observed) or bool(self._exits_of(stop.call))
        return self._wanted(wanted)

    def _exits_of(self, call: Call) -> Sequence[ExitRule]:
        """Find who sees the results of a call; every answer is kept, as every stop asks."""
        key = (call.abi, call.number)
        found = self._found.get(key)
        if found is None:
            found = self._found[key] = [one for one in self.exit_rules if key in one.mask]
        return found

    @staticmethod
    def _wanted(wanted: bool) -> Decision:
        return Decision.inspect() if wanted else Decision.resume()

    def returned(self, stop: SyscallExitStop, counter: CallCounter) -> int | None:
        """Show a result to its handlers, and count these; return the one to replace it with."""
        changed = None
        for one in self._exits_of(stop.call):
            counter.handler_calls += 1
            try:
                answer = one.handler(stop)
            except BaseException as error:  # noqa: BLE001 - raised again
                self.raised(stop, error)
            replacing = self.replacing(stop, answer)
            changed = changed if replacing is None else replacing
        return changed

    def replacing(self, stop: SyscallExitStop, answer: object) -> int | None:
        """Read what the handler of an exit returned."""
        if answer is not None and not isinstance(answer, int):
            raise HandlerError(
                f"the exit handler of {stop.name} returned {answer!r}:"
                " return the new result, or None to keep it"
            )
        return answer


def _done_by_python(decision: Decision, rule: Rule) -> str:
    """Say what of a decision no loop does; "" if there is nothing."""
    if not decision.start and not rule.by_event:
        return "Python hides its entry" if decision.call else "Python answers it"
    if not decision.is_plain:
        return "Python signals, or delays"
    return "Python makes a copy of the descriptor" if decision.injected is not None else ""


def _unheard(silent: Decision, rule: int) -> Answer:
    """Make the loop's answer to a call that nobody is to hear of."""
    decision = Decision.resume() if silent.call else Decision.skip(silent.value or 0)
    return Answer(decision, rule, is_recorded=False)


def _at_a_stop(decision: Decision, stop: SyscallEntryStop) -> Decision:
    """Read a decision as one that can be taken at a stop before the call."""
    if decision.call and not decision.exit:
        return Decision.resume()
    if decision.value is not None and not decision.exit:
        return Decision.skip(decision.value)
    raise HandlerError(
        f"the handler of {stop.name} returned {decision}: the call has stopped already;"
        " return inspect(), resume(), skip() or fail()"
    )
