"""What the user of a Tracer asks for before it starts: rules, handlers, observers, sinks."""

from __future__ import annotations

import errno as _errno
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Final, Literal, TypeAlias, cast, get_args

import bpf
from accel.abi import Abi
from accel.arguments import AnyCondition, Conditions
from accel.capabilities import check_decision, check_wanted
from accel.decision import Decision
from accel.errors import MaskError, SetupError
from accel.mask import SyscallMask, mask_of
from accel.mechanism_choice import Choice, choose
from accel.mechanisms.record_observers import takes_records
from accel.plan import Compiled, EntryHandler, Plan, Rule, check
from accel.policy import ExitHandler, ExitRule, HandlerPolicy
from accel.records import MAX_STRINGS, STRING_LIMIT, Sink
from accel.roles import string_arguments
from accel.stops import Stop, SyscallEntryStop, SyscallExitStop
from bpf.value import replace

if TYPE_CHECKING:
    from accel.mechanisms.contract import Observer, RecordObserver
    from accel.mechanisms.exit_events import ExitEvents
    from accel.mechanisms.recorder import Recorder
    from accel.oci.profile import FilterRule, Profile

__all__ = ["RuleBook", "WhenFull"]

#: What happens when records come faster than a sink takes them: tracees wait, or records are lost.
WhenFull: TypeAlias = Literal["wait", "drop"]

#: What system calls can start that system calls do not show.
_BLIND_SPOTS: Final = "io_uring_setup"


