"""What a run will do with each call: rules, the filter they compile to, and what is left to stops.

Each call is answered by the lowest tier that can: a rule that needs neither stop nor notification
goes into the filter; of the others, the filter only names the rule, in SECCOMP_RET_DATA.
"""

from __future__ import annotations

import itertools
import operator
from collections.abc import Callable, Iterator, Mapping
from collections.abc import Set as AbstractSet
from typing import Final, Protocol, TypeAlias

import bpf
from accel.abi import Abi
from accel.arguments import Condition, Conditions
from accel.call import Call
from accel.decision import Decision
from accel.errors import FilterError, MaskError, UnsupportedKernel
from accel.mask import SyscallMask
from accel.roles import Argument, signature
from accel.scalars import bits, is_signed, value_of
from accel.stops import SyscallEntryStop
from bpf.value import frozen, replace

__all__ = ["Compiled", "EntryHandler", "Plan", "Rule"]

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
_EXECUTING: Final = ("execve", "execveat")
#: Numbers below this are calls, of some kernel.
_NUMBERS: Final = 1024

_ABIS: Final = {Abi.X86_64: bpf.Arch.X86_64, Abi.I386: bpf.Arch.I386}

_COMPARE: Final[Mapping[str, Callable[[int, int], bool]]] = {
    "==": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


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
    #: What the filter answers, where no decision says it: a profile kills, or has calls logged.
    enforced: bpf.Action | None = None

    @property
    def action(self) -> bpf.Action | None:
        """The filter's own answer, where it can give it; None if the call must stop."""
        decision = self.decision
        if self.enforced is not None:
            return self.enforced
        if self.by_event:
            return bpf.Action.allow()
        if decision is None:
            return None
        if decision.start and self.observed:
            return None
        if decision.call and not decision.exit:
            return bpf.Action.allow()
        errno = decision.constant_errno
        return None if errno is None else bpf.Action.errno(errno)

    def holds(self, call: Call) -> bool:
        """Evaluate mask and conditions, where no filter has."""
        return (call.abi, call.number) in self.mask and all(
            _holds(condition, call) for condition in self.where.all
        )


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
        return self.mechanism == "seccomp-trace"

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
        executing = {abi.numbers[name] for name in _EXECUTING}
        decided: set[int] = set()
        for rule in self.rules:
            numbers = rule.mask.numbers(abi) - decided
            if rule.mask.holds_unnamed:
                numbers |= set(range(_NUMBERS)) - set(abi.names) - decided
            if not rule.where.all:
                decided |= numbers
            if not rule.by_event:
                continue
            result = tuple(
                bpf.ResultCondition(one.operator, one.value) for one in rule.where.results
            )
            # One that succeeds leaves no arguments, and is told as an event.
            failing = (*result, bpf.ResultCondition("!=", 0))
            for part, condition in ((numbers - executing, result), (numbers & executing, failing)):
                for chosen, arguments in _by_conditions(rule, abi, part):
                    yield bpf.ExitSelection(_ABIS[abi], chosen, condition, arguments)

    def compile(self) -> bpf.Program:
        """Compile the filter; raise FilterError if it does not fit, MaskError if it is empty."""
        self.check()
        foreign = self.foreign or bpf.Action.trace(_UNKNOWN_ABI)
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

    def _action(self, index: int) -> bpf.Action:
        return self.rules[index].action or bpf.Action.trace(self.ret_data_of(index))

    def _default(self) -> bpf.Action:
        """Choose what unknown numbers get: ``all`` and complements select those, too."""
        for index, rule in enumerate(self.rules):
            if rule.mask.holds_unnamed and not rule.where.all:
                return self._action(index)
        return bpf.Action.allow()

    def _filter_rules(self, abi: Abi) -> Iterator[bpf.Rule]:
        # Before all rules: it must stop even if they let it run. Of clone3 the flags are in memory.
        if self.is_traced:
            yield bpf.Rule(abi.numbers["clone"], bpf.Action.trace(_WATCHED), (_CLONE_UNTRACED,))
        default = self._default()
        decided = set(self.always.numbers(abi))
        for number in sorted(decided):
            yield bpf.Rule(number, bpf.Action.trace(_WATCHED))
        for index, rule in enumerate(self.rules):
            numbers = rule.mask.numbers(abi) - decided
            action = self._action(index)
            if rule.where.all:
                yield from _conditional_rules(rule, abi, numbers, action)
                continue
            decided |= numbers
            # Of ``all`` nothing is left to say: its action is the default.
            if action != default:
                yield from (bpf.Rule(number, action) for number in sorted(numbers))
        watched = self.watched.numbers(abi) - decided
        for number in sorted(watched):
            yield bpf.Rule(number, bpf.Action.trace(_WATCHED))
        if default != bpf.Action.allow():
            for number in sorted(set(abi.names) - decided - watched):
                yield bpf.Rule(number, bpf.Action.allow())

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

    def __str__(self) -> str:
        from accel.plan_table import table  # noqa: PLC0415 - only for who prints it

        return table(self)

    def match(self, call: Call) -> int | None:
        """Find the first rule for a call that no filter has judged."""
        for index, rule in enumerate(self.rules):
            if rule.holds(call):
                return index
        return None


def _conditional_rules(
    rule: Rule, abi: Abi, numbers: AbstractSet[int], action: bpf.Action
) -> Iterator[bpf.Rule]:
    """Write a rule with conditions: once for each alternative that they are lowered to."""
    for number in sorted(numbers):
        lowered = [_lower(condition, abi, number) for condition in rule.where.all]
        for alternative in itertools.product(*lowered):
            yield bpf.Rule(number, action, tuple(itertools.chain(*alternative)))


def _by_conditions(
    rule: Rule, abi: Abi, numbers: AbstractSet[int]
) -> Iterator[tuple[frozenset[int], tuple[bpf.Condition, ...]]]:
    """Divide calls by what the conditions on their arguments are lowered to."""
    if not rule.where.all:
        if numbers:
            yield frozenset(numbers), ()
        return
    found: dict[tuple[bpf.Condition, ...], set[int]] = {}
    for number in numbers:
        lowered = [_lower(condition, abi, number) for condition in rule.where.all]
        for alternative in itertools.product(*lowered):
            found.setdefault(tuple(itertools.chain(*alternative)), set()).add(number)
    for conditions, members in found.items():
        yield frozenset(members), conditions


def check(conditions: Conditions, mask: SyscallMask) -> None:
    """Raise MaskError unless all calls of ``mask`` have the arguments, in the constants' width."""
    for abi in _ABIS:
        for number in mask.numbers(abi):
            for condition in conditions.all:
                argument = _argument(condition, abi, number)
                width = _width(argument, abi)
                if not -(1 << (width - 1)) <= condition.value < 1 << width:
                    raise MaskError(
                        f"{condition}: that argument of {abi.call_name(number)} has {width} bits",
                        hint=f"compare it with a number of {width} bits",
                    )


def _position(condition: Condition, abi: Abi, number: int) -> int:
    if isinstance(condition.argument, int):
        return condition.argument
    name = abi.call_name(number)
    names = [argument.name for argument in signature(abi, name)]
    if condition.argument not in names:
        raise MaskError(
            f"{name} has no argument {condition.argument!r}",
            hint=f"it has {', '.join(names) or 'none'}; or use arg[0] to arg[5]",
        )
    return names.index(condition.argument)


def _lower(condition: Condition, abi: Abi, number: int) -> list[tuple[bpf.Condition, ...]]:
    """Turn a comparison into unsigned ones: any of the tuples, and in it all, must hold.

    The filter compares unsigned words. Of a signed argument the upper half of the values is
    negative: ``x < 5`` is "x is negative, or below 5", and ``x > 5`` "above 5, and not negative".
    """
    argument = _argument(condition, abi, number)
    width = _width(argument, abi)
    word = (1 << width) - 1
    value = condition.value & word
    index = _position(condition, abi, number)
    if condition.mask is not None:
        return [(bpf.Condition(index, condition.operator, value, condition.mask & word, width),)]
    plain = bpf.Condition(index, condition.operator, value, None, width)
    ordered = condition.operator not in ("==", "!=")
    if not ordered or argument is None or not is_signed(argument):
        return [(plain,)]
    sign = 1 << (width - 1)
    below = condition.operator.startswith("<")
    if below == bool(value & sign):
        # The words that fit lie on the value's own side of zero.
        return [(plain, bpf.Condition(index, "==", sign if below else 0, sign, width))]
    return [(plain,), (bpf.Condition(index, "==", sign if below else 0, sign, width),)]


def _argument(condition: Condition, abi: Abi, number: int) -> Argument | None:
    """Find the argument in the tables; None for a position that they do not describe."""
    arguments = signature(abi, abi.call_name(number))
    index = _position(condition, abi, number)
    return arguments[index] if index < len(arguments) else None


def _width(argument: Argument | None, abi: Abi) -> int:
    """Choose between the two widths that a filter compares: 32 bits, also for shorts, or 64."""
    return abi.bits if argument is None else max(32, bits(argument, abi))


def _holds(condition: Condition, call: Call) -> bool:
    argument = _argument(condition, call.abi, call.number)
    register = call.arguments[_position(condition, call.abi, call.number)]
    compare = _COMPARE[condition.operator]
    if condition.mask is None and argument is not None and is_signed(argument):
        # Both as the type has them: 0xFFFFFFFF is -1 to an int, however it was written.
        constant = value_of(argument, call.abi, condition.value)
        return compare(value_of(argument, call.abi, register), constant)
    word = (1 << _width(argument, call.abi)) - 1
    mask = word if condition.mask is None else condition.mask & word
    return compare(register & mask, condition.value & word)
