"""Conditions on scalar arguments and on results: ``arg.fd == 2``, ``result < 0``.

They are values, compiled into what the kernel evaluates: those on arguments, as in ``(arg.flags &
os.O_CREAT) != 0``, into the filter, those on results into what stops a call at its exit. What a
pointer points to is not a scalar: the kernel's filter cannot read memory, and accel does not
pretend that it can; ``pointees`` has the conditions that are judged at a stop.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from typing import Final, TypeAlias

from accel.abi import Abi
from accel.errors import MaskError
from accel.expressions import (
    AllOf,
    AnyOf,
    Expression,
    Facts,
    MemoryCondition,
    Spelled,
    SupportsCondition,
    as_operand,
    leaves,
)
from accel.scalars import scalar
from bpf.value import frozen, replace

__all__ = [
    "AnyCondition",
    "Argument",
    "Comparable",
    "Condition",
    "Conditions",
    "ResultCondition",
    "arg",
    "compare",
    "result",
]

_WORD = (1 << 64) - 1

_COMPARE: Final[Mapping[str, Callable[[int, int], bool]]] = {
    "==": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


def compare(left: int, operator_: str, right: int) -> bool:
    """Compare by an operator's name."""
    return _COMPARE[operator_](left, right)


@frozen
class Condition(Expression):
    """A comparison of one argument with a number, in the width and sign of its C type.

    Under a mask both are unsigned.
    """

    #: The kernel's name of the argument, or its position.
    argument: str | int
    operator: str
    value: int
    mask: int | None = None

    def judge(self, facts: Facts, /) -> bool | None:
        """Compare; None where the call is not known."""
        call = facts.call
        if call is None:
            return None
        where = scalar(call.abi, call.number, self.argument)
        register = call.arguments[where.position]
        if self.mask is None:
            # Both as the type has them: 0xFFFFFFFF is -1 to an int, however it was written.
            return compare(where.value(register), self.operator, where.value(self.value))
        return compare(register & self.mask & where.word, self.operator, self.value & where.word)

    def check(self, abi: Abi, number: int) -> None:
        """Raise MaskError unless the call has the argument, and the constant its width."""
        where = scalar(abi, number, self.argument)
        if not -(1 << (where.bits - 1)) <= self.value < 1 << where.bits:
            raise MaskError(
                f"{self}: that argument of {abi.call_name(number)} has {where.bits} bits",
                hint=f"compare it with a number of {where.bits} bits",
            )

    def __str__(self) -> str:
        name = f"arg[{self.argument}]" if isinstance(self.argument, int) else f"arg.{self.argument}"
        left = name if self.mask is None else f"({name} & {self.mask:#x})"
        return f"{left} {self.operator} {self.value}"


@frozen
class ResultCondition(Expression):
    """A comparison of a call's result with a number: signed, -errno where the call failed."""

    operator: str
    value: int

    def judge(self, facts: Facts, /) -> bool | None:
        """Compare; None before the call has returned."""
        return None if facts.result is None else self.holds(facts.result)

    def holds(self, returned: int) -> bool:
        """Compare."""
        return compare(returned, self.operator, self.value)

    def __str__(self) -> str:
        return f"result {self.operator} {self.value}"


#: What ``where=`` takes.
AnyCondition: TypeAlias = "Expression | SupportsCondition | Conditions"


@frozen
class Conditions:
    """What a rule asks of its calls: expressions that must all hold.

    Those on the call, its arguments and its memory, are apart from those on its result, as they are
    judged at other times, by others.
    """

    all: tuple[Expression, ...] = ()
    results: tuple[Expression, ...] = ()

    @classmethod
    def of(cls, where: AnyCondition | None) -> Conditions:
        """Sort an expression, or none; raise MaskError where ``|`` or ``~`` mix the two kinds."""
        if where is None or isinstance(where, Conditions):
            return where or cls()
        whole = where if isinstance(where, Expression) else where.as_condition()
        of_call: list[Expression] = []
        of_result: list[Expression] = []
        for part in whole.operands if isinstance(whole, AllOf) else (whole,):
            kinds = {isinstance(leaf, ResultCondition) for leaf in leaves(part)}
            if len(kinds) > 1:
                raise MaskError(
                    f"{part}: arguments are judged before the call, results after it",
                    hint="join the two by & alone, or make two rules",
                )
            (of_result if True in kinds else of_call).append(part)
        return cls(tuple(of_call), tuple(of_result))

    @property
    def reads_memory(self) -> bool:
        """Whether some of it is about tracee memory, so that no filter can judge it."""
        found = (leaf for one in self.all for leaf in leaves(one))
        return any(isinstance(leaf, MemoryCondition) for leaf in found)

    def check(self, abi: Abi, number: int) -> None:
        """Raise MaskError if a call does not have what they are about."""
        for one in self.all:
            for leaf in leaves(one):
                leaf.check(abi, number)

    def judge(self, facts: Facts) -> bool | None:
        """Tell whether a call, by what is known of it, is one; None if that is not enough."""
        return AllOf(self.all).judge(facts)

    def tells(self, returned: int) -> bool:
        """Tell whether a call is to be told of, as its result is."""
        if not self.results:
            return True  # Of most rules; every exit asks.
        facts = Facts(result=returned)
        return all(one.judge(facts) for one in self.results)

    def __bool__(self) -> bool:
        return bool(self.all or self.results)

    def __str__(self) -> str:
        return " & ".join(map(as_operand, (*self.all, *self.results)))


