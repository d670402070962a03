"""Sets of the values that a word can have, as ranges: what a comparison of a scalar selects.

A filter compares unsigned words. Of a signed argument the upper half of these are negative: ``x <
5`` is the set "0 to 4, or 0x80000000 and more" of an int. Sets are joined, met and complemented
before any comparison is written, so that ``(x >= 3) & (x < 10)`` is one range, and ``x.one_of(1, 2,
3)`` another.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeAlias

from bpf.value import frozen

__all__ = ["Comparisons", "ValueSet"]

#: Comparisons that must all hold: (operator, unsigned number).
Comparisons: TypeAlias = tuple[tuple[str, int], ...]


@frozen
class ValueSet:
    """Unsigned words of some width; ranges ascend, with something between each two."""

    bits: int
    #: First and last of each.
    ranges: tuple[tuple[int, int], ...]

    @classmethod
    def of(cls, bits: int, ranges: Iterable[tuple[int, int]]) -> ValueSet:
        """Join ranges in any order; those of negative numbers are their two's complements."""
        unsigned = []
        for low, high in ranges:
            if low < 0:
                unsigned.append((low + (1 << bits), min(high, -1) + (1 << bits)))
            unsigned.append((max(low, 0), high))
        joined: list[tuple[int, int]] = []
        for low, high in sorted(unsigned):
            if low > high:
                continue
            if joined and low <= joined[-1][1] + 1:
                joined[-1] = (joined[-1][0], max(high, joined[-1][1]))
            else:
                joined.append((low, high))
        return cls(bits, tuple(joined))

    @classmethod
    def compared(cls, bits: int, operator: str, value: int, *, signed: bool) -> ValueSet:
        """Select the words for which ``word operator value`` is true; ``value`` is one of them."""
        least = -(1 << (bits - 1)) if signed else 0
        most = least + (1 << bits) - 1
        below, above = (least, value - 1), (value + 1, most)
        equal = (value, value)
        chosen = {
            "==": (equal,),
            "!=": (below, above),
            "<": (below,),
            "<=": (below, equal),
            ">": (above,),
            ">=": (above, equal),
        }
        return cls.of(bits, chosen[operator])

    def __or__(self, other: ValueSet) -> ValueSet:
        return self.of(self.bits, (*self.ranges, *other.ranges))

    def __and__(self, other: ValueSet) -> ValueSet:
        return ~(~self | ~other)

    def __invert__(self) -> ValueSet:
        gaps = []
        begin = 0
        for low, high in self.ranges:
            gaps.append((begin, low - 1))
            begin = high + 1
        gaps.append((begin, (1 << self.bits) - 1))
        return ValueSet(self.bits, tuple(gap for gap in gaps if gap[0] <= gap[1]))

    @property
    def is_full(self) -> bool:
        """Whether every word is in it."""
        return self.ranges == ((0, (1 << self.bits) - 1),)

    def __bool__(self) -> bool:
        return bool(self.ranges)

    def alternatives(self) -> list[Comparisons]:
        """Write it as comparisons, as few as it takes: a word is in it if all of any of these hold.

        () is no comparison, which every word passes.
        """
        if not self.ranges:
            return []
        gaps = (~self).ranges
        points = [("!=", low) for low, high in gaps if low == high]
        if len(points) == len(gaps):
            return [tuple(points)]
        first, last = self.ranges[0][0], self.ranges[-1][1]
        apart = [self._range(low, high) for low, high in self.ranges]
        holes = [point for point in points if first < point[1] < last]
        if len(holes) == len(self.ranges) - 1:
            together = (*self._range(first, last), *holes)
            if len(together) <= sum(map(len, apart)):
                return [together]
        return apart

    def _range(self, low: int, high: int) -> Comparisons:
        if low == high:
            return (("==", low),)
        most = (1 << self.bits) - 1
        bounds = (((">=", low), low > 0), (("<=", high), high < most))
        return tuple(bound for bound, is_needed in bounds if is_needed)
