"""Conditions on scalar arguments and on results: ``arg.fd == 2``, ``result < 0``.

They are values, compiled into what the kernel evaluates: those on arguments, as in ``(arg.flags &
os.O_CREAT) != 0``, into the filter, those on results into what stops a call at its exit. What a
pointer points to is not a scalar: the kernel's filter cannot read memory, and accel does not
pretend that it can.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from typing import Final, TypeAlias

from bpf.value import frozen, replace

__all__ = [
    "AnyCondition",
    "Argument",
    "Condition",
    "Conditions",
    "ResultCondition",
    "arg",
    "result",
]

_WORD = (1 << 64) - 1

#: What ``where=`` takes.
AnyCondition: TypeAlias = "Condition | ResultCondition | Conditions"

_COMPARE: Final[Mapping[str, Callable[[int, int], bool]]] = {
    "==": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


@frozen
class Condition:
    """A comparison of one argument with a number; several joined by ``&`` must all hold."""

    #: The kernel's name of the argument, or its position.
    argument: str | int
    operator: str
    value: int
    mask: int | None = None

    def __and__(self, other: AnyCondition) -> Conditions:
        return Conditions((self,)) & other

    def __bool__(self) -> bool:
        # "a == 1 and b == 2" would silently drop the first.
        raise TypeError("join conditions with &, in parentheses; 'and' cannot be compiled")

    def __str__(self) -> str:
        name = f"arg[{self.argument}]" if isinstance(self.argument, int) else f"arg.{self.argument}"
        left = name if self.mask is None else f"({name} & {self.mask:#x})"
        return f"{left} {self.operator} {self.value}"


@frozen
class ResultCondition:
    """A comparison of a call's result with a number: signed, -errno where the call failed."""

    operator: str
    value: int

    def __and__(self, other: AnyCondition) -> Conditions:
        return Conditions((), (self,)) & other

    def __bool__(self) -> bool:
        raise TypeError("join conditions with &, in parentheses; 'and' cannot be compiled")

    def holds(self, returned: int) -> bool:
        """Compare."""
        return _COMPARE[self.operator](returned, self.value)

    def __str__(self) -> str:
        return f"result {self.operator} {self.value}"


@frozen
class Conditions:
    """Conditions that must all hold: on arguments, and on the result."""

    all: tuple[Condition, ...] = ()
    results: tuple[ResultCondition, ...] = ()

    @classmethod
    def of(cls, where: AnyCondition | None) -> Conditions:
        """Make one or several conditions, or none, into several."""
        return cls() if where is None else cls() & where

    def __and__(self, other: AnyCondition) -> Conditions:
        if isinstance(other, Condition):
            return Conditions((*self.all, other), self.results)
        if isinstance(other, ResultCondition):
            return Conditions(self.all, (*self.results, other))
        return Conditions(self.all + other.all, self.results + other.results)

    def __bool__(self) -> bool:
        return bool(self.all or self.results)

    def __str__(self) -> str:
        return " & ".join(f"({condition})" for condition in (*self.all, *self.results))


@frozen
class Argument:
    """A scalar argument of whatever call the condition is applied to."""

    name: str | int
    mask: int | None = None

    def __and__(self, mask: int) -> Argument:
        """Compare only the bits of ``mask``."""
        if not isinstance(mask, int) or not 0 <= mask <= _WORD:
            raise TypeError(f"a mask is a number of at most 64 bits, not {mask!r}")
        if self.mask is not None:
            raise TypeError("an argument takes one mask")
        return replace(self, mask=mask)

    def _compare(self, operator: str, value: object) -> Condition:
        if not isinstance(value, int) or not -(1 << 63) <= value <= _WORD:
            raise TypeError(
                f"an argument is compared with a number of at most 64 bits, not {value!r}:"
                " the filter cannot read tracee memory"
            )
        return Condition(self.name, operator, value, self.mask)

    def __eq__(self, value: object) -> Condition:  # type: ignore[override]  # an expression
        return self._compare("==", value)

    def __ne__(self, value: object) -> Condition:  # type: ignore[override]  # an expression
        return self._compare("!=", value)

    def __lt__(self, value: int) -> Condition:
        return self._compare("<", value)

    def __le__(self, value: int) -> Condition:
        return self._compare("<=", value)

    def __gt__(self, value: int) -> Condition:
        return self._compare(">", value)

    def __ge__(self, value: int) -> Condition:
        return self._compare(">=", value)

    __hash__ = None  # type: ignore[assignment]  # equality makes a Condition


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


class _Result:
    """``result``, to be compared."""

    __slots__ = ()

    def _compare(self, operator: str, value: object) -> ResultCondition:
        if not isinstance(value, int) or not -(1 << 63) <= value < 1 << 63:
            raise TypeError(f"a result is compared with a signed number of 64 bits, not {value!r}")
        return ResultCondition(operator, value)

    def __eq__(self, value: object) -> ResultCondition:  # type: ignore[override]  # an expression
        return self._compare("==", value)

    def __ne__(self, value: object) -> ResultCondition:  # type: ignore[override]  # an expression
        return self._compare("!=", value)

    def __lt__(self, value: int) -> ResultCondition:
        return self._compare("<", value)

    def __le__(self, value: int) -> ResultCondition:
        return self._compare("<=", value)

    def __gt__(self, value: int) -> ResultCondition:
        return self._compare(">", value)

    def __ge__(self, value: int) -> ResultCondition:
        return self._compare(">=", value)

    __hash__ = None  # type: ignore[assignment]  # equality makes a condition


#: What a call returned, as the kernel has it: -errno where it failed.
result: Final = _Result()
