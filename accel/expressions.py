"""What ``where=`` is made of: conditions, joined by ``&``, ``|`` and ``~``.

An expression is an immutable value that prints as it was written. It is judged by what is known of
a call: its registers, tracee memory, its result. Where that is not enough to tell, the answer is
None, by Kleene's logic: "a and unknown" is false if a is, and else unknown. So a filter, which
knows registers alone, can pick the calls that a condition on memory may hold for.

Leaves are in ``arguments`` (registers and results) and ``pointees`` (tracee memory).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol, runtime_checkable

from accel.abi import Abi
from accel.call import Call, Memory
from bpf.value import frozen

__all__ = [
    "AllOf",
    "AnyOf",
    "Expression",
    "Facts",
    "MemoryCondition",
    "Not",
    "Spelled",
    "SupportsCondition",
    "as_operand",
    "leaves",
]

_NO_BOOL = (
    "join conditions with & | ~, each comparison in parentheses; 'and', 'or', 'not' cannot be"
    " compiled, nor can 'in' and a < b < c: those are .one_of() and .between()"
)


@frozen
class Facts:
    """What is known of a call when a condition is judged; None is what is not."""

    call: Call | None = None
    memory: Memory | None = None
    #: What it returned, -errno where it failed.
    result: int | None = None


class Expression:
    """A condition, or several that are joined."""

    __slots__ = ()

    def judge(self, facts: Facts, /) -> bool | None:
        """Tell whether it is true; None if ``facts`` are not enough to tell."""
        raise NotImplementedError

    def parts(self) -> tuple[Expression, ...]:
        """List what it is made of; a leaf is made of nothing."""
        return ()

    def check(self, abi: Abi, number: int) -> None:
        """Raise MaskError, of a leaf, if a call does not have what it is about."""

    @property
    def is_call(self) -> bool:
        """Whether it is written as the call of a method, which needs no parentheses."""
        return False

    def __and__(self, other: Expression | SupportsCondition) -> Expression:
        return AllOf((*_joined(self, AllOf), *_joined(_expression(other), AllOf)))

    def __or__(self, other: Expression | SupportsCondition) -> Expression:
        return AnyOf((*_joined(self, AnyOf), *_joined(_expression(other), AnyOf)))

    def __invert__(self) -> Expression:
        return Not(self)

    def __bool__(self) -> bool:
        # "a == 1 and b == 2" would silently drop the first.
        raise TypeError(_NO_BOOL)


class MemoryCondition(Expression):
    """A leaf that looks at what a pointer points to, at the stop before the call.

    Another thread can change that memory before the kernel reads it. So what is judged is what the
    call was made with only if the call is then skipped; if it runs, it may find something else.
    """

    __slots__ = ()


@runtime_checkable
class SupportsCondition(Protocol):
    """What stands for a condition where one is needed, as ``arg.flags & os.O_CREAT`` does."""

    def as_condition(self) -> Expression:
        """Make it one; raise TypeError if it says nothing that could be true."""


@frozen
class AllOf(Expression):
    """Expressions that must all hold."""

    operands: tuple[Expression, ...]

    def judge(self, facts: Facts, /) -> bool | None:
        """Tell whether all are true."""
        judged = [one.judge(facts) for one in self.operands]
        return False if False in judged else None if None in judged else True

    def parts(self) -> tuple[Expression, ...]:
        """List its operands."""
        return self.operands

    def __str__(self) -> str:
        return " & ".join(map(as_operand, self.operands))


@frozen
class AnyOf(Expression):
    """Expressions of which one must hold."""

    operands: tuple[Expression, ...]

    def judge(self, facts: Facts, /) -> bool | None:
        """Tell whether any is true."""
        judged = [one.judge(facts) for one in self.operands]
        return True if True in judged else None if None in judged else False

    def parts(self) -> tuple[Expression, ...]:
        """List its operands."""
        return self.operands

    def __str__(self) -> str:
        return " | ".join(map(as_operand, self.operands))


@frozen
class Not(Expression):
    """An expression that must not hold."""

    operand: Expression

    def judge(self, facts: Facts, /) -> bool | None:
        """Tell whether it is false."""
        judged = self.operand.judge(facts)
        return None if judged is None else not judged

    def parts(self) -> tuple[Expression, ...]:
        """List its operand."""
        return (self.operand,)

    def __str__(self) -> str:
        return f"~{as_operand(self.operand)}"


@frozen
class Spelled(Expression):
    """An expression with a short spelling, which is how it prints."""

    text: str
    meaning: Expression

    def judge(self, facts: Facts, /) -> bool | None:
        """Tell whether what it means is true."""
        return self.meaning.judge(facts)

    def parts(self) -> tuple[Expression, ...]:
        """List what it means."""
        return (self.meaning,)

    @property
    def is_call(self) -> bool:
        """Whether it is ``x.between()`` or ``x.one_of()``, and no mask."""
        return self.text.endswith(")")

    def __str__(self) -> str:
        return self.text


def leaves(expression: Expression) -> Iterator[Expression]:
    """List the conditions of an expression."""
    parts = expression.parts()
    if not parts:
        yield expression
    for part in parts:
        yield from leaves(part)


def as_operand(expression: Expression) -> str:
    """Write an expression as an operand of ``&``, ``|`` or ``~``."""
    needs_none = expression.is_call or isinstance(expression, Not)
    return str(expression) if needs_none else f"({expression})"


def _joined(expression: Expression, kind: type[AllOf | AnyOf]) -> tuple[Expression, ...]:
    """Flatten ``(a & b) & c``."""
    return expression.operands if isinstance(expression, kind) else (expression,)


def _expression(other: Expression | SupportsCondition) -> Expression:
    if isinstance(other, Expression):
        return other
    if isinstance(other, SupportsCondition):
        return other.as_condition()
    raise TypeError(f"{other!r} is no condition; in parentheses: (arg.fd == 1) & (arg.count > 2)")
