"""Lowers conditions to what a filter can compare: any of some conjunctions of comparisons.

Negations go to the leaves, and there into the set of values that a comparison selects. What is left
is joined to a disjunction of conjunctions, each with one set of values for every argument that it
looks at. Two things do not fit: conditions on tracee memory, and more alternatives than a filter
should have. Of these a filter checks what it can. The calls that it then picks are those for which
the conditions may hold: they have to stop, and to be judged there.
"""

from __future__ import annotations

import functools
import itertools
import operator
from collections.abc import Mapping, Sequence
from typing import Final, TypeAlias

import bpf
from accel.abi import Abi
from accel.arguments import Condition, ResultCondition
from accel.errors import MaskError
from accel.expressions import AllOf, AnyOf, Expression, Not, Spelled
from accel.scalars import scalar
from accel.value_sets import ValueSet
from bpf.value import frozen

__all__ = ["MAX_ALTERNATIVES", "Lowered", "lower", "lower_results"]

#: So many conjunctions for one call, and comparisons of one argument, are a filter's to check; more
#: are judged at a stop.
MAX_ALTERNATIVES: Final = 256
#: A result is selected by a text in the kernel, which is a page long at most (perf_event_open(2)).
_MAX_RESULTS: Final = 16
#: Results are signed; with this added they have the same order, and are not.
_BIAS: Final = 1 << 63

#: What is compared: a position, a width, a mask.
_Part: TypeAlias = tuple[int, int, int | None]
#: The values that each part must have; {} is any call.
_Box: TypeAlias = Mapping[_Part, ValueSet]


@frozen
class Lowered:
    """What a filter checks of the conditions on the calls of one number."""

    #: Any of these, and in it all, must hold; ((),) is any call, () is none.
    alternatives: tuple[tuple[bpf.Condition, ...], ...]
    #: Whether that is all of the conditions; if not, a call that fulfils it may fulfil them.
    is_exact: bool = True

    @property
    def selects_all(self) -> bool:
        """Whether every call fulfils it."""
        return () in self.alternatives

    @property
    def size(self) -> int:
        """How many comparisons it is."""
        return _size(self.alternatives)


#: What there is to check where there are no conditions, or the filter has no room for them.
ANY: Final = Lowered(((),))
NOTHING_CHECKED: Final = Lowered(((),), is_exact=False)


@functools.lru_cache(maxsize=8192)
def lower(where: tuple[Expression, ...], abi: Abi, number: int) -> Lowered:
    """Lower expressions that must all hold, for one call."""
    lowering = _Lowering(abi, number)
    alternatives = lowering.written(lowering.boxes(AllOf(where), negated=False))
    return Lowered(tuple(dict.fromkeys(alternatives)), lowering.is_exact)