class RuleBook:
    """The rules of one run, in order, and who hears of what.

    ``always`` are calls that stop whatever the rules say, see ``Plan``.
    """

    def __init__(
        self,
        mask: SyscallMask | None,
        always: SyscallMask | None = None,
        mechanism: str = "auto",
        *,
        attaches: bool = False,
    ) -> None:
        self.mask = mask
        self.mechanism = mechanism
        self._attaches = attaches
        self._always = always or SyscallMask.none()
        self._rules: list[Rule] = []
        self._exit_rules: list[ExitRule] = []
        self._observers: list[Observer] = []
        self._event_observers: list[Observer] = []
        self._sinks: list[Sink] = []
        #: What came of it, until something is added.
        self._plan: Plan | None = None
        self._program: bpf.Program | None = None
        self._mechanisms: Choice | None = None
        self._exits_observed = False
        self._captures_strings = False
        self._drops = False
        #: What a profile gives to calls of an ABI without rules.
        self._foreign: bpf.Action | None = None

    # ------------------------------------------------------------------------- what is asked for

    def add(
        self,
        mask: SyscallMask | str,
        where: AnyCondition | None,
        *,
        decision: Decision | None = None,
        handler: EntryHandler | None = None,
        compiled: Compiled | None = None,
        wanted: str = "",
    ) -> None:
        """Add a rule; ``wanted`` is the mechanism that its user asks for.

        Raise MaskError if its conditions do not fit its calls, SetupError for what the mechanism
        does not offer.
        """
        self.close()
        selected = mask_of(mask)
        conditions = Conditions.of(where)
        check(conditions, selected)
        check_wanted(self.mechanism, wanted)
        if decision is not None:
            check_decision(wanted or self.mechanism, decision)
        elif self.mechanism.startswith("exit-event"):
            raise SetupError(
                "exit-event has no stop before a call", hint="use on_exit, or mechanism auto"
            )
        else:
            self._refuse_handler()
        if conditions.results and decision != Decision.exit_only():
            raise MaskError(
                f"{conditions}: before a call there is no result",
                hint="such a condition goes with Decision.exit_only()",
            )
        for part, observed in self._by_observed(selected):
            rule = Rule(part, decision, handler, conditions, observed, compiled, wanted=wanted)
            self._rules.append(rule)

    def enforce(self, profile: Profile) -> None:
        """Add the rules of a profile; raise SetupError where no filter would keep them."""
        if self._attaches or self.mechanism not in ("auto", "seccomp-trace"):
            where = "in a running process" if self._attaches else f"by {self.mechanism}"
            raise SetupError(
                f"a profile is kept by a filter, and none is installed {where}",
                hint="run a command, with mechanism auto or seccomp-trace",
            )
        self.close()
        self._foreign = profile.foreign
        for one in profile.rules:
            conditions = Conditions.of(one.where)
            check(conditions, one.mask)
            is_allowed = one.action == bpf.Action.allow()
            parts = self._by_observed(one.mask) if is_allowed else [(one.mask, False)]
            for part, observed in parts:
                self._rules.append(_enforced(Rule(part, None, None, conditions, observed), one))

    def check_profile(self) -> None:
        """Raise SetupError if a profile does not let the command be executed."""
        if self._foreign is None:
            return
        execve = bpf.SeccompData(Abi.X86_64.numbers["execve"], Abi.X86_64.audit_arch)
        answer = bpf.evaluate(self.program, execve)
        if answer.precedence < bpf.Action.trace(0).precedence:
            raise SetupError(
                f"the profile answers execve with {answer}: no command can start",
                hint="let it allow execve",
            )

    def _by_observed(self, selected: SyscallMask) -> list[tuple[SyscallMask, bool]]:
        """Tell the calls that the user observes from the others."""
        seen = selected & self.mask if self.mask is not None else SyscallMask.none()
        parts = ((seen, True), (selected - seen, False))
        return [(part, observed) for part, observed in parts if part]

    def add_exit(
        self, mask: SyscallMask | str, handler: ExitHandler, compiled: Compiled | None = None
    ) -> None:
        """Let ``handler`` see the results of the calls of ``mask``."""
        self._refuse_handler()
        self.close()
        self._exit_rules.append(ExitRule(mask_of(mask), handler, compiled))

    def _refuse_handler(self) -> None:
        if self.mechanism == "observe":
            raise SetupError(
                "mechanism observe stops nothing, so that no handler can answer",
                hint="use observe(), or mechanism auto",
            )

    def observe(self, observer: Observer, *, exits: bool, calls: bool) -> None:
        """Let ``observer`` hear of stops."""
        self.close()
        if not calls:
            self._event_observers.append(observer)
        else:
            self._observers.append(observer)
            if takes_records(observer):
                self._sinks.append(observer)
        self._exits_observed |= exits

    def record(self, sink: Sink, *, exits: bool, strings: bool, when_full: WhenFull) -> None:
        """Let ``sink`` have the records of all calls that stop."""
        self.close()
        if when_full not in get_args(WhenFull):
            raise SetupError(f"when_full is {when_full!r}", hint="use 'wait' or 'drop'")
        self._sinks.append(sink)
        # By notification there are no results: that is what its records say.
        self._exits_observed |= exits and self.mechanism != "user-notify"
        self._captures_strings |= strings
        self._drops |= when_full == "drop"

    # ------------------------------------------------------------------------- what comes of it

    @property
    def plan(self) -> Plan:
        """The rules in the order in which they are tried, the observed calls last."""
        self._plan = self._plan or self._planned()
        return self._plan

    @property
    def program(self) -> bpf.Program:
        """The filter that the plan compiles to; raise what ``Plan.compile`` raises."""
        self._program = self._program or self.plan.compile()
        return self._program

    def close(self) -> None:
        """Give up the plan as it is, and the exit events that it was to have."""
        events = self._mechanisms.exit_events if self._mechanisms is not None else None
        self._plan = self._program = self._mechanisms = None
        if events is not None:
            events.close()

    def _planned(self) -> Plan:
        rules = [part for rule in self._rules for part in self._parts(rule)]
        for one in self._exit_rules:
            rules.append(Rule(one.mask - _decided(rules), observed=True))
        if self.mask is not None:
            rules += self._parts(Rule(self.mask - _decided(rules), observed=True))
        rules = [rule for rule in rules if rule.mask]
        draft = Plan(
            tuple(rules),
            SyscallMask.parse(_BLIND_SPOTS),
            self._always,
            foreign=self._foreign,
            inspected=self._inspected(),
        )
        self._mechanisms = choose(draft, self.mechanism, attaches=self._attaches)
        plan = self._mechanisms.plan
        plan = plan.fitted() if plan.has_filter else plan
        if plan.notifies:
            from accel.mixed_plan import check_notified  # noqa: PLC0415 - few want it

            check_notified(plan, is_recorded=bool(self._sinks))
        plan = replace(plan, notes=(*plan.notes, *plan.notes_on_judging()))
        return replace(plan, python=self.policy(plan).reasons_for_python())

    def _inspected(self) -> SyscallMask:
        """Select the calls whose results somebody wants to see."""
        inspected = SyscallMask.none()
        if self._exits_observed and self.mask is not None:
            inspected |= self.mask
        for one in self._exit_rules:
            inspected |= one.mask
        return inspected

    @property
    def exit_events(self) -> ExitEvents | None:
        """What stops calls at their exit, of the plan as it is; None if nothing does."""
        _ = self.plan
        assert self._mechanisms is not None
        return self._mechanisms.exit_events

    @property
    def tells_calls(self) -> bool:
        """Whether anybody is told of calls when they stop, and not of their records."""
        return bool(self._observers) and not self.defers

    @property
    def defers(self) -> bool:
        """Whether records are enough for all who observe calls."""
        return bool(self._observers) and all(takes_records(o) for o in self._observers)

    def _parts(self, rule: Rule) -> list[Rule]:
        """Tell apart the calls whose records say enough to all who observe calls."""
        is_seen_once = rule.decision in (None, Decision.exit_only()) and rule.handler is None
        if not self.defers or not rule.observed or not is_seen_once:
            return [rule]
        observers = cast("list[RecordObserver]", self._observers)
        recorded = SyscallMask.of(
            (abi, number)
            for abi, number in rule.mask
            if all(one.takes_records_of(abi, abi.call_name(number)) for one in observers)
        )
        return [
            replace(rule, mask=recorded, recorded=True),
            replace(rule, mask=rule.mask - recorded),
        ]

    def policy(self, plan: Plan) -> HandlerPolicy:
        """Make the answers of one run."""
        return HandlerPolicy(
            plan,
            tuple(self._exit_rules),
            exits_observed=self._exits_observed,
            calls_observed=bool(self._observers),
            is_recorded=bool(self._sinks),
        )

    def recorder(self) -> Recorder | None:
        """Make the recorder of one run; None if nobody wants records."""
        if not self._sinks:
            return None
        from accel.mechanisms.recorder import Recorder  # noqa: PLC0415 - loaded by a run
        from accel.mechanisms.ring import Ring  # noqa: PLC0415 - as above

        beginnings = any(takes_records(sink) for sink in self._sinks)
        return Recorder(Ring(drops=self._drops, beginnings=beginnings), self._sinks)

    def captures(self, plan: Plan) -> Mapping[tuple[Abi, int], int]:
        """Tell what is captured of recorded calls: strings and, for observers, blocks; see ring."""
        # Observers take records of some rules only; to describe all 800 calls takes 7 ms.
        selected = SyscallMask.none()
        for rule in plan.rules:
            if rule.recorded or self._captures_strings:
                selected |= rule.mask
        observers = [sink for sink in self._sinks if takes_records(sink)]
        found = ((call, _captured(*call, observers)) for call in selected)
        return {call: captured for call, captured in found if captured}

    def tell(self, stop: Stop, /) -> None:
        """Tell everybody of a stop."""
        for observer in self._observers:
            observer(stop)
        if not isinstance(stop, (SyscallEntryStop, SyscallExitStop)):
            self.tell_of_event(stop)

    def tell_of_event(self, stop: Stop) -> None:
        """Tell those who want to hear of no call."""
        for observer in self._event_observers:
            observer(stop)


