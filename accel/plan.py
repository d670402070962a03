"""What a run will do with each call: rules, the filter they compile to, and what is left to stops.

Each call is answered by the lowest tier that can: a rule that needs neither stop nor notification
goes into the filter; of the others, the filter only names the rule, in SECCOMP_RET_DATA.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from collections.abc import Set as AbstractSet
from typing import Final, Protocol, TypeAlias

import bpf
from accel.abi import Abi
from accel.arguments import Conditions
from accel.call import Call, Memory
from accel.decision import Decision
from accel.errors import FilterError, MaskError, UnsupportedKernel
from accel.expressions import Facts
from accel.lowering import ANY, MAX_ALTERNATIVES, NOTHING_CHECKED, Lowered, lower, lower_results
from accel.mask import SyscallMask
from accel.stops import SyscallEntryStop
from bpf.value import frozen, replace

__all__ = ["EXECUTING", "Compiled", "EntryHandler", "Plan", "Rule", "check"]

EntryHandler: TypeAlias = Callable[[SyscallEntryStop], Decision | None]

#: RET_DATA of rule 0. High, so that neither an exit status (PTRACE_GETEVENTMSG after a death) nor
#: the data of a filter that the tracee installs is taken for a rule.
_FIRST_RULE: Final = 0xAC00
#: RET_DATA where architecture or x32 bit say that the number is of no table of ours.
_UNKNOWN_ABI: Final = 0xFFFF
#: RET_DATA of a call that stops only for being a blind spot.
_WATCHED: Final = 0xFFFE
#: A child made with CLONE_UNTRACED keeps the filter, but has no tracer to answer its calls.
_CLONE_UNTRACED: Final = bpf.Condition(0, "==", 0x0080_0000, 0x0080_0000, 32)

#: What replaces the program, and with it everything that the arguments point to.
EXECUTING: Final = ("execve", "execveat")
#: Numbers below this are calls, of some kernel.
_NUMBERS: Final = 1024

_ABIS: Final = {Abi.X86_64: bpf.Arch.X86_64, Abi.I386: bpf.Arch.I386}

#: Instructions for a comparison, at most, and for all numbers of both tables. Where the sum is far
#: from the limit nobody needs to try whether the filter fits.
_COMPARISON: Final = 7
_NUMBERS_ALONE: Final = 2900
_LIMIT: Final = 4096


#: Mechanisms that install a filter.
_FILTERING: Final = ("seccomp-trace", "user-notify")

#: Why a rule is judged at a stop.
_NO_ROOM: Final = f"the filter, of {_LIMIT} instructions, has no room for its conditions"
_TOO_MANY: Final = f"its conditions have more than {MAX_ALTERNATIVES} alternatives, or exceptions"
_MEMORY: Final = "it looks at tracee memory, which no filter can read"


class Compiled(Protocol):
    """A handler that the loop can call, see ``accel.jit``."""

    @property
    def address(self) -> int:
        """Where its code is."""

    @property
    def state_address(self) -> int:
        """Where the array is that it keeps."""


@frozen
class Rule:
    """What happens to the calls of a mask; of several rules the first that matches decides."""

    mask: SyscallMask
    #: A constant answer; None if a handler answers.
    decision: Decision | None = None
    handler: EntryHandler | None = None
    where: Conditions = Conditions()
    #: Whether the user wants to hear of these calls, whatever happens to them.
    observed: bool = False
    #: The handler, if it is compiled.
    compiled: Compiled | None = None
    #: Whether records are enough for all who observe calls.
    recorded: bool = False
    #: Whether its calls stop at their exit by an exit event, which needs no filter.
    by_event: bool = False
    #: Whether its calls come by user notification, where they come at all.
    by_notify: bool = False
    #: The mechanism that its user asked for; empty: whichever suffices.
    wanted: str = ""
    #: Why calls that it may match stop, to be judged there; empty if the filter judges them.
    judged: str = ""
    #: What the filter answers, where no decision says it: a profile kills, or has calls logged.
    enforced: bpf.Action | None = None
    #: Why its stops are obtained as they are, where there was a choice.
    chosen: str = ""

    @property
    def silent(self) -> Decision | None:
        """What the filter can answer on its own, so that nobody hears of the call; None if not."""
        decision = self.decision
        if self.by_event:
            return Decision.allow()
        if decision is None or (decision.start and self.observed) or not decision.is_plain:
            return None
        if decision.call and not decision.exit:
            return Decision.allow()
        errno = decision.constant_errno
        return None if errno is None else Decision.nullify(errno)

    @property
    def action(self) -> bpf.Action | None:
        """The filter's own answer, where it can give it; None if the call must stop."""
        if self.enforced is not None:
            return self.enforced
        silent = None if self.judged else self.silent
        if silent is None:
            return None
        return bpf.Action.allow() if silent.call else bpf.Action.errno(-(silent.value or 0))

    def judge(self, call: Call, memory: Memory | None = None) -> bool | None:
        """Evaluate mask and conditions; None where ``memory`` is needed to tell, and not given.

        Numbers that no table knows, and that the mask does not list, have no arguments to judge.
        """
        if (call.abi, call.number) not in self.mask:
            return False
        if not self.where.all:
            return True
        if self.mask.holds_unnamed and call.number not in call.abi.names:
            return False
        return self.where.judge(Facts(call, memory))

    def lowered(self, abi: Abi, number: int) -> Lowered:
        """Tell what the filter checks of its conditions, for one of its calls."""
        if not self.where.all:
            return ANY
        if self.judged == _NO_ROOM:
            return NOTHING_CHECKED
        return lower(self.where.all, abi, number)


