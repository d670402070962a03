"""Lowers conditions to checks that the loop makes at a stop, where registers alone do not tell.

A check asks one question about one argument, and says which check comes next if the answer is yes,
and which if it is no: so that ``&``, ``|`` and ``~`` need nothing of their own, and what need not
be known is not looked at. Every comparison of numbers is a range.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from accel.abi import Abi
from accel.arguments import Condition
from accel.decision import Answer
from accel.expressions import AllOf, AnyOf, Expression, Not, Spelled
from accel.pointees import PathCondition, SockaddrCondition, path_position, sockaddr_length
from accel.scalars import scalar
from bpf.value import frozen

__all__ = [
    "FROM",
    "MATCHES",
    "NO_MATCH",
    "OF_PATHS",
    "Candidate",
    "Check",
    "Checks",
    "Judgements",
    "checks",
]

# What is asked. FROM: whether the filter named this rule or one before it. UNSIGNED, SIGNED: of a
# register. EQUALS, STARTS, WITHIN: of a path. FAMILY, PORT: of a socket address.
FROM, UNSIGNED, SIGNED, EQUALS, STARTS, WITHIN, FAMILY, PORT = range(8)
OF_PATHS: Final = (EQUALS, STARTS, WITHIN)

# Where a check leads that is the last: the conditions hold, or do not.
MATCHES: Final = -1
NO_MATCH: Final = -2

_TESTS: Final = {"==": EQUALS, "startswith": STARTS, "within": WITHIN}
_FIELDS: Final = {"family": FAMILY, "port": PORT}
#: Added to unsigned numbers of 64 bits, which then have the same order as signed ones.
BIAS: Final = -(1 << 63)
_LEAST, _MOST = -(1 << 63), (1 << 63) - 1
_NOTHING: Final = (1, 0)


@frozen
class Check:
    """One question; ``then`` and ``otherwise`` are positions of checks, MATCHES or NO_MATCH."""

    kind: int
    #: The position of the argument, 0 to 5.
    argument: int
    then: int
    otherwise: int
    #: Which numbers answer yes; UNSIGNED ones with BIAS added.
    low: int = 0
    high: int = 0
    #: Of UNSIGNED the bits that are compared; of SIGNED by how many the value is shorter than a
    #: register; of FAMILY and PORT the argument that holds the size of the address, or -1.
    detail: int = 0
    #: What a path is compared with.
    text: bytes = b""


@frozen
class Checks:
    """All conditions of a rule, for one of its calls; ``first`` is where they begin."""

    checks: tuple[Check, ...]
    first: int


@frozen
class Candidate:
    """A rule that a call may fall under, by its RET_DATA."""

    ret_data: int
    checks: Checks


@frozen
class Judgements:
    """How the loop finds the rule of a call that stopped because it may fall under one."""

    #: The RET_DATA of the rules that calls may fall under, but need not.
    judged: frozenset[int]
    #: Of each call the rules that are asked, in order, those before the one that the filter named
    #: left out; what none of them takes runs, and nobody hears of it.
    candidates: tuple[tuple[tuple[Abi, int], tuple[Candidate, ...]], ...]
    #: What happens to the calls of a rule that are found so; if a rule has none, Python answers.
    answers: tuple[tuple[int, Answer], ...]


def checks(where: Sequence[Expression], abi: Abi, number: int) -> Checks:
    """Lower expressions that must all hold, for one call; a call fulfils none at once."""
    lowering = _Lowering(abi, number)
    first = lowering.place(AllOf(tuple(where)), MATCHES, NO_MATCH)
    return Checks(tuple(lowering.placed), first)


class _Lowering:
    """The checks of one call; each is placed after those that it leads to."""

    def __init__(self, abi: Abi, number: int) -> None:
        self.placed: list[Check] = []
        self._abi = abi
        self._number = number

    def place(self, expression: Expression, then: int, otherwise: int) -> int:
        """Place the checks of an expression; return where they begin."""
        match expression:
            case Spelled():
                return self.place(expression.meaning, then, otherwise)
            case Not():
                return self.place(expression.operand, otherwise, then)
            case AllOf():
                for one in reversed(expression.operands):
                    then = self.place(one, then, otherwise)
                return then
            case AnyOf():
                for one in reversed(expression.operands):
                    otherwise = self.place(one, then, otherwise)
                return otherwise
        return self._place_leaf(expression, then, otherwise)

    def _place_leaf(self, leaf: Expression, then: int, otherwise: int) -> int:
        if isinstance(leaf, (Condition, SockaddrCondition)) and leaf.operator == "!=":
            # Of a value that is not there it holds: so it is the opposite of "==".
            then, otherwise = otherwise, then
        match leaf:
            case Condition():
                check = self._of_register(leaf, then, otherwise)
            case SockaddrCondition():
                check = self._of_address(leaf, then, otherwise)
            case PathCondition():
                at = path_position(self._abi, self._number, leaf.which)
                check = Check(_TESTS[leaf.test], at, then, otherwise, text=leaf.text)
            case _:
                raise TypeError(f"{leaf} is no condition on a call")
        self.placed.append(check)
        return len(self.placed) - 1

    def _of_register(self, condition: Condition, then: int, otherwise: int) -> Check:
        where = scalar(self._abi, self._number, condition.argument)
        if condition.mask is None and where.is_signed:
            low, high = _range(condition.operator, where.value(condition.value))
            shorter = 64 - where.bits
            return Check(SIGNED, where.position, then, otherwise, low, high, shorter)
        # As Condition.judge has it: a mask makes both sides unsigned, in the argument's width.
        value = condition.value & where.word
        mask = where.word if condition.mask is None else condition.mask & where.word
        low, high = _range(condition.operator, value + BIAS)
        return Check(UNSIGNED, where.position, then, otherwise, low, high, mask)

    def _of_address(self, condition: SockaddrCondition, then: int, otherwise: int) -> Check:
        position, length = sockaddr_length(self._abi, self._number)
        low, high = _range(condition.operator, condition.value)
        size = -1 if length is None else length
        # The loop has -1 for what is not there.
        low = max(low, 0)
        return Check(_FIELDS[condition.field], position, then, otherwise, low, high, size)


def _range(operator: str, value: int) -> tuple[int, int]:
    """Write a comparison as a range of signed words; "!=" as "==", for the caller to turn round."""
    low, high = {
        "==": (value, value),
        "!=": (value, value),
        "<": (_LEAST, value - 1),
        "<=": (_LEAST, value),
        ">": (value + 1, _MOST),
        ">=": (value, _MOST),
    }[operator]
    return (low, high) if _LEAST <= low <= high <= _MOST else _NOTHING