class _Lowering:
    """The disjunctions of one call's expressions; ``is_exact`` until something did not fit."""

    def __init__(self, abi: Abi, number: int) -> None:
        self._abi = abi
        self._number = number
        self.is_exact = True

    def boxes(self, expression: Expression, *, negated: bool) -> Sequence[_Box]:
        """Find the calls that an expression, or its negation, holds for."""
        match expression:
            case Spelled():
                return self.boxes(expression.meaning, negated=negated)
            case Not():
                return self.boxes(expression.operand, negated=not negated)
            case AllOf() | AnyOf():
                parts = [self.boxes(one, negated=negated) for one in expression.operands]
                # De Morgan: what negates a conjunction is a disjunction.
                is_conjunction = isinstance(expression, AllOf) is not negated
                return self._met(parts) if is_conjunction else self._joined(parts)
            case Condition():
                part, values = self._values(expression)
                return _boxed(part, ~values if negated else values)
            case _:
                self.is_exact = False
                return ({},)

    def _values(self, condition: Condition) -> tuple[_Part, ValueSet]:
        where = scalar(self._abi, self._number, condition.argument)
        width = max(32, where.bits)  # A filter compares 32 or 64 bits: a short is masked.
        signed = where.is_signed and condition.mask is None
        value = where.value(condition.value) if signed else condition.value & where.word
        mask = where.word if condition.mask is None else condition.mask & where.word
        is_whole = mask == (1 << width) - 1
        values = ValueSet.compared(where.bits, condition.operator, value, signed=signed)
        return (where.position, width, None if is_whole else mask), values

    def _met(self, parts: Sequence[Sequence[_Box]]) -> Sequence[_Box]:
        """Find the calls that are in all parts."""
        found: Sequence[_Box] = ({},)
        for part in parts:
            if len(found) * len(part) > MAX_ALTERNATIVES:
                self.is_exact = False
                found = min(found, part, key=len)
                continue
            met = (_intersection(one, other) for one in found for other in part)
            found = [box for box in met if box is not None]
        return found

    def _joined(self, parts: Sequence[Sequence[_Box]]) -> Sequence[_Box]:
        """Find the calls that are in any part."""
        boxes: list[_Box] = []
        ranges: dict[_Part, ValueSet] = {}
        for box in itertools.chain(*parts):
            if len(box) == 1:
                ((part, values),) = box.items()
                ranges[part] = ranges[part] | values if part in ranges else values
            elif box not in boxes:
                boxes.append(box)
        for part, values in ranges.items():
            boxes += _boxed(part, values)
        if {} in boxes:
            return ({},)
        if len(boxes) > MAX_ALTERNATIVES:
            self.is_exact = False
            return ({},)
        return boxes

    def written(self, boxes: Sequence[_Box]) -> list[tuple[bpf.Condition, ...]]:
        """Write boxes as comparisons."""
        found = [
            tuple(itertools.chain(*choice))
            for box in boxes
            for choice in itertools.product(*self._affordable(box))
        ]
        if len(found) > MAX_ALTERNATIVES:
            self.is_exact = False
            return [()]
        return found

    def _affordable(self, box: _Box) -> list[list[tuple[bpf.Condition, ...]]]:
        """Write the alternatives of each part, of those that are few enough together."""
        written = [_comparisons(part, values) for part, values in box.items()]
        count, kept = 1, []
        for alternatives in sorted(written, key=_size):
            count *= len(alternatives)
            if max(count, _size(alternatives)) > MAX_ALTERNATIVES:
                self.is_exact = False
                break
            kept.append(alternatives)
        return kept


def _size(alternatives: Sequence[tuple[bpf.Condition, ...]]) -> int:
    return sum(map(len, alternatives))


def _boxed(part: _Part, values: ValueSet) -> Sequence[_Box]:
    if values.is_full:
        return ({},)
    return ({part: values},) if values else ()


def _intersection(one: _Box, other: _Box) -> _Box | None:
    """Meet two boxes; None if no call is in both."""
    met = dict(one)
    for part, values in other.items():
        met[part] = met[part] & values if part in met else values
        if not met[part]:
            return None
    return met


def _comparisons(part: _Part, values: ValueSet) -> list[tuple[bpf.Condition, ...]]:
    position, width, mask = part
    return [
        tuple(bpf.Condition(position, comparison, value, mask, width) for comparison, value in each)
        for each in values.alternatives()
    ]


# ------------------------------------------------------------------------------------ results


def lower_results(
    where: Sequence[Expression],
) -> tuple[tuple[bpf.ResultCondition, ...], ...]:
    """Lower expressions on a result, which must all hold, to alternatives.

    Raise MaskError for more than the kernel takes.
    """
    values = _results(AllOf(tuple(where)), negated=False)
    found = tuple(
        tuple(bpf.ResultCondition(comparison, value - _BIAS) for comparison, value in each)
        for each in values.alternatives()
    )
    if len(found) > _MAX_RESULTS:
        raise MaskError(
            f"{AllOf(tuple(where))}: too many results", hint=f"name at most {_MAX_RESULTS} ranges"
        )
    return found


def _results(expression: Expression, *, negated: bool) -> ValueSet:
    """Find the results, biased, for which an expression or its negation holds."""
    match expression:
        case Spelled():
            return _results(expression.meaning, negated=negated)
        case Not():
            return _results(expression.operand, negated=not negated)
        case AllOf() | AnyOf():
            parts = [_results(one, negated=negated) for one in expression.operands]
            join = operator.and_ if isinstance(expression, AllOf) is not negated else operator.or_
            empty = ValueSet(64, ())
            return functools.reduce(join, parts) if parts else (empty if negated else ~empty)
        case ResultCondition():
            values = ValueSet.compared(
                64, expression.operator, expression.value + _BIAS, signed=False
            )
            return ~values if negated else values
        case _:
            raise TypeError(f"{expression} is no condition on a result")