@frozen
class Plan:
    """The rules of a run, in order; ``watched`` calls are blind spots to report, not to trace.

    ``always`` are calls that stop before the rules are asked, whatever these say: the mechanism has
    something to do there. ``notes`` say what could not be had as it was asked for.
    """

    rules: tuple[Rule, ...]
    watched: SyscallMask = SyscallMask.none()
    always: SyscallMask = SyscallMask.none()
    #: The mechanism that answers stops, and the one of the rules that are ``by_event``.
    mechanism: str = "seccomp-trace"
    exit_event: str = ""
    notes: tuple[str, ...] = ()
    #: What calls of an ABI without rules get (x32's, for one); None: they stop, and run.
    foreign: bpf.Action | None = None
    #: Whether accel is there to answer the stops that are its own, and no rule's.
    is_traced: bool = True
    #: Calls whose results somebody wants to see, if their rule lets them run.
    inspected: SyscallMask = SyscallMask.none()
    #: Of every rule, why its stops go to Python; "" where the loop answers them.
    python: tuple[str, ...] = ()

    @property
    def has_filter(self) -> bool:
        """Whether a filter is installed, which answers what it can."""
        return self.mechanism in _FILTERING

    @property
    def notifies(self) -> bool:
        """Whether some of its calls come by user notification, so that there is a listener."""
        return self.mechanism == "user-notify" or any(rule.by_notify for rule in self.rules)

    @property
    def is_mixed(self) -> bool:
        """Whether calls come by stops and by notifications."""
        return self.notifies and self.mechanism != "user-notify"

    def untraced(self) -> Plan:
        """Leave out accel's own stops: a plan for who installs its filter without accel."""
        nothing = SyscallMask.none()
        return replace(self, watched=nothing, always=nothing, is_traced=False)

    def exit_selections(self) -> list[bpf.ExitSelection]:
        """List the calls that are to stop at their exit, for the kernel to select them.

        Conditions on arguments are among it, for who can compare them there.
        """
        return [one for abi in _ABIS for one in self._exit_selections(abi)]

    def _exit_selections(self, abi: Abi) -> Iterator[bpf.ExitSelection]:
        executing = {abi.numbers[name] for name in EXECUTING}
        decided: set[int] = set()
        for rule in self.rules:
            numbers = rule.mask.numbers(abi) - decided
            if rule.mask.holds_unnamed and not rule.where.all:
                numbers |= set(range(_NUMBERS)) - set(abi.names) - decided
            if not rule.where.all:
                decided |= numbers
            if not rule.by_event:
                continue
            for result in lower_results(rule.where.results):
                # One that succeeds leaves no arguments, and is told as an event.
                failing = (*result, bpf.ResultCondition("!=", 0))
                parts = ((numbers - executing, result), (numbers & executing, failing))
                for part, condition in parts:
                    for chosen, arguments in _by_conditions(rule, abi, part):
                        yield bpf.ExitSelection(_ABIS[abi], chosen, condition, arguments)

    def fitted(self) -> Plan:
        """Say of every rule whether a stop has to judge it; make room in the filter by that.

        If the filter is too long, conditions leave it, the biggest first, until it fits: calls that
        such a rule names then stop, and are judged by it and those behind it. Costs what compiling
        does a dozen times, where there is no room, and next to nothing else.
        """
        plan = replace(self, rules=tuple(map(_explained, self.rules)))
        sizes = {at: _size(rule) for at, rule in enumerate(plan.rules) if rule.where.all}
        if sum(sizes.values()) * _COMPARISON + _NUMBERS_ALONE <= _LIMIT:
            return plan
        import bisect  # noqa: PLC0415 - few plans are too big

        order = sorted(sizes, key=lambda at: (sizes[at], at), reverse=True)
        count = bisect.bisect_left(
            range(len(order)), True, key=lambda count: _fits(_moved(plan, order[:count]))
        )
        return _moved(plan, order[:count])

    def compile(self) -> bpf.Program:
        """Compile the filter; raise FilterError if it does not fit, MaskError if it is empty."""
        self.check()
        if len(self.rules) > _WATCHED - _FIRST_RULE:
            raise FilterError(f"{len(self.rules)} rules", hint="the filter has names for 21,502")
        foreign = self.foreign or self._seen(_UNKNOWN_ABI)
        try:
            return bpf.compile(
                {arch: list(self._filter_rules(abi)) for abi, arch in _ABIS.items()},
                default=self._default(),
                unknown_arch=foreign,
                x32=foreign,
            )
        except bpf.LibraryMissing as error:
            raise UnsupportedKernel(str(error)) from error
        except bpf.CompileError as error:
            raise FilterError(str(error), hint="select fewer calls or conditions") from error

    def check(self) -> None:
        """Raise MaskError if nothing is selected."""
        if not any(rule.mask for rule in self.rules):
            raise MaskError("no system call is selected", hint="name one: -e trace=openat")

    def _action(self, index: int, *, is_exact: bool = True) -> bpf.Action:
        """Choose what the filter returns where it finds a rule, or that the rule may match."""
        action = self.rules[index].action if is_exact else None
        if self.rules[index].by_notify:
            return action or bpf.Action.notify()
        return action or bpf.Action.trace(self.ret_data_of(index))

    def _seen(self, ret_data: int) -> bpf.Action:
        """Choose what the filter returns for what accel has to see by itself."""
        is_traced = self.mechanism != "user-notify"
        return bpf.Action.trace(ret_data) if is_traced else bpf.Action.notify()

    def _default(self) -> bpf.Action:
        """Choose what unknown numbers get: ``all`` and complements select those, too."""
        for index, rule in enumerate(self.rules):
            if rule.mask.holds_unnamed and not rule.where.all:
                return self._action(index)
        return bpf.Action.allow()

    def _always_stopping(self, abi: Abi) -> Iterator[bpf.Rule]:
        """Write what comes before all rules, as it must stop even if they let it run."""
        if self.is_traced and self.mechanism != "user-notify":
            # Of clone3 the flags are in memory.
            yield bpf.Rule(abi.numbers["clone"], bpf.Action.trace(_WATCHED), (_CLONE_UNTRACED,))
        for number in sorted(self.always.numbers(abi)):
            yield bpf.Rule(number, bpf.Action.trace(_WATCHED))

    def _filter_rules(self, abi: Abi) -> Iterator[bpf.Rule]:
        yield from self._always_stopping(abi)
        default = self._default()
        decided = set(self.always.numbers(abi))
        unnamed = self._unnamed_numbers(abi)
        for index, rule in enumerate(self.rules):
            numbers = rule.mask.numbers(abi) - decided
            if rule.where.all:
                for found in self._conditional_rules(index, abi, numbers):
                    if not found.conditions:
                        decided.add(found.number)
                    yield found
                continue
            numbers |= {number for number in unnamed - decided if (abi, number) in rule.mask}
            decided |= numbers
            action = self._action(index)
            # Of ``all`` nothing is left to say: its action is the default.
            if action != default:
                yield from (bpf.Rule(number, action) for number in sorted(numbers))
        watched = self.watched.numbers(abi) - decided
        for number in sorted(watched):
            yield bpf.Rule(number, self._seen(_WATCHED))
        if default != bpf.Action.allow():
            for number in sorted((unnamed | set(abi.names)) - decided - watched):
                yield bpf.Rule(number, bpf.Action.allow())

    def _unnamed_numbers(self, abi: Abi) -> set[int]:
        """List the numbers without a name that some rule selects, or leaves out, by number."""
        masks = (rule.mask for rule in self.rules)
        listed = (~mask if mask.holds_unnamed else mask for mask in masks)
        return set[int]().union(*(mask.numbers(abi) for mask in listed)) - set(abi.names)

    def _conditional_rules(
        self, index: int, abi: Abi, numbers: AbstractSet[int]
    ) -> Iterator[bpf.Rule]:
        """Write a rule with conditions: once for each alternative that they are lowered to."""
        for number in sorted(numbers):
            lowered = self.rules[index].lowered(abi, number)
            action = self._action(index, is_exact=lowered.is_exact)
            for conjunction in lowered.alternatives:
                yield bpf.Rule(number, action, conjunction)

    def ret_data_of(self, index: int) -> int:
        """Tell by which RET_DATA the filter names a rule."""
        return _FIRST_RULE + index

    def rule_of(self, ret_data: int) -> int | None:
        """Find the rule that the filter named; None where it named none."""
        index = ret_data - _FIRST_RULE
        return index if 0 <= index < len(self.rules) else None

    def is_watched(self, ret_data: int) -> bool:
        """Tell whether the filter stopped a call for what it is, and not for a rule."""
        return ret_data == _WATCHED

    def notes_on_judging(self) -> Iterator[str]:
        """Say which rules a stop has to judge, and why; and where that is a race."""
        for index, rule in enumerate(self.rules):
            if rule.judged or rule.where.reads_memory:
                why = rule.judged or _MEMORY
                does = "notify" if rule.by_notify else "stop"
                yield f"{rule.where}: calls {does} to be judged: {why}"
            if rule.where.reads_memory and self._may_run(index):
                yield (
                    f"{rule.where}: a race where the call then runs: another thread can change the"
                    " memory between the look and the call"
                )

    def _may_run(self, index: int) -> bool:
        """Tell whether a call that a rule looks at may run, by it or by what is behind it."""
        left = self.rules[index].mask
        for rule in self.rules[index:]:
            if left & rule.mask and (rule.decision is None or rule.decision.call):
                return True
            if not rule.where.all:
                left -= rule.mask
        return bool(left)

    def __str__(self) -> str:
        from accel.plan_table import table  # noqa: PLC0415 - only for who prints it

        return table(self)

    def match(self, call: Call) -> int | None:
        """Find the first rule that a call, which no filter has judged, may fall under.

        Its memory is not looked at: ``settle`` does.
        """
        for index, rule in enumerate(self.rules):
            if rule.judge(call) is not False:
                return index
        return None

    def settle(self, first: int, call: Call, memory: Memory) -> int | None:
        """Find the first rule that a call falls under, of ``first`` and those behind it."""
        for index in range(first, len(self.rules)):
            if self.rules[index].judge(call, memory):
                return index
        return None