def _captured(abi: Abi, number: int, observers: Iterable[RecordObserver]) -> int:
    from accel.mechanisms.ring import (  # noqa: PLC0415 - loaded by a run
        BLOCK_SIZE,
        FIRST_READ,
        FIRST_WRITTEN,
        bits,
    )

    name = abi.call_name(number)
    strings, read, written, size = string_arguments(abi, name), 0, 0, 0
    for observer in observers:
        wanted = observer.blocks_of(abi, name)
        read |= bits(wanted.read)
        written |= bits(wanted.written)
        size = max(size, wanted.size)
    count = len(strings) + read.bit_count() + written.bit_count()
    if count > MAX_STRINGS or size > STRING_LIMIT:
        raise SetupError(
            f"{name}: strings and blocks of {count} arguments to record, {size} bytes of each",
            hint=f"there is room for {MAX_STRINGS}, of {STRING_LIMIT} bytes",
        )
    return bits(strings) | written << FIRST_WRITTEN | size << BLOCK_SIZE | read << FIRST_READ


def _enforced(rule: Rule, one: FilterRule) -> Rule:
    """Give a rule the answer of a profile.

    A call that is allowed and observed stops. Where the filter answers with what no decision says,
    the decision is for calls that stop before it is asked: it refuses what is not to run.
    """
    action = one.action
    if action == bpf.Action.allow():
        return rule if rule.observed else replace(rule, decision=Decision.allow())
    if action.value - action.data == bpf.Action.errno(0).value:
        return replace(rule, decision=Decision.nullify(action.data))
    runs = action == bpf.Action.log()
    decision = Decision.allow() if runs else Decision.nullify(_errno.ENOSYS)
    return replace(rule, decision=decision, enforced=action)


def _decided(rules: Iterable[Rule]) -> SyscallMask:
    """Tell which calls no later rule is asked about."""
    decided = SyscallMask.none()
    for rule in rules:
        if not rule.where.all:
            decided |= rule.mask
    return decided