class Comparable:
    """Something that has a value at run time: compared with a number it makes a condition."""

    __slots__ = ()

    def _compare(self, operator: str, value: object) -> Expression:
        raise NotImplementedError

    def between(self, low: int, high: int) -> Expression:
        """Ask for ``low <= x <= high``; ValueError if no number is between them."""
        meaning = AllOf((self._compare(">=", low), self._compare("<=", high)))
        if low > high:
            raise ValueError(f"no number is between {low} and {high}")
        return Spelled(f"{self}.between({low:d}, {high:d})", meaning)

    def one_of(self, *values: int) -> Expression:
        """Ask for one of some numbers; ValueError if there are none."""
        if not values:
            raise ValueError("one of none: name a number")
        meaning = AnyOf(tuple(self._compare("==", value) for value in values))
        return Spelled(f"{self}.one_of({', '.join(f'{value:d}' for value in values)})", meaning)

    def __eq__(self, value: object) -> Expression:  # type: ignore[override]  # an expression
        return self._compare("==", value)

    def __ne__(self, value: object) -> Expression:  # type: ignore[override]  # an expression
        return self._compare("!=", value)

    def __lt__(self, value: int) -> Expression:
        return self._compare("<", value)

    def __le__(self, value: int) -> Expression:
        return self._compare("<=", value)

    def __gt__(self, value: int) -> Expression:
        return self._compare(">", value)

    def __ge__(self, value: int) -> Expression:
        return self._compare(">=", value)

    __hash__ = None  # type: ignore[assignment]  # equality makes a condition

    def __bool__(self) -> bool:
        raise TypeError("compare it with a number: as it is, it is neither true nor false")

    def __contains__(self, _value: object) -> bool:
        raise TypeError("a number is in no argument; is it x.one_of(1, 2) that you mean?")


@frozen
class Argument(Comparable):
    """A scalar argument of whatever call the condition is applied to.

    ``arg.flags & os.O_CREAT`` asks, as a condition, for any of these bits.
    """

    name: str | int
    mask: int | None = None

    def __and__(self, other: int | Expression | SupportsCondition) -> Argument | Expression:
        """Compare only some bits; or, if some are chosen already, join it with a condition."""
        if not isinstance(other, int):
            return self.as_condition() & other
        if not 0 <= other <= _WORD:
            raise TypeError(f"a mask is a number of at most 64 bits, not {other!r}")
        if self.mask is not None:
            raise TypeError("an argument takes one mask")
        return replace(self, mask=int(other))

    def __rand__(self, mask: int) -> Argument | Expression:
        return self & mask

    def __or__(self, other: Expression | SupportsCondition) -> Expression:
        return self.as_condition() | other

    def __invert__(self) -> Expression:
        return ~self.as_condition()

    def as_condition(self) -> Expression:
        """Ask for any bit of the mask; raise TypeError if there is none."""
        if self.mask is None:
            raise TypeError(f"{self} is no condition: compare it, or mask it, as {self} & 1")
        return Spelled(str(self)[1:-1], Condition(self.name, "!=", 0, self.mask))

    def _compare(self, operator: str, value: object) -> Condition:
        if not isinstance(value, int) or not -(1 << 63) <= value <= _WORD:
            raise TypeError(
                f"an argument is compared with a number of at most 64 bits, not {value!r}:"
                " the filter cannot read tracee memory. accel.path == '/etc/passwd' and"
                " accel.sockaddr.port == 443 are judged at a stop"
            )
        return Condition(self.name, operator, int(value), self.mask)

    __eq__ = Comparable.__eq__
    __hash__ = None

    def __str__(self) -> str:
        name = f"arg[{self.name}]" if isinstance(self.name, int) else f"arg.{self.name}"
        return name if self.mask is None else f"({name} & {self.mask:#x})"


class _Arguments:
    """``arg.NAME`` and ``arg[INDEX]``."""

    __slots__ = ()

    def __getattr__(self, name: str) -> Argument:
        if name.startswith("__"):
            raise AttributeError(name)
        return Argument(name)

    def __getitem__(self, index: int) -> Argument:
        if not 0 <= index < 6:
            raise IndexError("a system call has arguments 0 to 5")
        return Argument(index)


arg: Final = _Arguments()


class _Result(Comparable):
    """``result``, to be compared."""

    __slots__ = ()

    def _compare(self, operator: str, value: object) -> ResultCondition:
        if not isinstance(value, int) or not -(1 << 63) <= value < 1 << 63:
            raise TypeError(f"a result is compared with a signed number of 64 bits, not {value!r}")
        return ResultCondition(operator, int(value))

    def __str__(self) -> str:
        return "result"


#: What a call returned, as the kernel has it: -errno where it failed.
result: Final = _Result()