def _moved(plan: Plan, indices: list[int]) -> Plan:
    """Take the conditions of some rules out of the filter."""
    rules = list(plan.rules)
    for index in indices:
        rules[index] = replace(rules[index], judged=_NO_ROOM)
    return replace(plan, rules=tuple(rules))


def _fits(plan: Plan) -> bool:
    try:
        plan.compile()
    except FilterError:
        return False
    return True


def _explained(rule: Rule) -> Rule:
    """Say why a rule has to be judged at a stop, if it has to."""
    if rule.where.reads_memory:
        return replace(rule, judged=_MEMORY)
    if rule.where.all and not all(lower(rule.where.all, *call).is_exact for call in rule.mask):
        return replace(rule, judged=_TOO_MANY)
    return rule


def _size(rule: Rule) -> int:
    return sum(lower(rule.where.all, abi, number).size for abi, number in rule.mask)


def _by_conditions(
    rule: Rule, abi: Abi, numbers: AbstractSet[int]
) -> Iterator[tuple[frozenset[int], tuple[bpf.Condition, ...]]]:
    """Divide calls by what the conditions on their arguments are lowered to."""
    found: dict[tuple[bpf.Condition, ...], set[int]] = {}
    for number in numbers:
        for conjunction in rule.lowered(abi, number).alternatives:
            found.setdefault(conjunction, set()).add(number)
    for conditions, members in found.items():
        yield frozenset(members), conditions


def check(conditions: Conditions, mask: SyscallMask) -> None:
    """Raise MaskError unless all calls of ``mask`` have what is asked of them."""
    lower_results(conditions.results)
    for abi, number in mask:
        conditions.check(abi, number)
